import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hostIn } from '../../../src/terminal/host-in.ts'

test('the place of an address is its host, also with a zone and for dnsaddr, and other addresses have none', () => {
  const places: Array<[string, string | undefined]> = [
    ['/ip4/192.168.1.20/tcp/3000/p2p/12D3Koo', '192.168.1.20'],
    ['/dns4/node1/tcp/3000', 'node1'],
    ['/dnsaddr/nodes.example/p2p/12D3Koo', 'nodes.example'],
    ['/ip6/fe80::1/tcp/1', 'fe80::1'],
    ['/ip6zone/eth0/ip6/fe80::2/tcp/1', 'fe80::2'],
    ['/memory/x', undefined]
  ]
  assert.deepEqual(
    places.map(([address]) => hostIn(address)),
    places.map(([, host]) => host)
  )
})
