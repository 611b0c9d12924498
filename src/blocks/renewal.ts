import type { BlockCid } from '../format/cid.ts'
import { CHUNK_BYTES, FANOUT } from '../format/constants.ts'
import type { Clock } from '../util/clock.ts'
import { PUT_RENEW_MS } from './constants.ts'
import type { KeepProtocol } from './keep-protocol.ts'
import type { Tally } from './tally.ts'

export interface RenewalOptions {
  clock: Clock
  keeps: Pick<KeepProtocol, 'keepRoot' | 'keepBlock'>
  number: Uint8Array
  tally: Tally
}

/**
 * Keeps the claims of a long put from running out before its file is whole. Each manifest node that is full is a root of
 * its own, under which keepers are asked again for what is counted on them; chunks that are under no full node yet, fewer
 * than a node links to, are asked for by name. What a keeper lost meanwhile it pulls anew.
 */
export class Renewal {
  readonly #options: RenewalOptions
  readonly #nodes: Array<{ cid: BlockCid; firstLeaf: number }> = []
  #tail: Array<{ cid: BlockCid; leaf: number }> = []
  #cancel: (() => void) | undefined
  #isEnded = false

  constructor(options: RenewalOptions) {
    this.#options = options
  }

  /** A chunk has been placed. */
  addChunk(cid: BlockCid, leaf: number): void {
    this.#tail.push({ cid, leaf })
    this.#cancel ??= this.#schedule()
  }

  /** A manifest node has been placed: the first after a multiple of the fan-out links to all chunks of late. */
  addNode(cid: BlockCid): void {
    if (this.#tail.length !== FANOUT) return
    this.#nodes.push({ cid, firstLeaf: this.#nodes.length * FANOUT })
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
    const { keeps, number, tally } = this.#options
    const tail = this.#tail
    const renewed = tally.peers.map(async peer => {
      for (const { cid, firstLeaf } of [...this.#nodes]) {
        const leaves = tally.of(peer)?.slice(firstLeaf, FANOUT)
        if (this.#isEnded || leaves === undefined) return
        if (leaves.size > 0) await keeps.keepRoot(peer, number, cid, leaves)
      }
      const counted = tail.filter(({ leaf }) => tally.of(peer)?.has(leaf))
      await Promise.all(
        counted.map(({ cid }) => keeps.keepBlock(peer, { put: number, cid, bytes: null, sizeBytes: CHUNK_BYTES }))
      )
    })
    await Promise.allSettled(renewed)
  }
}
