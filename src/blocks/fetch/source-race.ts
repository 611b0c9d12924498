import type { PeerId } from '../../format/peer-id.ts'
import { StoppedError } from '../../util/errors.ts'
import { DisconnectedError } from '../../wire/errors.ts'
import { ASKED_AT_ONCE_MAX } from '../constants.ts'
import { BlockCorruptError } from '../errors.ts'

/** The result of asking one source. It is `dropped` if the source has the block, and the race had no room for it. */
export type Outcome =
  | { peer: PeerId; bytes: Uint8Array }
  | { peer: PeerId; error: unknown }
  | { peer: PeerId; isDropped: true }

/** Either the block and the peer that delivered it, or no block and whether another round may find it. */
export type RaceResult =
  | { bytes: Uint8Array; from: PeerId }
  | { corrupt: BlockCorruptError | undefined; error: unknown; isWorthRetrying: boolean }

export interface SourceRaceOptions {
  /** The members to ask, in this order. */
  sources: readonly PeerId[]
  /**
   * Asks one source and checks its answer. It must never reject. It calls `admit` with the length of the block before it
   * takes memory for it, and drops the block if that returns false.
   */
  ask: (peer: PeerId, admit: (bytes: number) => boolean, signal: AbortSignal) => Promise<Outcome>
  /** Resolves once a source has taken so long that the next source should be asked too. */
  patience: (peer: PeerId, signal: AbortSignal) => Promise<undefined>
  /** Called with a source that is so slow that the next source is asked too. */
  onSlow: (peer: PeerId) => void
  /** The length that the callers were told in an earlier round: they have memory for no more than that. */
  told: number | undefined
  /** Called with the length of the block when the first source begins to deliver it. False if it is too long. */
  onLength: (bytes: number) => boolean
  /**
   * Takes memory for the block a second time: while a slow source still delivers it, or because a source stated a
   * length that was too short. Returns false if there is none.
   */
  hasRoomToHedge: (bytes: number) => boolean
}

// Created once, because the error that `abort` would create by itself costs a stack trace for each block.
const RACE_OVER = new StoppedError('another source has delivered the block')

/**
 * Asks sources for one block until one of them delivers it. It begins with one. Each source that does not have the
 * block doubles the number of sources that are asked at once, so that a block that few of many members have is found
 * quickly. Once one of them begins to deliver, no others are asked, and others that have the block too are kept for
 * later. Only if the source is slow, the next is asked as well. The sources that lose the race are aborted. Use one
 * instance per round.
 */
export class SourceRace {
  readonly #options: SourceRaceOptions
  readonly #waiting: PeerId[]
  readonly #asked = new Map<PeerId, Promise<Outcome>>()
  /** The sources that are delivering the block. */
  readonly #delivering = new Set<PeerId>()
  readonly #losers = new AbortController()
  /** The number of sources that may be asked at once. */
  #width = 1
  /** The length of the block that the first source stated when it began to deliver. It may be a lie. */
  #length: number | undefined
  /** True if there is memory for the block a second time and no second source delivers yet. */
  #mayHedge = false
  /** The source that was asked last, and a promise that resolves when the next source should be asked too. */
  #hedge: { peer: PeerId; isDue: Promise<undefined> } | undefined
  #corrupt: BlockCorruptError | undefined
  #error: unknown
  #isWorthRetrying: boolean

  constructor(options: SourceRaceOptions) {
    this.#options = options
    this.#waiting = [...options.sources]
    this.#length = options.told
    // If there is nobody to ask now, a member may have connected by the next round.
    this.#isWorthRetrying = this.#waiting.length === 0
  }

  async run(signal: AbortSignal): Promise<RaceResult> {
    // A joined signal is dear, and a race with one source has no losers.
    const joined = this.#waiting.length > 1 ? AbortSignal.any([signal, this.#losers.signal]) : signal
    try {
      this.#askMore(joined)
      while (this.#asked.size > 0) {
        signal.throwIfAborted()
        const hedges = this.#hedge === undefined ? [] : [this.#hedge.isDue]
        const outcome = await Promise.race([...this.#asked.values(), ...hedges])
        if (outcome === undefined) this.#noteSlow(joined)
        else if ('bytes' in outcome) return { bytes: outcome.bytes, from: outcome.peer }
        else if ('isDropped' in outcome) this.#noteDropped(outcome.peer)
        else this.#noteFailure(outcome)
        this.#askMore(joined)
      }
      signal.throwIfAborted()
      return { corrupt: this.#corrupt, error: this.#error, isWorthRetrying: this.#isWorthRetrying }
    } finally {
      this.#losers.abort(RACE_OVER)
    }
  }

  /** Asks as many sources as may be asked, unless one is delivering. */
  #askMore(signal: AbortSignal): void {
    while (this.#delivering.size === 0 && this.#asked.size < this.#width && this.#waiting.length > 0)
      this.#askNext(signal)
  }

  #askNext(signal: AbortSignal): void {
    const { ask, patience } = this.#options
    const peer = this.#waiting.shift()
    if (peer === undefined) return
    this.#asked.set(
      peer,
      ask(peer, bytes => this.#admit(peer, bytes), signal)
    )
    const mayHedge = this.#waiting.length > 0 && this.#asked.size < ASKED_AT_ONCE_MAX
    this.#hedge = mayHedge ? { peer, isDue: patience(peer, signal) } : undefined
  }

  #admit(peer: PeerId, bytes: number): boolean {
    const { onLength, hasRoomToHedge } = this.#options
    const isHedge = this.#delivering.size > 0
    if (isHedge && !this.#mayHedge) return false
    if (this.#length === undefined) {
      if (!onLength(bytes)) return false
      this.#length = bytes
    } else if (bytes > this.#length && !hasRoomToHedge(bytes)) return false
    if (isHedge) this.#mayHedge = false
    this.#delivering.add(peer)
    return true
  }

  /** Asks the next source too. If a slow one is delivering already, that needs memory for the block a second time. */
  #noteSlow(signal: AbortSignal): void {
    const { onSlow, patience, hasRoomToHedge } = this.#options
    const peer = this.#hedge?.peer as PeerId
    if (this.#delivering.size > 0 && !this.#mayHedge) {
      this.#mayHedge = hasRoomToHedge(this.#length as number)
      if (!this.#mayHedge) {
        this.#hedge = { peer, isDue: patience(peer, signal) }
        return
      }
    }
    this.#hedge = undefined
    onSlow(peer)
    this.#askNext(signal)
  }

  /**
   * Notes a source that has the block but was dropped. It is the next to be asked if the source that is delivering
   * fails.
   */
  #noteDropped(peer: PeerId): void {
    this.#asked.delete(peer)
    if (this.#delivering.size > 0) this.#waiting.unshift(peer)
    // If nobody delivers and no length was accepted before, the block is too long for its callers, and asking again
    // would not help. But if an earlier source stated a shorter length, only the memory for the rest was missing.
    else if (this.#length !== undefined) this.#isWorthRetrying = true
  }

  // A source that does not have the block would say so again. Only a source that disconnected is worth another round.
  #noteFailure({ peer, error }: { peer: PeerId; error: unknown }): void {
    this.#asked.delete(peer)
    this.#delivering.delete(peer)
    this.#width = Math.min(ASKED_AT_ONCE_MAX, this.#width * 2)
    this.#error = error
    if (error instanceof BlockCorruptError) this.#corrupt = error
    if (error instanceof DisconnectedError) this.#isWorthRetrying = true
  }
}
