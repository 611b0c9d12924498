import assert from 'node:assert/strict'
import { networkInterfaces } from 'node:os'
import { test } from 'node:test'
import { IndexDb, indexKey } from '../../../src/disk/index-db.ts'
import { AddressBook, onOurSubnets, shareableAddresses } from '../../../src/members/address-book.ts'
import { utf8 } from '../../../src/util/bytes.ts'
import { ADDRESSES_MAX } from '../../../src/wire/constants.ts'
import { isPrivateOrigin, originOf } from '../../../src/wire/origin.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { MemoryDatabase } from '../../fixtures/memory-database.ts'

async function open(database = new MemoryDatabase()): Promise<{ index: IndexDb; book: AddressBook }> {
  const index = new IndexDb(database.asDatabase, silentLogger)
  await index.open()
  return { index, book: new AddressBook(index, silentLogger) }
}

test('a bounded number of addresses is remembered over a restart, the last one first', async () => {
  const database = new MemoryDatabase()
  const { book } = await open(database)
  await book.remember('one', '/ip4/10.0.0.1/tcp/1')
  for (let port = 1; port <= ADDRESSES_MAX + 5; port++) await book.remember('two', `/ip4/10.0.0.2/tcp/${port}`)
  await book.remember('two', '/ip4/10.0.0.2/tcp/9')
  const again = await open(database)
  const all = new Map((await again.book.all()).map(({ peer, addresses }) => [peer, addresses]))
  assert.deepEqual(all.get('one'), ['/ip4/10.0.0.1/tcp/1'])
  const two = all.get('two') ?? []
  assert.equal(two.length, ADDRESSES_MAX)
  assert.deepEqual(two.slice(0, 2), ['/ip4/10.0.0.2/tcp/9', `/ip4/10.0.0.2/tcp/${ADDRESSES_MAX + 5}`])
  assert.equal(new Set(two).size, ADDRESSES_MAX)
})

test('an address that is known already is not written again', async () => {
  const database = new MemoryDatabase()
  const { book } = await open(database)
  await book.remember('one', '/ip4/10.0.0.1/tcp/1')
  const before = database.batches
  await book.remember('one', '/ip4/10.0.0.1/tcp/1')
  assert.equal(database.batches, before)
})

test('a malformed row counts as empty', async () => {
  const { index, book } = await open()
  await index.batch([
    { type: 'put', key: indexKey('a', utf8('odd')), value: utf8('{"x":1}') },
    { type: 'put', key: indexKey('a', utf8('odder')), value: utf8('no json') }
  ])
  assert.deepEqual(await book.all(), [])
  for (const peer of ['odd', 'odder']) await book.remember(peer, '/ip4/10.0.0.1/tcp/1')
  assert.equal((await book.all()).length, 2)
})

test('loopback addresses are stated to others only if there are no others', () => {
  const lan = '/ip4/192.168.1.7/tcp/3000'
  const loopback = ['/ip4/127.0.0.1/tcp/3000', '/ip6/::1/tcp/3000']
  assert.deepEqual(shareableAddresses([...loopback, lan]), [lan])
  assert.deepEqual(shareableAddresses(loopback), loopback)
  assert.deepEqual(shareableAddresses(['/ip6/fe80::7/tcp/1', lan]), [lan], 'nobody can dial an address of one link')
  const many = Array.from({ length: 40 }, (_, i) => `/ip4/10.0.0.${i}/tcp/1`)
  assert.equal(shareableAddresses(many).length, ADDRESSES_MAX)
  const long = `/dns4/${'x'.repeat(300)}/tcp/1`
  assert.deepEqual(shareableAddresses([long, lan]), [lan])
})

