import type { BlockCid } from '../format/cid.ts'
import { FANOUT } from '../format/constants.ts'
import type { Clock } from '../util/clock.ts'
import { PUT_RENEW_MS } from './constants.ts'
import type { KeepProtocol } from './keep-protocol.ts'
import type { Tally } from './tally.ts'

export interface RenewalOptions {
  clock: Clock
  keeps: Pick<KeepProtocol, 'keepRoot'>
  number: Uint8Array
  tally: Tally
}

/**
 * Keeps the claims of a long put from running out before its file is whole: each manifest node that is full is a root of
 * its own, under which keepers are asked again for what is counted on them. What one lost meanwhile it pulls anew.
 */
export class Renewal {
  readonly #options: RenewalOptions
  readonly #nodes: Array<{ cid: BlockCid; firstLeaf: number }> = []
  #cancel: (() => void) | undefined
  #isEnded = false

  constructor(options: RenewalOptions) {
    this.#options = options
  }

  /** A node over `FANOUT` chunks is full. */
  add(cid: BlockCid, firstLeaf: number): void {
    this.#nodes.push({ cid, firstLeaf })
    this.#cancel ??= this.#schedule()
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

  async #renew(): Promise<void> {
    const { keeps, number, tally } = this.#options
    for (const { cid, firstLeaf } of [...this.#nodes]) {
      const asked = tally.peers.map(async peer => {
        const leaves = tally.of(peer)?.slice(firstLeaf, FANOUT)
        if (this.#isEnded || leaves === undefined || leaves.size === 0) return
        // What comes of it is seen when the whole root is confirmed.
        await keeps.keepRoot(peer, number, cid, leaves).catch(() => {})
      })
      await Promise.all(asked)
    }
  }
}
