import type { Clock } from '../util/clock.ts'
import { RESERVE_SHARE } from './constants.ts'
import { NoSpaceError } from './errors.ts'
import type { Files } from './files.ts'

/** How long one look at the file system serves. */
const LOOK_MS = 1_000
/** Full from here, until there is more room than `FULL_UNTIL`: in between the answer stays what it was. */
const FULL_FROM = 0.95
const FULL_UNTIL = 0.9

export interface CapacityOptions {
  files: Files
  clock: Clock
  /** Bytes this store may hold; left out, all of the file system but the reserve. */
  capacityBytes?: number | undefined
}

/** Says no before the disk does: what is stored stays under the capacity, and part of the disk stays free. */
export class Capacity {
  readonly #files: Files
  readonly #clock: Clock
  readonly #configuredBytes: number | undefined
  #usedBytes = 0
  #space = { totalBytes: 0, freeBytes: 0 }
  #lookedAtMs = Number.NEGATIVE_INFINITY
  #isFull = false

  constructor({ files, clock, capacityBytes }: CapacityOptions) {
    this.#files = files
    this.#clock = clock
    this.#configuredBytes = capacityBytes
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  /** What this store may hold in all. Constant while the disk is: neighbours' files do not change it. */
  get capacityBytes(): number {
    const limit = Math.floor(this.#space.totalBytes * (1 - RESERVE_SHARE))
    return this.#configuredBytes === undefined ? limit : Math.min(this.#configuredBytes, limit)
  }

  get isFull(): boolean {
    return this.#isFull
  }

  async look(): Promise<void> {
    this.#space = await this.#files.space()
    this.#lookedAtMs = this.#clock.monotonic()
    this.#judge()
  }

  /** Throws a `NoSpaceError` if this many bytes more would not fit; else they count as used. */
  async take(bytes: number): Promise<void> {
    if (this.#clock.monotonic() - this.#lookedAtMs > LOOK_MS) await this.look()
    if (bytes > this.#room()) {
      this.#isFull = true
      throw new NoSpaceError('this node has no room left: raise --capacity or free space on its disk')
    }
    this.add(bytes)
  }

  /** Counts bytes that were here already when the file system was looked at. */
  found(bytes: number): void {
    this.#usedBytes += bytes
    this.#judge()
  }

  /** Corrects the count: bytes that are there, or (negative) no longer. */
  add(bytes: number): void {
    this.#usedBytes += bytes
    this.#space.freeBytes -= bytes
    this.#judge()
  }

  #room(): number {
    const reserve = this.#space.totalBytes * RESERVE_SHARE
    return Math.min(this.capacityBytes - this.#usedBytes, this.#space.freeBytes - reserve)
  }

  #judge(): void {
    const share = 1 - this.#room() / Math.max(1, this.capacityBytes)
    if (share >= FULL_FROM) this.#isFull = true
    else if (share < FULL_UNTIL) this.#isFull = false
  }
}
