import { Batcher } from '../util/batcher.ts'
import { concatBytes, equalBytes, u32be } from '../util/bytes.ts'
import { COMMIT_ROWS_MAX, LEAF_ROWS } from './constants.ts'
import { IndexCorruptError } from './errors.ts'
import { type IndexDb, type IndexOp, indexKey } from './index-db.ts'
import type { Cursor, Place, PlacedRow, Segments } from './segments.ts'

/** A row that has been made durable, on its way into the index. */
export interface StoredRow {
  payload: Uint8Array
  place: Place
}

/**
 * What a kind of row means for the index. The same code runs when a row is written, when the tail is read again after a
 * crash, and when the whole index is rebuilt; so it must give the same result when it runs twice.
 */
export interface Projector {
  /** Applies rows in order. `replay` is set while the index is being brought up to date from the segments. */
  project(rows: readonly StoredRow[], replay: boolean): Promise<void>
  /** False once nothing needs the row at this place any more, so that compaction may drop it. */
  isLive(row: StoredRow): Promise<boolean>
  /** True if the index holds what this row should have put there, or what a later row made of it. */
  isIndexed(row: StoredRow): Promise<boolean>
  /** Called before a row that is not live is dropped for good. */
  forget?(row: StoredRow): Promise<void>
}

/** What was found when the store was opened. */
export interface OpenReport {
  /** The index was made anew from the segments. */
  rebuilt: boolean
  /** The last process that had it open ended as it should. */
  wasClean: boolean
  replayedRows: number
  /** Stretches of a segment that no longer match their checksum. */
  damagedRows: number
}

export interface StoreOptions {
  segments: Segments
  index: IndexDb
  storeId: Uint8Array
}

const STORE_ID_KEY = indexKey('m', Buffer.from('store'))
const BUILT_KEY = indexKey('m', Buffer.from('built'))
const CLEAN_KEY = indexKey('m', Buffer.from('clean'))
const CURSOR_KEY = indexKey('m', Buffer.from('cursor'))
const LIVE_TABLE = indexKey('g')
const START: Cursor = { segment: 1, offset: 0 }

/**
 * Rows that are durable, and an index that follows them. `write` resolves when both hold: after a crash the rows that
 * the index had not taken in yet are read again, so nothing acknowledged is ever forgotten.
 */
export class Store {
  readonly segments: Segments
  readonly index: IndexDb
  readonly #storeId: Uint8Array
  readonly #projectors = new Map<number, { projector: Projector; queue: Batcher<StoredRow[], null> }>()
  readonly #unprojected = new Map<Place, Cursor>()
  readonly #dead = new Map<number, number>()
  #leafCursor: Cursor = START
  #damagedRows = 0

  constructor({ segments, index, storeId }: StoreOptions) {
    this.segments = segments
    this.index = index
    this.#storeId = storeId
  }

  /** Says what rows of a type mean. All types are registered before `open`. */
  register(type: number, projector: Projector): void {
    const queue = new Batcher<StoredRow[], null>(
      async groups => {
        await projector.project(groups.flat(), false)
        return groups.map(() => null)
      },
      { itemsMax: COMMIT_ROWS_MAX }
    )
    this.#projectors.set(type, { projector, queue })
  }

