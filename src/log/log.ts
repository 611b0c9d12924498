import { ROW_STATEMENT } from '../disk/constants.ts'
import { type IndexOp, indexKey } from '../disk/index-db.ts'
import { decodePlace, encodePlace, isSamePlace, type Place } from '../disk/place.ts'
import type { RowProjection, StoredRow } from '../disk/row-projection.ts'
import type { Store } from '../disk/store.ts'
import { TABLES } from '../disk/tables.ts'
import { decodeCanonical } from '../format/canonical.ts'
import { FUTURE_MS_MAX, STATEMENT_BYTES_MAX, STATEMENT_VERSION } from '../format/constants.ts'
import { FormatError, SignatureError } from '../format/errors.ts'
import { isKind, type Kind, MEMBERSHIP_KINDS } from '../format/kinds.ts'
import type { PeerId } from '../format/peer-id.ts'
import { hlcMs } from '../format/stamp.ts'
import { type AnyStatement, decodeStatement, idOf, type Statement, verifyStatement } from '../format/statement.ts'
import { concatBytes } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import { Limiter } from '../util/limiter.ts'
import { VERIFY_AT_ONCE } from './constants.ts'

/** What became of a statement that was handed to us; the same words go over the wire. */
export type Verdict = 'ok' | 'invalid' | 'forbidden' | 'unknown-grant' | 'clock-off' | 'lacking' | 'unsupported'

/** A statement that stands in the log, and who made it. */
export interface AcceptedStatement<K extends Kind = Kind> {
  statement: Statement<K>
  /** The Ed25519 public key behind the grant. */
  author: Uint8Array
  place: Place
}

/** A refusal that more statements, more time or a deliverer's blocks may yet turn into a yes. */
export function isCurable(verdict: Verdict): boolean {
  return verdict === 'unknown-grant' || verdict === 'clock-off' || verdict === 'lacking'
}

/** Says who signed a statement and whether they may. Answered by `members`, wired in `node/stack.ts`. */
export interface Authorizer {
  authorize(statement: AnyStatement): { author: Uint8Array } | { refused: Verdict }
}

/**
 * What statements of some kinds add up to. A fold gives the same result in any order of arrival, and when it sees a
 * statement twice.
 */
export interface Projection {
  readonly kinds: ReadonlySet<Kind>
  /** Refuses, by a `FormatError`, what breaks a rule of the kind that the statement alone shows. */
  check?(statement: Statement, author: Uint8Array): void
  /** What the index should hold once these stand. Run one batch at a time. */
  project(items: readonly AcceptedStatement[]): Promise<IndexOp[]>
  /** Called once the index holds it; not while the index is being replayed at start. */
  applied?(items: readonly AcceptedStatement[], from: PeerId | null): void
  /** True if the log need no longer keep this statement, because a later one took its place. */
  isSuperseded?(statement: Statement, author: Uint8Array): boolean
  /** True if the log has forgotten this statement, since another stands in its place, whichever is the later. */
  isReplaced?(statement: Statement, author: Uint8Array): boolean
  /** True if the index holds what `project` would put there for this statement. */
  isIndexed?(item: AcceptedStatement): Promise<boolean>
}

/** Membership is compared before anything else. */
export type StatementClass = 0 | 1
const MEMBERSHIP: StatementClass = 0
const REST: StatementClass = 1
const AUTHOR_BYTES = 32

/** Bytes that came, as a statement or as what is wrong with them. */
type Read = AnyStatement | 'invalid' | 'unsupported'

/** A statement that is being written, and from whom it came; null if it is our own. */
interface Written {
  statement: AnyStatement
  author: Uint8Array
  from: PeerId | null
}

export interface LogOptions {
  store: Store
  clock: Clock
  network: Uint8Array
}

/**
 * All statements of the network, durable: appended by this member, or received, checked and verified from another. A
 * row of the store holds the author's key and the statement's bytes; the index finds it by class and id.
 */
export class Log {
  readonly #store: Store
  readonly #clock: Clock
  readonly #network: Uint8Array
  readonly #projections: Projection[] = []
  readonly #verifications = new Limiter(VERIFY_AT_ONCE)
  // By the bytes of the row: what was just written needs not be decoded again to be indexed, and two who bring the same
  // statement at once do not become one.
  readonly #written = new WeakMap<Uint8Array, Written>()
  readonly #listeners: Array<(items: readonly AcceptedStatement[], from: PeerId | null) => void> = []
  #authorizer: Authorizer = { authorize: () => ({ refused: 'unknown-grant' }) }

