import { type BlockCid, blockKey } from '../format/cid.ts'
import type { NodeCodec } from '../format/manifest.ts'
import type { PeerId } from '../format/peer-id.ts'
import { toHex } from '../util/bytes.ts'
import type { Chance } from '../util/chance.ts'
import type { Clock } from '../util/clock.ts'
import { RefusedError } from '../wire/errors.ts'
import { Bitmap } from './bitmap.ts'
import type { Claims } from './claims.ts'
import { HOLD_RECORDS_MAX, PLAN_MS, WALK_BATCH } from './constants.ts'
import { type DagBlock, walkDag } from './dag.ts'
import type { Holds } from './holds.ts'
import type { KeepProtocol } from './keep-protocol.ts'
import { isProof, PROOF_BYTES } from './keeper.ts'
import type { LocalBlocks } from './local-blocks.ts'
import type { Ranking } from './rank.ts'
import type { RecordRef, References } from './references.ts'

export interface EvictorOptions {
  self: PeerId
  clock: Clock
  chance: Chance
  codec: NodeCodec
  local: LocalBlocks
  claims: Claims
  holds: Holds
  keeps: KeepProtocol
  references: References
  ranking: () => Ranking
  keepers: () => PeerId[]
  viewId: () => Uint8Array
  readNode: (cid: BlockCid) => Promise<Uint8Array>
}

export interface Evicted {
  freed: { blocks: number; bytes: number }
  left: { blocks: number; bytes: number }
}

/** Views of two members settle within a few status rounds; until then a hold is asked for again. */
const VIEW_TRIES = 6
const VIEW_PAUSE_MS = 500

/**
 * Gives this member's copies away: ranks itself last, has the others who then owe a chunk prove that they hold it (they
 * pull first what they lack), and frees it under its lock. What is not proven stays. Manifest nodes are never evicted.
 */
export class Evictor {
  readonly #options: EvictorOptions

  constructor(options: EvictorOptions) {
    this.#options = options
  }

  async evict(record: RecordRef, signal?: AbortSignal): Promise<Evicted> {
    const { local, codec, readNode } = this.#options
    const result: Evicted = { freed: { blocks: 0, bytes: 0 }, left: { blocks: 0, bytes: 0 } }
    let batch: DagBlock[] = []
    for await (const block of walkDag(record.root, readNode, codec)) {
      signal?.throwIfAborted()
      if (block.leaf === null || !(await local.has(block.cid))) continue
      batch.push(block)
      if (batch.length < WALK_BATCH) continue
      await this.#evictBatch(record, batch, result, signal)
      batch = []
    }
    if (batch.length > 0) await this.#evictBatch(record, batch, result, signal)
    return result
  }

