import { Batcher } from '../util/batcher.ts'
import { toHex } from '../util/bytes.ts'
import type { Chance } from '../util/chance.ts'
import { Limiter } from '../util/limiter.ts'
import { BLOCK_WRITES_MAX } from './constants.ts'
import { FileMissingError } from './errors.ts'
import type { Files } from './files.ts'

const FOLDER = 'blocks'
const TEMP = 'blocks/tmp'

/**
 * Larger blocks, a file each, in 256 folders by the end of the digest. Temp file, data sync, rename, folder sync; blocks
 * that come together share the folder's sync. A name that is there means a block that was durable when it appeared.
 */
export class BlockFiles {
  readonly #files: Files
  readonly #chance: Chance
  readonly #writes = new Limiter(BLOCK_WRITES_MAX)
  readonly #folderSyncs = new Map<string, Batcher<null, null>>()
  readonly #known = new Set<string>()
  readonly #unsynced = new Set<string>()

  constructor(files: Files, chance: Chance) {
    this.#files = files
    this.#chance = chance
  }

  /** Clears away what a crash left half written. */
  async open(): Promise<void> {
    await this.#files.makeDirectory(TEMP)
    for (const name of await this.#files.list(TEMP)) await this.#files.remove(`${TEMP}/${name}`)
    for (const name of await this.#files.list(FOLDER)) {
      // A name written just before a crash may not be durable yet, and from here on it counts as such.
      await this.#files.syncDirectory(`${FOLDER}/${name}`)
      this.#known.add(name)
    }
  }

  /** Writes a block and resolves once it is durable. Returns false if it was there already. */
  put(multihash: Uint8Array, parts: readonly Uint8Array[], signal?: AbortSignal): Promise<boolean> {
    return this.#writes.run(async () => {
      const { folder, path } = placeOf(multihash)
      if ((await this.size(multihash)) !== undefined) {
        // Another put of the same block may have renamed it and not yet synced its folder.
        if (this.#unsynced.has(path)) await this.#syncFolder(folder)
        return false
      }
      await this.#ensureFolder(folder)
      const temp = `${TEMP}/${toHex(this.#chance.bytes(12))}`
      try {
        await this.#files.writeNew(temp, parts)
        this.#unsynced.add(path)
        await this.#files.rename(temp, path)
      } catch (error) {
        await this.#files.remove(temp).catch(() => {})
        throw error
      }
      await this.#syncFolder(folder)
      this.#unsynced.delete(path)
      return true
    }, signal)
  }

  async get(multihash: Uint8Array): Promise<Uint8Array | undefined> {
    try {
      return await this.#files.read(placeOf(multihash).path)
    } catch (error) {
      if (error instanceof FileMissingError) return undefined
      throw error
    }
  }

  size(multihash: Uint8Array): Promise<number | undefined> {
    return this.#files.size(placeOf(multihash).path)
  }

  /** Removes a block; its name may come back after a power cut, as a block that nobody claims. */
  remove(multihash: Uint8Array): Promise<void> {
    return this.#files.remove(placeOf(multihash).path)
  }

  /** The multihash and size of every block file. */
  async *all(): AsyncGenerator<{ multihash: Uint8Array; bytes: number }> {
    for (const folder of (await this.#files.list(FOLDER)).sort()) {
      if (!/^[0-9a-f]{2}$/.test(folder)) continue
      for (const name of await this.#files.list(`${FOLDER}/${folder}`)) {
        if (!/^[0-9a-f]{68}$/.test(name)) continue
        const bytes = await this.#files.size(`${FOLDER}/${folder}/${name}`)
        if (bytes !== undefined) yield { multihash: Buffer.from(name, 'hex'), bytes }
      }
    }
  }

  async #ensureFolder(folder: string): Promise<void> {
    if (this.#known.has(folder)) return
    await this.#files.makeDirectory(`${FOLDER}/${folder}`)
    await this.#files.syncDirectory(FOLDER)
    this.#known.add(folder)
  }

  async #syncFolder(folder: string): Promise<void> {
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
  }
}

function placeOf(multihash: Uint8Array): { folder: string; path: string } {
  const name = toHex(multihash)
  const folder = name.slice(-2)
  return { folder, path: `${FOLDER}/${folder}/${name}` }
}
