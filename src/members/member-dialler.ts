import { type PeerId, publicKeyOf } from '../format/peer-id.ts'
import { compareBytes } from '../util/bytes.ts'
import type { Chance } from '../util/chance.ts'
import type { Clock } from '../util/clock.ts'
import type { ComponentLogger, Logger } from '../util/logger.ts'
import { DISCOVERED_MAX } from '../wire/constants.ts'
import type { Host } from '../wire/host.ts'
import { type AddPeerOptions, Redialler, type Unreachable } from '../wire/redial.ts'
import { type AddressBook, onOurSubnets } from './address-book.ts'
import { DIAL_YIELD_MS, FOREIGN_MS, STRANGER_AGAIN_MS } from './constants.ts'
import { ExpiringSet } from './expiring-set.ts'
import type { LocalMember } from './local-member.ts'
import type { Roster } from './roster.ts'
import type { Statuses } from './statuses.ts'

export interface MemberDiallerOptions {
  host: Host
  self: LocalMember
  roster: Roster
  statuses: Statuses
  addresses: AddressBook
  clock: Clock
  chance: Chance
  logger: ComponentLogger
  /** The addresses that the user gave, to stay connected to, as multiaddr text. */
  bootstrap: readonly string[]
  /** Other addresses to stay connected to, such as those of the invite. */
  entryAddresses?: readonly string[] | undefined
  /** Called when an address of `bootstrap` could not be reached at the first dial. */
  onUnreachable?: ((unreachable: Unreachable) => void) | undefined
}

/**
 * Decides which peers are dialled, and at which addresses. It dials the bootstrap addresses, every member at the
 * addresses that the member states and at those where it was last reached, and peers that announce themselves on the
 * local network.
 */
export class MemberDialler {
  readonly #options: MemberDiallerOptions
  readonly #log: Logger
  readonly #redialler: Redialler
  /** Peers that turned out to belong to another network. We ignore their announcements for a while. */
  readonly #foreign: ExpiringSet<PeerId>
  /** Recent announcements of peers that are not members. Each of them gets a few dials, and no more. */
  readonly #strangers: ExpiringSet<string>

  constructor(options: MemberDiallerOptions) {
    this.#options = options
    const { host, clock, chance, logger, onUnreachable } = options
    this.#log = logger.forComponent('dfs:members:dial')
    this.#redialler = new Redialler({ host, clock, chance, logger, onUnreachable })
    this.#foreign = new ExpiringSet({ clock, lifetimeMs: FOREIGN_MS, max: DISCOVERED_MAX })
    this.#strangers = new ExpiringSet({ clock, lifetimeMs: STRANGER_AGAIN_MS, max: DISCOVERED_MAX })
    host.onDiscovered((peer, addresses) => this.#onDiscovered(peer, addresses))
  }

  async start(): Promise<void> {
    const { bootstrap, entryAddresses = [] } = this.#options
    const remembered = await this.#options.addresses.all()
    for (const { peer, addresses } of remembered) this.#dial(peer, addresses)
    for (const address of bootstrap) this.#redialler.addAddress(address, { isGiven: true })
    for (const address of entryAddresses) this.#redialler.addAddress(address, { isGiven: false })
    this.dialMembers()
    this.#redialler.start()
    this.#log(
      'dialling remembered members: %d, bootstrap addresses: %d',
      remembered.length,
      bootstrap.length + entryAddresses.length
    )
  }

  stop(): void {
    this.#redialler.stop()
    this.#foreign.clear()
    this.#strangers.clear()
  }

  /** The addresses of `bootstrap` at which no dial has reached anyone since the start. */
  get unreachable(): Unreachable[] {
    return this.#redialler.unreachable
  }

  /** Dials all members at the addresses that they state now. */
  dialMembers(): void {
    const { roster, statuses } = this.#options
    for (const { peer } of roster.members) this.#dial(peer, statuses.of(peer)?.fields.addresses ?? [])
  }

  /** Call this when the connection to a peer has led to an admission. */
  settle(peer: PeerId): void {
    this.#redialler.settle(peer)
  }

  /** Remembers the address at which we reached a member, for the next start. */
  async rememberAddress(peer: PeerId): Promise<void> {
    const { host, addresses } = this.#options
    const outbound = host.connections().find(connection => connection.peer === peer && connection.isOutbound)
    if (outbound !== undefined) await addresses.remember(peer, outbound.address)
  }

  /** Stops dialling a peer that belongs to another network. */
  dropForeign(peer: PeerId): void {
    this.#log('%s belongs to another network: ignoring its announcements for %d ms', peer, FOREIGN_MS)
    this.#foreign.add(peer)
    this.#redialler.dropPeer(peer)
  }

  // Anyone on the local network may announce anything, so an unknown peer gets only a few dials, to addresses in our
  // subnets.
  #onDiscovered(peer: PeerId, addresses: string[]): void {
    if (this.#foreign.has(peer) || !isMemberKey(peer)) return
    const nearby = onOurSubnets(addresses)
    this.#log.trace('%s announced addresses: %d, in our subnets: %d', peer, addresses.length, nearby.length)
    if (nearby.length === 0) return
    const isTransient = this.#options.roster.member(peer) === undefined
    const announced = `${peer} ${nearby.toSorted().join(' ')}`
    if (isTransient && this.#strangers.has(announced)) return
    if (isTransient) this.#strangers.add(announced)
    this.#dial(peer, nearby, { isHint: true, isTransient })
  }

  #dial(peer: PeerId, addresses: readonly string[], options: Omit<AddPeerOptions, 'delayMs'> = {}): void {
    const { self } = this.#options
    if (addresses.length === 0 || peer === self.peerId) return
    // Two members learn of each other at about the same time. One of them dials immediately, and the other waits.
    const yields = compareBytes(publicKeyOf(peer), self.publicKey) < 0
    this.#redialler.addPeer(peer, addresses, { ...options, delayMs: yields ? DIAL_YIELD_MS : 0 })
  }
}

function isMemberKey(peer: PeerId): boolean {
  try {
    publicKeyOf(peer)
    return true
  } catch {
    // The peer id has another type of key. Any libp2p program on the local network may have such an id, so this is not
    // worth a log line.
    return false
  }
}
