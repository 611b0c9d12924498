import { createCipheriv } from 'node:crypto'
import type { Chance } from '../util/chance.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../util/logger.ts'
import { RESERVE_BYTES, RESERVE_DISK_BYTES_MIN, RESERVE_SHARE, START_FREE_BYTES } from './constants.ts'
import { NoSpaceError } from './errors.ts'
import type { Files } from './files.ts'

const NAME = 'reserve'
const KEY_BYTES = 16

export interface ReserveOptions {
  files: Files
  chance: Chance
  logger: ComponentLogger
}

/**
 * A file that only takes up space. If other programs fill the disk to the last byte, LevelDB cannot be opened, no file
 * can be deleted from the catalog, and not even the lock can be written. Then this file is removed, and its space is
 * enough to start, to read and to delete. It is written again once there is room.
 *
 * It does not count as used by the capacity. While it is missing, the capacity leaves its bytes free, so that puts do not
 * use them up. A disk that is too small for it has none.
 */
export class Reserve {
  readonly #files: Files
  readonly #chance: Chance
  readonly #log: Logger
  #missingBytes = 0

  constructor({ files, chance, logger }: ReserveOptions) {
    this.#files = files
    this.#chance = chance
    this.#log = logger.forComponent('dfs:disk:reserve')
  }

  /** The bytes that have to stay free because the file is not there. Known after the first call of another method. */
  get missingBytes(): number {
    return this.#missingBytes
  }

  /** Finds out whether the whole file is there. */
  async look(): Promise<boolean> {
    const isThere = (await this.#files.size(NAME)) === RESERVE_BYTES
    const isTooSmall = (await this.#files.space()).totalBytes < RESERVE_DISK_BYTES_MIN
    this.#missingBytes = isThere || isTooSmall ? 0 : RESERVE_BYTES
    return isThere
  }

  /** Writes the file unless all of it is there. Does so only if the disk has more than twice its size to spare. */
  async fill(): Promise<void> {
    if (await this.look()) return
    const { totalBytes, freeBytes } = await this.#files.space()
    if (totalBytes < RESERVE_DISK_BYTES_MIN || freeBytes - totalBytes * RESERVE_SHARE < 2 * RESERVE_BYTES) return
    await this.#files.remove(NAME)
    try {
      await this.#files.writeNew(NAME, [this.#incompressible()])
    } catch (error) {
      await this.#files.remove(NAME)
      throw error
    }
    this.#missingBytes = 0
    this.#log('wrote the reserve')
  }

  /** Removes the file. Resolves to true if there was one, so that a write is worth another attempt. */
  async release(): Promise<boolean> {
    try {
      if ((await this.#files.size(NAME)) === undefined) return false
      await this.#files.remove(NAME)
      await this.look()
    } catch (error) {
      this.#log('could not remove the reserve: %s', reasonOf(error))
      return false
    }
    this.#log('removed the reserve, because the disk is full')
    return true
  }

  /** The number of bytes that are free on the disk. */
  async freeBytes(): Promise<number> {
    return (await this.#files.space()).freeBytes
  }

  /** Removes the file if the disk has less than this number of bytes free. Resolves to the number it has then. */
  async releaseBelow(bytes: number): Promise<number> {
    const freeBytes = await this.freeBytes()
    return freeBytes < bytes && (await this.release()) ? this.freeBytes() : freeBytes
  }

  // A file system that compresses would reserve no space for zeros.
  #incompressible(): Uint8Array {
    const cipher = createCipheriv('aes-128-ctr', this.#chance.bytes(KEY_BYTES), Buffer.alloc(KEY_BYTES))
    return cipher.update(Buffer.alloc(RESERVE_BYTES))
  }
}

/**
 * Runs `start` on a disk that may be full: removes the reserve first if the start needs its space. Throws a
 * `NoSpaceError` that says how many bytes have to be freed if even that is not enough. Nothing is removed unless `isOwn`
 * says that a node has used the directory before.
 */
export async function startWithReserve<T>(
  reserve: Reserve,
  isOwn: () => Promise<boolean>,
  start: () => Promise<T>
): Promise<T> {
  if (!(await isOwn())) return start()
  await reserve.releaseBelow(START_FREE_BYTES)
  try {
    return await start()
  } catch (error) {
    if (!(error instanceof NoSpaceError)) throw error
    // A quota may be used up although the disk has room.
    if (await reserve.release()) return start()
    throw await explained(reserve, error)
  }
}

async function explained(reserve: Reserve, cause: NoSpaceError): Promise<NoSpaceError> {
  const missing = START_FREE_BYTES - (await reserve.freeBytes())
  if (missing <= 0) return cause
  return new NoSpaceError(`the disk is full: free at least ${missing} bytes on it, then start this node again`, {
    cause
  })
}
