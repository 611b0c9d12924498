import type { RecordRef } from '../record-ref.ts'
import type { CopyFreer, Freed } from './copy-freer.ts'
import type { FreeGuard } from './free-guard.ts'
import type { Releaser } from './releaser.ts'
import type { Sweeper } from './sweep.ts'

export interface FreeingOptions {
  guard: FreeGuard
  copyFreer: CopyFreer
  releaser: Releaser
  sweeper: Sweeper
}

/** What other rooms ask for in order to get space back. All of it ends at the `Freer`, which alone removes blocks. */
export class Freeing {
  readonly #options: FreeingOptions

  constructor(options: FreeingOptions) {
    this.#options = options
  }

  /** Frees soon what was released. Call it after a batch that has the changes of `Blocks.releaseOps`. */
  wake(): void {
    this.#options.releaser.worker.wake()
  }

  /**
   * Frees those of this member's copies of a file for which other members prove that they hold theirs. Throws an
   * `EvictRefusedError` while it is not certain which records need the copies, and for an hour after an unclean stop.
   * Counts in `result` what it has done, even if it fails half-way.
   */
  async evict(record: RecordRef, signal?: AbortSignal, result?: Freed): Promise<Freed> {
    const { guard, copyFreer } = this.#options
    await guard.assertMayEvict(signal)
    return copyFreer.free(record, 'evict', signal, result)
  }

  /** True while there may be blocks that nothing claims, because a stop was unclean. They are freed later. */
  get mayHaveOrphans(): boolean {
    return this.#options.sweeper.mayHaveOrphans
  }

  /** The released manifest nodes that stay, with all that only they claim, because nobody could deliver them. */
  get unreadableNodes(): number {
    return this.#options.releaser.unreadableNodes
  }
}
