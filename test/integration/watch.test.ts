import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type DfsNode, generateNetworkKey, type WatchEvent, type WatchOptions } from '../../src/index.ts'
import { allConnected, codeOfRejection, startNode, startNodes } from '../fixtures/nodes.ts'

/** Reads events until one fits, and returns them. */
async function readUntil(
  watch: AsyncGenerator<WatchEvent>,
  fits: (event: WatchEvent) => boolean
): Promise<WatchEvent[]> {
  const events: WatchEvent[] = []
  for (;;) {
    const { done, value } = await watch.next()
    if (done === true) throw new Error('the watch has ended')
    events.push(value)
    if (fits(value)) return events
  }
}

function watchOf(t: TestContext, node: DfsNode, options: WatchOptions = {}): AsyncGenerator<WatchEvent> {
  const end = new AbortController()
  t.after(() => end.abort())
  return node.watch('/', { recursive: true, signal: end.signal, ...options })
}

const textOf = ({ change, path }: WatchEvent): string => `${change} ${path}`
const isCurrent = ({ change }: WatchEvent): boolean => change === 'current'

test('a member is told what another one does, who did it, and what the file is', async t => {
  const [one, other] = (await startNodes(t, 2)) as [DfsNode, DfsNode]
  const watch = watchOf(t, one)
  await readUntil(watch, isCurrent)
  const { version } = await other.put('/d/a', 'hello')
  const [directory, file] = await readUntil(watch, ({ path }) => path === '/d/a')
  assert.equal(textOf(directory as WatchEvent), 'created /d')
  const { cursor: _, modified, ...rest } = file as WatchEvent
  const author = { peerId: other.peerId, name: 'node1' }
  assert.deepEqual(rest, { change: 'created', path: '/d/a', kind: 'file', size: 5, version, author })
  assert.ok(modified instanceof Date)
  await other.move('/d', '/e')
  const [moved] = await readUntil(watch, () => true)
  assert.deepEqual([moved?.change, moved?.from, moved?.path], ['moved', '/d', '/e'])
  const removed = await other.remove('/e/a')
  const [gone] = await readUntil(watch, () => true)
  assert.deepEqual([gone?.change, gone?.path, gone?.version], ['removed', '/e/a', removed.version])
})

test('a watch of a path tells nothing of other paths, and what is moved in or out is created or removed there', async t => {
  const { node } = await startNode(t)
  await node.put('/in/a', '1')
  await node.put('/out/b', '1')
  const end = new AbortController()
  t.after(() => end.abort())
  const watch = node.watch('/in', { recursive: true, signal: end.signal })
  await readUntil(watch, isCurrent)
  await node.put('/out/c', '1')
  await node.move('/out', '/in/sub')
  await node.move('/in/a', '/a')
  const events = await readUntil(watch, ({ path }) => path === '/in/a')
  assert.deepEqual(events.map(textOf), ['created /in/sub', 'created /in/sub/b', 'created /in/sub/c', 'removed /in/a'])
  await node.move('/in', '/elsewhere')
  assert.deepEqual((await readUntil(watch, () => true)).map(textOf), ['removed /in'])
})

test('a watch goes on where an earlier one stopped, over a restart during which other members made changes', async t => {
  const networkKey = generateNetworkKey()
  const { node: other } = await startNode(t, { networkKey, name: 'other' })
  const bootstrap = [other.multiaddrs[0] as string]
  const { node, options } = await startNode(t, { networkKey, bootstrap, name: 'one' })
  await allConnected([node, other])
  const watch = watchOf(t, node)
  await readUntil(watch, isCurrent)
  await other.put('/seen', '1')
  const seen = (await readUntil(watch, ({ path }) => path === '/seen')).at(-1) as WatchEvent
  await other.put('/before', '1')
  await readUntil(watch, ({ path }) => path === '/before')
  await node.stop()
  await other.put('/meanwhile', '1')
  await other.remove('/seen')
  const { node: again } = await startNode(t, { ...options, found: false })
  const resumed = watchOf(t, again, { since: seen.cursor })
  const missing = new Set(['created /before', 'created /meanwhile', 'removed /seen'])
  const events = await readUntil(resumed, event => missing.delete(textOf(event)) && missing.size === 0)
  assert.ok(events.every(({ change }) => change !== 'reset'))
})

test('a cursor from before the index was rebuilt is answered by a reset and what is there', async t => {
  const { node, options } = await startNode(t)
  await node.put('/a', '1')
  const [{ cursor }] = (await readUntil(watchOf(t, node), isCurrent)) as [WatchEvent]
  await node.put('/b', '1')
  await node.stop()
  await rm(join(options.dataDir, 'index'), { recursive: true })
  const { node: again } = await startNode(t, { ...options, found: false })
  const events = await readUntil(watchOf(t, again, { since: cursor }), isCurrent)
  assert.deepEqual(events.map(textOf), ['reset /', 'created /a', 'created /b', 'current /'])
})

test('a watch ends with the node, and text that is no cursor is refused', async t => {
  const { node } = await startNode(t)
  assert.equal(await codeOfRejection(node.watch('/', { since: 'x' }).next()), 'invalid')
  const watch = node.watch('/')
  await readUntil(watch, isCurrent)
  const next = watch.next()
  const ended = codeOfRejection(next)
  await node.stop()
  assert.equal(await ended, 'aborted')
})
