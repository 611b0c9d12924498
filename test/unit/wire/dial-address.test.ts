import assert from 'node:assert/strict'
import { test } from 'node:test'
import { peerIdOf } from '../../../src/format/peer-id.ts'
import { placeOf } from '../../../src/wire/addresses.ts'
import { dialAddress } from '../../../src/wire/dial-address.ts'

const PEER = peerIdOf(Buffer.alloc(32, 1))

test('a host or an IP address with a port means TCP, and reads the same again', () => {
  const addresses: Array<[string, string]> = [
    ['10.0.0.2:3000', '/ip4/10.0.0.2/tcp/3000'],
    ['attic:3000', '/dns/attic/tcp/3000'],
    ['node-1.home.example:3000', '/dns/node-1.home.example/tcp/3000'],
    ['[fd00::7]:3000', '/ip6/fd00::7/tcp/3000']
  ]
  for (const [given, address] of addresses) assert.deepEqual([dialAddress(given), placeOf(address)], [address, given])
  assert.equal(dialAddress(' 10.0.0.2:3000\n'), '/ip4/10.0.0.2/tcp/3000')
})

test('multiaddrs for TCP and WebSockets stay as they are', () => {
  for (const address of [
    `/ip4/10.0.0.2/tcp/3000/p2p/${PEER}`,
    '/dns4/attic/tcp/3001/ws',
    '/dns/example.org/tcp/443/tls/ws',
    '/dnsaddr/example.org',
    `/ip4/10.0.0.2/tcp/3000/p2p/${PEER}/p2p-circuit/p2p/${PEER}`
  ])
    assert.equal(dialAddress(address), address)
})

test('anything else is refused, with the text that was given, what is wrong, and examples', () => {
  const wrong: Array<[string, RegExp]> = [
    ['10.0.0.2', /"10\.0\.0\.2" has no port: write host:3000/],
    ['attic', /"attic" has no port/],
    ['/ip4/10.0.0.2/3000', /is no address/],
    ['http://10.0.0.2:3000', /is the address of a web page/],
    ['10.0.0.300:3000', /neither an IP address nor a host name/],
    ['10.0.0.2:99999', /is no address/],
    ['10.0.0.2:0', /port 0/],
    ['fd00::7', /brackets and a port/],
    ['fe80::7%eth0', /brackets and a port/],
    ['[10.0.0.2]:3000', /no IPv6 address in its brackets/],
    ['[fe80::7]:3000', /of one link only .* give another address/],
    ['[fe80::7%eth0]:3000', /of one link only/],
    ['/ip6/fe80::7/tcp/3000', /of one link only/],
    ['/ip6zone/eth0/ip6/fe80::7/tcp/3001/ws', /of one link only/],
    ['/ip4/10.0.0.2/udp/3000/quic-v1', /no address for TCP or WebSockets/],
    ['/ip4/10.0.0.2', /no address for TCP or WebSockets/],
    ['/dns4/a b/tcp/1', /no valid host name/],
    ['/ip4/10.0.0.2/tcp/3000/p2p/12D3Koo', /no valid peer id/],
    ['a b:3000', /neither an IP address nor a host name/],
    ['', /an empty text has no port|is no address/]
  ]
  for (const [given, message] of wrong) assert.throws(() => dialAddress(given), { code: 'invalid', message }, given)
})

test('a secret that is given as an address is not repeated', () => {
  for (const secret of [
    'ab'.repeat(32),
    `dfsinvite1.${'x'.repeat(200)}`,
    'abandon ability able about above '.repeat(4)
  ])
    assert.throws(() => dialAddress(secret), { message: /^--bootstrap: what was given/ }, secret)
})
