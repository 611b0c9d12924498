import type { IndexSink } from '../disk/index-sink.ts'
import type { StatementClass } from './keys.ts'

/** A statement's number in the order of acceptance. */
export interface Numbered {
  class: StatementClass
  id: Uint8Array
  sequence: number
}

/** Numbers the statements that this member accepts. */
export class Positions {
  #next = 1

  /** Reserves numbers for statements that are about to be written. Returns the first. */
  take(count: number): number {
    const first = this.#next
    this.#next += count
    return first
  }

  /** Call this once the statements with these numbers are in the index, or have failed. */
  settle(_first: number, _count: number): void {}

  addTo(_sink: IndexSink, _items: readonly Numbered[]): void {}

  removeFrom(_sink: IndexSink, _items: readonly Numbered[]): void {}
}
