import type { BlockCid } from '../../format/cid.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { Clock } from '../../util/clock.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../../util/logger.ts'
import { PLAN_MS } from '../constants.ts'
import type { ClaimingNodes } from '../hold/claiming-nodes.ts'
import type { Claims } from '../hold/claims.ts'
import type { Holds } from '../hold/holds.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'
import { ReferenceLookup, type Referrers, referrersKey } from '../hold/reference-lookup.ts'
import { useBlock } from '../hold/use-block.ts'
import { nameOf } from '../log-names.ts'
import { type CopyPlan, provenBy } from './copy-plan.ts'

/** The plan to free a block that nothing claims any more, and to end the claims of a node with it. */
export interface UnclaimedPlan {
  reason: 'unclaimed'
  /** It has the codec of manifest nodes only if the block is known to be one. */
  cid: BlockCid
  /** Ends the claim that is over; left out for a block without claims. It runs under the block's lock. */
  endClaim?: (() => Promise<void>) | undefined
}

/** The block to free, and the reason. It can be inspected before it is executed. It must be executed only once. */
export type FreePlan = UnclaimedPlan | CopyPlan

/** The reason why a block stays; undefined if it was freed. */
export type Stays = string | undefined

const NOT_HERE = 'it is not here'
export const IS_CLAIMED = 'something claims it'
/** A manifest node that is kept because its links cannot be read: what it claims could not be released. */
export const UNREADABLE = 'it is a manifest node that cannot be read'
const UNCERTAIN = 'it is not certain which blocks are needed'

export interface FreerOptions {
  self: PeerId
  clock: Clock
  logger: ComponentLogger
  local: LocalBlocks
  claims: Claims
  holds: Holds
  /** Notes that a chunk that records need is about to be evicted. */
  markEvicted: (cid: BlockCid, referrers: Referrers) => Promise<void>
  nodes: ClaimingNodes
  /**
   * Returns true while a record that was released during its walk is still being walked. Until that walk has ended, it
   * may claim blocks for nodes whose claims were ended.
   */
  isWalkingReleased: () => Promise<boolean>
  /** Forgets all notes about a block that is gone and that nothing claims. */
  forget: (cid: BlockCid) => Promise<void>
  /** Returns false while it is not certain which blocks are needed. */
  mayFree: () => boolean
}

/**
 * The only way in which a block leaves this disk, whatever the reason. It executes a plan under the block's lock, which
 * keeping, claiming and promising take too, and checks there that everything the plan relies on is still true. When in
 * doubt, the block stays.
 */
export class Freer {
  readonly #options: FreerOptions
  readonly #log: Logger
  readonly #freed = { blocks: 0, bytes: 0 }

  constructor(options: FreerOptions) {
    this.#options = options
    this.#log = options.logger.forComponent('dfs:blocks:free')
  }

  /** The blocks that were freed since the start, and their sealed bytes. */
  get freed(): { blocks: number; bytes: number } {
    return { ...this.#freed }
  }

  /** Executes a plan. Returns the reason if the block stays. Throws the errors of the disk and of the index. */
  async execute(plan: FreePlan): Promise<Stays> {
    const stays = plan.reason === 'unclaimed' ? await this.#freeUnclaimed(plan) : await this.#freeCopy(plan)
    if (stays === undefined) this.#log.trace('block %s was freed: %s', nameOf(plan.cid), plan.reason)
    else this.#log.trace('block %s stays: %s', nameOf(plan.cid), stays)
    return stays
  }

  // A promise does not count here: it was made for a record that needed the block here, and no record does any more.
  async #freeUnclaimed({ cid, endClaim }: UnclaimedPlan): Promise<Stays> {
    const { claims, nodes, isWalkingReleased, forget } = this.#options
    const isClaimed = (): Promise<boolean> => claims.isClaimed(cid.multihash.bytes)
    if (endClaim === undefined && (await isClaimed())) return IS_CLAIMED
    // A node may have to come from another member, and its links never change. So it is read before the lock is taken.
    const claimed = await nodes.claimedBy(cid)
    const check = async (): Promise<Stays> => {
      await endClaim?.()
      if (await isClaimed()) return IS_CLAIMED
      if (await isWalkingReleased()) return UNCERTAIN
      if (claimed === 'unreadable') return UNREADABLE
      if (claimed !== undefined) await nodes.endClaims(cid, claimed)
      // A walk that has ended since found that it is a node.
      else if (await nodes.isClaiming(cid)) return UNCERTAIN
      return undefined
    }
    return this.#free(cid, check, () => forget(cid))
  }

  async #freeCopy(plan: CopyPlan): Promise<Stays> {
    const { cid, mustStay, proofs, wanted, referrers, reason } = plan
    if (mustStay) return 'a put needs it, or too few other members hold it'
    if (proofs.size < wanted) return 'too few members proved that they hold it'
    const proven = await this.#proven(plan)
    if (proven === undefined) return 'too few proofs are valid'
    // This is noted before the chunk is freed, so that after a crash a walk still finds that the chunk is owed again.
    if (reason === 'evict') await this.#options.markEvicted(cid, referrers)
    return this.#free(cid, () => this.#changed(plan, proven))
  }

  /** Checks the proofs of a plan against the chunk itself, which is read once for all of them. */
  async #proven(plan: CopyPlan): Promise<ReadonlyMap<PeerId, number> | undefined> {
    const { local, self } = this.#options
    try {
      return await useBlock(local, plan.cid, bytes => provenBy(plan, self, bytes))
    } catch (error) {
      this.#log('could not read block %s to check its proofs: %s', nameOf(plan.cid), reasonOf(error))
      return undefined
    }
  }

  /** Returns the reason if the chunk must stay because something has changed since it was planned. */
  async #changed({ cid, referrers, plannedAt }: CopyPlan, proven: ReadonlyMap<PeerId, number>): Promise<Stays> {
    const { claims, holds, clock } = this.#options
    // The wall clock also counts the time that the machine sleeps, and the monotonic clock cannot be set back.
    const ageMs = Math.max(clock.now() - plannedAt.wallAtMs, clock.monotonic() - plannedAt.monotonicAtMs)
    if (ageMs > PLAN_MS) return 'its plan is too old'
    if (holds.isHeld(cid, proven)) return 'another member relies on it'
    const current = await new ReferenceLookup(claims).of(cid.multihash.bytes)
    if (current.isInPut || current.isCut) return 'a put needs it, or too many records do'
    return referrersKey(current) === referrersKey(referrers) ? undefined : 'other records need it than before'
  }

  async #free(cid: BlockCid, check: () => Promise<Stays>, onGone?: () => Promise<void>): Promise<Stays> {
    let stays: Stays = NOT_HERE
    const mayFree = async (): Promise<boolean> => {
      const reason = this.#options.mayFree() ? await check() : UNCERTAIN
      if (reason !== undefined) stays = reason
      return reason === undefined
    }
    const bytes = await this.#options.local.free(cid, mayFree, onGone)
    if (bytes === undefined) return stays
    this.#freed.blocks++
    this.#freed.bytes += bytes
    return undefined
  }
}
