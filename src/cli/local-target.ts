import { constants, type Stats } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { CliError } from '../terminal/errors.ts'
import { FolderNames, ownName } from './folder-names.ts'
import { type LocalDisk, localDisk } from './local-disk.ts'
import { isLeftover, temporaryName } from './temporary-name.ts'

/** How often a get looks whether a program reads the pipe that it is to write into. */
const READER_MS = 50

/** Where a file is to be written, once it is clear that it may be. */
export interface LocalTarget {
  path: string
  /** A new file takes the place of an old one. A pipe or a device stays, and is written into. */
  kind: 'file' | 'stream'
  /** True if a person named this path, and false for a name in a tree that comes from the network. */
  isNamed: boolean
}

/** Fills a new file that is open here. */
export type Fill = (path: string, handle: FileHandle) => Promise<void>

export interface LocalFile {
  /** The bytes, or for a target that is a file, what writes them into it. */
  body: AsyncIterable<Uint8Array> | Fill
  modified: Date
  mode: number | undefined
  signal: AbortSignal
}

/**
 * Writes the files of one get. It promises:
 *
 * - nothing that exists is replaced without `--force`, and with it only a file, and only by one of the same name. The
 *   operation that makes the name decides this, not a check before it;
 * - a file gets its name once it is complete. If the get ends early, only a temporary file is left, or nothing; a later
 *   get into the folder removes it.
 */
export class LocalTargets {
  readonly #isForced: boolean
  readonly #disk: LocalDisk
  readonly #names: FolderNames

  constructor({ isForced, disk = localDisk }: { isForced: boolean; disk?: LocalDisk }) {
    this.#isForced = isForced
    this.#disk = disk
    this.#names = new FolderNames(disk)
  }

