import { DiskError, NoSpaceError, ReadOnlyError } from './errors.ts'
import type { AppendFile, FilePiece, OpenHints } from './files.ts'
import { NodeFiles } from './node-files.ts'

/** How the last write to the disk ended. */
export type DiskState = 'ok' | 'full' | 'readonly' | 'failing'

/** The files of the operating system. This class also remembers how the last write ended. */
export class MonitoredFiles extends NodeFiles {
  #state: DiskState = 'ok'

  /**
   * The kind of error with which the last write ended. Only a write of new bytes that becomes durable resets it to
   * `ok`. A full disk still cuts files and overwrites bytes in place, so these two do not reset it.
   */
  get state(): DiskState {
    return this.#state
  }

  override makeDirectory(path: string): Promise<void> {
    return this.#monitor(super.makeDirectory(path))
  }

  override rename(from: string, to: string): Promise<void> {
    return this.#monitor(super.rename(from, to))
  }

  override async writeNew(path: string, parts: readonly Uint8Array[]): Promise<void> {
    await this.#monitor(super.writeNew(path, parts))
    this.#state = 'ok'
  }

  override overwrite(path: string, pieces: readonly FilePiece[], hints?: OpenHints): Promise<void> {
    return this.#monitor(super.overwrite(path, pieces, hints))
  }

  override async openAppend(path: string, hints?: OpenHints): Promise<AppendFile> {
    const file = await this.#monitor(super.openAppend(path, hints))
    let hasNewBytes = false
    return {
      get size() {
        return file.size
      },
      append: async parts => {
        await this.#monitor(file.append(parts))
        hasNewBytes = true
      },
      sync: async () => {
        await this.#monitor(file.sync())
        if (hasNewBytes) this.#state = 'ok'
      },
      truncate: size => this.#monitor(file.truncate(size)),
      close: () => file.close()
    }
  }

  async #monitor<T>(writing: Promise<T>): Promise<T> {
    try {
      return await writing
    } catch (error) {
      this.#state = stateAfter(error) ?? this.#state
      throw error
    }
  }
}

/** Returns the state that an error of a write shows; undefined for an error that is not one of the disk. */
export function stateAfter(error: unknown): DiskState | undefined {
  if (error instanceof NoSpaceError) return 'full'
  if (error instanceof ReadOnlyError) return 'readonly'
  return error instanceof DiskError ? 'failing' : undefined
}
