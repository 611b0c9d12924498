import type { PeerId } from '../format/peer-id.ts'
import type { Chance } from '../util/chance.ts'
import type { Clock } from '../util/clock.ts'
import { withDeadline } from '../util/deadline.ts'
import { Limiter } from '../util/limiter.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../util/logger.ts'
import {
  ADDRESSES_MAX,
  DIAL_TIMEOUT_MS,
  DIALS_MAX,
  DISCOVERED_DIALS_MAX,
  DISCOVERED_MAX,
  REDIAL_MS_MAX
} from './constants.ts'
import { dialFailure, isDialToSelf } from './dial-failure.ts'
import { DialTarget } from './dial-target.ts'
import type { Host } from './host.ts'

export interface RedialOptions {
  host: Host
  clock: Clock
  chance: Chance
  logger: ComponentLogger
  /** Called when an address that the user gave could not be reached at the first dial. */
  onUnreachable?: ((unreachable: Unreachable) => void) | undefined
}

/** An address that the user gave, and at which no dial has reached anyone so far. */
export interface Unreachable {
  address: string
  /** The reason why the last dial failed, for people. */
  reason: string
}

export interface AddPeerOptions {
  /** The pause before the first dial. */
  delayMs?: number | undefined
  /**
   * True if the peer is not a known member. The number of such peers is bounded, and each is given up after a few
   * dials.
   */
  isTransient?: boolean | undefined
  /** True if somebody else announced the addresses: the peer did not state them, and no dial reached it there. */
  isHint?: boolean | undefined
}

interface AddOptions extends AddPeerOptions {
  /** True for an address that the user gave. */
  isGiven?: boolean | undefined
}

/**
 * Keeps connections to all peers and addresses that were added. For as long as it runs, it dials each of them until it
 * is connected, with pauses that grow and vary. libp2p gives up on a peer after a few failures, but a laptop that was
 * away for a month is still a member.
 *
 * A connection alone is not a success, because the peer that answers may turn us away immediately. Therefore the pauses
 * grow until `settle` is called.
 */
export class Redialler {
  readonly #host: Host
  readonly #clock: Clock
  readonly #chance: Chance
  readonly #log: Logger
  readonly #onUnreachable: (unreachable: Unreachable) => void
  readonly #targets = new Map<string, DialTarget>()
  readonly #dials = new Limiter(DIALS_MAX)
  /** The addresses that the user gave, and that no dial has reached yet, with the reasons. */
  readonly #unreachable = new Map<DialTarget, Unreachable>()
  #isRunning = false

