import { NO_BYTES } from '../util/bytes.ts'
import { type Logger, reasonOf } from '../util/logger.ts'
import { ERASE_BYTES_MAX, ERASE_ROWS_MAX } from './constants.ts'
import type { IndexCursor } from './index-cursor.ts'
import { type IndexDb, type IndexOp, indexKey } from './index-db.ts'
import { decodePlace, encodePlace, type Place } from './place.ts'
import type { Projections } from './projections.ts'
import type { ReadsUnderWay } from './reads-under-way.ts'
import type { PlacedRow } from './row.ts'
import type { Segments } from './segments.ts'
import { TABLES } from './tables.ts'

const TABLE = indexKey(TABLES.unerased)
const OFFSET_MAX = 2 ** 32 - 1

export interface ErasureOptions {
  segments: Segments
  index: IndexDb
  projections: Projections
  cursor: IndexCursor
  reads: ReadsUnderWay
  log: Logger
}

/**
 * Overwrites the bytes of large blocks that were freed, so that they do not stay on the disk until their segment is
 * compacted. The rows that are still to be erased are in a table of the index. A row gets there in the batch with which
 * it dies, and leaves once its erasure is durable. A rebuilt index takes them from the void rows that it meets.
 */
export class Erasure {
  readonly #options: ErasureOptions
  /** Segments that the disk refused to read or to overwrite. They are tried again when nothing else is left. */
  readonly #refused = new Set<number>()

  constructor(options: ErasureOptions) {
    this.#options = options
  }

  /** Returns the changes that have dead rows erased, as far as they are rows of large blocks. */
  ops(places: readonly Place[]): IndexOp[] {
    const { segments } = this.#options
    if (!segments.kind.isErased) return []
    return places
      .filter(({ segment }) => segments.has(segment))
      .map(place => ({ type: 'put', key: keyOf(place), value: NO_BYTES }))
  }

  /**
   * Erases the next rows, but none of the segments in `leaving`, which are about to be removed as a whole. Returns the
   * bytes of the rows, which is 0 if there is nothing to do.
   */
  async eraseNext(leaving: ReadonlySet<number>, signal?: AbortSignal): Promise<number> {
    const { index, cursor, reads } = this.#options
    const next = await this.#next(leaving)
    if (next.size === 0) {
      this.#refused.clear()
      return 0
    }
    // This batch is synced. A power cut may leave an older index, but not one in which a row that is erased here counts.
    await index.batch([cursor.saveOp()], { sync: true })
    // Whoever got one of these places from the index has read it by now.
    await reads.ended()
    let bytes = 0
    for (const [segment, places] of next) {
      signal?.throwIfAborted()
      await this.#erase(segment, places)
      for (const { length } of places) bytes += length
    }
    return bytes
  }

  async #next(leaving: ReadonlySet<number>): Promise<Map<number, Place[]>> {
    const found = new Map<number, Place[]>()
    let rows = 0
    let bytes = 0
    for (let after: Uint8Array | undefined, isOver = false; !isOver; ) {
      isOver = true
      for await (const { key } of this.#options.index.range(TABLE, { after })) {
        const place = decodePlace(key.subarray(TABLE.byteLength))
        const { segment } = place
        if (leaving.has(segment) || this.#refused.has(segment)) {
          after = keyOf({ segment, offset: OFFSET_MAX, length: OFFSET_MAX })
          isOver = false
          break
        }
        const places = found.get(segment)
        if (places === undefined) found.set(segment, [place])
        else places.push(place)
        bytes += place.length
        if (++rows === ERASE_ROWS_MAX || bytes >= ERASE_BYTES_MAX) return found
      }
    }
    return found
  }

  async #erase(segment: number, places: readonly Place[]): Promise<void> {
    const { segments, index, log } = this.#options
    try {
      const rows: PlacedRow[] = []
      for (const place of places) {
        const row = await segments.find(place)
        if (row !== undefined && (await this.#isErasable(row))) rows.push(row)
      }
      await segments.erase(segment, rows)
      log('erased rows of segment %d: %d', segment, rows.length)
    } catch (error) {
      // A compaction may have removed the segment meanwhile, and the bytes with it.
      if (segments.has(segment)) {
        this.#refused.add(segment)
        log('could not erase rows of segment %d: %s', segment, reasonOf(error))
        throw error
      }
    }
    await index.batch(places.map(place => ({ type: 'del', key: keyOf(place) })))
  }

  /**
   * Returns false for a row that counts: a start that reads rows again may have queued one that it took for dead until
   * it met the next one. A row that does not count never counts again, as long as the store is open.
   */
  async #isErasable(row: PlacedRow): Promise<boolean> {
    if (row.isVoid) return !row.isErased
    return (await this.#options.projections.get(row.type)?.isLive(row)) === false
  }
}

function keyOf(place: Place): Uint8Array {
  return indexKey(TABLES.unerased, encodePlace(place))
}
