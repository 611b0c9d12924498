import type { BlockCid } from '../../format/cid.ts'
import { CHUNK_BYTES, FANOUT } from '../../format/constants.ts'
import type { Clock } from '../../util/clock.ts'
import { PUT_RENEW_MS } from '../constants.ts'
import type { StoreClient } from '../protocol/store-client.ts'
import type { ReplicaCounts } from './counts.ts'

export interface RenewalOptions {
  clock: Clock
  storeClient: Pick<StoreClient, 'keepRoot' | 'keepBlock'>
  number: Uint8Array
  counts: ReplicaCounts
}

/**
 * Keeps the claims of a long put from running out before its file is whole. Each manifest node that is full is a root of
 * its own, under which keepers are asked again for what is counted on them; chunks that are under no full node yet, fewer
 * than a node links to, are asked for by name. What a keeper lost meanwhile it pulls anew.
 */
export class Renewal {
  readonly #options: RenewalOptions
  readonly #nodes: Array<{ cid: BlockCid; firstChunk: number }> = []
  #tail: Array<{ cid: BlockCid; chunkIndex: number }> = []
  #cancel: (() => void) | undefined
  #isEnded = false

  constructor(options: RenewalOptions) {
    this.#options = options
  }

  /** A chunk has been placed. */
  addChunk(cid: BlockCid, chunkIndex: number): void {
    this.#tail.push({ cid, chunkIndex })
    this.#cancel ??= this.#schedule()
  }

  /** A manifest node has been placed: the first after a multiple of the fan-out links to all chunks of late. */
  addNode(cid: BlockCid): void {
    if (this.#tail.length !== FANOUT) return
    this.#nodes.push({ cid, firstChunk: this.#nodes.length * FANOUT })
    this.#tail = []
  }

  end(): void {
    this.#isEnded = true
    this.#cancel?.()
  }

  #schedule(): () => void {
    return this.#options.clock.after(PUT_RENEW_MS, () => {
      void this.#renew().finally(() => {
        if (!this.#isEnded) this.#cancel = this.#schedule()
      })
    })
  }

  // What comes of it is seen when the whole root is confirmed.
  async #renew(): Promise<void> {
    const { storeClient, number, counts } = this.#options
    const tail = this.#tail
    const renewed = counts.peers.map(async peer => {
      for (const { cid, firstChunk } of [...this.#nodes]) {
        const chunks = counts.of(peer)?.slice(firstChunk, FANOUT)
        if (this.#isEnded || chunks === undefined) return
        if (chunks.size > 0) await storeClient.keepRoot(peer, number, cid, chunks)
      }
      const counted = tail.filter(({ chunkIndex }) => counts.of(peer)?.has(chunkIndex))
      await Promise.all(
        counted.map(({ cid }) => storeClient.keepBlock(peer, { put: number, cid, bytes: null, sizeBytes: CHUNK_BYTES }))
      )
    })
    await Promise.allSettled(renewed)
  }
}
