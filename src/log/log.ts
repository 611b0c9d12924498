import { ROW_STATEMENT } from '../disk/constants.ts'
import type { IndexOp } from '../disk/index-db.ts'
import { decodePlace, type Place } from '../disk/place.ts'
import type { Store } from '../disk/store.ts'
import type { Kind } from '../format/kinds.ts'
import type { PeerId } from '../format/peer-id.ts'
import type { AnyStatement, Statement } from '../format/statement.ts'
import type { Clock } from '../util/clock.ts'
import type { ComponentLogger } from '../util/logger.ts'
import { MEMBERSHIP, REST, type StatementClass, statementIdOf, statementKey } from './keys.ts'
import { type FinalCheck, Receiver } from './receiver.ts'
import { decodeRow, type NewStatement, StatementRows } from './rows.ts'

/** What can become of a statement that a peer sends. The same words go over the wire. */
export const VERDICTS = ['ok', 'invalid', 'forbidden', 'unknown-grant', 'clock-off', 'lacking', 'unsupported'] as const
export type Verdict = (typeof VERDICTS)[number]

/** A statement that the log has accepted, and who signed it. */
export interface AcceptedStatement<K extends Kind = Kind> {
  statement: Statement<K>
  /** The Ed25519 public key that the grant names. */
  author: Uint8Array
  place: Place
}

/**
 * True if a statement that was refused may be accepted later: once the grant that it names has come, once its time has
 * come, or once this member has the blocks that it needs.
 */
export function isCurable(verdict: Verdict): boolean {
  return verdict === 'unknown-grant' || verdict === 'clock-off' || verdict === 'lacking'
}

/**
 * Says who signed a statement and whether they may. The roster of `members` implements it, and the composition root
 * wires it.
 */
export interface Authorizer {
  authorize(statement: AnyStatement): { author: Uint8Array } | { refused: Verdict }
}

/**
 * What statements of some kinds add up to. A projection gives the same result in any order of arrival, and when it sees
 * a statement twice.
 */
export interface Projection {
  readonly kinds: ReadonlySet<Kind>
  /** Throws a `FormatError` if the statement alone shows that it breaks a rule of its kind. */
  check?(statement: Statement, author: Uint8Array): void
  /** Returns what the index should hold once these are accepted. It runs for one batch at a time. */
  project(items: readonly AcceptedStatement[]): Promise<IndexOp[]>
  /** Called once the index holds the statements; not while the index is replayed at start. */
  applied?(items: readonly AcceptedStatement[], from: PeerId | null): void
  /** True if the log need not keep this statement, because it has a later one that replaces it. */
  isSuperseded?(statement: Statement, author: Uint8Array): boolean
  /** True if the log has forgotten this statement because it keeps another in its place, the earlier or the later. */
  isReplaced?(statement: Statement, author: Uint8Array): boolean
  /** True if the index holds what `project` would put there for this statement. */
  isIndexed?(item: AcceptedStatement): Promise<boolean>
}

/** Called with statements that were just accepted, and the peer that sent them; null if this member made them. */
export type AcceptedListener = (items: readonly AcceptedStatement[], from: PeerId | null) => void

export interface LogOptions {
  store: Store
  clock: Clock
  network: Uint8Array
  logger: ComponentLogger
}

/**
 * All statements of the network, durable: those that this member appended, and those that it received from peers,
 * checked and verified. A row of the store holds the author's key and the statement's bytes; the index finds it by
 * class and id.
 *
 * `StatementRows` says what a row means for the index, `Receiver` decides which statements of a peer are accepted.
 */
export class Log {
  readonly #store: Store
  readonly #rows: StatementRows
  readonly #receiver: Receiver
  readonly #listeners: AcceptedListener[] = []
  #authorizer: Authorizer = { authorize: () => ({ refused: 'unknown-grant' }) }

  constructor({ store, clock, network, logger }: LogOptions) {
    this.#store = store
    this.#rows = new StatementRows(store, (items, from) => {
      for (const listener of this.#listeners) listener(items, from)
    })
    this.#receiver = new Receiver({
      clock,
      network,
      index: store.index,
      log: logger.forComponent('dfs:log'),
      projectionOf: kind => this.#rows.projectionOf(kind),
      authorize: statement => this.#authorizer.authorize(statement),
      write: items => this.#write(items)
    })
    store.register(ROW_STATEMENT, this.#rows)
  }

  /** Decides who may sign what. Set it once, before anything is received. */
  set authorizer(authorizer: Authorizer) {
    this.#authorizer = authorizer
  }

  register(projection: Projection): void {
    this.#rows.register(projection)
  }

  /** The listener is called once new statements are durable and indexed. */
  onAccepted(listener: AcceptedListener): void {
    this.#listeners.push(listener)
  }

  /** Makes statements durable that this member signed. They are not verified: our own are valid. */
  async append(statements: readonly Statement[], author: Uint8Array): Promise<void> {
    await this.#write(statements.map(statement => ({ statement: statement as AnyStatement, author, from: null })))
  }

  /**
   * Receives statements from a peer, in order: each is checked with those before it already accepted. Returns a verdict
   * for each. When this resolves, every accepted statement is durable. A statement that the log has is `ok` at once.
   * `finalCheck` may still refuse one that would be accepted.
   */
  receive(all: readonly Uint8Array[], from: PeerId, finalCheck: FinalCheck = async () => 'ok'): Promise<Verdict[]> {
    return this.#receiver.receive(all, from, finalCheck)
  }

  async get(id: Uint8Array): Promise<AcceptedStatement | undefined> {
    const [place] = await this.#places([id])
    return place === undefined ? undefined : this.read(place)
  }

  /** Reads the statement at a place that the index holds. */
  async read(place: Place): Promise<AcceptedStatement> {
    const payload = await this.#store.read(place)
    return { ...decodeRow(payload), place }
  }

  /** Says for each id whether the log has that statement. */
  async has(ids: readonly Uint8Array[]): Promise<boolean[]> {
    return (await this.#places(ids)).map(place => place !== undefined)
  }

  /** At most `limit` ids of a class, in ascending order, from the first after `after`. */
  async list(statementClass: StatementClass, after: Uint8Array | undefined, limit: number): Promise<Uint8Array[]> {
    const ids: Uint8Array[] = []
    const from = after === undefined ? undefined : statementKey(statementClass, after)
    for await (const { key } of this.#store.index.range(statementKey(statementClass), { after: from, limit })) {
      ids.push(statementIdOf(key))
    }
    return ids
  }

  /** Every statement of a class. */
  async *all(statementClass: StatementClass): AsyncGenerator<AcceptedStatement> {
    for await (const { value } of this.#store.index.range(statementKey(statementClass)))
      yield this.read(decodePlace(value))
  }

  async #write(items: readonly NewStatement[]): Promise<void> {
    const payloads = items.map(item => this.#rows.encode(item))
    await this.#store.write(ROW_STATEMENT, payloads)
  }

  async #places(ids: readonly Uint8Array[]): Promise<Array<Place | undefined>> {
    const keys = ids.flatMap(id => [statementKey(REST, id), statementKey(MEMBERSHIP, id)])
    const values = await this.#store.index.getMany(keys)
    return ids.map((_, i) => {
      const value = values[2 * i] ?? values[2 * i + 1]
      return value === undefined ? undefined : decodePlace(value)
    })
  }
}
