import { ROW_STATEMENT } from '../disk/constants.ts'
import { RowCorruptError } from '../disk/errors.ts'
import type { Place } from '../disk/place.ts'
import type { Store } from '../disk/store.ts'
import { type PeerId, peerIdOf } from '../format/peer-id.ts'
import type { Statement } from '../format/statement.ts'
import { NO_BYTES } from '../util/bytes.ts'
import type { Chance } from '../util/chance.ts'
import type { Clock } from '../util/clock.ts'
import type { ComponentLogger, Logger } from '../util/logger.ts'
import { Worker } from '../util/worker.ts'
import type { AsidesReport } from './asides.ts'
import { EARLY_CHECK_MS } from './constants.ts'
import { EarlyStatements } from './early.ts'
import { decodeEntry, MEMBERSHIP, REST, type StatementClass, statementIdOf, statementKey } from './keys.ts'
import { NewestStamps } from './newest-stamps.ts'
import { Positions } from './positions.ts'
import type { AcceptedListener, Authorizer, LoggedStatement, Projection, Signer, Verdict } from './projection.ts'
import { type FinalCheck, Receiver } from './receiver.ts'
import { type NewStatement, StatementRows } from './rows.ts'
import { decodeStatementRow } from './statement-row.ts'

export type { AsidesReport } from './asides.ts'
export { REST } from './keys.ts'

/** The place of a statement according to the index, and the key of its row in the index. */
interface Found {
  key: Uint8Array
  place: Place
}

export interface LogOptions {
  store: Store
  clock: Clock
  chance: Pick<Chance, 'bytes'>
  logger: ComponentLogger
}

/**
 * Stores all statements of the network durably: those that this member appended, and those that it received from peers,
 * checked and verified. A row of the store holds a statement and what this member noted when it accepted it; the index
 * finds the row by class and id.
 *
 * Three things happen to a statement, one after another. `Receiver` decides whether it is accepted. The store makes its
 * row durable. `StatementRows` projects the row into the index. A statement that is stamped too far ahead is early, and
 * waits in between (`EarlyStatements`).
 */
export class Log {
  /** Accepts the statements whose time has come. */
  readonly worker: Worker
  readonly #store: Store
  readonly #clock: Clock
  readonly #log: Logger
  /** The order in which this member accepted the statements. */
  readonly positions: Positions
  readonly #early: EarlyStatements
  readonly #rows: StatementRows
  readonly #receiver: Receiver
  readonly #listeners: AcceptedListener[] = []
  /** Sequences whose write has ended but which the horizon has not passed yet. */
  readonly #written: Array<{ first: number; count: number }> = []
  /** For each author, the newest stamp that has reached this member. */
  readonly newest: NewestStamps
  #authorizer: Authorizer = { authorize: () => ({ refused: 'unknown-grant' }) }

