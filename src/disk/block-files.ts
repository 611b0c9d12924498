import { Batcher } from '../util/batcher.ts'
import { toHex } from '../util/bytes.ts'
import type { Chance } from '../util/chance.ts'
import { Limiter } from '../util/limiter.ts'
import { BLOCK_LOOKS_MAX, BLOCK_WRITES_MAX } from './constants.ts'
import { FileMissingError } from './errors.ts'
import type { Files } from './files.ts'

const FOLDER = 'blocks'
const TEMP = 'blocks/tmp'
const TEMP_NAME_BYTES = 12
const FOLDER_NAME = /^[0-9a-f]{2}$/
const BLOCK_NAME = /^[0-9a-f]{68}$/

/**
 * Larger blocks, a file each, in 256 folders by the end of the digest. Temp file, data sync, rename, folder sync; blocks
 * that come together share the folder's sync. A name that is there means a block that was durable when it appeared.
 */
export class BlockFiles {
  readonly #files: Files
  readonly #chance: Chance
  readonly #writes = new Limiter(BLOCK_WRITES_MAX)
  readonly #folderSyncs = new Map<string, Batcher<null, null>>()
  readonly #folders = new Set<string>()
  /** Blocks whose names are there and not yet known to be durable. */
  readonly #unsynced = new Set<string>()

  constructor(files: Files, chance: Chance) {
    this.#files = files
    this.#chance = chance
  }

  /** Clears away what a crash left half written, and makes the names that it left durable. */
  async open(): Promise<void> {
    await this.#files.makeDirectory(TEMP)
    for (const name of await this.#files.list(TEMP)) await this.#files.remove(`${TEMP}/${name}`)
    for (const name of (await this.#files.list(FOLDER)).filter(name => FOLDER_NAME.test(name))) {
      // What a killed process wrote just before may not be durable yet, and from here on it counts as such.
      await this.#files.syncDirectory(`${FOLDER}/${name}`)
      this.#folders.add(name)
    }
    await this.#files.syncDirectory(FOLDER)
    await this.#files.syncDirectory('')
  }

  /**
   * Writes a block that is not there, and resolves once it is durable; after an error it is not there. One at a time for
   * each block.
   */
  put(multihash: Uint8Array, parts: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    return this.#writes.run(async () => {
      const { folder, path } = placeOf(multihash)
      await this.#makeFolder(folder)
      const temp = `${TEMP}/${toHex(this.#chance.bytes(TEMP_NAME_BYTES))}`
      try {
        await this.#files.writeNew(temp, parts)
        this.#unsynced.add(path)
        await this.#files.rename(temp, path)
        await this.#syncName(folder, path)
      } catch (error) {
        await this.#files.remove(temp).catch(() => {})
        // If it cannot be removed either, its name goes on counting as not durable.
        await this.#files.remove(path).then(
          () => this.#unsynced.delete(path),
          () => {}
        )
        throw error
      }
    }, signal)
  }

  /** True if the block is there and durable. */
  async has(multihash: Uint8Array): Promise<boolean> {
    return (await this.size(multihash)) !== undefined
  }

  async get(multihash: Uint8Array): Promise<Uint8Array | undefined> {
    try {
      return await this.#files.read(placeOf(multihash).path)
    } catch (error) {
      if (error instanceof FileMissingError) return undefined
      throw error
    }
  }

  /** Bytes of a block that is there and durable: another put may have written it and not yet synced its name. */
  async size(multihash: Uint8Array): Promise<number | undefined> {
    const { folder, path } = placeOf(multihash)
    const bytes = await this.#files.size(path)
    if (bytes === undefined || !this.#unsynced.has(path)) return bytes
    await this.#syncName(folder, path)
    return this.#files.size(path)
  }

  /** Removes a block; its name may come back after a power cut, as a block that nobody claims. */
  remove(multihash: Uint8Array): Promise<void> {
    return this.#files.remove(placeOf(multihash).path)
  }

  /** The multihash and size of every block file. */
  async *all(): AsyncGenerator<{ multihash: Uint8Array; bytes: number }> {
    for (const folder of (await this.#files.list(FOLDER)).filter(name => FOLDER_NAME.test(name)).sort()) {
      const names = (await this.#files.list(`${FOLDER}/${folder}`)).filter(name => BLOCK_NAME.test(name))
      for (let i = 0; i < names.length; i += BLOCK_LOOKS_MAX) {
        const some = names.slice(i, i + BLOCK_LOOKS_MAX).map(name => Buffer.from(name, 'hex'))
        const sizes = await Promise.all(some.map(multihash => this.size(multihash)))
        for (const [j, multihash] of some.entries()) {
          const bytes = sizes[j]
          if (bytes !== undefined) yield { multihash, bytes }
        }
      }
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
