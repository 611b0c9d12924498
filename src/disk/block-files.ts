import { Batcher } from '../util/batcher.ts'
import { toHex } from '../util/bytes.ts'
import type { Chance } from '../util/chance.ts'
import { Limiter } from '../util/limiter.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../util/logger.ts'
import { BLOCK_WRITES_MAX, SIZE_READS_MAX } from './constants.ts'
import { FileMissingError } from './errors.ts'
import type { Files } from './files.ts'

const FOLDER = 'blocks'
const TEMP = 'blocks/tmp'
const TEMP_NAME_BYTES = 12
const FOLDER_NAME = /^[0-9a-f]{2}$/
const BLOCK_NAME = /^[0-9a-f]{68}$/

/**
 * Stores larger blocks, one file each, in 256 folders by the last byte of the digest, because the first bytes of a
 * multihash are the same for all blocks. A block is written to a temporary file, which is synced and then renamed, so
 * the bytes of a block are durable before its name appears. Then its folder is synced. Blocks that arrive together
 * share the sync of the folder.
 */
export class BlockFiles {
  readonly #files: Files
  readonly #chance: Chance
  readonly #log: Logger
  readonly #writes = new Limiter(BLOCK_WRITES_MAX)
  readonly #folderSyncs = new Map<string, Batcher<null, null>>()
  readonly #folders = new Set<string>()
  /** Paths of blocks whose names exist but are not yet known to be durable. */
  readonly #unsynced = new Set<string>()

  constructor(files: Files, chance: Chance, logger: ComponentLogger) {
    this.#files = files
    this.#chance = chance
    this.#log = logger.forComponent('dfs:disk:blocks')
  }

  /** Removes the temporary files that a crash left behind, and makes the names of the block files durable. */
  async open(): Promise<void> {
    await this.#files.makeDirectory(TEMP)
    const temps = await this.#files.list(TEMP)
    for (const name of temps) await this.#files.remove(`${TEMP}/${name}`)
    if (temps.length > 0) this.#log('removed unfinished block files: %d', temps.length)
    for (const name of (await this.#files.list(FOLDER)).filter(name => FOLDER_NAME.test(name))) {
      // A killed process may have left names unsynced. From here on they count as durable, so they are synced now.
      await this.#files.syncDirectory(`${FOLDER}/${name}`)
      this.#folders.add(name)
    }
    await this.#files.syncDirectory(FOLDER)
    await this.#files.syncDirectory('')
  }

  /**
   * Writes a block, and resolves once it is durable. A file that already has its name is replaced as a whole, and stays
   * if the new one cannot be written. On a later error the block's file is removed. If removal fails too, the file may
   * remain, but the block does not count as durable. The caller must not put the same block twice concurrently.
   */
  put(multihash: Uint8Array, parts: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    return this.#writes.run(async () => {
      const { folder, path } = placeOf(multihash)
      await this.#makeFolder(folder)
      const temp = `${TEMP}/${toHex(this.#chance.bytes(TEMP_NAME_BYTES))}`
      try {
        await this.#files.writeNew(temp, parts)
      } catch (error) {
        await this.#removeQuietly(temp)
        throw error
      }
      try {
        this.#unsynced.add(path)
        await this.#files.rename(temp, path)
        await this.#syncName(folder, path)
      } catch (error) {
        await this.#removeQuietly(temp)
        if (await this.#removeQuietly(path)) this.#unsynced.delete(path)
        throw error
      }
    }, signal)
  }

  /** Returns true if the block exists and is durable. */
  async has(multihash: Uint8Array): Promise<boolean> {
    return (await this.size(multihash)) !== undefined
  }

  /** Returns the bytes of a block, unchecked, or undefined if it does not exist. */
  async get(multihash: Uint8Array): Promise<Uint8Array | undefined> {
    try {
      return await this.#files.read(placeOf(multihash).path)
    } catch (error) {
      if (error instanceof FileMissingError) return undefined
      throw error
    }
  }

  /**
   * Returns the size of a block in bytes once it is durable, or undefined if it does not exist. If a put that is under
   * way has written the block but not yet synced its name, this call syncs the name.
   */
  async size(multihash: Uint8Array): Promise<number | undefined> {
    const { folder, path } = placeOf(multihash)
    const bytes = await this.#files.size(path)
    if (bytes === undefined || !this.#unsynced.has(path)) return bytes
    await this.#syncName(folder, path)
    return this.#files.size(path)
  }

  /** Removes a block. After a power cut the block may reappear, without a claim. */
  remove(multihash: Uint8Array): Promise<void> {
    return this.#files.remove(placeOf(multihash).path)
  }

  /** Lists the multihash and size of every block file. */
  async *all(): AsyncGenerator<{ multihash: Uint8Array; bytes: number }> {
    for (const folder of (await this.#files.list(FOLDER)).filter(name => FOLDER_NAME.test(name)).sort()) {
      const names = (await this.#files.list(`${FOLDER}/${folder}`)).filter(name => BLOCK_NAME.test(name))
      for (let i = 0; i < names.length; i += SIZE_READS_MAX) {
        const some = names.slice(i, i + SIZE_READS_MAX).map(name => Buffer.from(name, 'hex'))
        const sizes = await Promise.all(some.map(multihash => this.size(multihash)))
        for (const [j, multihash] of some.entries()) {
          const bytes = sizes[j]
          if (bytes !== undefined) yield { multihash, bytes }
        }
      }
    }
  }

  /** Removes a file after an error that the caller reports. Returns false if it may still be there. */
  async #removeQuietly(path: string): Promise<boolean> {
    try {
      await this.#files.remove(path)
      return true
    } catch (error) {
      this.#log('could not remove a block after an error: %s', reasonOf(error))
      return false
    }
  }

  async #makeFolder(folder: string): Promise<void> {
    if (this.#folders.has(folder)) return
    await this.#files.makeDirectory(`${FOLDER}/${folder}`)
    await this.#files.syncDirectory(FOLDER)
    this.#folders.add(folder)
  }

  async #syncName(folder: string, path: string): Promise<void> {
    let batcher = this.#folderSyncs.get(folder)
    if (batcher === undefined) {
      batcher = new Batcher(
        async waiting => {
          await this.#files.syncDirectory(`${FOLDER}/${folder}`)
          return waiting
        },
        { itemsMax: Number.POSITIVE_INFINITY }
      )
      this.#folderSyncs.set(folder, batcher)
    }
    await batcher.add(null)
    this.#unsynced.delete(path)
  }
}

function placeOf(multihash: Uint8Array): { folder: string; path: string } {
  const name = toHex(multihash)
  const folder = name.slice(-2)
  return { folder, path: `${FOLDER}/${folder}/${name}` }
}
