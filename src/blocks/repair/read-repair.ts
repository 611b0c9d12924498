import type { BlockCid } from '../../format/cid.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../../util/logger.ts'
import type { Fetched } from '../fetch/fetcher.ts'
import { nameOf } from '../log-names.ts'
import type { Memory } from '../memory.ts'
import type { Repair } from './repair.ts'

export interface ReadRepairOptions {
  logger: ComponentLogger
  repair: Pick<Repair, 'keepIfClaimed'>
  /** A block that is being written takes as much of the memory of pulls as if it had been pulled. */
  memory: Pick<Memory, 'pulls'>
  onError: (error: unknown) => void
}

/**
 * Stores blocks that were read from other members if a record needs them here, because this member evicted them or has
 * not pulled them yet. The reader does not wait for this. If there is no memory to spare for a block, it is not
 * stored now; a walk pulls it later.
 */
export class ReadRepair {
  readonly #options: ReadRepairOptions
  readonly #log: Logger
  readonly #underWay = new Set<Promise<void>>()

  constructor(options: ReadRepairOptions) {
    this.#options = options
    this.#log = options.logger.forComponent('dfs:blocks:repair')
  }

  /**
   * Begins to store a block if it is claimed here. Returns the block for the reader. Its buffer is not reused before
   * the block is written.
   */
  keep(cid: BlockCid, fetched: Fetched): Fetched {
    const { repair, memory, onError } = this.#options
    const lease = memory.pulls.tryAcquire(fetched.bytes.byteLength, 'blocks that were read')
    if (lease === undefined) return fetched
    const kept = repair
      .keepIfClaimed(cid, fetched.bytes)
      .catch(error => {
        this.#log('could not keep block %s after reading it: %s', nameOf(cid), reasonOf(error))
        onError(error)
      })
      .finally(() => {
        lease.release()
        this.#underWay.delete(kept)
      })
    this.#underWay.add(kept)
    return { ...fetched, release: () => void kept.then(fetched.release) }
  }

  /** Resolves once every block under way has been written. */
  async settled(): Promise<void> {
    await Promise.all(this.#underWay)
  }
}