  constructor({ store, clock, network }: LogOptions) {
    this.#store = store
    this.#clock = clock
    this.#network = network
    store.register(ROW_STATEMENT, this.#rows())
  }

  /** Who is asked about authors. Set once, before anything is received. */
  set authorizer(authorizer: Authorizer) {
    this.#authorizer = authorizer
  }

  register(projection: Projection): void {
    this.#projections.push(projection)
  }

  /** Called with what newly stands, and from whom it came (null: from this member), once it is durable and indexed. */
  onAccepted(listener: (items: readonly AcceptedStatement[], from: PeerId | null) => void): void {
    this.#listeners.push(listener)
  }

  /** Makes statements of this member's own durable. They are valid, since we signed them. */
  async append(statements: readonly Statement[], author: Uint8Array): Promise<void> {
    await this.#write(statements.map(statement => ({ statement: statement as AnyStatement, author, from: null })))
  }

  /**
   * Takes statements from a peer, in order, each judged after those before it. What verifies is durable when this
   * resolves; what was known already is `ok` at once. `mayStand` has a last word on those that would be accepted.
   */
  async receive(
    all: readonly Uint8Array[],
    from: PeerId,
    mayStand: (statement: AnyStatement, i: number) => Promise<Verdict> = async () => 'ok'
  ): Promise<Verdict[]> {
    const verdicts = new Array<Verdict>(all.length).fill('invalid')
    const statements = all.map(readStatement)
    let i = 0
    while (i < statements.length) {
      // Grants and their like one by one, since what follows is judged by them; the rest together.
      let end = i + 1
      if (!isAuthorizing(statements[i])) while (end < statements.length && !isAuthorizing(statements[end])) end++
      const batch = statements.slice(i, end)
      const start = i
      const results = await this.#receiveBatch(batch, from, (statement, j) => mayStand(statement, start + j))
      for (const [j, verdict] of results.entries()) verdicts[start + j] = verdict
      i = end
    }
    return verdicts
  }

  async get(id: Uint8Array): Promise<AcceptedStatement | undefined> {
    const [place] = await this.#places([id])
    return place === undefined ? undefined : this.read(place)
  }

  /** Reads the statement at a place that the index gave. */
  async read(place: Place): Promise<AcceptedStatement> {
    const payload = await this.#store.read(place)
    return { ...parsePayload(payload), place }
  }

  /** For each id, whether it stands here. */
  async has(ids: readonly Uint8Array[]): Promise<boolean[]> {
    return (await this.#places(ids)).map(place => place !== undefined)
  }

  /** Ids of a class in order, after `after`. */
  async list(kind: StatementClass, after: Uint8Array | undefined, limit: number): Promise<Uint8Array[]> {
    const prefix = statementKey(kind, new Uint8Array(0))
    const ids: Uint8Array[] = []
    const from = after === undefined ? undefined : statementKey(kind, after)
    for await (const { key } of this.#store.index.range(prefix, { after: from, limit })) {
      ids.push(key.subarray(prefix.byteLength))
    }
    return ids
  }

  /** Every statement of a class. */
  async *all(kind: StatementClass): AsyncGenerator<AcceptedStatement> {
    const prefix = statementKey(kind, new Uint8Array(0))
    for await (const { value } of this.#store.index.range(prefix)) yield this.read(decodePlace(value))
  }

  async #receiveBatch(
    statements: readonly Read[],
    from: PeerId,
    mayStand: (statement: AnyStatement, i: number) => Promise<Verdict>
  ): Promise<Verdict[]> {
    const keys = statements.map(read => (typeof read === 'string' ? NO_KEY : keyOf(read)))
    const known = await this.#store.index.getMany(keys)
    // By id: whoever sends one twice has it written once.
    const accepted = new Map<string, Written>()
    const verdicts = await Promise.all(
      statements.map(async (statement, i): Promise<Verdict> => {
        if (typeof statement === 'string') return statement
        if (known[i] !== undefined) return mayStand(statement, i)
        const authorized = this.#admit(statement)
        if ('refused' in authorized) return authorized.refused
        const isValid = await this.#verifications.run(() =>
          verifyStatement(statement, this.#network, authorized.author)
        )
        if (!isValid) return 'invalid'
        const verdict = await mayStand(statement, i)
        if (verdict === 'ok') accepted.set(idOf(statement), { statement, author: authorized.author, from })
        return verdict
      })
    )
    if (accepted.size > 0) await this.#write([...accepted.values()])
    return verdicts
  }

  #admit(statement: AnyStatement): { author: Uint8Array } | { refused: Verdict } {
    const projection = this.#projectionOf(statement.kind)
    if (projection === undefined) return { refused: 'unsupported' }
    if (hlcMs(statement.hlc) > this.#clock.now() + FUTURE_MS_MAX) return { refused: 'clock-off' }
    const authorized = this.#authorizer.authorize(statement)
    if ('refused' in authorized) return authorized
    if (projection.isSuperseded?.(statement, authorized.author) === true) return { refused: 'ok' }
    try {
      projection.check?.(statement, authorized.author)
    } catch (error) {
      if (error instanceof FormatError || error instanceof SignatureError) return { refused: 'invalid' }
      throw error
    }
    return authorized
  }

  async #write(items: readonly Written[]): Promise<void> {
    const payloads = items.map(item => {
      const payload = concatBytes(item.author, item.statement.bytes)
      this.#written.set(payload, item)
      return payload
    })
    await this.#store.write(ROW_STATEMENT, payloads)
  }

  #rows(): RowProjection {
    const { index } = this.#store
    return {
      project: async (rows, replay) => {
        const items = this.#parseRows(rows)
        const keys = items.map(({ statement }) => keyOf(statement))
        const before = await index.getMany(keys)
        const ops: IndexOp[] = items.map(({ place }, i) => ({
          type: 'put',
          key: keys[i] as Uint8Array,
          value: encodePlace(place)
        }))
        // The same statement at another place: a compaction's copy, a replay's repetition, or news from two peers at once.
        const places = before.map(value => (value === undefined ? undefined : decodePlace(value)))
        ops.push(...this.#store.markDead(places.filter((place, i) => isMoved(place, items[i]?.place)) as Place[]))
        for (const projection of this.#projections) {
          const own = items.filter(({ statement }) => projection.kinds.has(statement.kind))
          // A fold may take back what it supersedes, even the statement that just came: its word comes last.
          if (own.length > 0) ops.push(...(await projection.project(own)))
        }
        await index.batch(ops)
        if (!replay) this.#announce(items.filter((_, i) => before[i] === undefined))
      },
      isLive: async row => {
        const { statement } = parsePayload(row.payload)
        const value = await index.get(keyOf(statement))
        return value !== undefined && isSamePlace(decodePlace(value), row.place)
      },
      isIndexed: async row => {
        const item = { ...parsePayload(row.payload), place: row.place }
        const projection = this.#projectionOf(item.statement.kind)
        if (projection === undefined || projection.isReplaced?.(item.statement, item.author) === true) return true
        if (!(await index.has(keyOf(item.statement)))) return false
        return projection.isIndexed === undefined || projection.isIndexed(item)
      }
    }
  }

  #parseRows(rows: readonly StoredRow[]): Array<AcceptedStatement & Pick<Written, 'from'>> {
    const items = new Map<string, AcceptedStatement & Pick<Written, 'from'>>()
    for (const { payload, place } of rows) {
      const item = { ...(this.#written.get(payload) ?? { ...parsePayload(payload), from: null }), place }
      items.set(idOf(item.statement), item)
    }
    return [...items.values()]
  }

  #announce(items: ReadonlyArray<AcceptedStatement & Pick<Written, 'from'>>): void {
    for (const [from, own] of Map.groupBy(items, item => item.from)) {
      for (const projection of this.#projections) {
        const items = own.filter(({ statement }) => projection.kinds.has(statement.kind))
        if (items.length > 0) projection.applied?.(items, from)
      }
      for (const listener of this.#listeners) listener(own, from)
    }
  }

  #projectionOf(kind: Kind): Projection | undefined {
    return this.#projections.find(projection => projection.kinds.has(kind))
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

/** The key under which the index finds a statement. */
export function keyOf(statement: Pick<Statement, 'kind' | 'id'>): Uint8Array {
  return statementKey(classOf(statement.kind), statement.id)
}

export function classOf(kind: Kind): StatementClass {
  return MEMBERSHIP_KINDS.has(kind) ? MEMBERSHIP : REST
}

function statementKey(kind: StatementClass, id: Uint8Array): Uint8Array {
  return indexKey(TABLES.statements, Uint8Array.of(kind), id)
}

function isMoved(before: Place | undefined, now: Place | undefined): boolean {
  return before !== undefined && now !== undefined && !isSamePlace(before, now)
}

/** Of what is no statement: nothing is under it. */
const NO_KEY = statementKey(REST, new Uint8Array(32))

/** Kinds of membership by which no statement is judged. */
const OWN_WORD: ReadonlySet<Kind> = new Set<Kind>(['status', 'handover'])

function isAuthorizing(statement: Read | undefined): boolean {
  if (statement === undefined || typeof statement === 'string') return false
  return MEMBERSHIP_KINDS.has(statement.kind) && !OWN_WORD.has(statement.kind)
}

function parsePayload(payload: Uint8Array): { statement: AnyStatement; author: Uint8Array } {
  return { author: payload.subarray(0, AUTHOR_BYTES), statement: decodeStatement(payload.subarray(AUTHOR_BYTES)) }
}

function readStatement(bytes: Uint8Array): Read {
  try {
    // A copy: what is kept must not hold on to the whole message it came in.
    return decodeStatement(Buffer.from(bytes))
  } catch {
    return isOfLaterVersion(bytes) ? 'unsupported' : 'invalid'
  }
}

/** A statement, as far as can be told, of a kind or a version that we do not know: whoever has it is ahead of us. */
function isOfLaterVersion(bytes: Uint8Array): boolean {
  if (bytes.byteLength > STATEMENT_BYTES_MAX) return false
  try {
    const { kind, v } = decodeCanonical(bytes) as { kind?: unknown; v?: unknown }
    return typeof kind === 'string' && Number.isSafeInteger(v) && !(isKind(kind) && v === STATEMENT_VERSION)
  } catch {
    return false
  }
}
