import type { PeerId } from '../../format/peer-id.ts'
import { StoppedError } from '../../util/errors.ts'
import { DisconnectedError } from '../../wire/errors.ts'
import { HEDGE_MAX } from '../constants.ts'
import { BlockCorruptError } from '../errors.ts'

/** The result of asking one source. */
export type Outcome = { peer: PeerId; bytes: Uint8Array } | { peer: PeerId; error: unknown }

/** Either the block and the peer that delivered it, or no block and whether another round may find it. */
export type RaceResult =
  | { bytes: Uint8Array; from: PeerId }
  | { corrupt: BlockCorruptError | undefined; isWorthRetrying: boolean }

export interface SourceRaceOptions {
  /** The members to ask, in this order. */
  sources: readonly PeerId[]
  /** Asks one source and checks its answer. It must never reject. */
  ask: (peer: PeerId, signal: AbortSignal) => Promise<Outcome>
  /** Resolves once a source has taken so long that the next source should be asked too. */
  patience: (peer: PeerId, signal: AbortSignal) => Promise<undefined>
  /** Called with a source that is so slow that the next source is asked too. */
  onSlow: (peer: PeerId) => void
}

// Created once, because the error that `abort` would create by itself costs a stack trace for each block.
const RACE_OVER = new StoppedError('another source has delivered the block')

/**
 * Asks sources for one block until one of them delivers it. When a source fails, the next is asked immediately. When a
 * source is slow, the next is asked as well. The sources that lose the race are aborted. Use one instance per round.
 */
export class SourceRace {
  readonly #options: SourceRaceOptions
  readonly #waiting: PeerId[]
  readonly #asked = new Map<PeerId, Promise<Outcome>>()
  readonly #losers = new AbortController()
  /** The source that was asked last, and a promise that resolves when the next source should be asked too. */
  #hedge: { peer: PeerId; isDue: Promise<undefined> } | undefined
  #corrupt: BlockCorruptError | undefined
  #isWorthRetrying: boolean

  constructor(options: SourceRaceOptions) {
    this.#options = options
    this.#waiting = [...options.sources]
    // If there is nobody to ask now, a member may have connected by the next round.
    this.#isWorthRetrying = this.#waiting.length === 0
  }

  async run(signal: AbortSignal): Promise<RaceResult> {
    const joined = AbortSignal.any([signal, this.#losers.signal])
    try {
      this.#askNext(joined)
      while (this.#asked.size > 0) {
        signal.throwIfAborted()
        const hedges = this.#hedge === undefined ? [] : [this.#hedge.isDue]
        const outcome = await Promise.race([...this.#asked.values(), ...hedges])
        if (outcome === undefined) this.#noteSlow()
        else if ('bytes' in outcome) return { bytes: outcome.bytes, from: outcome.peer }
        else this.#noteFailure(outcome)
        this.#askNext(joined)
      }
      signal.throwIfAborted()
      return { corrupt: this.#corrupt, isWorthRetrying: this.#isWorthRetrying }
    } finally {
      this.#losers.abort(RACE_OVER)
    }
  }

  #askNext(signal: AbortSignal): void {
    const { ask, patience } = this.#options
    const peer = this.#waiting.shift()
    if (peer === undefined) return
    this.#asked.set(peer, ask(peer, signal))
    const mayHedge = this.#waiting.length > 0 && this.#asked.size < HEDGE_MAX
    this.#hedge = mayHedge ? { peer, isDue: patience(peer, signal) } : undefined
  }

  #noteSlow(): void {
    if (this.#hedge !== undefined) this.#options.onSlow(this.#hedge.peer)
    this.#hedge = undefined
  }

  // A source that does not have the block would say so again. Only a source that disconnected is worth another round.
  #noteFailure({ peer, error }: { peer: PeerId; error: unknown }): void {
    this.#asked.delete(peer)
    if (error instanceof BlockCorruptError) this.#corrupt = error
    if (error instanceof DisconnectedError) this.#isWorthRetrying = true
  }
}
