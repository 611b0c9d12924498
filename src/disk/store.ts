import { Limiter } from '../util/limiter.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../util/logger.ts'
import { pushAll } from '../util/push-all.ts'
import { LEAF_ROWS, ROW_LARGE_BLOCK } from './constants.ts'
import { Damage } from './damage.ts'
import { DiskError, FileMissingError } from './errors.ts'
import type { IndexDb, IndexOp } from './index-db.ts'
import { closedOp } from './index-marks.ts'
import { type OpenReport, openedText, openLogs } from './open-logs.ts'
import type { Cursor, Place } from './place.ts'
import { Projections } from './projections.ts'
import { ReadsUnderWay } from './reads-under-way.ts'
import { RowLog } from './row-log.ts'
import type { RowProjection } from './row-projection.ts'
import { WRITES_MAX } from './row-writer.ts'
import { kindOf, LARGE_ROWS } from './segment-layout.ts'
import type { Segments } from './segments.ts'

export type { OpenReport } from './open-logs.ts'

export interface StoreOptions {
  segments: Segments
  largeSegments: Segments
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
 * There are two logs of rows: one of large blocks, and one of everything else. This class opens and closes both, and
 * delegates the rest: `RowWriter` writes, `Compaction` frees the space of dead rows, `IndexCheck` looks for rows that the
 * index has lost. Each of them owns its own state.
 */
export class Store {
  readonly segments: Segments
  readonly index: IndexDb
  readonly reads = new ReadsUnderWay()
  readonly #storeId: Uint8Array
  readonly #log: Logger
  readonly #projections = new Projections()
  readonly #small: RowLog
  readonly #large: RowLog
  readonly #damageListeners: Array<(at: Cursor) => void> = []
  /** The logs that the leaf check still has to go through, the next one first. */
  #unchecked: readonly RowLog[]
  #isVerified = false

  constructor({ segments, largeSegments, index, storeId, logger, onDamage = () => {}, ...options }: StoreOptions) {
    this.segments = segments
    this.index = index
    this.#storeId = storeId
    this.#log = logger.forComponent('dfs:disk:store')
    const damage = new Damage(this.#log, onDamage, at => {
      for (const listener of this.#damageListeners) listener(at)
    })
    const parts = {
      index,
      projections: this.#projections,
      damage,
      reads: this.reads,
      // Both logs share one gate, because a large block is freed without a row.
      gate: new Limiter(WRITES_MAX),
      log: this.#log,
      compactionLog: logger.forComponent('dfs:disk:compaction'),
      erasureLog: logger.forComponent('dfs:disk:erasure')
    }
    const noRoom = async (): Promise<boolean> => false
    this.#small = new RowLog({ ...parts, segments, makeRoom: options.makeRoom ?? noRoom })
    // The reserve is not for blocks.
    this.#large = new RowLog({ ...parts, segments: largeSegments, makeRoom: noRoom })
    this.#unchecked = this.#logs
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
      const report = await openLogs(this.#logs, this.index, this.#storeId)
      this.#log('%s', openedText(report))
      return report
    } catch (error) {
      this.#log('could not open the store: %s', reasonOf(error))
      throw error
    }
  }

