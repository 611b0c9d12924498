import type { PeerId } from '../format/peer-id.ts'
import type { Chance } from '../util/chance.ts'
import type { Clock } from '../util/clock.ts'
import { withDeadline } from '../util/deadline.ts'
import { Limiter } from '../util/limiter.ts'
import {
  ADDRESSES_MAX,
  DIAL_TIMEOUT_MS,
  DIALS_MAX,
  DISCOVERED_DIALS_MAX,
  DISCOVERED_MAX,
  REDIAL_MS_MAX,
  REDIAL_MS_MIN
} from './constants.ts'
import type { Host } from './host.ts'

/** Somebody to stay connected to: a peer at some addresses, or whoever answers at one. */
interface Target {
  /** Whom to reach; undefined for an address, at which another may answer tomorrow. */
  peer: PeerId | undefined
  /** Who answered last. */
  reached: PeerId | undefined
  addresses: string[]
  /** Addresses that anyone may have announced: tried after the others, and never in their place. */
  hints: string[]
  /** When a fresh hint last ended a wait. */
  hintedMs: number
  /** Dials since one last led to something. */
  failures: number
  /** Not known to be worth it: given up after a few dials. */
  isTransient: boolean
  stopped: AbortController
  /** Ends the wait before the next dial. */
  wake: () => void
  /** Ends the wait while it is connected. */
  onGone: () => void
}

export interface RedialOptions {
  host: Host
  clock: Clock
  chance: Chance
}

export interface AddPeerOptions {
  /** Before the first dial. */
  delayMs?: number | undefined
  /** Somebody who only made himself known: one of a bounded number, and given up after a few dials. */
  isTransient?: boolean | undefined
  /** The addresses are what somebody announced, not what the peer stated or was reached at. */
  isHint?: boolean | undefined
}

/**
 * Keeps connections to everyone it is told of: dials, and dials again with growing, varied waits, for as long as it
 * runs. libp2p gives a peer up after a few failures; a laptop that was away for a month is still a member.
 *
 * A connection alone is no success, since whoever answers may turn us away at once: the waits grow until `settle`.
 */
export class Redialler {
  readonly #host: Host
  readonly #clock: Clock
  readonly #chance: Chance
  readonly #targets = new Map<string, Target>()
  readonly #dials = new Limiter(DIALS_MAX)
  #isRunning = false

