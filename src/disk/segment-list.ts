import type { Cursor } from './place.ts'
import { SEGMENT_HEADER_BYTES } from './segment-layout.ts'

/** The segments that exist, and the number of durable bytes of each. */
export class SegmentList {
  readonly #sizes = new Map<number, number>()
  #last = 0

  /** The highest number that a segment has had; 0 before the first. It is never reused. */
  get last(): number {
    return this.#last
  }

  /** The end of the segments: the next row is written at this position or later. Every row before it is durable. */
  get end(): Cursor {
    return { segment: Math.max(1, this.#last), offset: this.#sizes.get(this.#last) ?? SEGMENT_HEADER_BYTES }
  }

  /** The number of durable bytes in all segments together. */
  get bytes(): number {
    let total = 0
    for (const size of this.#sizes.values()) total += size
    return total
  }

  /** All segments, oldest first. */
  get all(): number[] {
    return [...this.#sizes.keys()].sort((a, b) => a - b)
  }

  /** Segments that are longer than a header, oldest first. */
  get withRows(): number[] {
    return this.all.filter(segment => this.sizeOf(segment) > SEGMENT_HEADER_BYTES)
  }

  has(segment: number): boolean {
    return this.#sizes.has(segment)
  }

  sizeOf(segment: number): number {
    return this.#sizes.get(segment) ?? 0
  }

  /** Adds a segment after all others. */
  add(segment: number, size: number): void {
    this.#sizes.set(segment, size)
    this.#last = segment
  }

  resize(segment: number, size: number): void {
    this.#sizes.set(segment, size)
  }

  remove(segment: number): void {
    this.#sizes.delete(segment)
  }
}