  /** Waits for the writes under way, and closes the store. Writes that are still waiting for their commit fail. */
  async close(): Promise<void> {
    for (const { segments } of this.#logs) await segments.close()
    for (const log of this.#logs) {
      await log.writer.settled()
      await log.retryUndo()
    }
    const ops = this.#logs.flatMap(({ cursor, usage }) => [cursor.saveOp(), ...usage.allDeadOps()])
    // Rows of a failed write may still be on the disk. The next start must look for them, as it does after a crash.
    if (!this.#isHeld) ops.push(closedOp())
    await this.index
      .batch(ops, { sync: true })
      // If this fails, the next start assumes a crash and reads the tail again.
      .catch(error => this.#log('could not mark the index as closed: %s', reasonOf(error)))
    await this.index.close()
    this.#log('closed')
  }

  /**
   * Makes rows of one type durable and indexed. Returns their places. After an error none of the rows counts, now or
   * after a restart. `SPEC.md`, "Undo", says where that cannot be promised. `bodies` are those of large blocks.
   */
  write(type: number, payloads: readonly Uint8Array[], bodies?: readonly Uint8Array[]): Promise<Place[]> {
    const { writer } = type === ROW_LARGE_BLOCK ? this.#large : this.#small
    return writer.write(type, payloads, bodies)
  }

  /** Runs a change of the index that needs no row, while no row is moved. */
  change<T>(work: () => Promise<T>): Promise<T> {
    return this.#large.writer.change(work)
  }

  /**
   * Opens the index again after a batch has failed. No write is under way meanwhile, and none begins: writes that
   * arrive meanwhile are refused at once. Nothing has to be replayed, because the index must hold all batches that
   * succeeded, and the rows of those that failed are undone. Throws the errors of the disk, and an `IndexCorruptError`
   * if the index lacks a batch or holds a row that was refused.
   */
  async reopenIndex(signal?: AbortSignal): Promise<void> {
    await this.#small.writer.alone(async () => {
      for (const log of this.#logs) await log.retryUndo()
      if (this.#isHeld) throw new DiskError('the disk refuses to undo an earlier write: the system log may say why')
      await this.index.reopen(async write => {
        const ops: IndexOp[] = []
        for (const log of this.#logs) pushAll(ops, await log.reopenOps())
        await write(ops)
      })
    }, signal)
  }

  /** The bytes of all segments, with their dead rows. */
  get diskBytes(): number {
    return this.#logs.reduce((sum, { segments }) => sum + segments.bytes, 0)
  }

  /** The bytes of all rows that are not dead. */
  get rowBytes(): number {
    return this.#logs.reduce((sum, { segments, usage }) => sum + Math.max(0, segments.bytes - usage.deadBytes), 0)
  }

  /** Returns the payload at a place. Throws a `RowCorruptError` if the row is damaged. */
  async read(place: Place): Promise<Uint8Array> {
    return (await this.#orCorrupt(this.segments.read(place))).payload
  }

  /**
   * Like `read`, but without the check and the first `skipBytes`: the bytes of a damaged row are returned as they are,
   * and may be short.
   */
  readUnchecked(place: Place, skipBytes?: number): Promise<Uint8Array> {
    return this.#orCorrupt(this.#logOf(place).segments.readUnchecked(place, skipBytes))
  }

  /** Returns false if the file of a segment has become too short for the row at this place. Reads nothing. */
  isLongEnough(place: Place): Promise<boolean> {
    return this.#logOf(place).segments.isLongEnough(place)
  }

  /** Returns true if there is a segment with this number. */
  hasSegment(segment: number): boolean {
    return this.#logOf({ segment }).segments.has(segment)
  }

  /** Counts the rows at these places as dead, so that their space can be freed. Returns the changes for the index. */
  markDead(places: readonly Place[]): IndexOp[] {
    return this.#logs.flatMap(log => log.markDead(places))
  }

  /** Overwrites the next large blocks that were freed, see `Erasure`. Returns how many bytes they had. */
  eraseNext(signal?: AbortSignal): Promise<number> {
    return this.#large.eraseNext(signal)
  }

  /** Returns the closed segments whose live share is less than `below`, lowest share first. */
  compactable(below: number): number[] {
    return this.#logs
      .flatMap(({ compaction }) => compaction.candidates(below))
      .sort((a, b) => a.live - b.live)
      .map(({ segment }) => segment)
  }

  /** Ends the last segment of each log if most of it is dead, so that it can be compacted. */
  async endWasteful(below: number): Promise<void> {
    for (const { compaction } of this.#logs) await compaction.endWasteful(below)
  }

  /** Frees the space of a segment's dead rows. See `Compaction.compact` for the segments that are not removed. */
  compact(segment: number, signal?: AbortSignal): Promise<void> {
    return this.#logOf({ segment }).compaction.compact(segment, signal)
  }

  /** Returns the space of segments that were compacted to the disk. From now on they cannot be read. */
  forgetCompacted(): void {
    for (const { segments } of this.#logs) segments.forgetRemoved()
  }

  /**
   * Compares the next rows with the index. Returns the number of rows that it compared, which is less than `rowsMax`
   * once it has reached the end. The next call then starts again at the first row.
   */
  async checkLeaf(rowsMax: number = LEAF_ROWS): Promise<number> {
    let checked = 0
    while (this.#unchecked.length > 0) {
      const { rows, isOver } = await (this.#unchecked[0] as RowLog).check.checkLeaf(rowsMax - checked)
      checked += rows
      if (!isOver) return checked
      this.#unchecked = this.#unchecked.slice(1)
    }
    this.#unchecked = this.#logs
    this.#isVerified = true
    return checked
  }

  /** True once every row has been compared with the index since the start, and the index lacked none. */
  get isVerified(): boolean {
    return this.#isVerified
  }

  get #logs(): readonly RowLog[] {
    return [this.#small, this.#large]
  }

  get #isHeld(): boolean {
    return this.#logs.some(({ cursor }) => cursor.isHeld)
  }

  #logOf({ segment }: Pick<Cursor, 'segment'>): RowLog {
    return kindOf(segment) === LARGE_ROWS ? this.#large : this.#small
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
