import { constants, statSync } from 'node:fs'
import { type FileHandle, open, readdir, rename, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { takeBuffer } from '../util/buffer-pool.ts'
import { byteLengthOf, concatBytes } from '../util/bytes.ts'
import { DirectFile, DirectSlots, readInto, writeAll } from './direct-file.ts'
import { asDiskError } from './errors.ts'
import type { AppendFile, FilePiece, Files, OpenHints, ReadFile } from './files.ts'
import { makeFolders } from './make-folders.ts'

const FILE_MODE = 0o600

interface OpenToWrite {
  handle: FileHandle
  write(parts: readonly Uint8Array[], at: number): Promise<void>
  close(): Promise<void>
}

/** The files of the operating system below one folder. */
export class NodeFiles implements Files {
  readonly #root: string
  readonly #slots = new DirectSlots()
  // Windows has no way to sync a folder. SPEC.md describes what is weaker there.
  readonly namesAreDurable = process.platform !== 'win32'

  constructor(root: string) {
    this.#root = root
  }

  async makeDirectory(path: string): Promise<void> {
    await guarded(() => makeFolders(this.#at(path)))
  }

  async list(path: string): Promise<string[]> {
    try {
      return await readdir(this.#at(path))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw asDiskError(error)
    }
  }

  async syncDirectory(path: string): Promise<void> {
    if (!this.namesAreDurable) return
    await guarded(async () => {
      const handle = await open(this.#at(path), constants.O_RDONLY)
      try {
        await handle.sync()
      } finally {
        await handle.close()
      }
    })
  }

  async size(path: string): Promise<number | undefined> {
    // This call is synchronous, because the answer is in the system's memory, and a hop to another thread takes ten
    // times as long.
    return guarded(async () => {
      const stat = statSync(this.#at(path), { throwIfNoEntry: false })
      return stat?.isFile() === true ? stat.size : undefined
    })
  }

  read(path: string): Promise<Uint8Array> {
    return guarded(async () => {
      const handle = await open(this.#at(path), 'r')
      try {
        const bytes = takeBuffer((await handle.stat()).size)
        return bytes.subarray(0, await readInto(handle, bytes, 0))
      } finally {
        await handle.close()
      }
    })
  }

  async writeNew(path: string, parts: readonly Uint8Array[]): Promise<void> {
    await guarded(async () => {
      const handle = await open(this.#at(path), 'wx', FILE_MODE)
      try {
        for (const part of parts) await writeAll(handle, part)
        await handle.datasync()
      } finally {
        await handle.close()
      }
    })
  }

  async overwrite(path: string, pieces: readonly FilePiece[], { isPastCache = false }: OpenHints = {}): Promise<void> {
    await guarded(async () => {
      const { handle, write, close } = await this.#openToWrite(path, constants.O_RDWR, isPastCache)
      try {
        for (const { offset, bytes } of pieces) await write([bytes], offset)
        await handle.datasync()
      } finally {
        await close()
      }
    })
  }

  rename(from: string, to: string): Promise<void> {
    return guarded(() => rename(this.#at(from), this.#at(to)))
  }

  remove(path: string): Promise<void> {
    return guarded(() => rm(this.#at(path), { force: true }))
  }

  removeDirectory(path: string): Promise<void> {
    return guarded(() => rm(this.#at(path), { force: true, recursive: true }))
  }

  async openRead(path: string, { isPastCache = false }: OpenHints = {}): Promise<ReadFile> {
    if (isPastCache) {
      const file = await guarded(() => DirectFile.open(this.#at(path), constants.O_RDONLY, { slots: this.#slots }))
      return {
        read: (offset, length) => guarded(() => file.read(offset, length)),
        close: () => guarded(() => file.close())
      }
    }
    const handle = await guarded(() => open(this.#at(path), 'r'))
    return {
      read: (offset, length) =>
        guarded(async () => {
          const buffer = Buffer.allocUnsafeSlow(length)
          return buffer.subarray(0, await readInto(handle, buffer, offset))
        }),
      close: () => guarded(() => handle.close())
    }
  }

  async openAppend(path: string, { isPastCache = false }: OpenHints = {}): Promise<AppendFile> {
    const { handle, write, close } = await guarded(() =>
      this.#openToWrite(path, constants.O_RDWR | constants.O_CREAT, isPastCache)
    )
    let size: number
    try {
      size = (await guarded(() => handle.stat())).size
    } catch (error) {
      // The original error is thrown. An error of `close` would add nothing to it.
      await close().catch(() => {})
      throw error
    }
    return {
      get size() {
        return size
      },
      append: parts =>
        guarded(async () => {
          await write(parts, size)
          size += byteLengthOf(parts)
        }),
      sync: () => guarded(() => handle.datasync()),
      truncate: length =>
        guarded(async () => {
          await handle.truncate(length)
          size = length
        }),
      close: () => guarded(close)
    }
  }

  async #openToWrite(path: string, flags: number, isPastCache: boolean): Promise<OpenToWrite> {
    if (isPastCache) {
      const file = await DirectFile.open(this.#at(path), flags, { slots: this.#slots, mode: FILE_MODE })
      return { handle: file.handle, write: (parts, at) => file.write(parts, at), close: () => file.close() }
    }
    const handle = await open(this.#at(path), flags, FILE_MODE)
    return { handle, write: (parts, at) => writeAll(handle, concatBytes(...parts), at), close: () => handle.close() }
  }

  async space(): Promise<{ totalBytes: number; freeBytes: number }> {
    const { bsize, blocks, bavail } = await guarded(() => statfs(this.#root))
    return { totalBytes: bsize * blocks, freeBytes: bsize * bavail }
  }

  #at(path: string): string {
    return join(this.#root, path)
  }
}

async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw asDiskError(error)
  }
}
