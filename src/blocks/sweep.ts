import * as Digest from 'multiformats/hashes/digest'
import type { BlockCid } from '../format/cid.ts'
import { CID, RAW } from '../format/cid.ts'
import type { Clock } from '../util/clock.ts'
import { isAbort } from '../util/errors.ts'
import type { Claims, PutId } from './claims.ts'
import { SWEEP_MS } from './constants.ts'
import type { Holds } from './holds.ts'
import type { LocalBlocks } from './local-blocks.ts'

export interface SweeperOptions {
  clock: Clock
  claims: Claims
  local: LocalBlocks
  holds: Holds
  /** Puts of this member that are under way: their claims do not run out. */
  isUnderWay: (put: PutId) => boolean
  /** False while it is not certain what is needed. */
  mayFree: () => boolean
  onError: (error: unknown) => void
}

/** Ends the claims of puts whose time is over, and frees what nothing claims any more. On doubt, it keeps. */
export class Sweeper {
  readonly #options: SweeperOptions
  readonly #stopped = new AbortController()
  #working: Promise<void> = Promise.resolve()

  constructor(options: SweeperOptions) {
    this.#options = options
  }

  start(): void {
    this.#working = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#working
  }

  async #run(): Promise<void> {
    const { clock, onError } = this.#options
    const { signal } = this.#stopped
    while (!signal.aborted) {
      try {
        await clock.sleep(SWEEP_MS, signal)
        await this.sweep()
      } catch (error) {
        if (!isAbort(error)) onError(error)
      }
    }
  }

  /** One round. Gives how many blocks it freed. */
  async sweep(): Promise<number> {
    const { claims, local, holds, isUnderWay, mayFree } = this.#options
    holds.sweep()
    let freed = 0
    for await (const { put, multihash } of claims.expired()) {
      if (this.#stopped.signal.aborted || !mayFree()) return freed
      if (isUnderWay(put)) continue
      const cid = cidOf(multihash)
      await claims.endPut(put, [multihash])
      if (await local.freeUnclaimed(cid, () => !mayFree() || holds.isHeld(cid))) freed++
    }
    return freed
  }
}

// Blocks go by multihash; under which codec a link names one does not matter here.
function cidOf(multihash: Uint8Array): BlockCid {
  return CID.createV1(RAW, Digest.decode(Buffer.from(multihash)))
}
