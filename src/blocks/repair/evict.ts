import { blockKey } from '../../format/cid.ts'
import type { NodeCodec } from '../../format/manifest.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { Chance } from '../../util/chance.ts'
import type { Clock } from '../../util/clock.ts'
import { Limiter } from '../../util/limiter.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../../util/logger.ts'
import { PLAN_MS, PROOF_READS } from '../constants.ts'
import type { Claims } from '../hold/claims.ts'
import type { Holds } from '../hold/holds.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'
import { ReferenceLookup, referrersKey } from '../hold/reference-lookup.ts'
import { nameOf, nameOfId } from '../log-names.ts'
import { isChunk, type ManifestChunk, type ReadNode, walkBatches } from '../manifest-walk.ts'
import type { StoreClient } from '../protocol/store-client.ts'
import type { Ranking } from '../rank.ts'
import type { RecordRef } from '../record-ref.ts'
import { type ChunkPlan, isProven, planOne } from './evict-plan.ts'
import { ProofCollector } from './proof-collector.ts'
import type { Repair } from './repair.ts'

export interface EvictorOptions {
  self: PeerId
  clock: Clock
  chance: Chance
  logger: ComponentLogger
  codec: NodeCodec
  local: LocalBlocks
  claims: Claims
  holds: Holds
  storeClient: Pick<StoreClient, 'holdRoot'>
  repair: Pick<Repair, 'markEvicted'>
  ranking: () => Ranking
  /** Returns the members that may be asked now. */
  admitted: () => PeerId[]
  viewId: () => Uint8Array
  readNode: ReadNode
}

/**
 * The chunks that an evict freed, and those that it left here. Each chunk is counted once, with the size of its sealed
 * block.
 */
export interface Evicted {
  freed: { blocks: number; bytes: number }
  /**
   * Chunks that were here and stay, because the copies of other members were not proven or because something else needs
   * the chunks.
   */
  left: { blocks: number; bytes: number }
}

/**
 * When a plan was made, by both clocks. The wall clock also counts the time that the machine sleeps, and the monotonic
 * clock cannot be set back.
 */
interface PlannedAt {
  wallAtMs: number
  monotonicAtMs: number
}

/**
 * Frees those of this member's copies of a file for which other members hold theirs. It takes three steps for each
 * batch of chunks:
 *
 * 1. plan: who would owe each chunk if this member came last in rank, and how many of them must hold it (`planOne`);
 * 2. collect: those members promise to hold the chunk and prove that they have it; they pull it first if they lack it;
 * 3. execute: each chunk with valid proofs is freed under its lock, unless something has changed in the meantime.
 *
 * A chunk without enough valid proofs stays. Manifest nodes are never evicted.
 */
export class Evictor {
  readonly #options: EvictorOptions
  readonly #log: Logger
  readonly #proofs: ProofCollector

  constructor(options: EvictorOptions) {
    const { clock, chance, logger, storeClient, admitted, viewId } = options
    this.#options = options
    this.#log = logger.forComponent('dfs:blocks:evict')
    this.#proofs = new ProofCollector({ clock, chance, log: this.#log, storeClient, admitted, viewId })
  }

  /** Evicts the chunks of one record. After an abort, the chunks that it has not looked at yet stay. */
  async evict({ id, root }: RecordRef, signal?: AbortSignal): Promise<Evicted> {
    const { codec } = this.#options
    const result: Evicted = { freed: { blocks: 0, bytes: 0 }, left: { blocks: 0, bytes: 0 } }
    const readNode: ReadNode = (cid, parent) => {
      signal?.throwIfAborted()
      return this.#options.readNode(cid, parent)
    }
    this.#log('record %s: evicts its chunks', nameOfId(id))
    for await (const batch of walkBatches({ root, readNode, codec, select: isChunk })) {
      signal?.throwIfAborted()
      const plannedAt = this.#nowByBothClocks()
      const candidates = await this.#plan(batch)
      await this.#proofs.collect(root, candidates, signal)
      await this.#execute(candidates, plannedAt, result, signal)
    }
    this.#log('record %s: chunks freed: %d, left: %d', nameOfId(id), result.freed.blocks, result.left.blocks)
    return result
  }