test('we dial only those of the addresses that mDNS announces that are in our subnets, and loopback only if there is no other', () => {
  const at = (cidr: string | null) => ({ cidr }) as NonNullable<ReturnType<typeof networkInterfaces>[string]>[number]
  const interfaces = {
    eth0: [at('192.168.1.7/24'), at('fe80::7/64'), at('fd00:1::7/64')],
    lo: [at('127.0.0.1/8')],
    x: [at(null)]
  }
  const ours = [
    '/ip4/192.168.1.99/tcp/3000',
    '/ip4/192.168.1.99/tcp/3001/ws/p2p/x',
    '/ip6/fe80::99/tcp/1',
    '/ip6zone/eth0/ip6/fe80::99/tcp/1',
    '/ip6/fd00:1::99/tcp/1'
  ]
  const others = [
    '/ip4/192.168.2.1/tcp/3000',
    '/ip4/8.8.8.8/tcp/53',
    '/ip6/fd00:2::1/tcp/1',
    '/ip6/2001:db8::1/tcp/1',
    '/ip6/::1/tcp/1',
    '/dns4/localhost/tcp/1',
    '/ip4/192.168.1.300/tcp/1',
    'nonsense'
  ]
  assert.deepEqual(onOurSubnets([...others, ...ours], interfaces), ours)
  const loopback = '/ip4/127.0.0.1/tcp/1'
  assert.deepEqual(onOurSubnets([loopback, ...ours], interfaces), ours)
  assert.deepEqual(onOurSubnets([loopback, ...others], interfaces), [loopback])
  assert.deepEqual(onOurSubnets(ours, {}), [])
  const [own] = Object.values(networkInterfaces()).flatMap(list => list ?? [])
  if (own?.family === 'IPv4') assert.equal(onOurSubnets([`/ip4/${own.address}/tcp/1`]).length, 1)
})

test('strangers are counted by IPv4 address, by /64 of IPv6, and by address of the link', () => {
  const alike = [
    ['/ip4/192.168.1.7/tcp/3000', '/ip4/192.168.1.7/tcp/4001/ws', '/ip6/::ffff:192.168.1.7/tcp/9'],
    ['/ip6/2001:db8::1/tcp/1', '/ip6/2001:db8:0:0:ffff::2/tcp/1', '/ip6/2001:0DB8::5/tcp/2'],
    ['/ip6/2001:db8:0:1::1/tcp/1', '/ip6/2001:db8:0:1:2:3:4:5/tcp/1'],
    ['/ip6/::1/tcp/1', '/ip6/::1/tcp/2'],
    ['/ip6zone/eth0/ip6/fe80::1/tcp/1', '/ip6/fe80::1/tcp/2'],
    ['/ip6/fe80::2/tcp/1'],
    ['/memory/a'],
    ['/memory/b']
  ]
  const origins = alike.map(addresses => new Set(addresses.map(originOf)))
  for (const [i, origin] of origins.entries()) assert.equal(origin.size, 1, alike[i]?.join(' '))
  assert.equal(new Set(origins.map(([origin]) => origin)).size, alike.length)
})

test('an address of a private network or of this machine is told from one of the internet', () => {
  const isPrivate = (address: string): boolean => isPrivateOrigin(originOf(address))
  for (const ip of [
    '/ip4/127.0.0.9',
    '/ip4/10.1.2.3',
    '/ip4/172.31.0.1',
    '/ip4/192.168.1.7',
    '/ip6/::1',
    '/ip6/fd00::7'
  ])
    assert.equal(isPrivate(`${ip}/tcp/1`), true, ip)
  assert.equal(isPrivate('/ip6zone/eth0/ip6/fe80::1/tcp/1'), true)
  for (const ip of [
    '/ip4/203.0.113.9',
    '/ip4/172.32.0.1',
    '/ip4/100.64.0.1',
    '/ip6/2001:db8::1',
    '/ip6/::ffff:8.8.8.8'
  ])
    assert.equal(isPrivate(`${ip}/tcp/1`), false, ip)
  assert.equal(isPrivate('/memory/a'), false)
})
