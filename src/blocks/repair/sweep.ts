import { cidOfMultihash } from '../../format/cid.ts'
import type { Clock } from '../../util/clock.ts'
import { isAbort } from '../../util/errors.ts'
import { CLAIM_GRACE_MS, ORPHANS_PAUSE_BLOCKS, SWEEP_BATCH, SWEEP_MS } from '../constants.ts'
import type { Claims, ExpiredClaim, PutId } from '../hold/claims.ts'
import type { Holds } from '../hold/holds.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'

export interface SweeperOptions {
  clock: Clock
  claims: Claims
  local: LocalBlocks
  holds: Holds
  /** Puts of this member that are under way: their claims do not run out. */
  isUnderWay: (put: PutId) => boolean
  /** False while it is not certain what is needed. */
  mayFree: () => boolean
  onError: (error: unknown) => void
}

/**
 * Ends the claims of puts whose time is over, and frees what nothing claims any more. After an unclean stop it also
 * looks once at every block, for those that a crash left without a claim. On doubt, it keeps.
 */
export class Sweeper {
  readonly #options: SweeperOptions
  readonly #stopped = new AbortController()
  #working: Promise<void> = Promise.resolve()

  constructor(options: SweeperOptions) {
    this.#options = options
  }

  start({ mayHaveOrphans }: { mayHaveOrphans: boolean }): void {
    this.#working = this.#run(mayHaveOrphans)
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#working
  }

  /** One round over the claims. Gives how many blocks it freed. */
  async sweep(): Promise<number> {
    const { claims, clock, holds, mayFree } = this.#options
    holds.sweep()
    const before = clock.now() - CLAIM_GRACE_MS
    let freed = 0
    let batch: ExpiredClaim[] = []
    const flush = async (): Promise<void> => {
      for (const isFreed of await Promise.all(batch.map(claim => this.#end(claim, before)))) if (isFreed) freed++
      batch = []
    }
    for await (const claim of claims.expired(before)) {
      if (this.#stopped.signal.aborted || !mayFree()) return freed
      if (this.#options.isUnderWay(claim.put)) continue
      if (batch.push(claim) === SWEEP_BATCH) await flush()
    }
    await flush()
    return freed
  }

  /**
   * Looks at every block once, and frees those that nothing claims. Gives how many; undefined if it was not certain all
   * the while what is needed, and the round has to be made again.
   */
  async freeOrphans(): Promise<number | undefined> {
    const { local, holds, mayFree, clock, claims } = this.#options
    let looked = 0
    let freed = 0
    for await (const multihash of local.all()) {
      if (++looked % ORPHANS_PAUSE_BLOCKS === 0) await clock.sleep(0, this.#stopped.signal)
      if (this.#stopped.signal.aborted || !mayFree()) return undefined
      if (await claims.isClaimed(multihash)) continue
      const cid = cidOfMultihash(multihash)
      if (
        await local.release(
          cid,
          () => mayFree() && !holds.isHeld(cid),
          async () => {}
        )
      )
        freed++
    }
    return freed
  }

  async #run(mayHaveOrphans: boolean): Promise<void> {
    const { clock, mayFree, onError } = this.#options
    const { signal } = this.#stopped
    let hasOrphans = mayHaveOrphans
    while (!signal.aborted) {
      try {
        await clock.sleep(SWEEP_MS, signal)
        await this.sweep()
        if (hasOrphans && mayFree()) hasOrphans = (await this.freeOrphans()) === undefined
      } catch (error) {
        if (!isAbort(error) && !signal.aborted) onError(error)
      }
    }
  }

  #end(claim: ExpiredClaim, before: number): Promise<boolean> {
    const { claims, local, holds, mayFree } = this.#options
    const cid = cidOfMultihash(claim.multihash)
    return local.release(
      cid,
      () => mayFree() && !holds.isHeld(cid),
      () => claims.endExpired(claim, before)
    )
  }
}
