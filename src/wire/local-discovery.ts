import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os'
import type { PeerDiscovery, Startable } from '@libp2p/interface'
import { type MulticastDNSComponents, mdns } from '@libp2p/mdns'
import type { PeerId } from '../format/peer-id.ts'
import type { Clock } from '../util/clock.ts'
import { Announcements } from './announcements.ts'
import { MDNS_INTERVAL_MS, MDNS_SERVICE_TAG } from './constants.ts'

export interface LocalDiscoveryOptions {
  clock: Clock
  /** Called with what a peer announces, as often as `Announcements` says. */
  onAnnounced: (peer: PeerId, addresses: string[]) => void
  /** The pause between two queries. */
  intervalMs?: number | undefined
  /** Makes the service that queries and answers; replaced in tests. */
  create?: typeof mdns
  /** Returns the network interfaces of this machine; replaced in tests. */
  interfaces?: () => NodeJS.Dict<NetworkInterfaceInfo[]>
}

/**
 * Finds peers by mDNS, and reports every announcement. libp2p itself reports a peer only once, so a member whose
 * addresses have changed since would not be found again.
 */
export class LocalDiscovery {
  readonly #options: LocalDiscoveryOptions
  readonly #announcements: Announcements
  #service: (PeerDiscovery & Startable) | undefined
  #joined: string

  constructor(options: LocalDiscoveryOptions) {
    this.#options = options
    this.#announcements = new Announcements(options.clock)
    this.#joined = this.#interfaces()
  }

  /** Makes the service for libp2p, which starts and stops it. */
  serve(components: MulticastDNSComponents): PeerDiscovery {
    const { create = mdns, intervalMs = MDNS_INTERVAL_MS, onAnnounced } = this.#options
    const service = create({ serviceTag: MDNS_SERVICE_TAG, interval: intervalMs })(components)
    service.addEventListener('peer', ({ detail: { id, multiaddrs } }) => {
      const addresses = multiaddrs.map(address => address.toString())
      const peer = id.toString()
      if (addresses.length > 0 && this.#announcements.mustTell(peer, addresses)) onAnnounced(peer, addresses)
    })
    this.#service = service as PeerDiscovery & Startable
    return service
  }

  /**
   * Listens again if the network interfaces have changed. The service knows an interface by its address. If the system
   * replaces an interface and the new one has the same address, the service believes that it still listens there, and
   * hears nothing any more. Returns true if it did. Does nothing before the start and after the end.
   */
  async refresh(): Promise<boolean> {
    const interfaces = this.#interfaces()
    const service = this.#service
    if (interfaces === this.#joined || service === undefined || !isStarted(service)) return false
    await service.stop()
    await service.start()
    this.#joined = interfaces
    return true
  }

  /**
   * Returns a text that names each address and its interface. A new interface has another MAC and another IPv6 scope.
   */
  #interfaces(): string {
    const { interfaces = networkInterfaces } = this.#options
    return Object.entries(interfaces())
      .flatMap(([name, infos = []]) => infos.map(info => [name, info.cidr, info.mac, info.scopeid].join(' ')))
      .toSorted()
      .join('\n')
  }
}

function isStarted(service: Startable): boolean {
  return (service as Startable & { isStarted(): boolean }).isStarted()
}
