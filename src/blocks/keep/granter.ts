import { NoSpaceError } from '../../disk/errors.ts'
import { type BlockCid, cidOfMultihash } from '../../format/cid.ts'
import { BLOCK_BYTES_MAX } from '../../format/constants.ts'
import type { NodeCodec } from '../../format/manifest.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { Budget } from '../../util/budget.ts'
import { concatBytes, equalBytes, NO_BYTES, toHex } from '../../util/bytes.ts'
import type { Clock } from '../../util/clock.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../../util/logger.ts'
import { RefusedError } from '../../wire/errors.ts'
import { Bitmap } from '../bitmap.ts'
import { HOLD_CHUNKS_MAX, HOLD_MS, PROOF_BURST_BYTES, PROOF_BYTES_PER_S } from '../constants.ts'
import { isOutOfReach } from '../errors.ts'
import { type BlockPuller, sourcesOf } from '../fetch/puller.ts'
import { claimingNodeOp } from '../hold/claiming-nodes.ts'
import { Claims } from '../hold/claims.ts'
import type { Holds } from '../hold/holds.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'
import { ReferenceLookup } from '../hold/reference-lookup.ts'
import { releasedBlockOp } from '../hold/release-rows.ts'
import { useBlock } from '../hold/use-block.ts'
import { nameOf } from '../log-names.ts'
import type { ManifestBlock, ManifestChunk } from '../manifest-walk.ts'
import { possessionProofOf } from '../protocol/proof.ts'
import type { HoldPage, HoldPageAnswer } from '../protocol/store-messages.ts'
import { ProofPace } from './proof-pace.ts'
import { pageEnd, walkPage } from './walk-page.ts'

export interface HoldGranterOptions {
  self: PeerId
  clock: Clock
  logger: ComponentLogger
  codec: NodeCodec
  local: LocalBlocks
  claims: Claims
  puller: BlockPuller
  holds: Holds
  /** The memory of what is being sent to members. A proof takes as much of it as the block. */
  memory: Budget
  /** Returns true if a peer may ask us to store bytes. */
  mayStore: (peer: PeerId) => boolean
  /** Returns true if a peer may have copies to free, and so may ask for promises. */
  mayHold: (peer: PeerId) => boolean
  viewId: () => Uint8Array
}

/** A request, and what this member knows of its file. */
interface Question extends Pick<HoldPage, 'fetch' | 'from' | 'nonce'> {
  peer: PeerId
  signal: AbortSignal
  /** The ids (hex) of all records that, as far as the asker knows, need its chunks. */
  records: readonly string[]
  /** The ids (hex) of the records that refer to the root on this member. */
  rootRecords: ReadonlySet<string>
  lookup: ReferenceLookup
}

/**
 * Answers other members that ask about the replicas here: whether we have them, and whether we promise not to free
 * them.
 */
export class HoldGranter {
  readonly #options: HoldGranterOptions
  readonly #log: Logger
  readonly #pace: ProofPace

  constructor(options: HoldGranterOptions) {
    this.#options = options
    this.#log = options.logger.forComponent('dfs:blocks:keep')
    const { clock } = options
    this.#pace = new ProofPace({ clock, bytesPerS: PROOF_BYTES_PER_S, burstBytes: PROOF_BURST_BYTES })
  }

