import { Batcher } from '../util/batcher.ts'
import { concatBytes, equalBytes, u32be } from '../util/bytes.ts'
import { StoppedError } from '../util/errors.ts'
import { Limiter } from '../util/limiter.ts'
import { COMMIT_BYTES_MAX, COMMIT_ROWS_MAX, LEAF_ROWS, MOVE_BYTES_MAX, MOVE_ROWS_MAX } from './constants.ts'
import { FileMissingError, IndexCorruptError } from './errors.ts'
import { type IndexDb, type IndexOp, indexKey } from './index-db.ts'
import { type Cursor, decodeCursor, encodeCursor, isBefore, type Place } from './place.ts'
import { type PlacedRow, ROW_HEADER_BYTES } from './row.ts'
import { SEGMENT_OVERHEAD_BYTES, type Segments } from './segments.ts'
import { TABLES } from './tables.ts'

/** A row that has been made durable, on its way into the index. */
export interface StoredRow {
  payload: Uint8Array
  place: Place
}

/**
 * What a kind of row means for the index. The same code runs when a row is written, when the tail is read again after a
 * crash, and when the whole index is rebuilt; so it must give the same result when it runs twice.
 */
export interface RowProjection {
  /** Applies rows in order. `replay` is set while the index is being brought up to date from the segments. */
  project(rows: readonly StoredRow[], replay: boolean): Promise<void>
  /**
   * False once nothing needs the row at this place any more, so that compaction may drop it. Nothing of its kind is
   * written between this question and the move that follows.
   */
  isLive(row: StoredRow): Promise<boolean>
  /** True if the index holds what this row should have put there, or what a later row made of it. */
  isIndexed(row: StoredRow): Promise<boolean>
}

/** What was found when the store was opened. */
export interface OpenReport {
  /** The index was made anew from the segments. */
  rebuilt: boolean
  /** The last process that had it open ended as it should. */
  wasClean: boolean
  replayedRows: number
  /**
   * Stretches of the segments, of those that were read, that no longer match their checksums. What an index knew that
   * had to be made anew is in its `IndexCorruptError`, and adds to this.
   */
  damagedRows: number
}

export interface StoreOptions {
  segments: Segments
  index: IndexDb
  storeId: Uint8Array
  /** Told once of each segment in which damage is found while the store is open. */
  onDamage?: (at: Cursor) => void
}

const STORE_ID_KEY = indexKey(TABLES.meta, Buffer.from('store'))
const BUILT_KEY = indexKey(TABLES.meta, Buffer.from('built'))
/** The layout of the index's tables, in all rooms: of another one the index is made anew. */
const BUILT: Uint8Array = Uint8Array.of(2)
const CLEAN_KEY = indexKey(TABLES.meta, Buffer.from('clean'))
const CURSOR_KEY = indexKey(TABLES.meta, Buffer.from('cursor'))
/** Segments that have rows: one that is gone, other than by compaction, is missed. */
const SEGMENT_ROWS = indexKey(TABLES.meta, Buffer.from('segment'))
const DEAD_TABLE = indexKey(TABLES.deadBytes)
const START: Cursor = { segment: 1, offset: 0 }
const WRITES_MAX = 2 ** 31

/**
 * Rows that are durable, and an index that follows them. `write` resolves when both hold: after a crash the rows that
 * the index had not taken in yet are read again, so nothing acknowledged is ever forgotten.
 */
export class Store {
  readonly segments: Segments
  readonly index: IndexDb
  readonly #storeId: Uint8Array
  readonly #projections = new Map<number, { projection: RowProjection; queue: Batcher<StoredRow[], null> }>()
  /** Where the rows of writes under way may begin, oldest first; and of the oldest write that failed. */
  readonly #underWay = new Set<Cursor>()
  #failed: Cursor | undefined
  readonly #writes = new Set<Promise<unknown>>()
  /** A write takes one slot, a move all: nothing is written between asking whether a row is live and moving it. */
  readonly #gate = new Limiter(WRITES_MAX)
  readonly #dead = new Map<number, number>()
  /** Segments that the index knows of. */
  readonly #known = new Set<number>()
  readonly #damaged = new Set<number>()
  /** Segments with rows of writes that failed, which the next start takes in. */
  readonly #postponed = new Set<number>()
  readonly #onDamage: (at: Cursor) => void
  #leafCursor: Cursor = START
  #damagedRows = 0

