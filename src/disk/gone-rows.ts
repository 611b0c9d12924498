import { GONE_ROWS_AT_ONCE, GONE_ROWS_MAX, MULTIHASH_BYTES } from './constants.ts'
import type { Projections } from './projections.ts'
import type { PlacedRow } from './row.ts'
import type { RowProjection } from './row-projection.ts'

/** The dead and void rows of a segment that is being compacted, for those projections that hold notes of such rows. */
export class GoneRows {
  readonly #projections: Projections
  readonly #payloads = new Map<RowProjection, Uint8Array[]>()
  #count = 0

  constructor(projections: Projections) {
    this.#projections = projections
  }

  add({ type, payload }: Pick<PlacedRow, 'type' | 'payload'>): void {
    const projection = this.#projections.get(type)
    if (projection?.removed === undefined || this.#count === GONE_ROWS_MAX) return
    this.#count++
    const payloads = this.#payloads.get(projection) ?? []
    this.#payloads.set(projection, payloads)
    // A copy, because the rest of the payload may be a whole block.
    payloads.push(Uint8Array.from(payload.subarray(0, MULTIHASH_BYTES)))
  }

  /** Yields the steps in which the projections are told, once the segment has been removed. No row may be written during one. */
  *tell(): Generator<() => Promise<void>> {
    for (const [projection, payloads] of this.#payloads)
      for (let start = 0; start < payloads.length; start += GONE_ROWS_AT_ONCE)
        yield async () => projection.removed?.(payloads.slice(start, start + GONE_ROWS_AT_ONCE))
  }
}
