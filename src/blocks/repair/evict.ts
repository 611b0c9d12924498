import { type BlockCid, blockKey } from '../../format/cid.ts'
import type { NodeCodec } from '../../format/manifest.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { ViewMember } from '../../members/view.ts'
import { fromHex } from '../../util/bytes.ts'
import type { Chance } from '../../util/chance.ts'
import type { Clock } from '../../util/clock.ts'
import { raceSignal } from '../../util/deadline.ts'
import { Limiter } from '../../util/limiter.ts'
import { RefusedError } from '../../wire/errors.ts'
import { Bitmap } from '../bitmap.ts'
import {
  EVICT_HOLD_BLOCKS,
  HOLD_RECORDS_MAX,
  PLAN_MS,
  PROOF_READS,
  VIEW_PAUSE_MS,
  VIEW_TRIES,
  WALK_BATCH
} from '../constants.ts'
import type { Claims } from '../hold/claims.ts'
import type { Holds } from '../hold/holds.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'
import { copiesWanted, ReferenceLookup, type Referrers, referrersKey } from '../hold/reference-lookup.ts'
import { walkManifest } from '../manifest-walk.ts'
import { isProof, NONCE_BYTES, PROOF_BYTES } from '../protocol/proof.ts'
import type { StoreClient } from '../protocol/store-client.ts'
import type { Ranking } from '../rank.ts'
import type { RecordRef } from '../record-ref.ts'
import type { Repair } from './repair.ts'

export interface EvictorOptions {
  self: PeerId
  clock: Clock
  chance: Chance
  codec: NodeCodec
  local: LocalBlocks
  claims: Claims
  holds: Holds
  storeClient: Pick<StoreClient, 'holdRoot'>
  repair: Pick<Repair, 'markEvicted'>
  ranking: () => Ranking
  keepers: () => PeerId[]
  viewId: () => Uint8Array
  readNode: (cid: BlockCid) => Promise<Uint8Array>
}

export interface Evicted {
  freed: { blocks: number; bytes: number }
  left: { blocks: number; bytes: number }
}

/** A chunk that is here, and what is known of the others' copies. */
interface Candidate {
  cid: BlockCid
  chunkIndex: number
  referrers: Referrers
  /** The others who owe it, in rank, and how many of them must prove that they hold it. */
  others: ViewMember[]
  wanted: number
  /** What they sent as proof, with the nonce that it answers. */
  proofs: Map<PeerId, { nonce: Uint8Array; proof: Uint8Array }>
  isHopeless: boolean
}

/**
 * Gives this member's copies away: ranks itself last, has the others who then owe a chunk prove that they hold it (they
 * pull first what they lack), and frees it under its lock. What is not proven stays. Manifest nodes are never evicted.
 */
export class Evictor {
  readonly #options: EvictorOptions

  constructor(options: EvictorOptions) {
    this.#options = options
  }

  /** Evicts the chunks of one record. An abort leaves those that were not looked at yet. */
  async evict(record: RecordRef, signal?: AbortSignal): Promise<Evicted> {
    const { local, codec, readNode } = this.#options
    const result: Evicted = { freed: { blocks: 0, bytes: 0 }, left: { blocks: 0, bytes: 0 } }
    // A file may hold the same chunk at many places: one is enough.
    let batch = new Map<string, { cid: BlockCid; chunkIndex: number }>()
    for await (const { cid, chunkIndex } of walkManifest(record.root, readNode, codec)) {
      signal?.throwIfAborted()
      if (chunkIndex === null || batch.has(blockKey(cid)) || !(await local.has(cid))) continue
      batch.set(blockKey(cid), { cid, chunkIndex })
      if (batch.size < WALK_BATCH) continue
      await this.#evictBatch(record, [...batch.values()], result, signal)
      batch = new Map()
    }
    if (batch.size > 0) await this.#evictBatch(record, [...batch.values()], result, signal)
    return result
  }

