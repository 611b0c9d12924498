import assert from 'node:assert/strict'
import { readdir, readlink, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { createNode, type DfsNode, type NodeEvent } from '../../src/index.ts'
import { startNode } from '../fixtures/nodes.ts'

/** How many descriptors of this process are open on files below a folder. Linux. */
async function openFilesBelow(folder: string): Promise<number> {
  const links = (await readdir('/proc/self/fd')).map(fd => readlink(`/proc/self/fd/${fd}`).catch(() => ''))
  return (await Promise.all(links)).filter(path => path.startsWith(folder)).length
}

test('a start that rebuilds a damaged index leaves no file of the first attempt open', async t => {
  const { node, options } = await startNode(t, { name: 'a' })
  await node.put('/f', Buffer.from('content'))
  await node.stop()
  // The index knows of rows that the segment has lost.
  const segments = join(options.dataDir, 'segments')
  const last = join(segments, (await readdir(segments)).sort().at(-1) as string)
  await truncate(last, (await stat(last)).size - 10)
  const events: NodeEvent[] = []
  const again: DfsNode = await createNode({ ...options, onEvent: event => events.push(event) })
  t.after(() => again.stop())
  assert.ok(
    events.some(({ event }) => event === 'rebuilt'),
    'the index was rebuilt'
  )
  await again.stop()
  assert.equal(await openFilesBelow(segments), 0)
})

test('a start that finds a plain file in the place of the index rebuilds the index', async t => {
  const { node, options } = await startNode(t, { name: 'a' })
  await node.put('/f', Buffer.from('content'))
  await node.stop()
  const index = join(options.dataDir, 'index')
  await rm(index, { recursive: true })
  await writeFile(index, 'not an index')
  const again: DfsNode = await createNode(options)
  t.after(() => again.stop())
  assert.equal((await again.stat('/f')).size, 7)
})
