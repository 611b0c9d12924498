import { DiskError, NoSpaceError, ReadOnlyError } from './errors.ts'
import type { AppendFile } from './files.ts'
import { NodeFiles } from './node-files.ts'

/** How the disk took what was last written to it. */
export type DiskState = 'ok' | 'full' | 'readonly' | 'failing'

/** Files of the operating system, and how the last write to them went. */
export class WatchedFiles extends NodeFiles {
  #state: DiskState = 'ok'

  /** What the last write met. Only bytes that became durable show that the disk takes them again. */
  get state(): DiskState {
    return this.#state
  }

  override makeDirectory(path: string): Promise<void> {
    return this.#watch(super.makeDirectory(path))
  }

  override rename(from: string, to: string): Promise<void> {
    return this.#watch(super.rename(from, to))
  }

  override async writeNew(path: string, parts: readonly Uint8Array[]): Promise<void> {
    await this.#watch(super.writeNew(path, parts))
    this.#state = 'ok'
  }

  override async openAppend(path: string): Promise<AppendFile> {
    const file = await this.#watch(super.openAppend(path))
    return {
      get size() {
        return file.size
      },
      append: bytes => this.#watch(file.append(bytes)),
      sync: async () => {
        await this.#watch(file.sync())
        this.#state = 'ok'
      },
      truncate: size => this.#watch(file.truncate(size)),
      close: () => file.close()
    }
  }

  async #watch<T>(writing: Promise<T>): Promise<T> {
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
