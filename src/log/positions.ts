import { type IndexDb, indexKey } from '../disk/index-db.ts'
import type { IndexSink } from '../disk/index-sink.ts'
import { TABLES } from '../disk/tables.ts'
import { asBuffer, concatBytes, equalBytes, toHex, u64be } from '../util/bytes.ts'
import type { Chance } from '../util/chance.ts'
import type { ComponentLogger, Logger } from '../util/logger.ts'
import { LINEAGE_BYTES, LINEAGES_MAX } from './constants.ts'
import { MEMBERSHIP, REST, type StatementClass } from './keys.ts'

/**
 * A point in the order in which a member accepted its statements: everything that it accepted with a smaller sequence
 * comes before the point. The lineage says in which history of the member that is true, because a member whose data
 * directory was restored from a backup uses the same sequences again.
 */
export interface Position {
  /** 16 bytes. */
  lineage: Uint8Array
  sequence: number
}

/** How many statements of a class there are, and the sum of their ids, modulo 2^256 (32 bytes, big-endian). */
export interface Totals {
  count: number
  sum: Uint8Array
}

/** An accepted statement and its number in the order. */
export interface Numbered {
  class: StatementClass
  id: Uint8Array
  sequence: number
  /**
   * False if the statement is not part of the totals. That is so for a status, which is replaced all the time, and for a
   * statement that a later one has covered, which each member forgets at another moment.
   */
  isCounted: boolean
}

/** One page of the statements that were accepted after a position. */
export interface News {
  /** In the order in which they were accepted. */
  ids: Uint8Array[]
  /** Where the next page begins. */
  next: Position
  isEnd: boolean
}

export interface PositionsOptions {
  index: Pick<IndexDb, 'get' | 'batch' | 'range'>
  chance: Pick<Chance, 'bytes'>
  logger: ComponentLogger
}

/** One start of this member. */
interface Lineage {
  /** Counts the starts. */
  number: number
  id: Uint8Array
  /** The first sequence of this start. */
  first: number
}

/** The content of the row of a class in the table `totals`. */
interface TotalsRow {
  count: number
  sum: bigint
  /** No statement has this sequence or a greater one. */
  next: number
}

/**
 * Numbers the statements that this member accepts, so that another member can ask for those after a position instead of
 * listing everything.
 *
 * Each start draws a lineage and notes the sequence with which it begins. A position is known here if its lineage is,
 * and if its sequence is not past the sequence with which the next lineage began: up to there both members saw the same
 * history. A member whose data directory is replaced by an older copy starts a lineage that nobody has seen, and has
 * forgotten the later ones, so others notice and ask for everything.
 *
 * This class owns the tables `sequences`, `lineages` and `totals`. `addTo` and `removeFrom` keep nothing in memory that
 * outlives their batch, so a batch may fail.
 */
export class Positions {
  readonly #index: PositionsOptions['index']
  readonly #chance: PositionsOptions['chance']
  readonly #log: Logger
  /** The lineages of the latest starts of this member, in the order of the starts. */
  #lineages: Lineage[] = []
  #next = 0
  /** How many sequences each reservation holds, by its first sequence. The least comes first. */
  readonly #underWay = new Map<number, number>()
  /** The totals as a batch will leave them. A batch may add and remove statements in several calls. */
  readonly #unwritten = new WeakMap<IndexSink, Map<StatementClass, TotalsRow>>()

  constructor({ index, chance, logger }: PositionsOptions) {
    this.#index = index
    this.#chance = chance
    this.#log = logger.forComponent('dfs:log:positions')
  }

