import { blockKey } from '../../format/cid.ts'
import type { NodeCodec } from '../../format/manifest.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { Chance } from '../../util/chance.ts'
import type { Clock } from '../../util/clock.ts'
import { forEachUntilFailure } from '../../util/for-each.ts'
import type { ComponentLogger, Logger } from '../../util/logger.ts'
import type { Claims } from '../hold/claims.ts'
import type { Holds } from '../hold/holds.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'
import { ReferenceLookup } from '../hold/reference-lookup.ts'
import { nameOfId } from '../log-names.ts'
import { isChunk, type ManifestChunk, type ReadNode, walkBatches } from '../manifest-walk.ts'
import type { StoreClient } from '../protocol/store-client.ts'
import type { Ranking } from '../rank.ts'
import type { RecordRef } from '../record-ref.ts'
import { PROOF_READS } from './constants.ts'
import { type CopyPlan, type CopyReason, planCopy } from './copy-plan.ts'
import type { Freer } from './freer.ts'
import { ProofCollector } from './proof-collector.ts'

export interface CopyFreerOptions {
  self: PeerId
  clock: Clock
  chance: Chance
  logger: ComponentLogger
  codec: NodeCodec
  local: LocalBlocks
  claims: Claims
  holds: Holds
  storeClient: Pick<StoreClient, 'holdRoot'>
  freer: Freer
  ranking: () => Ranking
  /** Returns the members that may be asked now. */
  admitted: () => readonly PeerId[]
  viewId: () => Uint8Array
  readNode: ReadNode
}

/**
 * The chunks that were freed, and those that were left here. Each chunk is counted once, with the size of its sealed
 * block.
 */
export interface Freed {
  freed: { blocks: number; bytes: number }
  /**
   * Chunks that were here and stay, because the copies of other members were not proven or because something else needs
   * the chunks.
   */
  left: { blocks: number; bytes: number }
}

/**
 * Frees copies here of a file for which other members hold theirs. It takes three steps for each batch of chunks:
 *
 * 1. plan: which members stand in for this copy of a chunk, and how many of them must hold it (`planCopy`);
 * 2. collect: those members promise to hold the chunk and prove that they have it; they pull it first if they lack it;
 * 3. execute: the `Freer` frees each chunk with valid proofs, unless something has changed in the meantime.
 *
 * A chunk without enough valid proofs stays. A member's word alone is not enough, because it may have lost or damaged
 * its copy without noticing, and the copy here may be the last good one. Manifest nodes always stay, because every
 * member owes them.
 */
export class CopyFreer {
  readonly #options: CopyFreerOptions
  readonly #log: Logger
  readonly #proofs: ProofCollector

  constructor(options: CopyFreerOptions) {
    this.#options = options
    this.#log = options.logger.forComponent('dfs:blocks:free')
    this.#proofs = new ProofCollector({ ...options, log: this.#log })
  }

  /**
   * Frees chunks of one record. After an abort or a failure, the chunks that it has not looked at yet stay, and
   * `result` counts those that it has.
   */
  async free(
    { id, root }: RecordRef,
    reason: CopyReason,
    signal?: AbortSignal,
    result: Freed = { freed: { blocks: 0, bytes: 0 }, left: { blocks: 0, bytes: 0 } }
  ): Promise<Freed> {
    const { codec } = this.#options
    const readNode: ReadNode = (cid, parent) => {
      signal?.throwIfAborted()
      return this.#options.readNode(cid, parent)
    }
    this.#log('record %s: frees its chunks: %s', nameOfId(id), reason)
    for await (const batch of walkBatches({ root, readNode, codec, select: isChunk, isOnce: true })) {
      signal?.throwIfAborted()
      const plans = await this.#plan(batch, reason)
      await this.#proofs.collect(root, plans, signal)
      await this.#execute(plans, result, signal)
    }
    this.#log('record %s: chunks freed: %d, left: %d', nameOfId(id), result.freed.blocks, result.left.blocks)
    return result
  }

  /** Plans the chunks that are here, in the order of the file. A surplus plan leaves out those that are owed. */
  async #plan(batch: readonly ManifestChunk[], reason: CopyReason): Promise<CopyPlan[]> {
    const { self, local, claims, ranking, clock } = this.#options
    const plannedAt = { wallAtMs: clock.now(), monotonicAtMs: clock.monotonic() }
    const distinct = firstOfEach(batch)
    const isHere = await Promise.all(distinct.map(({ cid }) => local.has(cid)))
    const order = ranking()
    const lookup = new ReferenceLookup(claims)
    const plans = await Promise.all(
      distinct
        .filter((_, i) => isHere[i])
        .map(async chunk => {
          const referrers = await lookup.of(chunk.cid.multihash.bytes)
          const ranked = order.owners(chunk.cid.multihash.digest, Number.POSITIVE_INFINITY)
          return planCopy(chunk, { reason, plannedAt, referrers, ranked, self })
        })
    )
    return reason === 'surplus' ? plans.filter(({ isOwed }) => !isOwed) : plans
  }

  async #execute(plans: readonly CopyPlan[], result: Freed, signal: AbortSignal | undefined): Promise<void> {
    const { local, freer } = this.#options
    await forEachUntilFailure(plans, { atOnce: PROOF_READS, signal }, async plan => {
      const bytes = await local.sizeOf(plan.cid)
      const sum = (await freer.execute(plan)) === undefined ? result.freed : result.left
      sum.blocks++
      sum.bytes += bytes
    })
  }
}

/**
 * Returns the first occurrence of each chunk. A file may hold the same chunk at many indexes, but it is enough to look
 * at the first.
 */
function firstOfEach(batch: readonly ManifestChunk[]): ManifestChunk[] {
  const seen = new Set<string>()
  return batch.filter(({ cid }) => {
    const isNew = !seen.has(blockKey(cid))
    seen.add(blockKey(cid))
    return isNew
  })
}