  constructor({ segments, index, storeId, onDamage = () => {} }: StoreOptions) {
    this.segments = segments
    this.index = index
    this.#storeId = storeId
    this.#onDamage = onDamage
  }

  /** Says what rows of a type mean. All types are registered before `open`. */
  register(type: number, projection: RowProjection): void {
    const queue = new Batcher<StoredRow[], null>(
      async groups => {
        await projection.project(groups.flat(), false)
        return groups.map(() => null)
      },
      { itemsMax: COMMIT_ROWS_MAX }
    )
    this.#projections.set(type, { projection, queue })
  }

  /**
   * Brings the index up to the segments: only the tail if it is ours and whole, else all of it. Throws an
   * `IndexCorruptError` if the index must be made anew first: the caller wipes it and opens again.
   */
  async open(): Promise<OpenReport> {
    const built = await this.index.get(BUILT_KEY)
    const isBuilt = built !== undefined
    if (isBuilt && !equalBytes(built, BUILT)) throw new IndexCorruptError('the index is of another version')
    if (!isBuilt) {
      if (await this.index.hasAny(new Uint8Array(0))) throw new IndexCorruptError('the index was never finished')
      await this.index.batch([{ type: 'put', key: STORE_ID_KEY, value: this.#storeId }])
    }
    const owner = await this.index.get(STORE_ID_KEY)
    if (owner === undefined || !equalBytes(owner, this.#storeId)) {
      throw new IndexCorruptError('the index belongs to another store')
    }
    const saved = await this.index.get(CURSOR_KEY)
    const cursor = saved === undefined ? START : decodeCursor(saved)
    // Rows that the index knows of are gone, and those to come would take their places unseen.
    if (isBefore(this.segments.end, cursor))
      throw new IndexCorruptError('the index is ahead of the segments', { damagedRows: 1 })
    await this.#loadKnown()
    await this.#loadDead()
    this.#damagedRows = this.segments.damage.length
    const wasClean = await this.index.has(CLEAN_KEY)
    const replayedRows = await this.#replay(cursor)
    // Synced: if this were lost, the next start would take an unclean end for a clean one.
    const done: IndexOp = { type: 'put', key: BUILT_KEY, value: BUILT }
    const known = this.segments.segmentsWithRows().flatMap(segment => this.#knownOps(segment))
    await this.index.batch([done, { type: 'del', key: CLEAN_KEY }, this.#cursorOp(), ...known], { sync: true })
    return { rebuilt: !isBuilt, wasClean, replayedRows, damagedRows: this.#damagedRows }
  }

  /** Ends what is under way; what still waits for its commit fails. */
  async close(): Promise<void> {
    await this.segments.close()
    await Promise.allSettled(this.#writes)
    await this.#saveCursor.settled()
    const ops = [this.#cursorOp(), ...this.#deadOps(this.#dead.keys())]
    // What may be there of a write that failed is looked at by the next start, which then is one after a crash.
    if (this.#failed === undefined) ops.push({ type: 'put', key: CLEAN_KEY, value: new Uint8Array(0) })
    await this.index.batch(ops, { sync: true }).catch(() => {})
    await this.index.close()
  }

  /** Makes rows of one type durable and indexed; gives their places. What failed may be there all the same. */
  async write(type: number, payloads: readonly Uint8Array[]): Promise<Place[]> {
    const writing = this.#gate.run(() => this.#write(type, payloads))
    this.#writes.add(writing)
    try {
      return await writing
    } finally {
      this.#writes.delete(writing)
    }
  }

  /** The payload at a place; a `RowCorruptError` if it is damaged. */
  async read(place: Place): Promise<Uint8Array> {
    return (await this.#found(this.segments.read(place))).payload
  }

  /** The same, unchecked: damaged, it is given as it is, and may be short. */
  readUnchecked(place: Place): Promise<Uint8Array> {
    return this.#found(this.segments.readUnchecked(place))
  }

  /** Notes that the rows at these places are needed no more: their room comes back by compaction. */
  markDead(places: readonly Place[]): IndexOp[] {
    const touched = new Set<number>()
    for (const { segment, length } of places) {
      if (!this.segments.has(segment)) continue
      this.#dead.set(segment, (this.#dead.get(segment) ?? 0) + ROW_HEADER_BYTES + length)
      touched.add(segment)
    }
    return this.#deadOps(touched)
  }

  /** Closed segments of which less than `below` is live, the emptiest first. */
  compactable(below: number): number[] {
    return this.segments
      .closedSegments()
      .filter(({ segment }) => !this.#damaged.has(segment) && !this.#postponed.has(segment))
      .map(({ segment, bytes }) => {
        const liveBytes = bytes - SEGMENT_OVERHEAD_BYTES - (this.#dead.get(segment) ?? 0)
        return { segment, live: liveBytes / bytes }
      })
      .filter(({ live }) => live < below)
      .sort((a, b) => a.live - b.live)
      .map(({ segment }) => segment)
  }

  /**
   * Writes a segment's live rows again at the end and removes it. A crash in between leaves both, which is no harm. A
   * segment with damage in it stays: what cannot be read might still be needed. So does one with a row of a write that
   * failed; and one of which the index has lost a row, which raises doubt.
   */
  async compact(segment: number, signal?: AbortSignal): Promise<void> {
    const rows = this.segments.scanSegment(segment, 0, at => this.#noteDamage(at))
    for await (const batch of inBatches(rows, MOVE_ROWS_MAX, MOVE_BYTES_MAX)) {
      const release = await this.#gate.acquire(WRITES_MAX, signal)
      try {
        await this.#move(batch)
      } finally {
        release()
      }
    }
    if (this.#damaged.has(segment) || this.#postponed.has(segment)) return
    // The index that a power cut leaves may be an older one, but not one that still needs what is removed here.
    await this.index.batch([this.#cursorOp(), { type: 'del', key: knownKey(segment) }], { sync: true })
    this.#known.delete(segment)
    await this.segments.remove(segment)
    this.#dead.delete(segment)
    await this.index.batch([{ type: 'del', key: deadKey(segment) }])
  }

  /**
   * Compares the next stretch of rows with the index, round and round: LevelDB may lose a row after a flipped bit and
   * say nothing. The first that is missing raises doubt; damage that is passed over is told to `onDamage`. Returns the
   * rows that were looked at.
   */
  async checkLeaf(rowsMax: number = LEAF_ROWS): Promise<number> {
    let checked = 0
    for await (const row of this.segments.scan(this.#leafCursor, at => this.#noteDamage(at))) {
      if (checked === rowsMax) return checked
      this.#leafCursor = row.next
      checked++
      const projection = this.#projections.get(row.type)?.projection
      if (projection !== undefined) await this.#assertIndexed(projection, row)
    }
    this.#leafCursor = START
    return checked
  }

  async #write(type: number, payloads: readonly Uint8Array[]): Promise<Place[]> {
    const from = this.segments.end
    const appending = this.segments.append(payloads.map(payload => ({ type, payload })))
    this.#underWay.add(from)
    try {
      const places = await appending
      const rows = places.map((place, i) => ({ place, payload: payloads[i] as Uint8Array }))
      await this.#projections.get(type)?.queue.add(rows)
      this.#underWay.delete(from)
      // Not waited for: without it a crash reads these rows again, which changes nothing.
      this.#saveCursor.add(places).catch(() => {})
      return places
    } catch (error) {
      const isUnderWay = this.#underWay.delete(from)
      // Some of it may be durable and not in the index: the next start reads from here. Not of what was never begun.
      if (isUnderWay && !(error instanceof StoppedError)) this.#failed = earlier(from, this.#failed)
      throw error
    }
  }

  /** False if the row is none that the index must have by now; raises doubt if it should and does not. */
  async #assertIndexed(projection: RowProjection, row: PlacedRow): Promise<boolean> {
    if (await projection.isIndexed(row)) return true
    // Rows of writes under way, or that failed, need not be in the index yet.
    if (!isBefore(row.place, this.#cursor)) return false
    // It may have been superseded or compacted between the read and the look: look once more before crying wolf.
    if (await projection.isIndexed(row)) return true
    throw this.index.doubt('the index lacks a row')
  }

  async #move(rows: readonly PlacedRow[]): Promise<void> {
    const type = (rows[0] as PlacedRow).type
    const projection = this.#projections.get(type)?.projection
    const live: Uint8Array[] = []
    for (const row of rows) {
      // A type that this version does not know is kept: a later one may.
      if (projection === undefined || (await projection.isLive(row))) live.push(row.payload)
      // Dead is what the index knows to be dead, not what it has lost.
      else if (!(await this.#assertIndexed(projection, row))) this.#postponed.add(row.place.segment)
    }
    if (live.length > 0) await this.#write(type, live)
  }

  async #replay(from: Cursor): Promise<number> {
    let replayed = 0
    const rows = this.segments.scan(from, ({ segment }) => {
      this.#damagedRows++
      this.#damaged.add(segment)
    })
    for await (const batch of inBatches(rows, COMMIT_ROWS_MAX, COMMIT_BYTES_MAX)) {
      await this.#projections.get((batch[0] as PlacedRow).type)?.projection.project(batch, true)
      replayed += batch.length
    }
    return replayed
  }

  async #loadKnown(): Promise<void> {
    for await (const { key } of this.index.range(SEGMENT_ROWS)) {
      this.#known.add(Buffer.from(key).readUInt32BE(SEGMENT_ROWS.byteLength))
    }
    const gone = [...this.#known].filter(segment => !this.segments.has(segment))
    // Of those that are there without a header the segments tell themselves.
    const untold = gone.filter(segment => !this.segments.damage.some(at => at.segment === segment))
    if (gone.length > 0) throw new IndexCorruptError('a segment is gone', { damagedRows: untold.length })
  }

  /** Lets the index know of a segment, once there is a row in it. */
  #knownOps(segment: number): IndexOp[] {
    if (this.#known.has(segment)) return []
    this.#known.add(segment)
    return [{ type: 'put', key: knownKey(segment), value: new Uint8Array(0) }]
  }

  #noteDamage(at: Cursor): void {
    if (this.#damaged.has(at.segment)) return
    this.#damaged.add(at.segment)
    this.#onDamage(at)
  }

  async #loadDead(): Promise<void> {
    for await (const { key, value } of this.index.range(DEAD_TABLE)) {
      const segment = Buffer.from(key).readUInt32BE(1)
      if (this.segments.has(segment)) this.#dead.set(segment, Number(Buffer.from(value).readBigUInt64BE()))
      else await this.index.batch([{ type: 'del', key }])
    }
  }

  // At once all the same: among rows that are read again much later may be claims that have ended since.
  readonly #saveCursor = new Batcher<Place[], null>(
    async written => {
      const known = written.flat().flatMap(({ segment }) => this.#knownOps(segment))
      await this.index.batch([this.#cursorOp(), ...known])
      return written.map(() => null)
    },
    { itemsMax: Number.POSITIVE_INFINITY }
  )

  /** Before it there is no row that the index has not taken in: from here a crash reads again. */
  get #cursor(): Cursor {
    const [oldest] = this.#underWay
    return earlier(oldest ?? this.segments.end, this.#failed)
  }

  #cursorOp(): IndexOp {
    return { type: 'put', key: CURSOR_KEY, value: encodeCursor(this.#cursor) }
  }

  // A segment that the index points into is one it was made with: if it is gone, the index is not to be trusted.
  async #found<T>(reading: Promise<T>): Promise<T> {
    try {
      return await reading
    } catch (error) {
      throw error instanceof FileMissingError ? this.index.doubt('a segment that the index names is gone') : error
    }
  }

  #deadOps(segments: Iterable<number>): IndexOp[] {
    return [...segments].map(segment => {
      const value = Buffer.allocUnsafe(8)
      value.writeBigUInt64BE(BigInt(this.#dead.get(segment) ?? 0))
      return { type: 'put', key: deadKey(segment), value }
    })
  }
}

/** Rows of one type that follow each other, their payloads copied. */
async function* inBatches(
  rows: AsyncIterable<PlacedRow>,
  rowsMax: number,
  bytesMax: number
): AsyncGenerator<PlacedRow[]> {
  let batch: PlacedRow[] = []
  let bytes = 0
  for await (const row of rows) {
    if (batch.length > 0 && (batch[0]?.type !== row.type || batch.length === rowsMax || bytes >= bytesMax)) {
      yield batch
      batch = []
      bytes = 0
    }
    batch.push({ ...row, payload: Buffer.from(row.payload) })
    bytes += row.payload.byteLength
  }
  if (batch.length > 0) yield batch
}

function knownKey(segment: number): Uint8Array {
  return concatBytes(SEGMENT_ROWS, u32be(segment))
}

function deadKey(segment: number): Uint8Array {
  return indexKey(TABLES.deadBytes, u32be(segment))
}

function earlier(a: Cursor, b: Cursor | undefined): Cursor {
  return b !== undefined && isBefore(b, a) ? b : a
}
