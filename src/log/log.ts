import { ROW_STATEMENT } from '../disk/constants.ts'
import type { IndexOps } from '../disk/index-sink.ts'
import type { Store } from '../disk/store.ts'
import { type PeerId, peerIdOf } from '../format/peer-id.ts'
import type { Statement } from '../format/statement.ts'
import { NO_BYTES } from '../util/bytes.ts'
import type { Chance } from '../util/chance.ts'
import type { Clock } from '../util/clock.ts'
import type { ComponentLogger, Logger } from '../util/logger.ts'
import { Worker } from '../util/worker.ts'
import { Arrivals } from './arrivals.ts'
import type { AsidesReport } from './asides.ts'
import { EARLY_CHECK_MS } from './constants.ts'
import { EarlyStatements } from './early.ts'
import type { StatementClass } from './keys.ts'
import { NewestStamps } from './newest-stamps.ts'
import { Positions } from './positions.ts'
import type { AcceptedListener, Authorizer, LoggedStatement, Projection, Signer, Verdict } from './projection.ts'
import { type QuotaRules, Quotas } from './quotas.ts'
import { type FinalCheck, Receiver } from './receiver.ts'
import { type NewStatement, StatementRows } from './rows.ts'
import { StatementReader } from './statement-reader.ts'

export type { AsidesReport } from './asides.ts'
export { forgottenKey, REST } from './keys.ts'
export { OverQuotaError, type QuotaRules } from './quotas.ts'

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
  readonly #arrivals: Arrivals
  readonly #log: Logger
  /** The order in which this member accepted the statements. */
  readonly positions: Positions
  readonly #early: EarlyStatements
  readonly #rows: StatementRows
  readonly #reader: StatementReader
  readonly #receiver: Receiver
  readonly #listeners: AcceptedListener[] = []
  /** Sequences whose write has ended but which the horizon has not passed yet. */
  readonly #written: Array<{ first: number; count: number }> = []
  /** For each author, the newest stamp that has reached this member. */
  readonly newest: NewestStamps
  /** How much may be signed under each grant. */
  readonly quotas: Quotas
  #quotaRules: () => QuotaRules = () => ({ quota: NO_LIMIT, members: () => 1 })
  #authorizer: Authorizer = { authorize: () => ({ refused: 'unknown-grant' }) }

  constructor({ store, clock, chance, logger }: LogOptions) {
    this.#store = store
    this.newest = new NewestStamps(store.index)
    this.#arrivals = new Arrivals(clock)
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
    this.#reader = new StatementReader({ store, lost: this.#rows.lost })
    this.quotas = new Quotas({ counts: this.#rows.counts, rules: () => this.#quotaRules() })
    this.#receiver = new Receiver({
      quotas: this.quotas,
      early: this.#early,
      index: store.index,
      areForgotten: ids => this.#rows.areForgotten(ids),
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

  /** Says how much may be signed under each grant. Without rules, there is no limit. */
  set quotaRules(rules: () => QuotaRules) {
    this.#quotaRules = rules
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
    for (const id of await this.positions.latest()) this.#arrivals.load((await this.get(id))?.arrivedAtMs ?? 0)
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
   * Throws an `OverQuotaError` if this member may not sign that much.
   */
  async append(statements: readonly Statement[], { author, role }: Signer): Promise<void> {
    const reservation = await this.quotas.reserveOwn(statements, { author, role })
    try {
      await this.#write(statements.map(statement => ({ statement, author, role, from: null })))
    } finally {
      reservation.end()
    }
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
    const [statement] = await this.#reader.get([id])
    return statement
  }

  /**
   * Returns the bytes of statements, in the order of the ids, and undefined for each that the log does not have or whose
   * row is damaged. There may be fewer than ids: together they have at most `bytesMax` bytes.
   */
  bytesOf(ids: readonly Uint8Array[], bytesMax: number): Promise<Array<Uint8Array | undefined>> {
    return this.#reader.bytesOf(ids, bytesMax)
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

  /**
   * Returns true for each id whose statement nobody needs to send: the log has accepted it, it is early, or it was
   * forgotten.
   */
  async has(ids: readonly Uint8Array[]): Promise<boolean[]> {
    const has = (await this.#reader.has(ids)).map((isHere, i) => isHere || this.#early.hasId(ids[i] as Uint8Array))
    const others = ids.filter((_, i) => has[i] === false)
    const forgotten = (await this.#rows.areForgotten(others)).values()
    return has.map(isHere => isHere || forgotten.next().value === true)
  }

  /** Returns at most `limit` ids of a class, in ascending order, starting with the first id after `after`. */
  async list(statementClass: StatementClass, after: Uint8Array | undefined, limit: number): Promise<Uint8Array[]> {
    return this.#reader.list(statementClass, after, limit)
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
  all(statementClass: StatementClass, after: Uint8Array = NO_BYTES): AsyncGenerator<LoggedStatement> {
    return this.#reader.all(statementClass, after)
  }

  /**
   * Projects statements of this log once more. Call it when a projection can read more of them than when they arrived.
   * It begins after the batch that is being projected now has ended, even if it is called with no statement.
   */
  async again(ids: readonly Uint8Array[]): Promise<void> {
    await this.#rows.again(await this.#reader.get(ids))
  }

  /** Runs `work` while no statement is being projected. New statements wait until it has ended. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    return this.#rows.alone(work)
  }

  /** Removes statements that others have replaced. */
  remove(items: readonly LoggedStatement[]): Promise<void> {
    return this.#rows.remove(items)
  }

  /**
   * Forgets those of some statements that later ones have covered and that `mayForget` accepts: once the batch is
   * written, their space on the disk returns, and no other member is asked for them again. A rebuild of the index forgets
   * that they were forgotten, so they may then come back from members that still have them. Call it inside `alone`.
   * Returns the ids of those that are forgotten.
   */
  async forgetIn(
    ops: IndexOps,
    ids: readonly Uint8Array[],
    mayForget: (item: LoggedStatement) => boolean = () => true
  ): Promise<Uint8Array[]> {
    return this.#rows.forgetIn(ops, (await this.#reader.get(ids)).filter(mayForget))
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
    const arrivedAtMs = this.#arrivals.now()
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
}

const NO_LIMIT = { statements: Number.POSITIVE_INFINITY, bytes: Number.POSITIVE_INFINITY }
