import type { PeerId } from '../format/peer-id.ts'
import { Backoff } from '../util/backoff.ts'
import type { Chance } from '../util/chance.ts'
import type { Clock } from '../util/clock.ts'
import { ADDRESSES_MAX, REDIAL_MS_MAX, REDIAL_MS_MIN } from './constants.ts'

export interface DialTargetOptions {
  /** The peer to reach; undefined if the target is an address, because another peer may answer there tomorrow. */
  peer: PeerId | undefined
  addresses: readonly string[]
  /** True if somebody else announced these addresses. Otherwise the peer stated them, or a dial reached it there. */
  isHint: boolean
  /** True if the peer is not a known member. Such a peer is given up after a few dials. */
  isTransient: boolean
  /** True for an address that the user gave. */
  isGiven: boolean
  clock: Clock
  chance: Chance
}

/**
 * One peer or address to stay connected to: where to dial, how often dialling has failed, and the pauses between dials.
 */
export class DialTarget {
  readonly peer: PeerId | undefined
  /** The peer that answered last. */
  reached: PeerId | undefined
  isTransient: boolean
  readonly isGiven: boolean
  readonly #clock: Clock
  readonly #chance: Chance
  readonly #backoff: Backoff
  readonly #stopped = new AbortController()
  #addresses: readonly string[]
  #hints: readonly string[]
  /** When new hints last ended a pause, and when any announcement last did; monotonic time. */
  #hintedAtMs: number
  #announcedAtMs: number
  #failures = 0
  #pauseMs = 0
  #endPause: () => void = () => {}
  #endConnectedWait: () => void = () => {}

  constructor({ peer, addresses, isHint, isTransient, isGiven, clock, chance }: DialTargetOptions) {
    this.peer = peer
    this.isTransient = isTransient
    this.isGiven = isGiven
    this.#clock = clock
    this.#chance = chance
    this.#backoff = new Backoff({ minMs: REDIAL_MS_MIN, maxMs: REDIAL_MS_MAX, jitter: chance })
    this.#addresses = isHint ? [] : addresses
    this.#hints = isHint ? addresses : []
    this.#hintedAtMs = isHint ? clock.monotonic() : Number.NEGATIVE_INFINITY
    this.#announcedAtMs = this.#hintedAtMs
  }

  /** The addresses that the peer stated, that it was reached at, or that the user gave. */
  get addresses(): readonly string[] {
    return this.#addresses
  }

  /** Addresses that anyone may have announced. They are tried after the other addresses, and never replace them. */
  get hints(): readonly string[] {
    return this.#hints
  }

  /** Fires when this target is no longer wanted. */
  get stopped(): AbortSignal {
    return this.#stopped.signal
  }

  /** The number of dials since the last one that led to an admission. */
  get failures(): number {
    return this.#failures
  }

  /** Returns true if a connection to this peer is the one that this target needs. */
  leadsTo(peer: PeerId): boolean {
    return peer === (this.peer ?? this.reached)
  }

  /** Adds addresses, the newest first. New addresses end the current pause, and make the next pauses short. */
  addAddresses(addresses: readonly string[]): void {
    const fresh = addresses.filter(address => !this.#addresses.includes(address))
    if (fresh.length === 0) return
    this.#addresses = [...fresh, ...this.#addresses].slice(0, ADDRESSES_MAX)
    this.reset()
    this.#endPause()
  }

  /**
   * Adds hints. A peer that announces itself can be reached now, so hints may end the pause early, even known ones.
   * Their rate is limited, because anyone can announce anything. Known hints do not delay the dial to which new ones
   * lead.
   */
  addHints(addresses: readonly string[]): void {
    const fresh = addresses.filter(address => !this.#hints.includes(address) && !this.#addresses.includes(address))
    const isNew = fresh.length > 0
    if (isNew) this.#hints = [...fresh, ...this.#hints].slice(0, ADDRESSES_MAX)
    const nowMs = this.#clock.monotonic()
    if (nowMs - (isNew ? this.#hintedAtMs : this.#announcedAtMs) < REDIAL_MS_MAX) return
    if (isNew) this.#hintedAtMs = nowMs
    this.#announcedAtMs = nowMs
    this.#endPause()
  }

  /** Counts a dial as failed until `reset` is called, and sets the pause after it. */
  countDial(): void {
    this.#failures++
    this.#pauseMs = this.#backoff.nextMs()
  }

  /** Makes the next pauses short again. Call it when the connection has led to an admission. */
  reset(): void {
    this.#failures = 0
    this.#backoff.reset()
  }

  /** How long to pause before the next dial. */
  get pauseMs(): number {
    return this.#failures > 0 ? this.#pauseMs : REDIAL_MS_MIN * this.#chance.fraction()
  }

  /** Resolves after `ms`, or sooner if the target gets new addresses or is no longer wanted. */
  async pause(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#endPause = resolve
    await this.#wait(promise, resolve, ms)
    this.#endPause = () => {}
  }

  /** Resolves when the connection has ended, or after `ms`. */
  async whileConnected(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#endConnectedWait = resolve
    await this.#wait(promise, resolve, ms)
    this.#endConnectedWait = () => {}
  }

  disconnected(): void {
    this.#endConnectedWait()
  }

  stop(): void {
    this.#stopped.abort()
  }

  async #wait(ended: Promise<void>, end: () => void, ms: number): Promise<void> {
    const { signal } = this.#stopped
    const cancel = this.#clock.after(ms, end)
    signal.addEventListener('abort', end, { once: true })
    if (signal.aborted) end()
    await ended
    signal.removeEventListener('abort', end)
    cancel()
  }
}
