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

test('in a network of two, a member that stays away is out only by an admin’s word, which status asks for', async t => {
  const networkKey = generateNetworkKey()
  let hours = 0
  const clock = { ...systemClock, now: () => systemClock.now() + hours * 3_600_000 }
  const { node: a } = await startNode(t, { networkKey, name: 'attic', clock })
  const joined = await startNode(t, { networkKey, name: 'vm', bootstrap: [a.multiaddrs[0] as string] })
  const { peerId } = joined.node
  await until('its status is known', async () => (await a.put('/counts', Buffer.from('0'))).wanted === 2)
  await joined.node.stop()
  await until('gone', async () => (await a.status()).peersConnected === 0)
  const { owed } = await a.put('/x', Buffer.from('1'))
  assert.deepEqual(
    owed.waitingFor.map(({ name }) => name),
    ['vm']
  )
  const absences = async (): Promise<string[]> =>
    (await a.status()).warnings.filter(warning => warning.includes('dfs members out'))
  assert.deepEqual(await absences(), [], 'it may come back soon')
  hours = 3
  const id = peerId.slice(-8)
  assert.deepEqual(await absences(), [
    `vm (…${id}) has been away for 3 h and is still waited for, because half of the members or more are away: if it will not come back, run dfs members out ${id}`
  ])
  hours = 0
  const declared = await a.declareOut(id)
  assert.deepEqual([declared.peerId, declared.connected, declared.already], [peerId, false, undefined])
  await until('nothing is owed', async () => (await a.status()).owed.files === 0)
  assert.deepEqual((await a.put('/y', Buffer.from('2'))).owed.waitingFor, [])
  assert.deepEqual((await a.remove('/y')).waitingFor, [])
  assert.deepEqual(await absences(), [])
  assert.equal(a.peers()[0]?.state, 'out')
  const { node: again } = await startNode(t, { ...joined.options, bootstrap: [a.multiaddrs[0] as string] })
  await until('is back', async () => a.peers()[0]?.state === 'in')
  await until('has the file', async () => again.exists('/x'))
})
