import assert from 'node:assert/strict'
import type { NetworkInterfaceInfo } from 'node:os'
import { test } from 'node:test'
import type { PeerInfo } from '@libp2p/interface'
import type { MulticastDNSComponents } from '@libp2p/mdns'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { ANNOUNCED_AGAIN_MS } from '../../../src/wire/constants.ts'
import { LocalDiscovery } from '../../../src/wire/local-discovery.ts'
import { ManualClock } from '../../fixtures/clock.ts'

const PEER = '12D3KooWBgeHAuGYkNGN1zVEoFSLuPkGCfwxhvVbmG2vCxyYTvgR'

/** A discovery service that hears what the test announces. The test also sets its interfaces. */
class FakeService extends EventTarget {
  starts = 1
  isUp = true
  isStarted = (): boolean => this.isUp
  start = async (): Promise<void> => {
    this.starts++
    this.isUp = true
  }
  stop = async (): Promise<void> => {
    this.isUp = false
  }
  hear(...addresses: string[]): void {
    const detail: PeerInfo = { id: peerIdFromString(PEER), multiaddrs: addresses.map(text => multiaddr(text)) }
    this.dispatchEvent(new CustomEvent('peer', { detail }))
  }
}

function setup() {
  const clock = new ManualClock()
  const service = new FakeService()
  const told: string[] = []
  const eth0 = { cidr: '10.0.0.1/24', mac: '01' } as NetworkInterfaceInfo
  const machine = { interfaces: { eth0: [eth0] } }
  const discovery = new LocalDiscovery({
    clock,
    onAnnounced: (peer, addresses) => told.push(`${peer === PEER} ${addresses.join(' ')}`),
    create: (() => () => service) as never,
    interfaces: () => machine.interfaces
  })
  discovery.serve({} as MulticastDNSComponents)
  return { clock, service, told, machine, discovery, eth0 }
}

test('every announcement is reported: new addresses at once, and the same ones again and again', () => {
  const { clock, service, told } = setup()
  service.hear('/ip4/10.0.0.2/tcp/3000')
  service.hear('/ip4/10.0.0.2/tcp/3000')
  service.hear()
  service.hear('/ip4/10.0.1.2/tcp/3000')
  clock.advance(ANNOUNCED_AGAIN_MS)
  service.hear('/ip4/10.0.1.2/tcp/3000')
  const [before, after] = ['true /ip4/10.0.0.2/tcp/3000', 'true /ip4/10.0.1.2/tcp/3000']
  assert.deepEqual(told, [before, after, after])
})

test('a node listens again when an interface has been replaced by one with the same address', async () => {
  const { service, machine, discovery, eth0 } = setup()
  assert.equal(await discovery.refresh(), false)
  machine.interfaces = { eth0: [{ ...eth0, mac: '02' }] }
  assert.equal(await discovery.refresh(), true)
  assert.equal(await discovery.refresh(), false)
  assert.equal(service.starts, 2)
  machine.interfaces = { eth0: [eth0] }
  service.isUp = false
  assert.equal(await discovery.refresh(), false, 'a host that has stopped stays silent')
  assert.equal(service.starts, 2)
})
