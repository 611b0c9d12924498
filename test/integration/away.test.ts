import assert from 'node:assert/strict'
import { test } from 'node:test'
import { generateNetworkKey } from '../../src/index.ts'
import { systemClock } from '../../src/util/clock.ts'
import { startNode, until } from '../fixtures/nodes.ts'

test('a deletion names the members that are away, however long, and says when each was last seen', async t => {
  const networkKey = generateNetworkKey()
  let hours = 0
  const clock = { ...systemClock, now: () => systemClock.now() + hours * 3_600_000 }
  const { node: a } = await startNode(t, { networkKey, name: 'attic', clock })
  const { node: b } = await startNode(t, { networkKey, name: 'vm', bootstrap: [a.multiaddrs[0] as string] })
  await until('connected', async () => (await a.status()).peersConnected === 1)
  await a.put('/x', Buffer.from('1'))
  await a.put('/y', Buffer.from('2'))
  const { peerId } = b
  await b.stop()
  await until('gone', async () => (await a.status()).peersConnected === 0)
  const [peer] = a.peers()
  assert.ok(peer?.lastSeen != null && Math.abs(peer.lastSeen.getTime() - Date.now()) < 60_000)
  const since = peer.lastSeen
  assert.deepEqual((await a.remove('/x')).waitingFor, [{ peerId, name: 'vm', since }])
  hours = 48
  const { removedOn, waitingFor } = await a.remove('/y')
  assert.deepEqual(removedOn, [a.peerId])
  assert.deepEqual(waitingFor, [{ peerId, name: 'vm', since }])
})
