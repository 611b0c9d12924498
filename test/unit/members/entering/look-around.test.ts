import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FOUND_PEERS_MAX, FOUND_PER_HOST_MAX, LOOK_MS } from '../../../../src/members/entering/constants.ts'
import { type LookOptions, lookAround, type NetworkNearby } from '../../../../src/members/entering/look-around.ts'
import { RefusedError } from '../../../../src/wire/errors.ts'
import { ManualClock } from '../../../fixtures/clock.ts'
import { silentLogger } from '../../../fixtures/logger.ts'
import { settle } from '../../../fixtures/pass-time.ts'

const OURS = Buffer.alloc(32, 1)
const OTHER = Buffer.alloc(32, 2)
const HERE = '/ip4/127.0.0.1/tcp/1'

interface Look {
  clock: ManualClock
  announce: (peer: string, ...addresses: string[]) => void
  dialled: string[]
  found: Promise<NetworkNearby[]>
}

/** Looks around. A peer answers with the network that `networks` has for it; the others refuse or hang. */
function look(networks: Record<string, Uint8Array | 'hangs'>): Look {
  const clock = new ManualClock()
  const dialled: string[] = []
  let listener: (peer: string, addresses: string[]) => void = () => {}
  const host: LookOptions['host'] = {
    onDiscovered: given => {
      listener = given
    },
    start: async () => {},
    dial: async (_addresses, { peer = '' }) => {
      dialled.push(peer)
      if (networks[peer] === 'hangs') await new Promise(() => {})
      return peer
    }
  }
  const client: LookOptions['client'] = {
    hello: async peer => {
      const network = networks[peer]
      if (network === undefined || network === 'hangs') throw new RefusedError('unsupported')
      return { network, nonce: Buffer.alloc(32) }
    }
  }
  const found = lookAround({ host, client, clock, logger: silentLogger })
  return { clock, announce: (peer, ...addresses) => listener(peer, addresses), dialled, found }
}

test('a look around groups the members that answer by network, and leaves the others out', async () => {
  const { clock, announce, found } = look({ a: OTHER, b: OURS, c: OURS, slow: 'hangs' })
  for (const peer of ['a', 'b', 'c', 'newcomer', 'slow', 'b']) announce(peer, HERE)
  announce('d', '/ip4/203.0.113.9/tcp/1')
  await settle()
  clock.advance(LOOK_MS)
  assert.deepEqual(await found, [
    {
      network: OURS,
      peers: [
        { peer: 'b', addresses: [HERE] },
        { peer: 'c', addresses: [HERE] }
      ]
    },
    { network: OTHER, peers: [{ peer: 'a', addresses: [HERE] }] }
  ])
})

test('a look around asks a bounded number of peers, and none in another subnet or after its end', async () => {
  const { clock, announce, dialled, found } = look({})
  for (let i = 0; i < 2 * FOUND_PEERS_MAX; i++) announce(`p${i}`, `/ip4/127.0.1.${i >> 1}/tcp/1`)
  announce('far', '/ip4/203.0.113.9/tcp/1')
  await settle()
  assert.equal(dialled.length, FOUND_PEERS_MAX)
  clock.advance(LOOK_MS)
  assert.deepEqual(await found, [])
  announce('late', HERE)
  await settle()
  assert.equal(dialled.length, FOUND_PEERS_MAX)
})

test('a host that announces many peers does not hide a network at another host', async () => {
  const { clock, announce, dialled, found } = look({ ours: OURS })
  for (let i = 0; i < 2 * FOUND_PEERS_MAX; i++) announce(`p${i}`, HERE)
  announce('ours', '/ip4/127.0.0.2/tcp/1')
  await settle()
  assert.equal(dialled.length, FOUND_PER_HOST_MAX + 1)
  clock.advance(LOOK_MS)
  assert.deepEqual(
    (await found).map(({ network }) => network),
    [OURS]
  )
})
