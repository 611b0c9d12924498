import type { Logger } from '../util/logger.ts'
import type { Cursor } from './place.ts'

/** Remembers which segments have damage in them, and reports each once. */
export class Damage {
  readonly #segments = new Set<number>()
  readonly #log: Logger
  readonly #onDamage: (at: Cursor) => void

  constructor(log: Logger, onDamage: (at: Cursor) => void) {
    this.#log = log
    this.#onDamage = onDamage
  }

  has(segment: number): boolean {
    return this.#segments.has(segment)
  }

  /** Remembers damage that was found at the start, and is counted in the report of the start. */
  note({ segment, offset }: Cursor): void {
    this.#segments.add(segment)
    this.#log('segment %d is damaged at offset %d', segment, offset)
  }

  /** Remembers damage that was met while the store is open, and reports it if it is the first of its segment. */
  report(at: Cursor): void {
    if (this.#segments.has(at.segment)) return
    this.note(at)
    this.#onDamage(at)
  }
}