  constructor({ host, clock, chance, logger, onUnreachable = () => {} }: RedialOptions) {
    this.#host = host
    this.#clock = clock
    this.#chance = chance
    this.#log = logger.forComponent('dfs:wire:redial')
    this.#onUnreachable = onUnreachable
    host.onPeer((event, peer) => {
      if (event === 'disconnected') for (const target of this.#targetsOf(peer)) target.disconnected()
    })
  }

  start(): void {
    this.#isRunning = true
    for (const [key, target] of this.#targets) void this.#run(key, target, 0)
  }

  stop(): void {
    this.#isRunning = false
    for (const target of this.#targets.values()) target.stop()
    this.#targets.clear()
    this.#unreachable.clear()
  }

  /** The addresses that the user gave, and at which no dial has reached anyone since the start. */
  get unreachable(): Unreachable[] {
    return [...this.#unreachable.values()]
  }

  /** Adds an address, with or without a peer id in it. `isGiven` is true for one that the user gave. */
  addAddress(address: string, { isGiven }: { isGiven: boolean }): void {
    this.#add(address, undefined, [address], { isGiven })
  }

  /**
   * Adds a peer, or more addresses of a peer that was added before. `DialTarget` describes the effect of new addresses
   * and hints.
   */
  addPeer(peer: PeerId, addresses: readonly string[], options: AddPeerOptions = {}): void {
    if (peer === this.#host.peerId) return
    const known = this.#targets.get(peer)
    if (known === undefined) {
      this.#add(peer, peer, addresses.slice(0, ADDRESSES_MAX), options)
      return
    }
    if (options.isTransient !== true) known.isTransient = false
    if (options.isHint === true) known.addHints(addresses)
    else known.addAddresses(addresses)
  }

  /** Stops dialling a peer. An address that the user gave is still dialled, even if this peer answered there. */
  dropPeer(peer: PeerId): void {
    this.#targets.get(peer)?.stop()
    this.#targets.delete(peer)
  }

  /**
   * Call this when the connection to a peer has led to an admission. If it ends, the pause before the next dial is
   * short.
   */
  settle(peer: PeerId): void {
    for (const target of this.#targetsOf(peer)) target.reset()
  }

  #targetsOf(peer: PeerId): DialTarget[] {
    return [...this.#targets.values()].filter(target => target.leadsTo(peer))
  }

  #add(key: string, peer: PeerId | undefined, addresses: readonly string[], options: AddOptions): void {
    const { delayMs = 0, isTransient = false, isHint = false, isGiven = false } = options
    if (this.#targets.has(key)) return
    if (isTransient && this.#transients >= DISCOVERED_MAX) {
      this.#log.trace('ignoring %s: already dialling %d peers that are not members', peer, DISCOVERED_MAX)
      return
    }
    const [clock, chance] = [this.#clock, this.#chance]
    const target = new DialTarget({ peer, addresses, isHint, isTransient, isGiven, clock, chance })
    this.#targets.set(key, target)
    if (this.#isRunning) void this.#run(key, target, delayMs)
  }

  get #transients(): number {
    let count = 0
    for (const { isTransient } of this.#targets.values()) if (isTransient) count++
    return count
  }

  async #run(key: string, target: DialTarget, delayMs: number): Promise<void> {
    let pauseMs = delayMs
    for (;;) {
      if (pauseMs > 0) await target.pause(pauseMs)
      if (target.stopped.aborted) return
      const peer = target.peer ?? target.reached
      if (peer !== undefined && this.#host.isConnected(peer)) {
        await target.whileConnected(REDIAL_MS_MAX)
        pauseMs = target.pauseMs
        continue
      }
      if (target.isTransient && target.failures >= DISCOVERED_DIALS_MAX) {
        this.#log.trace('giving up %s, which is not a member; dials: %d', peer, target.failures)
        this.#targets.delete(key)
        return
      }
      target.countDial()
      const isConnected = (await this.#dial(target, target.addresses)) || (await this.#dial(target, target.hints))
      pauseMs = isConnected ? 0 : this.#pauseAfterFailure(target)
    }
  }

  #pauseAfterFailure(target: DialTarget): number {
    const { pauseMs, failures } = target
    if (!target.stopped.aborted)
      this.#log.trace('dial %d of %s failed, next in %d ms', failures, nameOf(target), Math.round(pauseMs))
    return pauseMs
  }

  // Hints are dialled separately, because addresses where nobody answers use up the time of a dial.
  async #dial(target: DialTarget, addresses: readonly string[]): Promise<boolean> {
    const { stopped } = target
    if (addresses.length === 0 || stopped.aborted) return false
    try {
      target.reached = await this.#dials.run(
        () =>
          withDeadline(this.#clock, DIAL_TIMEOUT_MS, stopped, signal =>
            this.#host.dial(addresses, { signal, peer: target.peer })
          ),
        { signal: stopped }
      )
      this.#log('connected to %s at dial %d', target.reached, target.failures)
      this.#unreachable.delete(target)
      // If the connection has already ended, pause as after a failed dial.
      return this.#host.isConnected(target.reached)
    } catch (error) {
      this.#log.trace('could not reach %s; addresses: %d: %s', nameOf(target), addresses.length, reasonOf(error))
      this.#noteFailure(target, error)
      return false
    }
  }

  #noteFailure(target: DialTarget, error: unknown): void {
    const [address] = target.addresses
    // A list of addresses for all machines may name this one, too.
    if (!target.isGiven || address === undefined || target.reached !== undefined || isDialToSelf(error)) return
    if (target.stopped.aborted) return
    const isFirst = !this.#unreachable.has(target)
    const unreachable = { address, reason: dialFailure(error) }
    this.#unreachable.set(target, unreachable)
    if (isFirst) this.#onUnreachable(unreachable)
  }
}

function nameOf({ peer }: DialTarget): string {
  return peer ?? 'an address of the owner'
}