  /**
   * Brings the index up to the segments: only the tail if it is ours and whole, else all of it. Throws an
   * `IndexCorruptError` if the index must be made anew first: the caller wipes it and opens again.
   */
  async open(): Promise<OpenReport> {
    const isBuilt = await this.index.has(BUILT_KEY)
    if (!isBuilt) {
      if (await this.index.hasAny(new Uint8Array(0))) throw new IndexCorruptError('the index was never finished')
      await this.index.batch([{ type: 'put', key: STORE_ID_KEY, value: this.#storeId }])
    }
    const owner = await this.index.get(STORE_ID_KEY)
    if (owner === undefined || !equalBytes(owner, this.#storeId)) {
      throw new IndexCorruptError('the index belongs to another store')
    }
    for await (const { key, value } of this.index.range(LIVE_TABLE)) {
      this.#dead.set(Buffer.from(key).readUInt32BE(1), Number(Buffer.from(value).readBigUInt64BE()))
    }
    const cursor = await this.index.get(CURSOR_KEY)
    const wasClean = await this.index.has(CLEAN_KEY)
    const replayedRows = await this.#replay(cursor === undefined ? START : decodeCursor(cursor))
    await this.index.batch([
      { type: 'put', key: BUILT_KEY, value: new Uint8Array(0) },
      { type: 'del', key: CLEAN_KEY },
      this.#cursorOp()
    ])
    return { rebuilt: !isBuilt, wasClean, replayedRows, damagedRows: this.#damagedRows }
  }

  async close(): Promise<void> {
    await this.segments.close()
    for (const { queue } of this.#projectors.values()) await queue.settled()
    const clean: IndexOp = { type: 'put', key: CLEAN_KEY, value: new Uint8Array(0) }
    await this.index.batch([this.#cursorOp(), ...this.#deadOps(this.#dead.keys()), clean]).catch(() => {})
    await this.index.close()
  }

  /** Makes rows of one type durable and indexed; gives their places. */
  async write(type: number, payloads: readonly Uint8Array[]): Promise<Place[]> {
    const places = await this.segments.append(payloads.map(payload => ({ type, payload })))
    for (const place of places) this.#unprojected.set(place, place)
    await this.#project(
      type,
      places.map((place, i) => ({ place, payload: payloads[i] as Uint8Array }))
    )
    return places
  }

  async read(place: Place): Promise<Uint8Array> {
    return (await this.segments.read(place)).payload
  }

  /** Notes that the rows at these places are needed no more: their room comes back by compaction. */
  markDead(places: readonly Place[]): IndexOp[] {
    const touched = new Set<number>()
    for (const { segment, length } of places) {
      this.#dead.set(segment, (this.#dead.get(segment) ?? 0) + length)
      touched.add(segment)
    }
    return this.#deadOps(touched)
  }

  /** Closed segments of which less than `below` is live, the emptiest first. */
  compactable(below: number): number[] {
    return this.segments
      .closedSegments()
      .map(({ segment, bytes }) => ({ segment, live: 1 - (this.#dead.get(segment) ?? 0) / bytes }))
      .filter(({ live }) => live < below)
      .sort((a, b) => a.live - b.live)
      .map(({ segment }) => segment)
  }

  /** Writes a segment's live rows again at the end and removes it. A crash in between leaves both, which is no harm. */
  async compact(segment: number, signal?: AbortSignal): Promise<void> {
    for await (const row of this.segments.scan({ segment, offset: 0 })) {
      if (row.place.segment !== segment) break
      signal?.throwIfAborted()
      const registered = this.#projectors.get(row.type)
      // A type that this version does not know is kept: a later one may.
      if (registered === undefined) await this.segments.append([{ type: row.type, payload: Buffer.from(row.payload) }])
      else if (await registered.projector.isLive(row)) await this.write(row.type, [Buffer.from(row.payload)])
      else await registered.projector.forget?.(row)
    }
    await this.segments.remove(segment)
    this.#dead.delete(segment)
    await this.index.batch([{ type: 'del', key: deadKey(segment) }])
  }

  /**
   * Compares the next stretch of rows with the index, round and round: LevelDB may lose a row after a flipped bit and
   * say nothing. The first that is missing raises doubt. Returns the rows that were looked at.
   */
  async checkLeaf(rowsMax: number = LEAF_ROWS): Promise<number> {
    let checked = 0
    for await (const row of this.segments.scan(this.#leafCursor)) {
      if (checked === rowsMax) return checked
      this.#leafCursor = row.next
      checked++
      const registered = this.#projectors.get(row.type)
      if (registered === undefined || this.#isUnprojected(row.place)) continue
      if (await registered.projector.isIndexed(row)) continue
      // It may have been superseded or compacted between the read and the look: look once more before crying wolf.
      if (!(await registered.projector.isIndexed(row))) throw this.index.doubt('the index lacks a row')
    }
    this.#leafCursor = START
    return checked
  }

  async #replay(from: Cursor): Promise<number> {
    let replayed = 0
    let rows: PlacedRow[] = []
    const flush = async (): Promise<void> => {
      const type = rows[0]?.type
      const registered = type === undefined ? undefined : this.#projectors.get(type)
      if (registered !== undefined) await registered.projector.project(rows, true)
      replayed += rows.length
      rows = []
    }
    const onDamage = (): void => {
      this.#damagedRows++
    }
    for await (const row of this.segments.scan(from, onDamage)) {
      if (rows.length > 0 && (rows[0]?.type !== row.type || rows.length === COMMIT_ROWS_MAX)) await flush()
      rows.push({ ...row, payload: Buffer.from(row.payload) })
    }
    await flush()
    return replayed
  }

  async #project(type: number, rows: StoredRow[]): Promise<void> {
    await this.#projectors.get(type)?.queue.add(rows)
    for (const { place } of rows) this.#unprojected.delete(place)
    await this.#saveCursor.add(null)
  }

  readonly #saveCursor = new Batcher<null, null>(
    async waiting => {
      await this.index.batch([this.#cursorOp()])
      return waiting
    },
    { itemsMax: Number.POSITIVE_INFINITY }
  )

  // The oldest row that the index has not taken in; from there on a crash reads again.
  #cursorOp(): IndexOp {
    const [oldest] = this.#unprojected.values()
    const { segment, offset } = oldest ?? this.segments.end
    return { type: 'put', key: CURSOR_KEY, value: concatBytes(u32be(segment), u32be(offset)) }
  }

  #deadOps(segments: Iterable<number>): IndexOp[] {
    return [...segments].map(segment => {
      const value = Buffer.allocUnsafe(8)
      value.writeBigUInt64BE(BigInt(this.#dead.get(segment) ?? 0))
      return { type: 'put', key: deadKey(segment), value }
    })
  }

  #isUnprojected(place: Place): boolean {
    for (const waiting of this.#unprojected.values()) {
      if (waiting.segment === place.segment && waiting.offset === place.offset) return true
    }
    return false
  }
}

export function encodePlace({ segment, offset, length }: Place): Uint8Array {
  return concatBytes(u32be(segment), u32be(offset), u32be(length))
}

export function decodePlace(bytes: Uint8Array): Place {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return { segment: view.getUint32(0), offset: view.getUint32(4), length: view.getUint32(8) }
}

export function isSamePlace(a: Place, b: Place): boolean {
  return a.segment === b.segment && a.offset === b.offset
}

function deadKey(segment: number): Uint8Array {
  return indexKey('g', u32be(segment))
}

function decodeCursor(bytes: Uint8Array): Cursor {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return { segment: view.getUint32(0), offset: view.getUint32(4) }
}
