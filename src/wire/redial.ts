import type { PeerId } from '../format/peer-id.ts'
import type { Chance } from '../util/chance.ts'
import type { Clock } from '../util/clock.ts'
import { Limiter } from '../util/limiter.ts'
import { ADDRESSES_MAX, DIAL_TIMEOUT_MS, DIALS_MAX, REDIAL_MS_MAX, REDIAL_MS_MIN } from './constants.ts'
import type { Host } from './host.ts'

/** Somebody to stay connected to: a peer at some addresses, or whoever answers at one. */
interface Target {
  peer: PeerId | undefined
  addresses: string[]
  failures: number
  stopped: AbortController
  /** Ends the wait before the next dial. */
  wake: () => void
}

export interface RedialOptions {
  host: Host
  clock: Clock
  chance: Chance
}

/**
 * Keeps connections to everyone it is told of: dials, and dials again with growing, varied waits, for as long as it
 * runs. libp2p gives a peer up after a few failures; a laptop that was away for a month is still a member.
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
      if (event === 'disconnected') for (const target of this.#targets.values()) if (target.peer === peer) target.wake()
    })
  }

  start(): void {
    this.#isRunning = true
    for (const target of this.#targets.values()) void this.#run(target)
  }

  stop(): void {
    this.#isRunning = false
    for (const target of this.#targets.values()) target.stopped.abort()
    this.#targets.clear()
  }

  /** An address given by the user, with or without a peer id in it. */
  addAddress(address: string): void {
    this.#add(address, undefined, [address])
  }

  /** A peer and where it may be; addresses add up, the newest first. Fresh ones end its current wait. */
  addPeer(peer: PeerId, addresses: readonly string[], options: { delayMs?: number } = {}): void {
    if (peer === this.#host.peerId) return
    const known = this.#targets.get(peer)
    if (known === undefined) {
      this.#add(peer, peer, [...addresses], options.delayMs)
      return
    }
    const fresh = addresses.filter(address => !known.addresses.includes(address))
    if (fresh.length === 0) return
    known.addresses = [...fresh, ...known.addresses].slice(0, ADDRESSES_MAX)
    known.failures = 0
    known.wake()
  }

  /** Stops dialling a peer: it is no member, or of another network. */
  dropPeer(peer: PeerId): void {
    this.#targets.get(peer)?.stopped.abort()
    this.#targets.delete(peer)
  }

  /** The connection came about, but led nowhere: wait as long as if it had failed. */
  penalize(peer: PeerId): void {
    for (const target of this.#targets.values()) if (target.peer === peer) target.failures += 3
  }

  #add(key: string, peer: PeerId | undefined, addresses: string[], delayMs = 0): void {
    if (this.#targets.has(key)) return
    const target: Target = { peer, addresses, failures: 0, stopped: new AbortController(), wake: () => {} }
    this.#targets.set(key, target)
    if (this.#isRunning) void this.#run(target, delayMs)
  }

  async #run(target: Target, delayMs = 0): Promise<void> {
    const { signal } = target.stopped
    let waitMs = delayMs
    while (!signal.aborted) {
      if (waitMs > 0) await this.#wait(target, waitMs)
      if (signal.aborted) return
      if (target.peer !== undefined && this.#host.isConnected(target.peer)) {
        await this.#wait(target, REDIAL_MS_MAX)
        waitMs = REDIAL_MS_MIN * this.#chance.fraction()
        continue
      }
      if (target.addresses.length > 0 && (await this.#dial(target))) {
        waitMs = this.#backoff(target.failures)
        continue
      }
      target.failures++
      waitMs = this.#backoff(target.failures)
    }
  }

  async #dial(target: Target): Promise<boolean> {
    try {
      return await this.#dials.run(async () => {
        const signal = AbortSignal.any([target.stopped.signal, AbortSignal.timeout(DIAL_TIMEOUT_MS)])
        target.peer = await this.#host.dial(target.addresses, { signal, peer: target.peer })
        // A penalty for what follows the connection stays; one for the connection itself is paid.
        target.failures = Math.max(0, target.failures - 1)
        return true
      }, target.stopped.signal)
    } catch {
      return false
    }
  }

  #backoff(failures: number): number {
    const base = Math.min(REDIAL_MS_MAX, REDIAL_MS_MIN * 2 ** Math.min(failures, 16))
    return base * (0.5 + this.#chance.fraction())
  }

  async #wait(target: Target, ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    target.wake = resolve
    const cancel = this.#clock.after(ms, resolve)
    target.stopped.signal.addEventListener('abort', () => resolve(), { once: true })
    await promise
    cancel()
    target.wake = () => {}
  }
}
