import { type ComponentLogger, type Logger, reasonOf } from '../util/logger.ts'
import { Compaction } from './compaction.ts'
import { LEAF_ROWS, PROJECT_ROWS_MAX, REPLAY_BYTES_MAX } from './constants.ts'
import { Damage } from './damage.ts'
import { DiskError, FileMissingError, IndexCorruptError } from './errors.ts'
import { IndexCheck } from './index-check.ts'
import { IndexCursor, readCursor } from './index-cursor.ts'
import type { IndexDb, IndexOp } from './index-db.ts'
import { adoptIndex, closedOp, doubtOps, openedOps, wasClosed } from './index-marks.ts'
import { type Cursor, isBefore, type Place } from './place.ts'
import { Projections } from './projections.ts'
import { RefusedRows } from './refused-rows.ts'
import type { PlacedRow } from './row.ts'
import { rowBatches, withoutVoid } from './row-batches.ts'
import type { RowProjection } from './row-projection.ts'
import { RowWriter } from './row-writer.ts'
import { SegmentUsage } from './segment-usage.ts'
import type { Segments } from './segments.ts'

/** The findings of opening the store. */
export interface OpenReport {
  /** True if the index was rebuilt from the segments. */
  rebuilt: boolean
  /** True if the last process that opened the store also closed it properly. */
  wasClean: boolean
  replayedRows: number
  /**
   * The number of stretches, in the segments that were read, that do not match their checksums. If the index had to be
   * rebuilt, the `IndexCorruptError` holds the number of stretches that only the old index knew about, and the caller
   * adds that number.
   */
  damagedStretches: number
}

export interface StoreOptions {
  segments: Segments
  index: IndexDb
  storeId: Uint8Array
  logger: ComponentLogger
  /** Called once for each segment in which damage is found while the store is open. */
  onDamage?: (at: Cursor) => void
  /** Frees some space on a full disk. Resolves to true if it did. By default there is nothing to free. */
  makeRoom?: () => Promise<boolean>
}

/**
 * Durable rows, and an index of them. `write` resolves when its rows are both durable and indexed. After a crash,
 * `open` reads again the rows that are not in the index, so no acknowledged row is ever lost.
 *
 * This class opens and closes the store, and delegates the rest: `RowWriter` writes, `Compaction` frees the space of
 * dead rows, `IndexCheck` looks for rows that the index has lost. Each of them owns its own state.
 */
export class Store {
  readonly segments: Segments
  readonly index: IndexDb
  readonly #storeId: Uint8Array
  readonly #log: Logger
  readonly #projections = new Projections()
  readonly #cursor: IndexCursor
  readonly #usage: SegmentUsage
  readonly #damage: Damage
  readonly #damageListeners: Array<(at: Cursor) => void> = []
  readonly #refused: RefusedRows
  readonly #writer: RowWriter
  readonly #check: IndexCheck
  readonly #compaction: Compaction

