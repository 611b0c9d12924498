import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SEEN_MAX } from '../../../src/format/constants.ts'
import { type EntryBody, ROOT_ENTRY, type Seen } from '../../../src/format/entry.ts'
import { parsePath } from '../../../src/format/path.ts'
import { inlineRoot } from '../../../src/format/seal-file.ts'
import { equalBytes } from '../../../src/util/bytes.ts'
import { epoch, fileWith, Scene, sign } from './scene.ts'

const ENTRY = Buffer.alloc(16, 0x77)
/** A past as long as a put may name: the entry's next put would be too long for it. */
const FULL: Seen[] = Array.from({ length: SEEN_MAX }, (_, i) => ({
  hlc: 5n,
  author: Buffer.alloc(32, 3),
  incarnation: Buffer.alloc(8, i)
}))
const props = { color: 'blue', deep: { n: 1 } }

function contentWith(text: string) {
  const content = Buffer.from(text)
  return { root: inlineRoot(epoch.content, content), rootEpoch: epoch.id, size: content.byteLength, mtime: 1, content }
}

const textOf = ({ content }: EntryBody): string => Buffer.from(content!).toString()

/** The entry at a path, and the body of what shows there. */
async function found(scene: Scene, path: string) {
  const node = await scene.at(path)
  assert.ok(node !== undefined, path)
  const id = node.kind === 'file' ? node.id : node.ids[0]!
  const { shown } = (await scene.tree.entry(id))!
  return { id, body: (await scene.bodies.open(shown.content ?? shown.place)) as EntryBody }
}

for (const [past, seen] of [
  ['short', []],
  ['full', FULL]
] as const) {
  test(`a write and a move keep the properties: past ${past}`, async () => {
    const scene = await Scene.open()
    const file = fileWith('x', { name: 'f' })
    await scene.add(sign({ entry: ENTRY, ...file, body: { ...file.body, props }, seen }))
    await scene.catalog.move(parsePath('/f'), parsePath('/g'), { replicas: 1 })
    const moved = await found(scene, '/g')
    assert.deepEqual(moved.body.props, props)
    assert.equal(equalBytes(moved.id, ENTRY), seen.length === 0)
    await scene.catalog.link(parsePath('/g'), contentWith('y'), { replicas: 1 })
    const written = await found(scene, '/g')
    assert.deepEqual([written.body.props, textOf(written.body)], [props, 'y'])
    await scene.catalog.link(parsePath('/g'), { ...contentWith('z'), props: { n: 2 } }, { replicas: 1 })
    assert.deepEqual((await found(scene, '/g')).body.props, { n: 2 })
  })

  test(`a write over a write keeps them too: past ${past}`, async () => {
    const scene = await Scene.open()
    const file = fileWith('x', { name: 'f' })
    await scene.add(sign({ entry: ENTRY, ...file, body: { ...file.body, props }, seen }))
    await scene.catalog.link(parsePath('/f'), contentWith('y'), { replicas: 1 })
    assert.deepEqual((await found(scene, '/f')).body.props, props)
  })

  test(`a move keeps where a symbolic link points, and what a directory has: past ${past}`, async () => {
    const scene = await Scene.open()
    const at = { parent: ROOT_ENTRY, size: 0, mtime: 7, props }
    await scene.add(sign({ entry: ENTRY, body: { ...at, name: 'link', kind: 'file', target: '../there' }, seen }))
    const directory = Buffer.alloc(16, 0x78)
    await scene.add(sign({ entry: directory, body: { ...at, name: 'dir', kind: 'directory', mode: 0o700 }, seen }))
    await scene.add(sign({ entry: Buffer.alloc(16, 0x79), ...fileWith('x', { parent: directory, name: 'below' }) }))
    await scene.catalog.move(parsePath('/link'), parsePath('/to/link'), { replicas: 1 })
    const link = await found(scene, '/to/link')
    assert.deepEqual([link.body.target, link.body.props, link.body.mtime], ['../there', props, 7])
    await scene.catalog.move(parsePath('/dir'), parsePath('/to/dir'), { replicas: 1 })
    const moved = await found(scene, '/to/dir')
    assert.deepEqual([moved.body.mode, moved.body.props, moved.body.mtime], [0o700, props, 7])
    assert.deepEqual(await scene.paths(), ['/to', '/to/dir', '/to/dir/below', '/to/link'])
  })
}

test('two directories that are moved into each other at once do not both go', async () => {
  const scene = await Scene.open()
  await scene.catalog.mkdir(parsePath('/a'), 1)
  await scene.catalog.mkdir(parsePath('/b'), 1)
  await Promise.allSettled([
    scene.catalog.move(parsePath('/a'), parsePath('/b/a'), { replicas: 1 }),
    scene.catalog.move(parsePath('/b'), parsePath('/a/b'), { replicas: 1 })
  ])
  const paths = await scene.paths()
  assert.ok(paths.length >= 2 && !paths.some(path => path.includes('conflict')), paths.join())
})

test('a write to what moves along with its directory comes before the move of it, or after', async () => {
  const scene = await Scene.open()
  const body: EntryBody = { parent: ROOT_ENTRY, name: 'dir', kind: 'directory', size: 0, mtime: 0 }
  await scene.add(sign({ entry: ENTRY, body, seen: FULL }))
  await scene.catalog.link(parsePath('/dir/f'), contentWith('x'), { replicas: 1 })
  const { id } = await found(scene, '/dir/f')
  await Promise.all([
    scene.catalog.link(parsePath('/dir/f'), contentWith('y'), { replicas: 1 }),
    scene.catalog.move(parsePath('/dir'), parsePath('/moved'), { replicas: 1 })
  ])
  const { row } = (await scene.tree.entry(id))!
  assert.equal(row.state.heads.length, 1)
  assert.equal(textOf((await found(scene, '/moved/f')).body), 'y')
})
