import type { Clock } from '../util/clock.ts'
import { RESERVE_SHARE } from './constants.ts'
import { NoSpaceError } from './errors.ts'
import type { Files } from './files.ts'

/** How long a measurement of the file system is used before it is repeated. */
const MEASURE_INTERVAL_MS = 1_000
/** The store counts as full from the first share on, until its share falls below the second. */
const FULL_FROM = 0.95
const FULL_UNTIL = 0.9

export interface CapacityOptions {
  files: Files
  clock: Clock
  /** The number of bytes that this store may hold. If left out, it may use the whole file system except the reserve. */
  capacityBytes?: number | undefined
}

/**
 * Refuses a block before the disk would, so that the store stays below its capacity and part of the disk stays free.
 */
export class Capacity {
  readonly #files: Files
  readonly #clock: Clock
  readonly #configuredBytes: number | undefined
  #usedBytes = 0
  #space = { totalBytes: 0, freeBytes: 0 }
  /** When the file system was last measured, by the monotonic clock. */
  #measuredAtMs = Number.NEGATIVE_INFINITY
  #isFull = false

  constructor({ files, clock, capacityBytes }: CapacityOptions) {
    this.#files = files
    this.#clock = clock
    this.#configuredBytes = capacityBytes
  }

  /** The bytes of the blocks that the store holds. Statements, claims, dead rows and the index are not counted. */
  get usedBytes(): number {
    return this.#usedBytes
  }

  /** The number of bytes that this store may hold in total. Other files on the disk do not change this. */
  get capacityBytes(): number {
    const limit = Math.floor(this.#space.totalBytes * (1 - RESERVE_SHARE))
    return this.#configuredBytes === undefined ? limit : Math.min(this.#configuredBytes, limit)
  }

  get isFull(): boolean {
    return this.#isFull
  }

  /** Asks the file system how much space it has. */
  async measure(): Promise<void> {
    this.#space = await this.#files.space()
    this.#measuredAtMs = this.#clock.monotonic()
    this.#updateFull()
  }

  /** Counts this many bytes as used, or throws a `NoSpaceError` if they do not fit. */
  async take(bytes: number): Promise<void> {
    if (this.#clock.monotonic() - this.#measuredAtMs > MEASURE_INTERVAL_MS) await this.measure()
    if (bytes > this.#roomBytes()) {
      this.#isFull = true
      throw new NoSpaceError('this node has no room left: raise --capacity or free space on its disk')
    }
    this.add(bytes)
  }

  /** Counts bytes of blocks that were on the disk before the file system was measured. */
  countExisting(bytes: number): void {
    this.#usedBytes += bytes
    this.#updateFull()
  }

  /**
   * Corrects the count by the number of bytes that were written (or removed, if negative) since the file system was
   * measured.
   */
  add(bytes: number): void {
    this.#usedBytes += bytes
    this.#space.freeBytes -= bytes
    this.#updateFull()
  }

  #roomBytes(): number {
    const reserveBytes = this.#space.totalBytes * RESERVE_SHARE
    return Math.min(this.capacityBytes - this.#usedBytes, this.#space.freeBytes - reserveBytes)
  }

  #updateFull(): void {
    const share = 1 - this.#roomBytes() / Math.max(1, this.capacityBytes)
    if (share >= FULL_FROM) this.#isFull = true
    else if (share < FULL_UNTIL) this.#isFull = false
  }
}
