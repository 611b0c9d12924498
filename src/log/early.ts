import { ROW_EARLY } from '../disk/constants.ts'
import { IndexOps } from '../disk/index-sink.ts'
import type { Store } from '../disk/store.ts'
import { isFarAhead } from '../format/stamp.ts'
import { idOf, type SomeStatement } from '../format/statement.ts'
import { toHex } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import { EARLY_MAX, EARLY_OF_AUTHOR_MAX } from './constants.ts'
import { EarlyRows, type EarlyStatement } from './early-rows.ts'
import { encodeStatementRow } from './statement-row.ts'

export interface EarlyStatementsOptions {
  store: Store
  clock: Clock
}

/**
 * The early statements: valid, but stamped too far ahead of this member's clock. They are durable, so that nobody has
 * to send them again. They do not count before their time, and they are not passed on. If several statuses of
 * one member are early, only the earliest of them waits.
 */
export class EarlyStatements {
  readonly #options: EarlyStatementsOptions
  readonly #rows: EarlyRows
  readonly #items = new Map<string, EarlyStatement>()
  readonly #countOf = new Map<string, number>()
  /** Items that are being written, by id, and a promise that resolves when the write has ended, well or not. */
  readonly #underWay = new Map<string, Promise<void>>()

  constructor(options: EarlyStatementsOptions) {
    this.#options = options
    const { store } = options
    this.#rows = new EarlyRows(store, items => {
      for (const item of items) this.#note(item)
    })
    store.register(ROW_EARLY, this.#rows)
  }

  /** The number of statements that wait. */
  get count(): number {
    return this.#items.size
  }

  /** Returns true if the stamp is further ahead of our clock than a statement that counts may be. */
  isEarly({ hlc }: Pick<SomeStatement, 'hlc'>): boolean {
    return isFarAhead(hlc, this.#options.clock.now())
  }

  has(statement: SomeStatement): boolean {
    return this.#items.has(idOf(statement))
  }

  /** Returns true if the statement with this id waits and is durable, so nobody needs to send it. */
  hasId(id: Uint8Array): boolean {
    return this.#items.size > 0 && this.#items.has(toHex(id)) && !this.#underWay.has(toHex(id))
  }

  /** Returns true if a statement waits, once that is durable. */
  async waits(statement: SomeStatement): Promise<boolean> {
    await this.#underWay.get(idOf(statement))
    return this.has(statement)
  }

  /** Reads the table. Call it once the index is up to date. */
  async load(): Promise<void> {
    for await (const item of this.#rows.all()) this.#note(item)
  }

  /**
   * Makes early statements durable. Returns those that are kept, or that need not be kept because an earlier status of
   * their author waits. For any other statement there is no room.
   */
  async keep(items: readonly EarlyStatement[]): Promise<Set<SomeStatement>> {
    for (const { statement } of items) await this.waits(statement)
    const kept = new Set<SomeStatement>()
    const { promise: ended, resolve: end } = Promise.withResolvers<void>()
    let fresh: EarlyStatement[] = []
    try {
      for (const item of items) {
        const { statement } = item
        const other = statement.kind === 'status' ? this.#statusOf(item) : undefined
        if (this.hasId(statement.id) || (other !== undefined && other.statement.hlc <= statement.hlc)) {
          kept.add(statement)
          continue
        }
        if (other !== undefined) {
          // The later status may have come in this very message.
          fresh = fresh.filter(item => item !== other)
          await this.forget([other.statement])
        }
        // Another message may have brought it a moment ago. If there is no room for a statement, the peer may send it
        // again.
        if (this.has(statement) || !this.#hasRoom(item)) continue
        this.#note(item)
        this.#underWay.set(idOf(statement), ended)
        kept.add(statement)
        fresh.push(item)
      }
      if (fresh.length > 0) await this.#write(fresh)
    } catch (error) {
      for (const { statement } of fresh) this.#drop(statement)
      throw error
    } finally {
      for (const { statement } of items)
        if (this.#underWay.get(idOf(statement)) === ended) this.#underWay.delete(idOf(statement))
      end()
    }
    return kept
  }

  /** Returns the statements whose time has come. */
  due(): EarlyStatement[] {
    return [...this.#items.values()].filter(({ statement }) => !this.isEarly(statement))
  }

  /** Removes statements without accepting them. */
  async forget(statements: readonly SomeStatement[]): Promise<void> {
    const ops = new IndexOps()
    await this.removeFrom(ops, statements)
    await this.#options.store.index.batch(ops.all)
    this.accepted(statements)
  }

  /** Adds the changes that remove statements, as part of the batch that accepts them. Then call `accepted`. */
  async removeFrom(ops: IndexOps, statements: readonly SomeStatement[]): Promise<void> {
    if (this.#items.size > 0)
      await this.#rows.remove(
        statements.filter(statement => this.has(statement)),
        ops
      )
  }

  /** Call this once the index no longer has these statements among the early ones. */
  accepted(statements: readonly SomeStatement[]): void {
    if (this.#items.size > 0) for (const statement of statements) this.#drop(statement)
  }

  async #write(items: readonly EarlyStatement[]): Promise<void> {
    const { store, clock } = this.#options
    const arrivedAtMs = clock.now()
    // They get a sequence when they are accepted.
    const payloads = items.map(item => encodeStatementRow({ ...item, sequence: 0, arrivedAtMs }))
    await store.write(ROW_EARLY, payloads)
  }

  #statusOf({ author }: EarlyStatement): EarlyStatement | undefined {
    const key = toHex(author)
    if ((this.#countOf.get(key) ?? 0) === 0) return undefined
    return [...this.#items.values()].find(item => item.statement.kind === 'status' && toHex(item.author) === key)
  }

  #hasRoom({ author }: EarlyStatement): boolean {
    return this.#items.size < EARLY_MAX && (this.#countOf.get(toHex(author)) ?? 0) < EARLY_OF_AUTHOR_MAX
  }

  #note(item: EarlyStatement): void {
    if (this.has(item.statement)) return
    const key = toHex(item.author)
    this.#items.set(idOf(item.statement), item)
    this.#countOf.set(key, (this.#countOf.get(key) ?? 0) + 1)
  }

  #drop(statement: SomeStatement): void {
    const item = this.#items.get(idOf(statement))
    if (item === undefined) return
    this.#items.delete(idOf(statement))
    const key = toHex(item.author)
    const left = (this.#countOf.get(key) ?? 1) - 1
    if (left > 0) this.#countOf.set(key, left)
    else this.#countOf.delete(key)
  }
}