  /** Plans the chunks that are here, in the order of the file. */
  async #plan(batch: readonly ManifestChunk[]): Promise<ChunkPlan[]> {
    const { self, local, claims, ranking } = this.#options
    const distinct = firstOfEach(batch)
    const isHere = await Promise.all(distinct.map(({ cid }) => local.has(cid)))
    const order = ranking()
    const lookup = new ReferenceLookup(claims)
    return Promise.all(
      distinct
        .filter((_, i) => isHere[i])
        .map(async chunk => {
          const referrers = await lookup.of(chunk.cid.multihash.bytes)
          const ranked = order.owners(chunk.cid.multihash.digest, Number.POSITIVE_INFINITY)
          return planOne(chunk, referrers, ranked, self)
        })
    )
  }

  async #execute(
    candidates: readonly ChunkPlan[],
    plannedAt: PlannedAt,
    result: Evicted,
    signal: AbortSignal | undefined
  ): Promise<void> {
    const slots = new Limiter(PROOF_READS)
    await Promise.all(
      candidates.map(candidate =>
        slots.run(async () => {
          const bytes = await this.#options.local.sizeOf(candidate.cid)
          const reason = (await this.#unproven(candidate)) ?? (await this.#free(candidate, plannedAt))
          if (reason === undefined) this.#log.trace('block %s was freed', nameOf(candidate.cid))
          else this.#log.trace('block %s stays: %s', nameOf(candidate.cid), reason)
          const sum = reason === undefined ? result.freed : result.left
          sum.blocks++
          sum.bytes += bytes
        }, signal)
      )
    )
  }

  /**
   * Checks the proofs against the chunk itself, which is read once for all of them. Returns the reason why the chunk
   * must stay, or undefined if the proofs suffice.
   */
  async #unproven(candidate: ChunkPlan): Promise<string | undefined> {
    const { local, self } = this.#options
    const { cid, mustStay, proofs, wanted } = candidate
    if (mustStay) return 'a put needs it, or too few other members hold it'
    if (proofs.size < wanted) return 'too few members proved that they hold it'
    try {
      const bytes = await local.get(cid)
      return bytes !== undefined && isProven(candidate, self, bytes) ? undefined : 'too few proofs are true'
    } catch (error) {
      this.#log('could not read block %s to check its proofs: %s', nameOf(cid), reasonOf(error))
      return 'it cannot be read'
    }
  }

  /** Frees a proven chunk unless something has changed since it was planned. Returns the reason if the chunk stays. */
  async #free(plan: ChunkPlan, plannedAt: PlannedAt): Promise<string | undefined> {
    const { local, repair } = this.#options
    await repair.markEvicted(plan.cid, plan.referrers)
    let reason: string | undefined
    await local.freeProven(plan.cid, async () => {
      reason = await this.#changed(plan, plannedAt)
      return reason === undefined
    })
    return reason
  }

  async #changed({ cid, referrers }: ChunkPlan, plannedAt: PlannedAt): Promise<string | undefined> {
    const { claims, holds } = this.#options
    if (this.#ageMs(plannedAt) > PLAN_MS) return 'its plan is too old'
    if (holds.isHeld(cid)) return 'another member relies on it'
    const current = await new ReferenceLookup(claims).of(cid.multihash.bytes)
    if (current.isInPut) return 'a put needs it'
    return referrersKey(current) === referrersKey(referrers) ? undefined : 'other records need it than before'
  }

  #nowByBothClocks(): PlannedAt {
    const { clock } = this.#options
    return { wallAtMs: clock.now(), monotonicAtMs: clock.monotonic() }
  }

  #ageMs({ wallAtMs, monotonicAtMs }: PlannedAt): number {
    const { clock } = this.#options
    return Math.max(clock.now() - wallAtMs, clock.monotonic() - monotonicAtMs)
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
