import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { createNode, type DfsNode } from '../../src/index.ts'
import { codeOfRejection, read, startNode, until } from '../fixtures/nodes.ts'

async function endsOf(node: DfsNode, path: string): Promise<Array<[string, number | null, boolean]>> {
  const ends: Array<[string, number | null, boolean]> = []
  for await (const { version, expires, expired } of node.versions(path))
    ends.push([version, expires === null ? null : expires.getTime(), expired])
  return ends
}

test('a member whose index was lost keeps each version until the same moment as before', async t => {
  const { node, options } = await startNode(t, { name: 'a' })
  for (const text of ['one', 'two', 'three']) await node.put('/f', text)
  await node.put('/g', randomBytes(100_000))
  await node.remove('/g')
  const before = await Promise.all(['/f', '/g'].map(path => endsOf(node, path)))
  assert.deepEqual(
    before.map(ends => ends.map(([, expires]) => expires === null)),
    [
      [true, false, false],
      [true, false]
    ]
  )
  await node.stop()
  await rm(join(options.dataDir, 'index'), { recursive: true })
  const again = await createNode(options)
  t.after(() => again.stop())
  assert.deepEqual(await Promise.all(['/f', '/g'].map(path => endsOf(again, path))), before)
})

test('a file that is written again and again keeps its last ten short-lived versions, and stat counts them', async t => {
  const { node } = await startNode(t, { name: 'a' })
  for (let i = 0; i < 20; i++) await node.put('/f', randomBytes(2_000))
  await until('the others are no longer kept', async () => (await node.stat('/f')).versions === 11)
  const ends = await endsOf(node, '/f')
  assert.deepEqual(
    ends.map(([, , expired]) => expired),
    Array.from({ length: 20 }, (_, i) => i > 10)
  )
  const [gone] = ends.at(-1) as [string, number | null, boolean]
  assert.equal(await codeOfRejection(node.restore('/f', { version: gone })), 'not-found')
})

test('content that is stored again and again does not push out what was there before', async t => {
  const { node, options } = await startNode(t, { name: 'a' })
  const [first, other, again] = [
    randomBytes(2_000),
    randomBytes(2_000),
    Buffer.from('so short that it is in the record')
  ]
  await node.put('/f', first)
  await node.put('/f', other)
  for (let i = 0; i < 8; i++) await node.put('/f', again)
  await node.put('/f', first)
  for (let i = 0; i < 8; i++) await node.put('/f', again)
  await until('the others are no longer kept', async () => (await node.stat('/f')).versions === 11)
  const ends = await endsOf(node, '/f')
  const kept = ends.flatMap(([version, , expired]) => (expired ? [] : [version]))
  assert.equal(kept.at(-1), ends.at(-1)?.[0])
  assert.equal(kept.at(-2), ends.at(-2)?.[0])
  await node.stop()
  await rm(join(options.dataDir, 'index'), { recursive: true })
  const rebuilt = await createNode(options)
  t.after(() => rebuilt.stop())
  await until('it decides the same', async () => isDeepStrictEqual(await endsOf(rebuilt, '/f'), ends))
  await rebuilt.restore('/f', { version: kept.at(-1) as string })
  assert.ok((await read(rebuilt, '/f')).equals(first))
})

test('in a network that keeps no versions, what was overwritten and removed is no longer kept, and live files are', async t => {
  const { node } = await startNode(t, { name: 'a' })
  await node.setSetting('versionDays', 0)
  const [kept, old] = [randomBytes(100_000), randomBytes(100_000)]
  await node.put('/f', old)
  await node.copy('/f', '/copy')
  await node.put('/f', kept)
  await node.put('/gone', kept)
  await node.remove('/gone')
  await until('nothing else is kept', async () =>
    (await endsOf(node, '/gone')).every(([, , expired], i) => i === 0 || expired)
  )
  await until('nothing else is kept', async () => (await node.stat('/f')).versions === 1)
  for (const [path, bytes] of [
    ['/f', kept],
    ['/copy', old]
  ] as const) {
    assert.ok((await read(node, path)).equals(bytes), path)
  }
})
