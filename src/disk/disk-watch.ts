import type { Capacity } from './capacity.ts'
import type { DiskState, WatchedFiles } from './watched-files.ts'

export interface DiskWatchOptions {
  files: Pick<WatchedFiles, 'state'>
  capacity: Pick<Capacity, 'isFull'>
  /** Told of each change, once; the first state is taken to be `ok`. */
  onChange: (state: DiskState) => void
}

/**
 * Whether this member can store anything, in a word: how the disk took the last write, and whether there is room left
 * that it may use. A full disk fails one write after the other; whoever keeps a log wants to read it once.
 */
export class DiskWatch {
  readonly #options: DiskWatchOptions
  #told: DiskState = 'ok'

  constructor(options: DiskWatchOptions) {
    this.#options = options
  }

  get state(): DiskState {
    const { files, capacity } = this.#options
    return files.state === 'ok' && capacity.isFull ? 'full' : files.state
  }

  /** Looks whether there is news. */
  look(): void {
    const { state } = this
    if (state === this.#told) return
    this.#told = state
    this.#options.onChange(state)
  }
}