  async #evictBatch(
    record: RecordRef,
    chunks: Array<{ cid: BlockCid; chunkIndex: number }>,
    result: Evicted,
    signal: AbortSignal | undefined
  ): Promise<void> {
    const { clock, claims } = this.#options
    const started = { now: clock.now(), monotonic: clock.monotonic() }
    const lookup = new ReferenceLookup(claims)
    const candidates = await Promise.all(
      chunks.map(async chunk => this.#candidate(chunk, await lookup.of(chunk.cid.multihash.bytes)))
    )
    await this.#gatherProofs(record, candidates, signal)
    const slots = new Limiter(PROOF_READS)
    await Promise.all(
      candidates.map(candidate =>
        slots.run(async () => {
          const bytes = await this.#options.local.sizeOf(candidate.cid)
          const isFreed = (await this.#isProven(candidate)) && (await this.#free(candidate, started))
          const tally = isFreed ? result.freed : result.left
          tally.blocks++
          tally.bytes += bytes
        }, signal)
      )
    )
  }

  /** Who would owe the chunk if this member came last in rank. */
  #candidate(chunk: { cid: BlockCid; chunkIndex: number }, referrers: Referrers): Candidate {
    const { self, ranking } = this.#options
    const others = ranking()
      .owners(chunk.cid.multihash.digest, Number.POSITIVE_INFINITY)
      .filter(({ peer }) => peer !== self)
    const wanted = Math.min(copiesWanted(referrers), others.length)
    const records = referrers.records.size
    const isHopeless = wanted === 0 || referrers.isInPut || records > HOLD_RECORDS_MAX
    return { ...chunk, referrers, others, wanted, proofs: new Map(), isHopeless }
  }

  /**
   * Asks round by round: first the members that owe a chunk, then, for each that has no room and lacks it, the next in
   * rank. If none of those can read, one more that can.
   */
  async #gatherProofs(record: RecordRef, candidates: Candidate[], signal: AbortSignal | undefined): Promise<void> {
    const reachable = new Set(this.#options.keepers())
    for (;;) {
      const asks = new Map<PeerId, Candidate[]>()
      for (const candidate of candidates) {
        if (candidate.isHopeless) continue
        for (const peer of stillToAsk(candidate)) {
          if (reachable.has(peer)) asks.set(peer, [...(asks.get(peer) ?? []), candidate])
          else candidate.isHopeless = true
        }
      }
      if (asks.size === 0) return
      await Promise.all([...asks].map(([peer, asked]) => this.#askAll(record, peer, asked, signal)))
    }
  }

  /** Asks one member for its proofs, chunks that the same records need together. */
  async #askAll(record: RecordRef, peer: PeerId, asked: Candidate[], signal: AbortSignal | undefined): Promise<void> {
    for (const group of Map.groupBy(asked, ({ referrers }) => referrersKey(referrers)).values()) {
      for (let start = 0; start < group.length; start += EVICT_HOLD_BLOCKS) {
        const some = group.slice(start, start + EVICT_HOLD_BLOCKS)
        const isAnswered = await this.#ask(record, peer, some, signal)
        if (isAnswered) continue
        // Silent, gone, or of another view: there is nothing more to be had from it in this plan.
        for (const candidate of asked) candidate.isHopeless ||= !candidate.proofs.has(peer)
        return
      }
    }
  }

  async #ask(record: RecordRef, peer: PeerId, asked: Candidate[], signal?: AbortSignal): Promise<boolean> {
    const { storeClient, viewId, chance, clock } = this.#options
    const nonce = chance.bytes(NONCE_BYTES)
    const records = [...(asked[0] as Candidate).referrers.records.keys()].map(fromHex)
    const chunks = new Bitmap()
    for (const { chunkIndex } of asked) chunks.add(chunkIndex)
    for (let attempt = 1; ; attempt++) {
      signal?.throwIfAborted()
      try {
        const hold = { view: viewId(), root: record.root, chunks, fetch: true, nonce, records }
        const { lacking, proofs } = await raceSignal(storeClient.holdRoot(peer, hold), signal)
        let at = 0
        for (const { chunkIndex, proofs: known } of asked) {
          const proof = lacking.has(chunkIndex) ? NO_PROOF : proofs.subarray(at++ * PROOF_BYTES, at * PROOF_BYTES)
          known.set(peer, { nonce, proof })
        }
        return true
      } catch (error) {
        signal?.throwIfAborted()
        const isUnsettled = error instanceof RefusedError && error.status === 'view-differs'
        if (!isUnsettled || attempt === VIEW_TRIES) return false
        await clock.sleep(VIEW_PAUSE_MS, signal)
      }
    }
  }

  /** Checks the proofs against the chunk itself, which is read once for all of them. */
  async #isProven({ cid, isHopeless, wanted, proofs, others }: Candidate): Promise<boolean> {
    if (isHopeless || proofs.size < wanted) return false
    const { local, self } = this.#options
    const bytes = await local.get(cid).catch(() => undefined)
    if (bytes === undefined) return false
    const holders = others.filter(({ peer }) => {
      const given = proofs.get(peer)
      return given !== undefined && isProof(given.proof, given.nonce, self, peer, bytes)
    })
    return holders.length >= wanted && holders.some(({ canRead }) => canRead)
  }

  async #free({ cid, referrers }: Candidate, started: { now: number; monotonic: number }): Promise<boolean> {
    const { local, clock, claims, holds, repair } = this.#options
    await repair.markEvicted(cid, referrers)
    return local.freeProven(cid, async () => {
      // The plan may have grown old (one of the two clocks counts sleep, the other cannot be set back), somebody may
      // rest on our copy, or a new record may need it by now.
      const ageMs = Math.max(clock.now() - started.now, clock.monotonic() - started.monotonic)
      if (ageMs > PLAN_MS || holds.isHeld(cid)) return false
      const now = await new ReferenceLookup(claims).of(cid.multihash.bytes)
      return !now.isInPut && referrersKey(now) === referrersKey(referrers)
    })
  }
}

const NO_PROOF = new Uint8Array(0)

/** Members that must still be asked for a chunk; none if all that can be had is there, or if it is hopeless. */
function stillToAsk(candidate: Candidate): PeerId[] {
  const { others, wanted, proofs } = candidate
  const counted: ViewMember[] = []
  for (const member of others) {
    if (counted.length >= wanted && counted.some(({ canRead }) => canRead)) break
    // With enough of them, only one that can read is still looked for.
    if (counted.length >= wanted && !member.canRead) continue
    const given = proofs.get(member.peer)
    if (given === undefined || given.proof.byteLength > 0) counted.push(member)
    // One that has room, and still lacks it after it was asked to pull: nobody may take its place.
    else if (!member.isFull) candidate.isHopeless = true
  }
  if (counted.length < wanted || !counted.some(({ canRead }) => canRead)) candidate.isHopeless = true
  if (candidate.isHopeless) return []
  return counted.filter(({ peer }) => !proofs.has(peer)).map(({ peer }) => peer)
}
