import type { Clock } from '../util/clock.ts'
import { RESERVE_SHARE } from './constants.ts'
import { NoSpaceError } from './errors.ts'
import type { Files } from './files.ts'

/** How long a measurement of the file system is used before it is repeated. */
const MEASURE_INTERVAL_MS = 1_000
/**
 * The store becomes full when the first share of its capacity is used up, and stays full until less than the second is.
 */
const FULL_FROM = 0.95
const FULL_UNTIL = 0.9
/** The share of the capacity that blocks without which nothing can be freed may take although there is no room. */
const LAST_ROOM_SHARE = 0.01

export interface CapacityOptions {
  files: Files
  clock: Clock
  /** The number of bytes that this store may hold. If left out, it may use the whole disk except the reserved share. */
  capacityBytes?: number | undefined
  /** Returns the bytes of all rows that are not dead. If left out, only rows that `take` and `add` report are counted. */
  rowBytes?: () => number
  /** Returns the bytes that have to stay free in addition to the reserved share of the disk. None if left out. */
  keepFreeBytes?: () => number
  /** Measures the bytes of the index on the disk. If left out, they do not count. */
  indexBytes?: () => Promise<number>
}

/**
 * Refuses growth before the disk would, so that the store stays below its capacity and part of the disk stays free. It
 * counts the live rows of the segments (blocks, statements, claims) and the index.
 */
export class Capacity {
  readonly #options: CapacityOptions
  /** Bytes of rows at the last measurement, plus those that were reported since. */
  #rowBytes = 0
  #indexBytes = 0
  #space = { totalBytes: 0, freeBytes: 0 }
  /** When the file system was last measured, by the monotonic clock. */
  #measuredAtMs = Number.NEGATIVE_INFINITY
  #measuring: Promise<void> | undefined
  #isFull = false
  /** What was taken although there was no room for it. */
  #lastBytes = 0

  constructor(options: CapacityOptions) {
    this.#options = options
  }

  /** The bytes of the index, as they were last measured. */
  get indexBytes(): number {
    return this.#indexBytes
  }

  /**
   * The bytes that the store holds: blocks, statements, claims, and the index as it was last measured. Rows that are dead
   * and not compacted yet are not counted.
   */
  get usedBytes(): number {
    return this.#rowBytes + this.#indexBytes
  }

  /** The number of bytes that this store may hold in total. Other files on the disk do not change this. */
  get capacityBytes(): number {
    const { capacityBytes } = this.#options
    const limit = Math.floor(this.#space.totalBytes * (1 - RESERVE_SHARE))
    return capacityBytes === undefined ? limit : Math.min(capacityBytes, limit)
  }

  get isFull(): boolean {
    return this.#isFull
  }

  /** Asks the file system how much space it has, and counts the rows. */
  async measure(): Promise<void> {
    const { files, clock, rowBytes } = this.#options
    this.#space = await files.space()
    this.#measuredAtMs = clock.monotonic()
    if (rowBytes !== undefined) this.#rowBytes = rowBytes()
    this.#updateFull()
  }

  /** Like `measure`, and measures the index too, for which it looks at each file of the index. */
  async measureAll(): Promise<void> {
    this.#indexBytes = (await this.#options.indexBytes?.()) ?? 0
    await this.measure()
  }

  /**
   * Throws a `NoSpaceError` if the store is full. Call this before a change that makes the catalog grow but may take no
   * block, such as a file in a statement or a directory.
   */
  async assertRoom(): Promise<void> {
    await this.#remeasure()
    if (this.#isFull) throw noRoom()
  }

  /**
   * Counts this many bytes as used, or throws a `NoSpaceError` if they do not fit. With `mayTakeLast`, they may go beyond
   * the capacity, and into the share of the disk that is kept free: a hundredth of the capacity in all, until there is
   * room again.
   */
  async take(bytes: number, { mayTakeLast = false } = {}): Promise<void> {
    await this.#remeasure()
    if (bytes <= this.#roomBytes()) this.#lastBytes = 0
    else if (mayTakeLast && this.#lastBytes + bytes <= this.capacityBytes * LAST_ROOM_SHARE) this.#lastBytes += bytes
    else {
      this.#isFull = true
      throw noRoom()
    }
    this.add(bytes)
  }

  /**
   * Corrects the count by the number of bytes that were written (or removed, if negative) since the file system was
   * measured.
   */
  add(bytes: number): void {
    this.#rowBytes += bytes
    this.#space.freeBytes -= bytes
    this.#updateFull()
  }

  /** Measures again if that is due. All that ask meanwhile share one measurement. */
  async #remeasure(): Promise<void> {
    if (this.#options.clock.monotonic() - this.#measuredAtMs <= MEASURE_INTERVAL_MS) return
    this.#measuring ??= this.measure().finally(() => {
      this.#measuring = undefined
    })
    await this.#measuring
  }

  /** The bytes that can still be stored. */
  get roomBytes(): number {
    return Math.max(0, this.#roomBytes())
  }

  #roomBytes(): number {
    const keepFreeBytes = Math.ceil(this.#space.totalBytes * RESERVE_SHARE + (this.#options.keepFreeBytes?.() ?? 0))
    return Math.min(this.capacityBytes - this.usedBytes, this.#space.freeBytes - keepFreeBytes)
  }

  #updateFull(): void {
    const share = 1 - this.#roomBytes() / Math.max(1, this.capacityBytes)
    if (share >= FULL_FROM) this.#isFull = true
    else if (share < FULL_UNTIL) this.#isFull = false
  }
}

/** Returns how many bytes a store could take on a disk: what is free, except the reserved share of the disk. */
export function freeForStore({ totalBytes, freeBytes }: { totalBytes: number; freeBytes: number }): number {
  return Math.max(0, Math.floor(freeBytes - totalBytes * RESERVE_SHARE))
}

/** Returns the bytes of all files in a folder. */
export async function folderBytes(files: Files, folder: string): Promise<number> {
  let total = 0
  for (const name of await files.list(folder)) total += (await files.size(`${folder}/${name}`)) ?? 0
  return total
}

function noRoom(): NoSpaceError {
  return new NoSpaceError('this node has no room left: raise --capacity or free space on its disk')
}
