/**
 * The bytes that may become garbage before it is collected. A collection takes a millisecond or two, which is little
 * beside the reading of so many bytes.
 */
const COLLECT_BYTES = 24 << 20

/**
 * Counts the buffers of files that were sent. They are garbage now, and much larger than the small objects by which V8
 * decides when to collect, so hundreds of megabytes of them would wait.
 */
export class Garbage {
  readonly #collect: () => void
  #bytes = 0

  /** `collect` collects short-lived garbage. */
  constructor(collect: () => void) {
    this.#collect = collect
  }

  note(bytes: number): void {
    this.#bytes += bytes
    if (this.#bytes < COLLECT_BYTES) return
    this.#bytes = 0
    this.#collect()
  }
}