  constructor({ segments, index, storeId, logger, onDamage = () => {}, ...options }: StoreOptions) {
    this.segments = segments
    this.index = index
    this.#storeId = storeId
    this.#log = logger.forComponent('dfs:disk:store')
    this.#cursor = new IndexCursor(segments)
    this.#usage = new SegmentUsage({ index, segments })
    this.#damage = new Damage(this.#log, onDamage, at => {
      for (const listener of this.#damageListeners) listener(at)
    })
    const parts = {
      segments,
      index,
      projections: this.#projections,
      cursor: this.#cursor,
      usage: this.#usage,
      damage: this.#damage,
      log: this.#log
    }
    this.#refused = new RefusedRows(parts)
    const { makeRoom = async () => false } = options
    this.#writer = new RowWriter({ ...parts, refused: this.#refused, makeRoom })
    this.#check = new IndexCheck(parts)
    const log = logger.forComponent('dfs:disk:compaction')
    this.#compaction = new Compaction({ ...parts, log, check: this.#check, writer: this.#writer })
  }

  /**
   * The listener is called with every damaged stretch that is found while the store is open, each time that it is
   * found.
   */
  onDamageFound(listener: (at: Cursor) => void): void {
    this.#damageListeners.push(listener)
  }

  /** Registers what rows of a type mean for the index. Register all types before `open`. */
  register(type: number, projection: RowProjection): void {
    this.#projections.register(type, projection)
  }

  /**
   * Brings the index up to date with the segments. It reads only the tail of the segments if the index is complete, and
   * all of them otherwise. Throws an `IndexCorruptError` if the index cannot be used. The caller must then remove the
   * index and open the store again.
   */
  async open(): Promise<OpenReport> {
    try {
      const report = await this.#open()
      this.#logOpened(report)
      return report
    } catch (error) {
      this.#log('could not open the store: %s', reasonOf(error))
      throw error
    }
  }

  /** Waits for the writes under way, and closes the store. Writes that are still waiting for their commit fail. */
  async close(): Promise<void> {
    await this.segments.close()
    await this.#writer.settled()
    await this.#retryUndo()
    const ops = [this.#cursor.saveOp(), ...this.#usage.allDeadOps()]
    // Rows of a failed write may still be on the disk. The next start must look for them, as it does after a crash.
    if (!this.#cursor.isHeld) ops.push(closedOp())
    await this.index
      .batch(ops, { sync: true })
      // If this fails, the next start assumes a crash and reads the tail again.
      .catch(error => this.#log('could not mark the index as closed: %s', reasonOf(error)))
    await this.index.close()
    this.#log('closed')
  }

  /**
   * Makes rows of one type durable and indexed. Returns their places. After an error none of the rows counts, now or
   * after a restart. `SPEC.md`, "Undo", says where that cannot be promised.
   */
  write(type: number, payloads: readonly Uint8Array[]): Promise<Place[]> {
    return this.#writer.write(type, payloads)
  }

  /**
   * Opens the index again after a batch has failed. No write is under way meanwhile, and none begins: writes that
   * arrive meanwhile are refused at once. Nothing has to be replayed, because the index must hold all batches that
   * succeeded, and the rows of those that failed are undone. Throws the errors of the disk, and an `IndexCorruptError`
   * if the index lacks a batch or holds a row that was refused.
   */
  async reopenIndex(signal?: AbortSignal): Promise<void> {
    await this.#writer.alone(async () => {
      await this.#retryUndo()
      if (this.#cursor.isHeld)
        throw new DiskError('the disk refuses to undo an earlier write: the system log may say why')
      await this.index.reopen(async write => {
        const refused = await this.#refused.assertNotIndexed()
        const stale = await this.#usage.load()
        await write([...stale, ...this.#usage.markDead(refused), ...this.#positionOps()])
      })
    }, signal)
  }

  /** The bytes of all rows that are not dead. */
  get rowBytes(): number {
    return Math.max(0, this.segments.bytes - this.#usage.deadBytes)
  }

  /** Returns the payload at a place. Throws a `RowCorruptError` if the row is damaged. */
  async read(place: Place): Promise<Uint8Array> {
    return (await this.#orCorrupt(this.segments.read(place))).payload
  }

  /** Like `read`, but without the check: the bytes of a damaged row are returned as they are, and may be short. */
  readUnchecked(place: Place): Promise<Uint8Array> {
    return this.#orCorrupt(this.segments.readUnchecked(place))
  }

  /** Counts the rows at these places as dead, so that compaction can free them. Returns the changes for the index. */
  markDead(places: readonly Place[]): IndexOp[] {
    return this.#usage.markDead(places)
  }

  /** Returns the closed segments whose live share is less than `below`, lowest share first. */
  compactable(below: number): number[] {
    return this.#compaction.candidates(below)
  }

  /** Lets the last segment end if most of it is dead, so that it can be compacted. */
  endWasteful(below: number): void {
    this.#compaction.endWasteful(below)
  }

  /** Frees the space of a segment's dead rows. See `Compaction.compact` for the segments that are not removed. */
  compact(segment: number, signal?: AbortSignal): Promise<void> {
    return this.#compaction.compact(segment, signal)
  }

  /**
   * Compares the next rows with the index. Returns the number of rows that it compared, which is less than `rowsMax`
   * once it has reached the end. The next call then starts again at the first row.
   */
  checkLeaf(rowsMax: number = LEAF_ROWS): Promise<number> {
    return this.#check.checkLeaf(rowsMax)
  }

  /** True once every row has been compared with the index since the start, and the index lacked none. */
  get isVerified(): boolean {
    return this.#check.isVerified
  }

  async #open(): Promise<OpenReport> {
    const isBuilt = await adoptIndex(this.index, this.#storeId)
    const cursor = await readCursor(this.index)
    // The index refers to rows that are gone. New rows would get the places of those rows, and the index would not
    // notice.
    if (isBefore(this.segments.end, cursor))
      throw new IndexCorruptError('the index is ahead of the segments', { damagedStretches: 1 })
    const stale = await this.#usage.load()
    const wasClean = await wasClosed(this.index)
    const { replayedRows, damagedStretches, voidPlaces } = await this.#replay(cursor)
    // A damaged row may have been one that the index does not have yet.
    const doubt = damagedStretches > 0 ? await doubtOps(this.index) : []
    // This batch is synced. If it were lost, the next start would mistake a crash for a proper end.
    const ops = [...stale, ...openedOps(), ...this.#usage.markDead(voidPlaces), ...this.#positionOps(), ...doubt]
    await this.index.batch(ops, { sync: true })
    return {
      rebuilt: !isBuilt,
      wasClean,
      replayedRows,
      damagedStretches: damagedStretches + this.segments.damage.length
    }
  }

  /** Returns the changes that save how far the index has come, and which segments it needs. */
  #positionOps(): IndexOp[] {
    const listed = this.segments.segmentsWithRows().flatMap(segment => this.#usage.listOps(segment))
    return [this.#cursor.saveOp(), ...listed]
  }

  async #retryUndo(): Promise<void> {
    await this.segments.retryUndo()
    if (this.segments.isUndone) this.#cursor.release()
  }

  async #replay(
    from: Cursor
  ): Promise<{ replayedRows: number; damagedStretches: number; voidPlaces: readonly Place[] }> {
    const voidPlaces: Place[] = []
    let replayedRows = 0
    let damagedStretches = 0
    const rows = this.segments.scan(from, at => {
      damagedStretches++
      this.#damage.note(at)
    })
    // A failed batch may have reached the index although its rows are void.
    const valid = withoutVoid(rows, async row => {
      await this.#refused.assertDead(row)
      voidPlaces.push(row.place)
    })
    for await (const batch of rowBatches(valid, PROJECT_ROWS_MAX, REPLAY_BYTES_MAX)) {
      await this.#projections.get((batch[0] as PlacedRow).type)?.project(batch, true)
      replayedRows += batch.length
    }
    return { replayedRows, damagedStretches, voidPlaces }
  }

  #logOpened({ rebuilt, wasClean, replayedRows, damagedStretches }: OpenReport): void {
    const how = wasClean ? 'after a proper end' : 'after a crash or a failed write'
    const built = replayedRows === 0 ? 'an empty store' : 'and built the index from all segments'
    const counts = [replayedRows, damagedStretches]
    this.#log('opened %s; rows replayed: %d, damaged stretches: %d', rebuilt ? built : how, ...counts)
  }

  // Every segment that the index points into existed when the index was written. If one is gone, the index cannot be
  // used.
  async #orCorrupt<T>(reading: Promise<T>): Promise<T> {
    try {
      return await reading
    } catch (error) {
      throw error instanceof FileMissingError
        ? this.index.reportCorrupt('a segment that the index points into is gone')
        : error
    }
  }
}