  constructor({ store, clock, chance, logger }: LogOptions) {
    this.#store = store
    this.newest = new NewestStamps(store.index)
    this.#clock = clock
    this.#log = logger.forComponent('dfs:log')
    this.positions = new Positions({ index: store.index, chance, logger })
    this.#early = new EarlyStatements({ store, clock })
    this.#rows = new StatementRows({
      store,
      positions: this.positions,
      early: this.#early,
      newest: this.newest,
      log: this.#log,
      onAccepted: (items, from) => {
        for (const listener of this.#listeners) listener(items, from)
      }
    })
    this.#receiver = new Receiver({
      early: this.#early,
      index: store.index,
      isLost: id => this.#rows.lost.has(id),
      log: this.#log,
      projectionOf: kind => this.#rows.projectionOf(kind),
      authorize: statement => this.#authorizer.authorize(statement),
      write: items => this.#write(items)
    })
    store.register(ROW_STATEMENT, this.#rows)
    store.onDamageFound(at => this.#rows.lost.search(at))
    this.worker = new Worker({
      name: 'early statements',
      clock,
      log: this.#log,
      everyMs: EARLY_CHECK_MS,
      work: () => this.acceptDue()
    })
  }

  /** Decides who may sign what. Set it once, before anything is received. */
  set authorizer(authorizer: Authorizer) {
    this.#authorizer = authorizer
  }

  /** The statements that could not be projected. */
  get asides(): AsidesReport {
    return this.#rows.asides.report
  }

  /** Returns true if a statement could not be projected, so that it does not count. */
  isAside(id: Uint8Array): boolean {
    return this.#rows.asides.has(id)
  }

  /** The number of early statements: they are stamped too far ahead and wait for their time. */
  get earlyCount(): number {
    return this.#early.count
  }

  /**
   * Adds the projection for some kinds of statements. Call it before the store is opened, since opening may replay
   * statements.
   */
  register(projection: Projection): void {
    this.#rows.register(projection)
  }

  /** Reads what the log keeps in memory. Call it once, when the store is open. */
  async load(): Promise<void> {
    await this.positions.load()
    await this.#early.load()
    await this.#rows.asides.load()
    // This comes after the early statements, because loading them may show that some are lost.
    await this.#rows.lost.load()
  }

  /** The listener is called once new statements are durable and indexed. */
  onAccepted(listener: AcceptedListener): void {
    this.#listeners.push(listener)
  }

  /**
   * Makes statements that this member signed durable. They are not verified, because this member has just made them.
   */
  async append(statements: readonly Statement[], { author, role }: Signer): Promise<void> {
    await this.#write(statements.map(statement => ({ statement, author, role, from: null })))
  }

  /**
   * Receives statements from a peer, in order, and returns a verdict for each. Statements that may authorize others are
   * accepted before those that follow them are checked; the statements between two of these are checked together. When
   * this resolves, every statement that was accepted or that waits is durable. A statement that is already in the log
   * skips all checks except `finalCheck`, which may refuse any statement that would otherwise be `ok`.
   */
  receive(all: readonly Uint8Array[], from: PeerId, finalCheck: FinalCheck = async () => 'ok'): Promise<Verdict[]> {
    return this.#receiver.receive(all, from, finalCheck)
  }

  /** Returns a statement by its id, or undefined if the log does not have it or its row is damaged. */
  async get(id: Uint8Array): Promise<LoggedStatement | undefined> {
    const [found] = await this.#find([id])
    return found === undefined ? undefined : this.#readFound(found)
  }

  /** The number of statements whose rows are damaged and which have not arrived again. */
  get lostCount(): number {
    return this.#rows.lost.count
  }

  /**
   * Returns the ids of at most `limit` statements whose rows are damaged, so that the other members can be asked for
   * them.
   */
  lost(limit: number): Uint8Array[] {
    return this.#rows.lost.list(limit)
  }

  /** Reads the statement that is stored at a place, which comes from the index. Throws a `RowCorruptError`. */
  async #read(place: Place): Promise<LoggedStatement> {
    const { statement, id: _id, ...facts } = decodeStatementRow(await this.#store.read(place))
    if (statement instanceof Error) throw statement
    return { ...facts, statement, place }
  }

  /** Returns true for each id whose statement nobody needs to send: the log has accepted it, or it is early. */
  async has(ids: readonly Uint8Array[]): Promise<boolean[]> {
    return (await this.#find(ids)).map((found, i) => found !== undefined || this.#early.hasId(ids[i] as Uint8Array))
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

  /** Yields the statements that were set aside although they can be read. */
  async *setAside(): AsyncGenerator<LoggedStatement> {
    for (const id of this.#rows.asides.ids) {
      const statement = await this.get(id)
      if (statement !== undefined) yield statement
    }
  }

  /**
   * Yields every statement of a class whose id is greater than `after`, in the order of the ids, without those whose rows
   * are damaged.
   */
  async *all(statementClass: StatementClass, after: Uint8Array = NO_BYTES): AsyncGenerator<LoggedStatement> {
    const from = statementKey(statementClass, after)
    for await (const { key, value } of this.#store.index.range(statementKey(statementClass), { after: from })) {
      const statement = await this.#readFound({ key, place: decodeEntry(value).place })
      if (statement !== undefined) yield statement
    }
  }

  /**
   * Projects statements of this log once more. Call it when a projection can read more of them than when they arrived.
   * It begins after the batch that is being projected now has ended, even if it is called with no statement.
   */
  async again(ids: readonly Uint8Array[]): Promise<void> {
    const items: LoggedStatement[] = []
    for (const found of await this.#find(ids)) {
      const item = found === undefined ? undefined : await this.#readFound(found)
      if (item !== undefined) items.push(item)
    }
    await this.#rows.again(items)
  }

  /** Runs `work` while no statement is being projected. New ones wait for it. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    return this.#rows.alone(work)
  }

  /** Removes statements that others have replaced. */
  forget(items: readonly LoggedStatement[]): Promise<void> {
    return this.#rows.forget(items)
  }

  /** Accepts the early statements whose time has come. */
  async acceptDue(): Promise<void> {
    const due = this.#early.due()
    if (due.length === 0) return
    const isReplaced = ({ statement, author }: Pick<LoggedStatement, 'statement' | 'author'>): boolean =>
      this.#rows.projectionOf(statement.kind)?.isSuperseded?.(statement as Statement, author) === true
    const replaced = due.filter(isReplaced)
    // Its author knows it, so it is passed on as if the author had sent it now.
    const items = due.filter(item => !replaced.includes(item)).map(item => ({ ...item, from: peerIdOf(item.author) }))
    if (items.length > 0) await this.#write(items)
    if (replaced.length > 0) await this.#early.forget(replaced.map(({ statement }) => statement))
    this.#log('early statements whose time has come: %d, of them replaced: %d', due.length, replaced.length)
  }

  async #write(items: readonly NewStatement[]): Promise<void> {
    const first = this.positions.take(items.length)
    const arrivedAtMs = this.#clock.now()
    try {
      const payloads = items.map((item, i) => this.#rows.encode({ ...item, sequence: first + i, arrivedAtMs }))
      await this.#store.write(ROW_STATEMENT, payloads)
    } finally {
      this.#written.push({ first, count: items.length })
      // If the disk could not undo a failed write, its rows may come back at the next start. Until they are undone,
      // nobody may be told a position past them.
      if (this.#store.segments.isUndone)
        for (const reserved of this.#written.splice(0)) this.positions.settle(reserved.first, reserved.count)
    }
  }

  /** Reads a statement that the index has. If its row is damaged, this notes it and returns undefined. */
  async #readFound({ key, place }: Found): Promise<LoggedStatement | undefined> {
    try {
      return await this.#read(place)
    } catch (error) {
      if (!(error instanceof RowCorruptError)) throw error
      this.#rows.lost.note(key, place)
      return undefined
    }
  }

  async #find(ids: readonly Uint8Array[]): Promise<Array<Found | undefined>> {
    const keys = ids.flatMap(id => [statementKey(REST, id), statementKey(MEMBERSHIP, id)])
    const values = await this.#store.index.getMany(keys)
    return ids.map((id, i) => {
      const at = values[2 * i] === undefined ? 2 * i + 1 : 2 * i
      const value = values[at]
      if (value === undefined || this.#rows.lost.has(id)) return undefined
      return { key: keys[at] as Uint8Array, place: decodeEntry(value).place }
    })
  }
}
