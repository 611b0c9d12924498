import { concatBytes, NO_BYTES, u32be } from '../util/bytes.ts'
import { IndexCorruptError } from './errors.ts'
import { type IndexDb, type IndexOp, indexKey } from './index-db.ts'
import type { Place } from './place.ts'
import { kindOf, overheadBytes, rowBytes } from './segment-layout.ts'
import type { Segments } from './segments.ts'
import { TABLES } from './tables.ts'

/**
 * Segments that have rows. If one of them disappears for any other reason than compaction, the next start notices that.
 */
const SEGMENT_ROWS = indexKey(TABLES.meta, Buffer.from('segment'))
const DEAD_TABLE = indexKey(TABLES.deadBytes)

export interface SegmentUsageOptions {
  index: IndexDb
  segments: Segments
}

/** The facts that the index holds about each segment of one kind: whether it has rows, and how many of its bytes are dead. */
export class SegmentUsage {
  readonly #index: IndexDb
  readonly #segments: Segments
  /** Segments that the index lists as having rows. */
  readonly #listed = new Set<number>()
  readonly #deadBytes = new Map<number, number>()

  constructor({ index, segments }: SegmentUsageOptions) {
    this.#index = index
    this.#segments = segments
  }

  /**
   * Reads both tables, and forgets what was known before: after a failed batch, memory may be ahead of the index. Returns
   * the changes that remove what the index knows about segments that do not exist. Throws an `IndexCorruptError` if a
   * segment that the index lists is gone.
   */
  async load(): Promise<IndexOp[]> {
    const stale: IndexOp[] = []
    this.#listed.clear()
    this.#deadBytes.clear()
    for await (const { key } of this.#index.range(SEGMENT_ROWS)) {
      const segment = Buffer.from(key).readUInt32BE(SEGMENT_ROWS.byteLength)
      if (this.#isOurs(segment)) this.#listed.add(segment)
    }
    this.#assertNoneIsGone()
    for await (const { key, value } of this.#index.range(DEAD_TABLE)) {
      const segment = Buffer.from(key).readUInt32BE(DEAD_TABLE.byteLength)
      if (!this.#isOurs(segment)) continue
      if (this.#segments.has(segment)) this.#deadBytes.set(segment, Number(Buffer.from(value).readBigUInt64BE()))
      else stale.push({ type: 'del', key })
    }
    return stale
  }

  /** The bytes of dead rows in all segments together. */
  get deadBytes(): number {
    let total = 0
    for (const bytes of this.#deadBytes.values()) total += bytes
    return total
  }

  /** The bytes of dead rows in one segment. */
  deadBytesOf(segment: number): number {
    return this.#deadBytes.get(segment) ?? 0
  }

  /** The share of a segment's bytes that something still needs. */
  liveShare(segment: number, bytes: number): number {
    const liveBytes = bytes - overheadBytes(this.#segments.kind) - (this.#deadBytes.get(segment) ?? 0)
    return liveBytes / bytes
  }

  /**
   * Counts the rows at these places as dead, as far as they are in segments of this kind. Returns the index changes that record this. If their batch fails, some
   * live rows count as dead until `load`. Until then the capacity counts too few bytes. Compaction loses nothing,
   * because it asks the index for each row.
   */
  markDead(places: readonly Place[]): IndexOp[] {
    const touched = new Set<number>()
    for (const { segment, length } of places) {
      if (!this.#segments.has(segment)) continue
      this.#deadBytes.set(segment, (this.#deadBytes.get(segment) ?? 0) + rowBytes(this.#segments.kind, length))
      touched.add(segment)
    }
    return this.#deadOps(touched)
  }

  /** Returns the changes that save all counts of dead bytes. */
  allDeadOps(): IndexOp[] {
    return this.#deadOps(this.#deadBytes.keys())
  }

  /** Returns the change that lists a segment with rows, unless the index lists it already. */
  listOps(segment: number): IndexOp[] {
    if (this.#listed.has(segment)) return []
    this.#listed.add(segment)
    return [{ type: 'put', key: listKey(segment), value: NO_BYTES }]
  }

  /** Returns the change that takes a segment off the list. It must be durable before the segment is removed. */
  unlistOp(segment: number): IndexOp {
    return { type: 'del', key: listKey(segment) }
  }

  /** Call this when the change of `unlistOp` is durable. */
  unlisted(segment: number): void {
    this.#listed.delete(segment)
  }

  /** Forgets the dead bytes of a segment that has been removed. */
  async removed(segment: number): Promise<void> {
    this.#deadBytes.delete(segment)
    await this.#index.batch([{ type: 'del', key: deadKey(segment) }])
  }

  #isOurs(segment: number): boolean {
    return kindOf(segment) === this.#segments.kind
  }

  #assertNoneIsGone(): void {
    const lost = [...this.#listed].filter(segment => !this.#segments.has(segment))
    if (lost.length === 0) return
    // Segments that exist without a header are reported by `Segments` itself.
    const unreported = lost.filter(segment => !this.#segments.damage.some(at => at.segment === segment))
    throw new IndexCorruptError('a segment that the index lists is gone', { damagedStretches: unreported.length })
  }

  #deadOps(segments: Iterable<number>): IndexOp[] {
    return [...segments].map(segment => {
      const value = Buffer.allocUnsafe(8)
      value.writeBigUInt64BE(BigInt(this.#deadBytes.get(segment) ?? 0))
      return { type: 'put', key: deadKey(segment), value }
    })
  }
}

function listKey(segment: number): Uint8Array {
  return concatBytes(SEGMENT_ROWS, u32be(segment))
}

function deadKey(segment: number): Uint8Array {
  return indexKey(TABLES.deadBytes, u32be(segment))
}