  /**
   * Returns the chunks of a page that are not here. Without a nonce and without `fetch`, it does nothing else. With
   * `fetch`, it first pulls the missing chunks, and a record claims them from then on. With a nonce, it also promises
   * not to free the chunks that are here for `HOLD_MS` from now, and proves that it has them: 32 bytes for each chunk,
   * in the order of the file. It answers for a part of the page if the whole page takes too long.
   */
  async holdRoot(request: HoldPage, peer: PeerId, signal: AbortSignal): Promise<HoldPageAnswer> {
    this.#assertMayAsk(request, peer)
    const { root, first, chunks, fetch, from, nonce, records } = request
    const { clock, local, codec, claims } = this.#options
    const lookup = new ReferenceLookup(claims)
    const rootRecords = new Set((await lookup.of(root.multihash.bytes)).records.keys())
    const question: Question = { fetch, from, nonce, peer, signal, records: records.map(toHex), rootRecords, lookup }
    const lacking = new Bitmap()
    const proofs: Uint8Array[] = []
    let asked = 0
    const onBatch = async (batch: ManifestChunk[]): Promise<void> => {
      const answers = await Promise.all(batch.map(chunk => this.#answer(chunk, question)))
      for (const [i, { chunkIndex }] of batch.entries()) {
        const proof = answers[i]
        asked++
        if (proof === undefined) lacking.add(chunkIndex - first)
        else proofs.push(proof)
      }
    }
    const covered = await walkPage({ clock, local, codec, root, first, chunks, onBatch })
    if (covered === undefined) {
      this.#log('%s asks about root %s: a manifest node of the file is not here', peer, nameOf(root))
      return { lacking: chunks, covered: pageEnd(first) - first, proofs: NO_BYTES }
    }
    const asks = nonce !== undefined ? 'for a hold on' : fetch ? 'us to take over' : 'about'
    this.#log('%s asks %s chunks of root %s: %d, here: %d', peer, asks, nameOf(root), asked, asked - lacking.size)
    return { lacking, covered, proofs: concatBytes(...proofs) }
  }

  #assertMayAsk({ view, chunks, fetch, nonce }: HoldPage, peer: PeerId): void {
    const { mayStore, mayHold, viewId } = this.#options
    if (nonce !== undefined && !mayHold(peer)) throw new RefusedError('forbidden')
    // Ranks under different views differ, so a promise made under one view means nothing under the other.
    if (nonce !== undefined && !equalBytes(view, viewId())) throw new RefusedError('view-differs')
    if (nonce === undefined && fetch && !mayStore(peer)) throw new RefusedError('forbidden')
    if (nonce !== undefined && chunks.size > HOLD_CHUNKS_MAX) throw new RefusedError('over-limit')
  }

  /**
   * Returns undefined if this member lacks the chunk, or else the proof of the chunk. The proof is empty if the peer
   * did not ask for a promise.
   */
  async #answer(chunk: ManifestChunk, question: Question): Promise<Uint8Array | undefined> {
    const { local, holds } = this.#options
    const { cid } = chunk
    const { nonce, peer, fetch, signal } = question
    if (nonce === undefined && !fetch) return (await local.isKept(cid)) ? NO_BYTES : undefined
    if (!(await this.#isNeededByAll(chunk, question))) return undefined
    // The promise is made under the block's lock, so that no evict of ours can be freeing the block at the same moment.
    let [isNeeded, isPromised] = [false, false]
    const claimAndHold = async (): Promise<void> => {
      isNeeded = await this.#refer(chunk)
      isPromised = isNeeded && nonce !== undefined && holds.grant(cid, peer, HOLD_MS)
    }
    const isHere =
      (await local.claimIfHere(cid, claimAndHold)) || (fetch && (await this.#pull(cid, question, claimAndHold)))
    if (!isHere || !isNeeded) return undefined
    if (nonce === undefined) return NO_BYTES
    return isPromised ? this.#prove(cid, nonce, peer, signal) : undefined
  }

  async #prove(cid: BlockCid, nonce: Uint8Array, peer: PeerId, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const { local, self, memory } = this.#options
    try {
      return await memory.run(BLOCK_BYTES_MAX, { owner: peer, signal }, async lease => {
        return useBlock(local, cid, async bytes => {
          lease.shrink(bytes.byteLength)
          await this.#pace.take(peer, bytes.byteLength, signal)
          return possessionProofOf(nonce, peer, self, bytes)
        })
      })
    } catch (error) {
      if (!isOutOfReach(error)) throw error
      this.#log('could not prove block %s: %s', nameOf(cid), reasonOf(error))
      return undefined
    }
  }

  async #pull(cid: BlockCid, { peer, from, signal }: Question, claim: () => Promise<void>): Promise<boolean> {
    try {
      const prefer = sourcesOf(peer, from)
      await this.#options.puller.pull(cid, { claim, signal, prefer, askedBy: peer })
      return true
    } catch (error) {
      if (!(error instanceof NoSpaceError || isOutOfReach(error))) throw error
      this.#log('could not pull block %s for a hold: %s', nameOf(cid), reasonOf(error))
      return false
    }
  }

  /**
   * Claims a chunk for the node that links to it. A record itself claims its root from the moment when it is accepted.
   * Returns false if the node or the record has been released meanwhile. The chunk may have been pulled since then, so it
   * is looked at again.
   */
  async #refer({ cid, parent }: ManifestBlock): Promise<boolean> {
    const { local, claims } = this.#options
    if (parent === null) {
      const isNeeded = await claims.isReferenced(cid.multihash.bytes)
      if (!isNeeded) await claims.add([releasedBlockOp(cid)])
      return isNeeded
    }
    return local.whileLocked(cidOfMultihash(parent), async () => {
      const isNeeded = await claims.isClaimed(parent)
      await claims.add(
        isNeeded
          ? [claimingNodeOp(parent), Claims.reference(cid.multihash.bytes, { by: 'node', multihash: parent })]
          : [releasedBlockOp(cid)]
      )
      return isNeeded
    })
  }

  /**
   * The asker names every record that needs the chunk. A member that does not know every one of these records must not
   * hold the chunk for the asker, because it might free the chunk too early.
   */
  async #isNeededByAll({ cid }: ManifestBlock, { records, rootRecords, lookup, nonce }: Question): Promise<boolean> {
    if (nonce === undefined) return rootRecords.size > 0
    if (records.length === 0) return false
    if (records.every(id => rootRecords.has(id))) return true
    const referrers = await lookup.of(cid.multihash.bytes)
    return records.every(id => rootRecords.has(id) || referrers.records.has(id))
  }
}
