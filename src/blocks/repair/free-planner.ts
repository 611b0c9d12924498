import { type IndexDb, indexKey } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import { type BlockCid, blockKey, cidOfMultihash } from '../../format/cid.ts'
import type { NodeCodec } from '../../format/manifest.ts'
import type { PeerId } from '../../format/peer-id.ts'
import { toHex } from '../../util/bytes.ts'
import type { Clock } from '../../util/clock.ts'
import { isOutOfReach } from '../errors.ts'
import type { ClaimingNodes } from '../hold/claiming-nodes.ts'
import type { Claims, PutId } from '../hold/claims.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'
import { ReferenceLookup } from '../hold/reference-lookup.ts'
import {
  decodeReleasedBlock,
  decodeReleasedRecord,
  RELEASED_BLOCKS,
  RELEASED_RECORDS,
  releasedBlockKey
} from '../hold/release-rows.ts'
import { isChunk, walkBatches } from '../manifest-walk.ts'
import type { Ranking } from '../rank.ts'
import type { RecordRef } from '../record-ref.ts'
import { planCopy } from './copy-plan.ts'
import type { PutEnds } from './put-ends.ts'
import type { Surplus } from './surplus.ts'
import type { Sweeper } from './sweep.ts'

export interface FreePlannerOptions {
  self: PeerId
  clock: Clock
  codec: NodeCodec
  index: Pick<IndexDb, 'range' | 'has'>
  local: Pick<LocalBlocks, 'has' | 'sizeOf' | 'getOrThrow'>
  claims: Claims
  nodes: Pick<ClaimingNodes, 'claimedBy'>
  surplus: Pick<Surplus, 'noted'>
  sweeper: Pick<Sweeper, 'ended'>
  putEnds: Pick<PutEnds, 'isOver'>
  ranking: () => Ranking
}

/** A number of blocks, and their sealed bytes. */
export interface Sum {
  blocks: number
  bytes: number
}

/** What would be freed now, by the reason. */
export interface FreeablePlan {
  /** Content that its records no longer need: of deleted files and of versions whose time is over. */
  released: Sum
  /** Blocks of puts that ended without a record, that were cut off or that were given up. */
  endedPuts: Sum
  /** Copies that this member does not owe. They go if the members that owe them prove that they hold theirs. */
  surplus: Sum
}

/** Says what would be freed now and why, and changes nothing. */
export class FreePlanner {
  readonly #options: FreePlannerOptions

  constructor(options: FreePlannerOptions) {
    this.#options = options
  }

  async plan(signal?: AbortSignal): Promise<FreeablePlan> {
    return {
      released: await this.#released(signal),
      endedPuts: await this.#endedPuts(signal),
      surplus: await this.#surplus(signal)
    }
  }

  /**
   * Follows released content from the top down. A block would go once everything that claims it would go. So this looks
   * at a block again for each node above it that would go, and counts it with the last of these. It remembers only the
   * nodes: one for each thousand chunks.
   */
  async #released(signal: AbortSignal | undefined): Promise<Sum> {
    const { index, codec, nodes } = this.#options
    const sum = { blocks: 0, bytes: 0 }
    const going = new Set<string>()
    const follow = async (cid: BlockCid): Promise<void> => {
      signal?.throwIfAborted()
      const key = blockKey(cid)
      if (going.has(key) || !(await this.#isOnlyClaimedBy(cid, going))) return
      const claimed = await nodes.claimedBy(cid)
      if (claimed === 'unreadable') return
      await this.#count(cid, sum)
      if (claimed === undefined) return
      going.add(key)
      for (const block of claimed) await follow(block)
    }
    for await (const { key, value } of index.range(RELEASED_RECORDS)) {
      const { root } = decodeReleasedRecord(key, value, codec.code)
      // A root with a row of its own is counted below. Counted here too, a chunk would count twice, since it is not
      // remembered.
      if (!(await index.has(Buffer.concat([RELEASED_BLOCKS, root.multihash.bytes])))) await follow(root)
    }
    for await (const { key, value } of index.range(RELEASED_BLOCKS))
      await follow(decodeReleasedBlock(key, value, codec.code).cid)
    return sum
  }

  async #isOnlyClaimedBy({ multihash }: BlockCid, going: ReadonlySet<string>): Promise<boolean> {
    const { claims, putEnds } = this.#options
    for await (const claimant of claims.claimants(multihash.bytes)) {
      const isEnding =
        claimant.by === 'put'
          ? putEnds.isOver(claimant.put)
          : claimant.by === 'node' && going.has(toHex(claimant.multihash))
      if (!isEnding) return false
    }
    return true
  }

  /** A block counts with the first of the puts that claim it, if all of them have ended. */
  async #endedPuts(signal: AbortSignal | undefined): Promise<Sum> {
    const { sweeper, putEnds, claims, index } = this.#options
    const sum = { blocks: 0, bytes: 0 }
    const over = (put: PutId): boolean => putEnds.isOver(put)
    for await (const { put, multihash } of sweeper.ended(over)) {
      signal?.throwIfAborted()
      const cid = cidOfMultihash(multihash)
      let isFirst: boolean | undefined
      for await (const claimant of claims.claimants(multihash)) {
        const isOver =
          claimant.by === 'put' && (over(claimant.put) || (await claims.hasPut(claimant.put, [multihash]))[0] === false)
        isFirst = isOver && (isFirst ?? (claimant.by === 'put' && toHex(claimant.put) === toHex(put)))
        if (!isFirst) break
      }
      // A block that is also to be looked at has been counted above.
      if (isFirst !== true || (await index.has(releasedBlockKey(cid)))) continue
      if (!(await index.has(indexKey(TABLES.nodes, multihash)))) await this.#count(cid, sum)
    }
    return sum
  }

  /** A chunk counts with the first of the records that need it. */
  async #surplus(signal: AbortSignal | undefined): Promise<Sum> {
    const { surplus, codec, local } = this.#options
    const sum = { blocks: 0, bytes: 0 }
    for await (const { record } of surplus.noted()) {
      const { root } = record
      try {
        const readNode = (cid: BlockCid): Promise<Uint8Array> => local.getOrThrow(cid)
        for await (const batch of walkBatches({ root, readNode, codec, select: isChunk, isOnce: true })) {
          signal?.throwIfAborted()
          for (const chunk of batch) if (await this.#isSurplus(chunk, record)) await this.#count(chunk.cid, sum)
        }
      } catch (error) {
        if (!isOutOfReach(error)) throw error
      }
    }
    return sum
  }

  async #isSurplus(chunk: Parameters<typeof planCopy>[0], { id }: RecordRef): Promise<boolean> {
    const { claims, ranking, self, clock, local } = this.#options
    if (!(await local.has(chunk.cid))) return false
    const referrers = await new ReferenceLookup(claims).of(chunk.cid.multihash.bytes)
    const [first] = [...referrers.records.keys()].sort()
    if (first !== toHex(id)) return false
    const ranked = ranking().owners(chunk.cid.multihash.digest, Number.POSITIVE_INFINITY)
    const plannedAt = { wallAtMs: clock.now(), monotonicAtMs: clock.monotonic() }
    return !planCopy(chunk, { reason: 'surplus', plannedAt, referrers, ranked, self }).mustStay
  }

  async #count(cid: BlockCid, sum: Sum): Promise<void> {
    const { local } = this.#options
    const bytes = await local.sizeOf(cid)
    if (bytes === 0) return
    sum.blocks++
    sum.bytes += bytes
  }
}
