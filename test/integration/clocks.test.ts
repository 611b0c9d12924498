import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type DfsNode, generateNetworkKey, type NodeEvent } from '../../src/index.ts'
import { type Clock, systemClock } from '../../src/util/clock.ts'
import { codeOfRejection, startNode, until } from '../fixtures/nodes.ts'

/** The system's clock, set wrong by some seconds. */
function off(seconds: number): Clock {
  return { ...systemClock, now: () => systemClock.now() + seconds * 1_000 }
}

function has(node: DfsNode, path: string): Promise<boolean> {
  return node.stat(path).then(
    () => true,
    () => false
  )
}

test('an edit of one file from a fast machine does not stop what a member writes from reaching a slow machine', async t => {
  const networkKey = generateNetworkKey()
  const { node: b } = await startNode(t, { networkKey, name: 'B' })
  const bootstrap = [b.multiaddrs[0] as string]
  const { node: c } = await startNode(t, { networkKey, name: 'C', clock: off(-160), bootstrap })
  const { node: a } = await startNode(t, { networkKey, name: 'A', clock: off(160), bootstrap })
  await until('B sees both', async () => (await b.status()).peersConnected === 2)
  // They are connected, but B learns only from their first statuses that they keep blocks.
  await until(
    'B counts on both',
    async () => (await b.put('/first', Buffer.from('0'), { replicas: 'all' })).wanted === 3
  )
  await a.put('/shared', Buffer.from('by A'))
  await until('B has it', () => has(b, '/shared'))
  await b.put('/shared', Buffer.from('by B'))
  const { reached } = await b.put('/unrelated', Buffer.from('2'), { replicas: 'all', ack: 3 })
  assert.ok(reached.includes(c.peerId), 'C acknowledges it')
  assert.equal(await has(c, '/unrelated'), true)
  assert.deepEqual((await b.status()).warnings, [])
  assert.equal(await has(c, '/shared'), false, 'its stamp is more than 5 minutes ahead of the clock of C')
})

test('a file that was written while the clock was far ahead can be written again only later, but all other files at once', async t => {
  let seconds = 0
  const clock = { ...systemClock, now: () => systemClock.now() + seconds * 1_000 }
  const { node } = await startNode(t, { clock })
  seconds = 3_600
  await node.put('/early', Buffer.from('1'))
  seconds = 0
  assert.equal(await codeOfRejection(node.put('/early', Buffer.from('2'))), 'clock-off')
  assert.equal(await codeOfRejection(node.remove('/early')), 'clock-off')
  await node.put('/other', Buffer.from('3'))
  assert.deepEqual(
    (await node.status()).warnings.filter(warning => warning.includes('clock')),
    []
  )
  seconds = 3_600
  await node.put('/early', Buffer.from('2'))
})

test('the founder’s --out-after counts for the network, and a lower one of another node has no effect and is reported', async t => {
  const networkKey = generateNetworkKey()
  const { node: founder } = await startNode(t, { networkKey, found: true, outAfterMs: 1_200_000 })
  const bootstrap = [founder.multiaddrs[0] as string]
  const { node: other } = await startNode(t, { networkKey, bootstrap, outAfterMs: 900_000 })
  const warnings = async (node: DfsNode): Promise<string[]> =>
    (await node.status()).warnings.filter(warning => warning.includes('--out-after'))
  await until('the other node knows the setting', async () => (await warnings(other)).length === 1)
  assert.match((await warnings(other))[0] as string, /1200 s/)
  assert.deepEqual(await warnings(founder), [])
})

test('two machines whose clocks are a day apart say so in their statuses and in the result of a put, until the clock is set', async t => {
  const networkKey = generateNetworkKey()
  const { node: b } = await startNode(t, { networkKey, name: 'attic' })
  let seconds = 0
  const clock = { ...systemClock, now: () => systemClock.now() + seconds * 1_000 }
  const bootstrap = [b.multiaddrs[0] as string]
  const events: NodeEvent[] = []
  const options = { networkKey, name: 'pi', clock, bootstrap, onEvent: (event: NodeEvent) => events.push(event) }
  const { node: a } = await startNode(t, options)
  await until('connected', async () => (await b.status()).peersConnected === 1)
  const warnings = async (node: DfsNode): Promise<string> => (await node.status()).warnings.join('\n')
  assert.doesNotMatch(`${await warnings(a)} ${await warnings(b)}`, /clock/)

  seconds = 24 * 3_600
  await until('the machine whose clock has jumped warns', async () => (await warnings(a)).includes('clock'))
  const end = b.peerId.slice(-8)
  assert.match(
    await warnings(a),
    new RegExp(`^the clock of attic \\(…${end}\\) is 24 h behind this machine's: set the`, 'm')
  )
  assert.ok(events.some(event => event.event === 'clock' && event.peerId === b.peerId))
  const put = await a.put('/while-ahead', Buffer.from('1'))
  assert.match(put.warnings.join(), /is 24 h behind this machine's/)

  seconds = 0
  await until('no machine warns any more', async () => !(await warnings(a)).includes('behind'))
  assert.deepEqual((await a.put('/after', Buffer.from('2'))).warnings, [])
  await until('the other machine has it', () => has(b, '/after'))
})

test('machines that refuse each other because of a clock say by how much it is wrong, on both sides', async t => {
  const networkKey = generateNetworkKey()
  const { node: b } = await startNode(t, { networkKey, name: 'attic' })
  const bootstrap = [b.multiaddrs[0] as string]
  const { node: a } = await startNode(t, { networkKey, name: 'pi', clock: off(24 * 3_600), bootstrap })
  const warning = async (node: DfsNode): Promise<string | undefined> =>
    (await node.status()).warnings.find(text => text.includes('refuse each other'))
  await until('both warn', async () => (await warning(a)) !== undefined && (await warning(b)) !== undefined)
  const [atA, atB] = [await warning(a), await warning(b)]
  assert.match(
    atA as string,
    /and this node refuse each other, because this machine's clock is 24 h ahead of its clock: set/
  )
  assert.match(atB as string, /and this node refuse each other, because its clock is 24 h ahead of this machine's: set/)
  assert.match((await a.put('/x', Buffer.from('1'))).warnings.join(), /this machine's clock is 24 h ahead/)
})
