import { NoSpaceError } from '../../disk/errors.ts'
import type { BlockCid } from '../../format/cid.ts'
import { CHUNK_BYTES } from '../../format/constants.ts'
import type { PeerId } from '../../format/peer-id.ts'
import { concatBytes, equalBytes, toHex } from '../../util/bytes.ts'
import { Limiter } from '../../util/limiter.ts'
import { RefusedError } from '../../wire/errors.ts'
import { Bitmap } from '../bitmap.ts'
import { HOLD_LEAVES_MAX, HOLD_MS, PROOF_READS } from '../constants.ts'
import type { Fetcher } from '../fetch/fetcher.ts'
import type { ManifestBlock } from '../manifest-walk.ts'
import { proofOf } from '../protocol/proof.ts'
import type { HoldRoot } from '../protocol/store-messages.ts'
import { Claims } from './claims.ts'
import type { Holds } from './holds.ts'
import { isOutOfReach, type Keeper } from './keeper.ts'
import type { LocalBlocks } from './local-blocks.ts'
import { ReferenceLookup } from './reference-lookup.ts'

export interface HoldGranterOptions {
  self: PeerId
  local: LocalBlocks
  claims: Claims
  fetcher: Fetcher
  keeper: Keeper
  holds: Holds
  pulls: Limiter
  /** Whether a peer may have us store bytes. */
  mayStore: (peer: PeerId) => boolean
  viewId: () => Uint8Array
}

interface Asked extends Pick<HoldRoot, 'root' | 'fetch' | 'nonce'> {
  peer: PeerId
  signal: AbortSignal
  /** Ids (hex) of the records that the asker knows to need its blocks. */
  records: readonly string[]
  /** Ids (hex) of the records that refer to the root here. */
  known: ReadonlySet<string>
  lookup: ReferenceLookup
}

/** What this member tells others of its replicas: whether they are here, and that it will not free them. */
export class HoldGranter {
  readonly #options: HoldGranterOptions
  readonly #reads = new Limiter(PROOF_READS)

  constructor(options: HoldGranterOptions) {
    this.#options = options
  }

  /**
   * Of the chunks of the bitmap, which are not here. Without a nonce and without `fetch` that is all. With `fetch`, what
   * is lacking is pulled first, and referred to from then on. With a nonce each chunk that is here is promised for an
   * hour and proven, 32 bytes each, in order.
   */
  async holdRoot(
    request: HoldRoot,
    peer: PeerId,
    signal: AbortSignal
  ): Promise<{ lacking: Bitmap; proofs: Uint8Array }> {
    const { view, root, chunks, fetch, nonce, records } = request
    const { keeper, claims, mayStore, viewId } = this.#options
    // Ranks under different views differ: a promise made under one says nothing under the other.
    if (nonce !== undefined && !equalBytes(view, viewId())) throw new RefusedError('view-differs')
    if (nonce === undefined && fetch && !mayStore(peer)) throw new RefusedError('forbidden')
    if (nonce !== undefined && chunks.size > HOLD_LEAVES_MAX) throw new RefusedError('over-limit')
    const lacking = new Bitmap()
    const proofs: Uint8Array[] = []
    const lookup = new ReferenceLookup(claims)
    const known = new Set((await lookup.of(root.multihash.bytes)).records.keys())
    const asked: Asked = { root, fetch, nonce, peer, signal, records: records.map(toHex), known, lookup }
    const total = await keeper.forEach(
      root,
      chunks,
      async () => {},
      async batch => {
        const answers = await Promise.all(batch.map(block => this.#answer(block, asked)))
        for (const [i, proof] of answers.entries()) {
          if (proof === undefined) lacking.add((batch[i] as ManifestBlock).chunkIndex as number)
          else proofs.push(proof)
        }
      }
    )
    if (total === undefined) return { lacking: chunks, proofs: new Uint8Array(0) }
    return { lacking, proofs: concatBytes(...proofs) }
  }

  /** Undefined if the block is lacking, else its proof, which is empty where no promise was asked for. */
  async #answer(block: ManifestBlock, asked: Asked): Promise<Uint8Array | undefined> {
    const { local, holds, self } = this.#options
    const { cid } = block
    const { nonce, peer, fetch, signal } = asked
    if (nonce === undefined && !fetch) return (await local.has(cid)) ? NO_PROOF : undefined
    if (!(await this.#refersByAll(block, asked))) return undefined
    // The promise is given under the block's lock, so that no evict of ours is half way through.
    let isPromised = false
    const promise = async (): Promise<void> => {
      await this.#refer(block)
      isPromised = nonce !== undefined && holds.grant(cid, peer, HOLD_MS)
    }
    if (!(await local.claimHeld(cid, promise)) && !(fetch && (await this.#pull(cid, peer, promise, signal))))
      return undefined
    if (nonce === undefined) return NO_PROOF
    if (!isPromised) return undefined
    const bytes = await this.#reads
      .run(() => local.get(cid), signal)
      .catch(error => {
        if (isOutOfReach(error)) return undefined
        throw error
      })
    return bytes === undefined ? undefined : proofOf(nonce, peer, self, bytes)
  }

  async #pull(cid: BlockCid, peer: PeerId, claim: () => Promise<void>, signal: AbortSignal): Promise<boolean> {
    const { local, fetcher, pulls } = this.#options
    const release = await pulls.acquire(CHUNK_BYTES, signal)
    try {
      const { bytes } = await fetcher.fetch(cid, { signal, prefer: [peer] })
      await local.keep(cid, bytes, claim)
      return true
    } catch (error) {
      if (error instanceof NoSpaceError || isOutOfReach(error)) return false
      throw error
    } finally {
      release()
    }
  }

  // A root is referred to by the records themselves, since they came to stand.
  async #refer({ cid, parent }: ManifestBlock): Promise<void> {
    if (parent === null) return
    await this.#options.claims.add([Claims.reference(cid.multihash.bytes, { by: 'node', multihash: parent })])
  }

  /** Whoever asks names every record that needs the block; a member that does not know one of them cannot stand in. */
  async #refersByAll({ cid }: ManifestBlock, { records, known, lookup, nonce }: Asked): Promise<boolean> {
    if (nonce === undefined) return known.size > 0
    if (records.length === 0) return false
    if (records.every(id => known.has(id))) return true
    const referrers = await lookup.of(cid.multihash.bytes)
    return records.every(id => known.has(id) || referrers.records.has(id))
  }
}

const NO_PROOF = new Uint8Array(0)
