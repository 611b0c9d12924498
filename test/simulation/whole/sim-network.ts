import type { PeerId } from '../../../src/format/peer-id.ts'
import type { Chance } from '../../../src/util/chance.ts'
import { MemoryHost, MemoryNetwork } from '../../fixtures/memory-host.ts'
import type { SimProcess, SimTime } from './sim-time.ts'

const DELAY_MS = 0.5
const JITTER_MS = 2

/** A host of a process. It has no local network to look at. */
export class SimHost extends MemoryHost {
  readonly process: SimProcess

  constructor(network: SimNetwork, address: string, peerId: PeerId, process: SimProcess) {
    super(network, address, peerId)
    this.process = process
    network.hosts.add(this)
  }

  /**
   * The process that dialled may have died while its message was held, for instance because this process was frozen. The
   * machine of that process resets such a connection. If it stayed, every stream to the peer would be opened on it.
   */
  override addLink(link: Parameters<MemoryHost['addLink']>[0]): void {
    if ((link.otherOf(this) as SimHost).process.isDead) link.end(new Error('reset'))
    else super.addLink(link)
  }

  async refreshDiscovery(): Promise<void> {}
}

/**
 * Hosts that reach each other with a varying delay. Messages between two hosts arrive in order. A link may be slow, or
 * stand still.
 */
export class SimNetwork extends MemoryNetwork {
  /** Every host whose process may still run. */
  readonly hosts = new Set<SimHost>()
  readonly #time: SimTime
  readonly #chance: Chance
  /** When the last message from one address to another arrives. */
  readonly #lastAtMs = new Map<string, number>()
  readonly #slowMs = new Map<string, number>()
  /**
   * The messages that arrive once a silence is over, by the two hosts. A connection may stall, but it loses nothing.
   */
  readonly #held = new Map<string, Array<() => void>>()

  constructor(time: SimTime, chance: Chance) {
    super({ pieceBytes: 256 << 10 })
    this.#time = time
    this.#chance = chance
  }

  /** Everything that a host sends or receives takes this much longer. */
  slow(address: string, ms: number): void {
    if (ms === 0) this.#slowMs.delete(address)
    else this.#slowMs.set(address, ms)
  }

  /** Ends all connections to processes that are gone, also those that had not been made on both sides. */
  endDead(): void {
    for (const host of this.hosts) {
      for (const { peer } of host.connections())
        for (const link of host.linksTo(peer))
          if (host.process.isDead || (link.otherOf(host) as SimHost).process.isDead) link.end(new Error('reset'))
      if (host.process.isDead) this.hosts.delete(host)
    }
  }

  isSlow(address: string): boolean {
    return this.#slowMs.has(address)
  }

  override heal(a: MemoryHost, b: MemoryHost): void {
    super.heal(a, b)
    const pair = pairOf(a, b)
    const held = this.#held.get(pair) ?? []
    this.#held.delete(pair)
    for (const release of held) release()
  }

  override carry(from: MemoryHost, to: MemoryHost, deliver: () => void): void {
    if ((from as SimHost).process.isDead) return
    if (this.isSilent(from, to)) {
      this.#hold(from, to, () => this.carry(from, to, deliver))
      return
    }
    const { nowMs } = this.#time
    const slowMs = (this.#slowMs.get(from.address) ?? 0) + (this.#slowMs.get(to.address) ?? 0)
    const delayMs = DELAY_MS + this.#chance.fraction() * JITTER_MS + slowMs
    const way = `${from.address} ${to.address}`
    const atMs = Math.max(nowMs + delayMs, this.#lastAtMs.get(way) ?? 0)
    this.#lastAtMs.set(way, atMs)
    this.#time.at(atMs, () => {
      if (this.isSilent(from, to)) this.#hold(from, to, () => (to as SimHost).process.deliver(deliver))
      else (to as SimHost).process.deliver(deliver)
    })
  }

  #hold(a: MemoryHost, b: MemoryHost, release: () => void): void {
    const pair = pairOf(a, b)
    this.#held.set(pair, [...(this.#held.get(pair) ?? []), release])
  }
}

function pairOf(a: MemoryHost, b: MemoryHost): string {
  return [a.address, b.address].sort().join(' ')
}