  async #evictBatch(record: RecordRef, batch: DagBlock[], result: Evicted, signal?: AbortSignal): Promise<void> {
    const started = this.#options.clock.now()
    const needs = new Map(
      await Promise.all(batch.map(async block => [block, await this.#neededBy(block.cid)] as const))
    )
    // Blocks that the same records need are asked for together.
    const groups = Map.groupBy(batch, block => needs.get(block)?.key)
    for (const [, blocks] of groups) {
      const [first] = blocks
      const need = first === undefined ? undefined : needs.get(first)
      const proven =
        need === undefined || need.records.length === 0 || need.isInPut || need.records.length > HOLD_RECORDS_MAX
          ? new Set<DagBlock>()
          : await this.#prove(record, blocks, need.records, signal)
      for (const block of blocks) await this.#free(block, proven.has(block), started, result)
    }
  }

  async #free({ cid }: DagBlock, isProven: boolean, started: number, result: Evicted): Promise<void> {
    const { local, clock, holds, references } = this.#options
    const bytes = (await local.get(cid).catch(() => undefined))?.byteLength ?? 0
    let isFreed = false
    if (isProven) {
      await references.markEvicted([cid])
      const before = await this.#neededBy(cid)
      isFreed = await local.freeProven(cid, async () => {
        // The plan may have grown old, somebody may rest on our copy, or a new record may need it by now.
        if (clock.now() - started > PLAN_MS || holds.isHeld(cid)) return false
        const now = await this.#neededBy(cid)
        return !now.isInPut && now.key === before.key
      })
    }
    const tally = isFreed ? result.freed : result.left
    tally.blocks++
    tally.bytes += bytes
  }

  /** The blocks of which every member that must, proved to hold its copy. */
  async #prove(
    record: RecordRef,
    blocks: DagBlock[],
    records: Uint8Array[],
    signal?: AbortSignal
  ): Promise<Set<DagBlock>> {
    const { self, ranking, keepers } = this.#options
    const reachable = new Set(keepers())
    const order = ranking()
    const askedOf = new Map<PeerId, DagBlock[]>()
    const missing = new Map<DagBlock, number>()
    for (const block of blocks) {
      const others = order
        .owners(block.cid.multihash.digest, Number.POSITIVE_INFINITY)
        .filter(({ peer }) => peer !== self)
      const needed = others.slice(0, Math.min(record.replicas, others.length))
      missing.set(block, needed.length)
      if (needed.length === 0 || !needed.some(({ canRead }) => canRead)) missing.set(block, Number.POSITIVE_INFINITY)
      for (const { peer } of needed) {
        if (reachable.has(peer)) askedOf.set(peer, [...(askedOf.get(peer) ?? []), block])
      }
    }
    await Promise.all(
      [...askedOf].map(async ([peer, asked]) => {
        for (const block of await this.#hold(peer, record.root, asked, records, signal)) {
          missing.set(block, (missing.get(block) ?? 1) - 1)
        }
      })
    )
    return new Set(blocks.filter(block => missing.get(block) === 0))
  }

  /** The blocks that one member proved. */
  async #hold(
    peer: PeerId,
    root: BlockCid,
    blocks: DagBlock[],
    records: Uint8Array[],
    signal?: AbortSignal
  ): Promise<DagBlock[]> {
    const { self, keeps, viewId, chance, clock, local } = this.#options
    const nonce = chance.bytes(32)
    const leaves = new Bitmap()
    for (const { leaf } of blocks) leaves.add(leaf as number)
    for (let attempt = 1; ; attempt++) {
      try {
        const { lacking, proofs } = await keeps.holdRoot(
          peer,
          { view: viewId(), root, leaves, fetch: true, nonce, records },
          signal
        )
        const held = blocks.filter(({ leaf }) => !lacking.has(leaf as number))
        const proven: DagBlock[] = []
        for (const [i, block] of held.entries()) {
          const bytes = await local.get(block.cid)
          const proof = proofs.subarray(i * PROOF_BYTES, (i + 1) * PROOF_BYTES)
          if (bytes !== undefined && isProof(proof, nonce, self, peer, bytes)) proven.push(block)
        }
        return proven
      } catch (error) {
        signal?.throwIfAborted()
        const isUnsettled = error instanceof RefusedError && error.status === 'view-differs'
        if (!isUnsettled || attempt === VIEW_TRIES) return []
        await clock.sleep(VIEW_PAUSE_MS, signal)
      }
    }
  }

  /** Every record that needs a block, up through the nodes that link to it; and whether a put under way does. */
  async #neededBy(cid: BlockCid): Promise<{ records: Uint8Array[]; isInPut: boolean; key: string }> {
    const records = new Map<string, Uint8Array>()
    const seen = new Set<string>([blockKey(cid)])
    const pending: Uint8Array[] = [cid.multihash.bytes]
    let isInPut = false
    while (pending.length > 0) {
      for (const owner of await this.#options.claims.owners(pending.pop() as Uint8Array)) {
        if (owner.by === 'record') records.set(toHex(owner.id), owner.id)
        else if (owner.by === 'put') isInPut = true
        else if (!seen.has(toHex(owner.multihash))) {
          seen.add(toHex(owner.multihash))
          pending.push(owner.multihash)
        }
      }
    }
    return { records: [...records.values()], isInPut, key: [...records.keys()].sort().join() }
  }
}
