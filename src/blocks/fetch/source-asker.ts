import { type BlockCid, blockKey, isNode, verifyBlock } from '../../format/cid.ts'
import { BLOCK_BYTES_MAX, NODE_BYTES_MAX } from '../../format/constants.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { Budget, Lease } from '../../util/budget.ts'
import type { Clock } from '../../util/clock.ts'
import { isAbort } from '../../util/errors.ts'
import { type Logger, reasonOf } from '../../util/logger.ts'
import { DisconnectedError, ProtocolError, RefusedError } from '../../wire/errors.ts'
import { HEDGE_LATENCIES, HEDGE_MS } from '../constants.ts'
import { BlockCorruptError } from '../errors.ts'
import { nameOf } from '../log-names.ts'
import type { GetCallOptions } from '../protocol/get-client.ts'
import type { PeerHealth } from './peer-health.ts'
import { type Outcome, type RaceResult, SourceRace } from './source-race.ts'

export interface SourceAskerOptions {
  clock: Clock
  log: Logger
  health: PeerHealth
  ask: (peer: PeerId, cid: BlockCid, options: GetCallOptions) => Promise<Uint8Array>
  /** Memory for a block that a second source delivers while the first is slow. */
  hedges: Budget
}

export interface AskOptions {
  /** The members to ask, in this order. */
  sources: readonly PeerId[]
  /**
   * True if a member named the first source in place of itself: it is not asked sooner than it would deliver itself,
   * since its uplink may be thin.
   */
  isChain: boolean
  /** The most bytes for which the callers have memory. */
  bytesMax: number
  /** The length that `onLength` was called with in an earlier round. */
  told: number | undefined
  /** Called with the length of the block before memory is taken for it. */
  onLength: (bytes: number) => void
  signal: AbortSignal
}

/** Asks members for one block, verifies what they deliver, and notes how each of them behaved. */
export class SourceAsker {
  readonly #options: SourceAskerOptions

  constructor(options: SourceAskerOptions) {
    this.#options = options
  }

  /** Asks each of the sources at most once, or once more if its block had to be dropped. */
  async ask(cid: BlockCid, { sources, isChain, bytesMax, told, onLength, signal }: AskOptions): Promise<RaceResult> {
    const hedges: Lease[] = []
    const { health } = this.#options
    const leastMs = isChain ? sources.reduce((most, peer) => Math.max(most, health.latencyMs(peer)), 0) : 0
    const race = new SourceRace({
      sources,
      ask: (peer, admit, signal) => this.#askOne(peer, cid, admit, signal),
      patience: (peer, signal) => this.#patience(peer, leastMs, signal),
      onSlow: peer =>
        this.#options.log('%s is slow to deliver block %s, asking the next member too', peer, nameOf(cid)),
      told,
      onLength: bytes => {
        if (bytes > bytesMax) return false
        onLength(bytes)
        return true
      },
      hasRoomToHedge: bytes => {
        const lease = bytes > bytesMax ? undefined : this.#options.hedges.tryAcquire(bytes, blockKey(cid))
        if (lease !== undefined) hedges.push(lease)
        return lease !== undefined
      }
    })
    try {
      return await race.run(signal)
    } finally {
      for (const lease of hedges) lease.release()
    }
  }

  /**
   * Resolves once a source has taken much longer than it usually does. It compares with the usual time because over a
   * slow link every source takes long.
   */
  #patience(peer: PeerId, leastMs: number, signal: AbortSignal): Promise<undefined> {
    const { clock, health } = this.#options
    const patienceMs = Math.max(HEDGE_MS, HEDGE_LATENCIES * health.latencyMs(peer), leastMs)
    const patience = clock.sleep(patienceMs, signal).then(() => undefined)
    // The sleep rejects only when it is aborted. By then the race is over and nobody awaits it.
    patience.catch(() => {})
    return patience
  }

  async #askOne(peer: PeerId, cid: BlockCid, admit: (bytes: number) => boolean, signal: AbortSignal): Promise<Outcome> {
    const { ask, health, log } = this.#options
    const end = health.begin(peer)
    let isDropped = false
    const admitOrDrop = (bytes: number): boolean => {
      isDropped = !admit(bytes)
      return !isDropped
    }
    log.trace('asking %s for block %s', peer, nameOf(cid))
    try {
      const bytes = await ask(peer, cid, { admit: admitOrDrop, bytesMax: boundOf(cid), signal })
      if (!verifyBlock(cid, bytes)) throw new BlockCorruptError(cid, peer)
      end('delivered')
      log.trace('%s delivered block %s', peer, nameOf(cid))
      return { peer, bytes }
    } catch (error) {
      const isMissing = error instanceof RefusedError && error.status === 'not-found'
      end(isMissing ? 'missing' : 'failed')
      if (isMissing || signal.aborted || isDropped)
        log.trace('%s did not deliver block %s: %s', peer, nameOf(cid), reasonOf(error))
      else log('%s did not deliver block %s: %s', peer, nameOf(cid), reasonOf(error))
      if (isFault(error) && !signal.aborted) health.fault(peer)
      return isDropped ? { peer, isDropped } : { peer, error }
    }
  }
}

/** The most bytes that a block of this name may have. */
export function boundOf(cid: BlockCid): number {
  return isNode(cid) ? NODE_BYTES_MAX : BLOCK_BYTES_MAX
}

/**
 * Returns true if the error is the source's fault: silence or a wrong block. Not having the block, or disconnecting, is
 * not a fault. Broken frames were already counted as faults where they were read. The call has already counted silence
 * as a fault, so silence counts twice.
 */
function isFault(error: unknown): boolean {
  const isInnocent = [RefusedError, DisconnectedError, ProtocolError].some(kind => error instanceof kind)
  return !isInnocent && !isAbort(error)
}
