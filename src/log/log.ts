import { ROW_STATEMENT } from '../disk/constants.ts'
import { decodePlace, type Place } from '../disk/place.ts'
import type { Store } from '../disk/store.ts'
import type { PeerId } from '../format/peer-id.ts'
import type { AnyStatement, Statement } from '../format/statement.ts'
import type { Clock } from '../util/clock.ts'
import type { ComponentLogger } from '../util/logger.ts'
import { MEMBERSHIP, REST, type StatementClass, statementIdOf, statementKey } from './keys.ts'
import { NewestStamps } from './newest-stamps.ts'
import type { AcceptedListener, AcceptedStatement, Authorizer, Projection, Verdict } from './projection.ts'
import { type FinalCheck, Receiver } from './receiver.ts'
import { decodeRow, type NewStatement, StatementRows } from './rows.ts'

export interface LogOptions {
  store: Store
  clock: Clock
  network: Uint8Array
  logger: ComponentLogger
}

/**
 * Stores all statements of the network durably: those that this member appended, and those that it received from peers,
 * checked and verified. A row of the store holds the author's key and the statement's bytes; the index finds the row by
 * class and id.
 *
 * `StatementRows` projects a row into the index, and `Receiver` decides which statements of a peer are accepted.
 */
export class Log {
  readonly #store: Store
  readonly #rows: StatementRows
  readonly #receiver: Receiver
  readonly #listeners: AcceptedListener[] = []
  /** The newest stamp of each author that has reached this member. */
  readonly newest: NewestStamps
  #authorizer: Authorizer = { authorize: () => ({ refused: 'unknown-grant' }) }

  constructor({ store, clock, network, logger }: LogOptions) {
    this.#store = store
    this.newest = new NewestStamps(store.index)
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

  /**
   * Adds the projection for some kinds of statements. Call it before the store is opened, since opening may replay
   * statements.
   */
  register(projection: Projection): void {
    this.#rows.register(projection)
  }

  /** The listener is called once new statements are durable and indexed. */
  onAccepted(listener: AcceptedListener): void {
    this.#listeners.push(listener)
  }

  /** Makes statements that this member signed durable. They are not verified: our own are valid. */
  async append(statements: readonly Statement[], author: Uint8Array): Promise<void> {
    await this.#write(statements.map(statement => ({ statement: statement as AnyStatement, author, from: null })))
  }

  /**
   * Receives statements from a peer, in order, and returns a verdict for each. Statements that may authorize others are
   * accepted before those that follow them are checked; the statements between two of these are checked together. When
   * this resolves, every accepted statement is durable. A statement that is already in the log skips all checks except
   * `finalCheck`, which may refuse any statement that would otherwise be `ok`.
   */
  receive(all: readonly Uint8Array[], from: PeerId, finalCheck: FinalCheck = async () => 'ok'): Promise<Verdict[]> {
    return this.#receiver.receive(all, from, finalCheck)
  }

  /** Returns a statement by its id, or undefined if the log does not have it. */
  async get(id: Uint8Array): Promise<AcceptedStatement | undefined> {
    const [place] = await this.#places([id])
    return place === undefined ? undefined : this.read(place)
  }

  /** Reads the statement that is stored at a place, which comes from the index. */
  async read(place: Place): Promise<AcceptedStatement> {
    const payload = await this.#store.read(place)
    return { ...decodeRow(payload), place }
  }

  /** Returns, for each id, whether the log has that statement. */
  async has(ids: readonly Uint8Array[]): Promise<boolean[]> {
    return (await this.#places(ids)).map(place => place !== undefined)
  }

  /** Returns at most `limit` ids of a class, in ascending order, starting with the first id after `after`. */
  async list(statementClass: StatementClass, after: Uint8Array | undefined, limit: number): Promise<Uint8Array[]> {
    const ids: Uint8Array[] = []
    const from = after === undefined ? undefined : statementKey(statementClass, after)
    for await (const { key } of this.#store.index.range(statementKey(statementClass), { after: from, limit })) {
      ids.push(statementIdOf(key))
    }
    return ids
  }

  /** Yields every statement of a class. */
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