  constructor({ host, clock, chance }: RedialOptions) {
    this.#host = host
    this.#clock = clock
    this.#chance = chance
    host.onPeer((event, peer) => {
      if (event === 'disconnected') for (const target of this.#targetsOf(peer)) target.onGone()
    })
  }

  start(): void {
    this.#isRunning = true
    for (const [key, target] of this.#targets) void this.#run(key, target, 0)
  }

  stop(): void {
    this.#isRunning = false
    for (const target of this.#targets.values()) target.stopped.abort()
    this.#targets.clear()
  }

  /** An address given by the user, with or without a peer id in it. */
  addAddress(address: string): void {
    this.#add(address, undefined, [address], {})
  }

  /**
   * A peer and where it may be; addresses add up, the newest first. Fresh ones end its current wait and make the next
   * ones short; fresh hints only end one from time to time, since there is no end of what can be announced.
   */
  addPeer(peer: PeerId, addresses: readonly string[], options: AddPeerOptions = {}): void {
    if (peer === this.#host.peerId) return
    const known = this.#targets.get(peer)
    if (known === undefined) {
      this.#add(peer, peer, addresses.slice(0, ADDRESSES_MAX), options)
      return
    }
    if (options.isTransient !== true) known.isTransient = false
    if (options.isHint === true) {
      this.#hint(known, addresses)
      return
    }
    const fresh = addresses.filter(address => !known.addresses.includes(address))
    if (fresh.length === 0) return
    known.addresses = [...fresh, ...known.addresses].slice(0, ADDRESSES_MAX)
    known.failures = 0
    known.wake()
  }

  /** Stops dialling a peer: it is no member, or of another network. An address at which it answered stays. */
  dropPeer(peer: PeerId): void {
    this.#targets.get(peer)?.stopped.abort()
    this.#targets.delete(peer)
  }

  /** The connection to a peer led where it should: the next wait, should there be one, is short again. */
  settle(peer: PeerId): void {
    for (const target of this.#targetsOf(peer)) target.failures = 0
  }

  #hint(target: Target, addresses: readonly string[]): void {
    const fresh = addresses.filter(address => !target.hints.includes(address) && !target.addresses.includes(address))
    if (fresh.length === 0) return
    target.hints = [...fresh, ...target.hints].slice(0, ADDRESSES_MAX)
    const nowMs = this.#clock.monotonic()
    if (nowMs - target.hintedMs < REDIAL_MS_MAX) return
    target.hintedMs = nowMs
    target.wake()
  }

  #targetsOf(peer: PeerId): Target[] {
    return [...this.#targets.values()].filter(target => peer === (target.peer ?? target.reached))
  }

  #add(key: string, peer: PeerId | undefined, addresses: string[], options: AddPeerOptions): void {
    const { delayMs = 0, isTransient = false, isHint = false } = options
    if (this.#targets.has(key)) return
    if (isTransient && this.#transients >= DISCOVERED_MAX) return
    const target: Target = {
      peer,
      reached: undefined,
      addresses: isHint ? [] : addresses,
      hints: isHint ? addresses : [],
      hintedMs: isHint ? this.#clock.monotonic() : Number.NEGATIVE_INFINITY,
      failures: 0,
      isTransient,
      stopped: new AbortController(),
      wake: () => {},
      onGone: () => {}
    }
    this.#targets.set(key, target)
    if (this.#isRunning) void this.#run(key, target, delayMs)
  }

  get #transients(): number {
    let count = 0
    for (const { isTransient } of this.#targets.values()) if (isTransient) count++
    return count
  }

  async #run(key: string, target: Target, delayMs: number): Promise<void> {
    const { signal } = target.stopped
    let waitMs = delayMs
    for (;;) {
      if (waitMs > 0) await this.#wait(target, 'wake', waitMs)
      if (signal.aborted) return
      const peer = target.peer ?? target.reached
      if (peer !== undefined && this.#host.isConnected(peer)) {
        await this.#wait(target, 'onGone', REDIAL_MS_MAX)
        waitMs = target.failures > 0 ? this.#backoffMs(target) : REDIAL_MS_MIN * this.#chance.fraction()
        continue
      }
      if (target.isTransient && target.failures >= DISCOVERED_DIALS_MAX) {
        this.#targets.delete(key)
        return
      }
      target.failures++
      const isConnected = (await this.#dial(target, target.addresses)) || (await this.#dial(target, target.hints))
      waitMs = isConnected ? 0 : this.#backoffMs(target)
    }
  }

  // Hints are dialled apart: addresses where nobody answers use up the time of a dial.
  async #dial(target: Target, addresses: readonly string[]): Promise<boolean> {
    if (addresses.length === 0 || target.stopped.signal.aborted) return false
    const { signal: stopped } = target.stopped
    try {
      target.reached = await this.#dials.run(
        () =>
          withDeadline(this.#clock, DIAL_TIMEOUT_MS, stopped, signal =>
            this.#host.dial(addresses, { signal, peer: target.peer })
          ),
        stopped
      )
      // It may be gone already: then the next wait is that of a dial that failed.
      return this.#host.isConnected(target.reached)
    } catch {
      return false
    }
  }

  #backoffMs({ failures }: Target): number {
    const base = Math.min(REDIAL_MS_MAX, REDIAL_MS_MIN * 2 ** Math.min(Math.max(failures - 1, 0), 16))
    return base * (0.5 + this.#chance.fraction())
  }

  async #wait(target: Target, until: 'wake' | 'onGone', ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const { signal } = target.stopped
    const onAbort = (): void => resolve()
    const cancel = this.#clock.after(ms, resolve)
    target[until] = resolve
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) resolve()
    await promise
    signal.removeEventListener('abort', onAbort)
    target[until] = () => {}
    cancel()
  }
}
