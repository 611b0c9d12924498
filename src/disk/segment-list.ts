import type { Cursor } from './place.ts'
import { headerBytes, type SegmentKind } from './segment-layout.ts'

/** The segments of one kind that exist, and the number of durable bytes of each. */
export class SegmentList {
  readonly #kind: SegmentKind
  readonly #sizes = new Map<number, number>()
  #last: number

  constructor(kind: SegmentKind) {
    this.#kind = kind
    this.#last = kind.base
  }

  /** The highest number that a segment has had; the base of its kind before the first. It is never reused. */
  get last(): number {
    return this.#last
  }

  /** The end of the segments: the next row is written at this position or later. Every row before it is durable. */
  get end(): Cursor {
    const segment = Math.max(this.#kind.base + 1, this.#last)
    return { segment, offset: this.#sizes.get(this.#last) ?? headerBytes(this.#kind) }
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
    return this.all.filter(segment => this.sizeOf(segment) > headerBytes(this.#kind))
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
