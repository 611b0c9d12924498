import type { BlockCid } from '../../format/cid.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { Budget } from '../../util/budget.ts'
import { DeadlineError } from '../../util/errors.ts'
import { BlockUnreachableError } from '../errors.ts'
import type { GroupedKeeps } from '../hold/grouped-keeps.ts'
import type { Claim, LocalBlocks } from '../hold/local-blocks.ts'
import type { Fetcher, FetchOptions } from './fetcher.ts'
import { boundOf } from './source-asker.ts'

export interface PullOptions extends FetchOptions {
  /**
   * The peer that asked for the block, so that the memory counts as its share. If left out, this member asked for it.
   */
  askedBy?: PeerId | undefined
  /** The length of the block, as the peer that asked says. */
  sizeBytes?: number | undefined
  /** The claim on the block. Leave it out if something already claims the block. */
  claim?: Claim | undefined
}

export interface BlockPullerOptions {
  fetcher: Pick<Fetcher, 'fetch'>
  local: Pick<LocalBlocks, 'keep'>
  /** Stores what is pulled for puts. */
  keeps: Pick<GroupedKeeps, 'expect' | 'keep'>
  memory: Budget
}

/** The owner of the leases for blocks that this member pulls because it owes them. */
const OWN = 'this member'

/**
 * Brings blocks onto this disk for whatever reason: a writer asked us to keep them, a hold needs them, or this member
 * owes them. All pulls share one budget of memory, and the peers that asked for them take turns, so a peer whose blocks
 * come slowly delays only itself. If a peer serves its own blocks so slowly that it was cut, the pulls that wait for it
 * fail at once: they would be just as slow.
 */
export class BlockPuller {
  readonly #fetcher: Pick<Fetcher, 'fetch'>
  readonly #local: Pick<LocalBlocks, 'keep'>
  readonly #keeps: Pick<GroupedKeeps, 'expect' | 'keep'>
  readonly #memory: Budget

  constructor({ fetcher, local, keeps, memory }: BlockPullerOptions) {
    this.#fetcher = fetcher
    this.#local = local
    this.#keeps = keeps
    this.#memory = memory
  }

  /**
   * Fetches one block, verifies it, and stores it together with its claim. Both are durable when this resolves. Returns
   * the peer that delivered the block. Throws what `fetch` throws, and a `NoSpaceError` if the disk is full.
   */
  async pull(cid: BlockCid, { claim, askedBy, sizeBytes, ...options }: PullOptions): Promise<PeerId> {
    const owner = askedBy ?? OWN
    const bytesMax = Math.min(sizeBytes ?? Number.POSITIVE_INFINITY, boundOf(cid))
    const lease = await this.#memory.acquire(bytesMax, { owner, signal: options.signal })
    const isForPut = typeof claim === 'object'
    const arrived = isForPut ? this.#keeps.expect() : undefined
    try {
      const onLength = (bytes: number): void => lease.shrink(bytes)
      const { bytes, from, release } = await this.#fetcher.fetch(cid, { ...options, bytesMax, onLength })
      lease.shrink(bytes.byteLength)
      arrived?.()
      if (isForPut) await this.#keeps.keep(cid, bytes, claim)
      else await this.#local.keep(cid, bytes, claim)
      release()
      return from
    } catch (error) {
      const isCut = error instanceof BlockUnreachableError && error.cause instanceof DeadlineError
      if (isCut && options.only === true) this.#memory.fail(owner, error)
      throw error
    } finally {
      arrived?.()
      lease.release()
    }
  }
}

/** Returns the members to pull from: the one that the asker named, then the asker. */
export function sourcesOf(peer: PeerId, from: PeerId | undefined): PeerId[] {
  return from === undefined ? [peer] : [from, peer]
}
