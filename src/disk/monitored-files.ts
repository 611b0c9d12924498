import { DiskError, NoSpaceError, ReadOnlyError } from './errors.ts'
import type { AppendFile } from './files.ts'
import { NodeFiles } from './node-files.ts'

/** How the last write to the disk ended. */
export type DiskState = 'ok' | 'full' | 'readonly' | 'failing'

/** The files of the operating system. This class also remembers how the last write ended. */
export class MonitoredFiles extends NodeFiles {
  #state: DiskState = 'ok'

  /** The kind of error with which the last write ended. Only a write that becomes durable resets it to `ok`. */
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

  override async openAppend(path: string): Promise<AppendFile> {
    const file = await this.#monitor(super.openAppend(path))
    return {
      get size() {
        return file.size
      },
      append: bytes => this.#monitor(file.append(bytes)),
      sync: async () => {
        await this.#monitor(file.sync())
        this.#state = 'ok'
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

function stateAfter(error: unknown): DiskState | undefined {
  if (error instanceof NoSpaceError) return 'full'
  if (error instanceof ReadOnlyError) return 'readonly'
  return error instanceof DiskError ? 'failing' : undefined
}