  /**
   * Begins the lineage of this start. Call it after the replay and before `take`. When it resolves, the lineage is
   * durable.
   */
  async load(): Promise<void> {
    const rows = await Promise.all([MEMBERSHIP, REST].map(statementClass => this.#stored(statementClass)))
    this.#next = Math.max(FIRST_SEQUENCE, ...rows.map(({ next }) => next))
    const lineages: Lineage[] = []
    for await (const { key, value } of this.#index.range(indexKey(TABLES.lineages)))
      lineages.push(decodeLineage(key, value))
    const number = (lineages.at(-1)?.number ?? 0) + 1
    const own = { number, id: this.#chance.bytes(LINEAGE_BYTES), first: this.#next }
    const forgotten = lineages.splice(0, Math.max(0, lineages.length + 1 - LINEAGES_MAX))
    await this.#index.batch(
      [
        ...forgotten.map(lineage => ({ type: 'del' as const, key: lineageKey(lineage) })),
        { type: 'put', key: lineageKey(own), value: concatBytes(u64be(own.first), own.id) }
      ],
      { sync: true }
    )
    this.#lineages = [...lineages, own]
    this.#log('start %d: the first sequence is %d', number, own.first)
  }

  /** Returns the ids of the last statement of each class. */
  async latest(): Promise<Uint8Array[]> {
    const ids: Uint8Array[] = []
    for (const statementClass of [MEMBERSHIP, REST])
      for await (const { value } of this.#index.range(sequenceKey(statementClass), { reverse: true, limit: 1 }))
        ids.push(value)
    return ids
  }

  /** Reserves sequences for statements that are about to be written, and returns the first of them. */
  take(count: number): number {
    const first = this.#next
    if (count === 0) return first
    this.#next += count
    this.#underWay.set(first, count)
    return first
  }

  /**
   * Ends a reservation. Call it once its statements are in the index, or once it is certain that their rows will never
   * be replayed. A reservation that never ends holds the horizon back, so that other members cannot miss a row which a
   * later replay brings.
   */
  settle(first: number, count: number): void {
    if (this.#underWay.get(first) === count) this.#underWay.delete(first)
  }

  /** The horizon: nothing will be indexed before it. It is the least sequence under way, or else the next. */
  position(): Position {
    const [least] = this.#underWay.keys()
    return { lineage: this.#own.id, sequence: least ?? this.#next }
  }

  /**
   * Writes the rows of statements that were accepted to the batch. Statements that the index already has must not be
   * among them. At most one batch may be under way.
   */
  async addTo(sink: IndexSink, items: readonly Numbered[]): Promise<void> {
    for (const item of items) sink.put(sequenceKey(item.class, item.sequence), item.id)
    await this.#count(sink, items, 1)
  }

  /** Removes the rows of statements that no longer count, such as statuses that were replaced. */
  async removeFrom(sink: IndexSink, items: readonly Numbered[]): Promise<void> {
    for (const item of items) sink.del(sequenceKey(item.class, item.sequence))
    await this.#count(sink, items, -1)
  }

  /** Takes statements out of the totals. Their rows stay. */
  async discount(sink: IndexSink, items: readonly Numbered[]): Promise<void> {
    await this.#count(sink, items, -1)
  }

  /**
   * Returns at most `limit` ids of statements of a class that were accepted after a position and before the horizon.
   * Returns undefined if the position does not belong to the history of this member.
   */
  async news(statementClass: StatementClass, after: Position, limit: number): Promise<News | undefined> {
    // The horizon comes first. Everything before it is in the index, so the iteration sees it.
    const horizon = this.position()
    const end = this.#endOf(after.lineage) ?? -1
    if (after.sequence > Math.min(end, horizon.sequence)) return undefined
    const ids: Uint8Array[] = []
    let last = 0
    const from = after.sequence === 0 ? undefined : sequenceKey(statementClass, after.sequence - 1)
    const rows = this.#index.range(sequenceKey(statementClass), { after: from, limit: limit + 1 })
    for await (const { key, value } of rows) {
      const sequence = sequenceOf(key)
      if (sequence >= horizon.sequence) break
      if (ids.length === limit) return { ids, next: { ...horizon, sequence: last + 1 }, isEnd: false }
      ids.push(value)
      last = sequence
    }
    return { ids, next: horizon, isEnd: true }
  }

  /** Returns the totals of a class, without statuses. */
  async totals(statementClass: StatementClass): Promise<Totals> {
    const { count, sum } = await this.#stored(statementClass)
    return { count, sum: encodeSum(sum) }
  }

  get #own(): Lineage {
    const own = this.#lineages.at(-1)
    if (own === undefined) throw new Error('the positions have not been loaded')
    return own
  }

  /** The sequence up to which a lineage is part of this member's history; infinite for the lineage of this start. */
  #endOf(id: Uint8Array): number | undefined {
    const i = this.#lineages.findLastIndex(lineage => equalBytes(lineage.id, id))
    if (i === -1) return undefined
    return this.#lineages[i + 1]?.first ?? Number.POSITIVE_INFINITY
  }

  async #count(sink: IndexSink, items: readonly Numbered[], sign: 1 | -1): Promise<void> {
    let classes = this.#unwritten.get(sink)
    if (classes === undefined) {
      classes = new Map()
      this.#unwritten.set(sink, classes)
    }
    for (const [statementClass, own] of Map.groupBy(items, item => item.class)) {
      const row = { ...(classes.get(statementClass) ?? (await this.#stored(statementClass))) }
      for (const { id, sequence, isCounted } of own) {
        // During a replay, the sequences come from the rows.
        row.next = Math.max(row.next, sequence + 1, this.#next)
        if (!isCounted) continue
        row.count += sign
        row.sum = BigInt.asUintN(SUM_BITS, row.sum + BigInt(sign) * decodeSum(id))
      }
      classes.set(statementClass, row)
      sink.put(totalsKey(statementClass), encodeTotals(row))
    }
  }

  async #stored(statementClass: StatementClass): Promise<TotalsRow> {
    const value = await this.#index.get(totalsKey(statementClass))
    return value === undefined ? { count: 0, sum: 0n, next: 0 } : decodeTotals(value)
  }
}

/** Returns a text that stands for the difference of two totals; undefined if they are the same. */
export function differenceOf(a: Totals, b: Totals): string | undefined {
  const [count, sum] = [a.count - b.count, BigInt.asUintN(SUM_BITS, decodeSum(a.sum) - decodeSum(b.sum))]
  return count === 0 && sum === 0n ? undefined : `${count} ${sum}`
}

/** No statement has the number 0, so a position with that number comes before every statement. */
const FIRST_SEQUENCE = 1
const SUM_BITS = 256
const SUM_BYTES = SUM_BITS / 8
const COUNT_BYTES = 8

/** The key of a statement's row; without a sequence, the prefix of all keys of its class. */
function sequenceKey(statementClass: StatementClass, sequence?: number): Uint8Array {
  const parts = sequence === undefined ? [] : [u64be(sequence)]
  return indexKey(TABLES.sequences, Uint8Array.of(statementClass), ...parts)
}

function sequenceOf(key: Uint8Array): number {
  return readCount(key, key.byteLength - COUNT_BYTES)
}

function lineageKey({ number }: Pick<Lineage, 'number'>): Uint8Array {
  return indexKey(TABLES.lineages, u64be(number))
}

function decodeLineage(key: Uint8Array, value: Uint8Array): Lineage {
  const id = Uint8Array.from(value.subarray(COUNT_BYTES))
  return { number: sequenceOf(key), id, first: readCount(value, 0) }
}

function totalsKey(statementClass: StatementClass): Uint8Array {
  return indexKey(TABLES.totals, Uint8Array.of(statementClass))
}

function encodeTotals({ count, sum, next }: TotalsRow): Uint8Array {
  return concatBytes(u64be(count), encodeSum(sum), u64be(next))
}

function decodeTotals(value: Uint8Array): TotalsRow {
  const sum = decodeSum(value.subarray(COUNT_BYTES, COUNT_BYTES + SUM_BYTES))
  return { count: readCount(value, 0), sum, next: readCount(value, COUNT_BYTES + SUM_BYTES) }
}

function encodeSum(sum: bigint): Uint8Array {
  return Buffer.from(sum.toString(16).padStart(2 * SUM_BYTES, '0'), 'hex')
}

function decodeSum(bytes: Uint8Array): bigint {
  return BigInt(`0x${toHex(bytes)}`)
}

function readCount(bytes: Uint8Array, offset: number): number {
  return Number(asBuffer(bytes).readBigUInt64BE(offset))
}
