import type { Logger } from '../util/logger.ts'
import type { Cursor } from './place.ts'

/** Remembers which segments are damaged, and reports each of them once. */
export class Damage {
  readonly #segments = new Set<number>()
  readonly #log: Logger
  readonly #onDamage: (at: Cursor) => void
  readonly #onFound: (at: Cursor) => void

  /** `onFound` is called for every stretch, each time that it is found. */
  constructor(log: Logger, onDamage: (at: Cursor) => void, onFound: (at: Cursor) => void) {
    this.#log = log
    this.#onDamage = onDamage
    this.#onFound = onFound
  }

  has(segment: number): boolean {
    return this.#segments.has(segment)
  }

  /**
   * Records damage found while the store is being opened. It is not reported here, because the report of `Store.open`
   * counts it.
   */
  note({ segment, offset }: Cursor): void {
    this.#segments.add(segment)
    this.#log('segment %d is damaged at offset %d', segment, offset)
  }

  /** Records damage found while the store is open, and reports the first damage found in each segment. */
  report(at: Cursor): void {
    this.#onFound(at)
    if (this.#segments.has(at.segment)) return
    this.note(at)
    this.#onDamage(at)
  }
}