  /**
   * Returns where a file is to be written. Throws a `CliError` if it must not be, so that it need not be fetched first.
   * A link is followed only if a person named it.
   */
  async look(path: string, { isNamed }: { isNamed: boolean }): Promise<LocalTarget> {
    const found = await this.#find(path)
    if (found === undefined) return { path, kind: 'file', isNamed }
    if (found.isDirectory()) throw exists(path, `a local folder has this name already: name another target`)
    if (!this.#isForced) throw await this.#taken(path, 'file')
    if (found.isFile()) return { path, kind: 'file', isNamed }
    if (!isNamed) throw exists(path, `what has this name is not a file, so it is not replaced`)
    if (found.isSymbolicLink()) return this.look(await this.#follow(path), { isNamed })
    if (found.isFIFO() || found.isCharacterDevice()) return { path, kind: 'stream', isNamed }
    throw exists(
      path,
      `this is ${found.isSocket() ? 'a socket' : 'a disk'}, which get does not write into: see dfs cat`
    )
  }

  /** Writes a file, and returns its path. The path differs from the given one if the disk treats two names as one. */
  async write(target: LocalTarget, file: LocalFile): Promise<string> {
    if (target.kind === 'stream') await this.#stream(target.path, file)
    else return this.#replace(target, file)
    return target.path
  }

  /**
   * Makes a folder that comes from the network, unless it exists, and returns its path, as `write` does. Throws a
   * `CliError` if anything else has its name.
   */
  async folder(path: string): Promise<string> {
    if (await this.#makeFolder(path)) return path
    if (await this.#names.isExact(path)) return path
    if (!this.#isForced) throw await this.#taken(path, 'folder')
    const own = ownName(path)
    if (!(await this.#makeFolder(own)) && !(await this.#names.isExact(own))) throw await this.#taken(own, 'folder')
    return own
  }

  /** Removes what earlier gets have left in a folder because they were killed. */
  async sweep(folder: string): Promise<void> {
    for (const name of await this.#disk.readdir(folder))
      if (isLeftover(name)) await this.#disk.rm(join(folder, name), { force: true })
  }

  /** Returns true if it has made the folder, and false if the folder existed. */
  async #makeFolder(path: string): Promise<boolean> {
    try {
      await this.#disk.mkdir(path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      if ((await this.#find(path))?.isDirectory() === true) {
        await this.sweep(path)
        return false
      }
      throw exists(path, `what has the name of this folder is not a folder`)
    }
    this.#names.add(path)
    return true
  }

  async #replace({ path, isNamed }: LocalTarget, file: LocalFile): Promise<string> {
    const temp = join(dirname(path), temporaryName())
    const mode = file.mode === undefined ? undefined : file.mode & 0o777
    const handle = await this.#disk.open(temp, 'wx', mode ?? 0o666)
    try {
      try {
        if (typeof file.body === 'function') await file.body(temp, handle)
        else for await (const bytes of file.body) await handle.writeFile(bytes)
        if (mode !== undefined) await setMode(handle, mode)
      } finally {
        await handle.close()
      }
      if (!Number.isNaN(file.modified.getTime())) await this.#disk.utimes(temp, file.modified, file.modified)
      return await this.#place(temp, path, isNamed)
    } catch (error) {
      await this.#disk.rm(temp, { force: true })
      throw error
    }
  }

  /** Gives a complete file its name, and returns it. */
  async #place(temp: string, path: string, isNamed: boolean): Promise<string> {
    if (await this.#placeNew(temp, path)) return path
    if (!this.#isForced) throw await this.#taken(path, 'file')
    const own = isNamed || (await this.#names.isExact(path)) ? path : ownName(path)
    if (own !== path && (await this.#placeNew(temp, own))) return own
    if (own !== path && !(await this.#names.isExact(own))) throw await this.#taken(own, 'file')
    const found = await this.#find(own)
    if (found?.isFile() === false) throw exists(own, `what has this name is not a file, so it is not replaced`)
    await this.#disk.rename(temp, own)
    return own
  }

  /** Gives a file a name that is free. Returns false if the disk says that it is not. */
  async #placeNew(temp: string, path: string): Promise<boolean> {
    const isPlaced = (await this.#placeByLink(temp, path)) ?? (await this.#placeWithoutLink(temp, path))
    if (isPlaced) this.#names.add(path)
    return isPlaced
  }

  /** Returns undefined if this disk has no links. */
  async #placeByLink(temp: string, path: string): Promise<boolean | undefined> {
    try {
      await this.#disk.link(temp, path)
    } catch (error) {
      // Disks without links report this with different errors.
      return (error as NodeJS.ErrnoException).code === 'EEXIST' ? false : undefined
    }
    await this.#disk.rm(temp)
    return true
  }

  async #placeWithoutLink(temp: string, path: string): Promise<boolean> {
    try {
      await (await this.#disk.open(path, 'wx')).close()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
      throw error
    }
    try {
      await this.#disk.rename(temp, path)
      return true
    } catch (error) {
      await this.#disk.rm(path, { force: true })
      throw error
    }
  }

  async #stream(path: string, { body, signal }: LocalFile): Promise<void> {
    if (typeof body === 'function') throw new TypeError('only a file can be filled')
    const handle = await this.#openStream(path, signal)
    try {
      for await (const bytes of body) await handle.writeFile(bytes)
    } finally {
      await handle.close()
    }
  }

  /** Opens a device, or a pipe once a program reads it. Opening a pipe in the usual way could not be interrupted. */
  async #openStream(path: string, signal: AbortSignal): Promise<FileHandle> {
    for (;;) {
      try {
        const probe = await this.#disk.open(path, constants.O_WRONLY | constants.O_NONBLOCK)
        try {
          return await this.#disk.open(path, constants.O_WRONLY)
        } finally {
          await probe.close()
        }
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENXIO') throw error
        await setTimeout(READER_MS, undefined, { signal })
      }
    }
  }

  async #follow(path: string): Promise<string> {
    try {
      return await this.#disk.realpath(path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      throw exists(path, `this is a link to nothing: remove it, or name another target`)
    }
  }

  async #taken(path: string, what: 'file' | 'folder'): Promise<CliError> {
    if (await this.#names.isExact(path))
      return exists(path, `a local file has this name already: give --force to replace it`)
    return exists(
      path,
      `this disk takes its name for that of another ${what}, which differs only in case or accents: give --force to store it under a name of its own`
    )
  }

  async #find(path: string): Promise<Stats | undefined> {
    try {
      return await this.#disk.lstat(path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }
}

function exists(about: string, message: string): CliError {
  return new CliError('exists', message, { about })
}

/** Sets permissions, unless the disk has none, such as that of a memory stick. */
async function setMode(handle: FileHandle, mode: number): Promise<void> {
  try {
    await handle.chmod(mode)
  } catch (error) {
    if (!['EPERM', 'ENOTSUP', 'ENOSYS', 'EINVAL'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
}
