import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import type { DfsNode } from '../../src/index.ts'
import { readAll, startNode, startNodes, until } from '../fixtures/nodes.ts'

test('with fastcdc an insertion sends a fraction of the file, and members read files cut either way', async t => {
  const [a, b] = (await startNodes(t, 2)) as [DfsNode, DfsNode]
  const text = randomBytes(3 << 20)
  const longer = Buffer.concat([text.subarray(0, 1_500_000), randomBytes(10), text.subarray(1_500_000)])
  const used = async (): Promise<number> => (await b.status()).disk.used
  assert.equal((await a.put('/fixed', text)).reached.length, 2)
  await b.setSetting('chunker', 'fastcdc')
  await until('the other has the setting', async () => (await a.settings()).some(({ value }) => value === 'fastcdc'))
  assert.equal((await a.put('/file', text)).reached.length, 2)
  const before = await used()
  assert.equal((await a.put('/file', longer)).reached.length, 2)
  assert.ok((await used()) - before < 1 << 20)
  assert.ok((await readAll(await b.get('/file'))).equals(longer))
  assert.ok((await readAll(await b.get('/fixed'))).equals(text))
  for (const [from, to] of [
    [0, 10],
    [65_000, 700_000],
    [1_499_990, 1_500_020],
    [3_000_000, longer.byteLength - 1]
  ] as const)
    assert.ok(
      (await readAll(await b.get('/file', { range: { from, to } }))).equals(longer.subarray(from, to + 1)),
      `from ${from}`
    )
  const { corrupt, lostCount } = await b.fsck({ readData: true })
  assert.deepEqual([corrupt, lostCount], [0, 0])
})

test('the node that founds a network chooses for all how files are cut, and each node may choose otherwise', async t => {
  const { node } = await startNode(t, { chunker: 'fastcdc' })
  const item = (await node.settings()).find(({ key }) => key === 'chunker')
  assert.deepEqual([item?.value, item?.setBy?.peerId], ['fastcdc', node.peerId])
})
