import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SEEN_MAX } from '../../../src/format/constants.ts'
import { type EntryBody, ROOT_ENTRY, type Seen } from '../../../src/format/entry.ts'
import { parsePath } from '../../../src/format/path.ts'
import { inlineRoot } from '../../../src/format/seal-file.ts'
import { equalBytes } from '../../../src/util/bytes.ts'
import { epoch, fileWith, Setup, sign } from './setup.ts'

const ENTRY = Buffer.alloc(16, 0x77)
/** The longest past that a put may name. The entry's next put would have a longer one. */
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

/** The id of the entry at a path, and the body of the record that shows there. */
async function found(setup: Setup, path: string) {
  const node = await setup.at(path)
  assert.ok(node !== undefined, path)
  const id = node.kind === 'file' ? node.id : node.ids[0]!
  const { shown } = (await setup.tree.entry(id))!
  return { id, body: (await setup.bodies.open(shown.content ?? shown.place)) as EntryBody }
}

for (const [past, seen] of [
  ['short', []],
  ['full', FULL]
] as const) {
  test(`a move and a write keep the properties: ${past} past`, async () => {
    const setup = await Setup.open()
    const file = fileWith('x', { name: 'f' })
    await setup.add(sign({ entry: ENTRY, ...file, body: { ...file.body, props }, seen }))
    await setup.catalog.move(parsePath('/f'), parsePath('/g'), { replicas: 1 })
    const moved = await found(setup, '/g')
    assert.deepEqual(moved.body.props, props)
    assert.equal(equalBytes(moved.id, ENTRY), seen.length === 0)
    await setup.catalog.link(parsePath('/g'), contentWith('y'), { replicas: 1 })
    const written = await found(setup, '/g')
    assert.deepEqual([written.body.props, textOf(written.body)], [props, 'y'])
    await setup.catalog.link(parsePath('/g'), { ...contentWith('z'), props: { n: 2 } }, { replicas: 1 })
    assert.deepEqual((await found(setup, '/g')).body.props, { n: 2 })
  })

  test(`a write over a write keeps the properties: ${past} past`, async () => {
    const setup = await Setup.open()
    const file = fileWith('x', { name: 'f' })
    await setup.add(sign({ entry: ENTRY, ...file, body: { ...file.body, props }, seen }))
    await setup.catalog.link(parsePath('/f'), contentWith('y'), { replicas: 1 })
    assert.deepEqual((await found(setup, '/f')).body.props, props)
  })

  test(`a move keeps the target of a symbolic link and the body of a directory: ${past} past`, async () => {
    const setup = await Setup.open()
    const at = { parent: ROOT_ENTRY, size: 0, mtime: 7, props }
    await setup.add(sign({ entry: ENTRY, body: { ...at, name: 'link', kind: 'file', target: '../there' }, seen }))
    const directory = Buffer.alloc(16, 0x78)
    await setup.add(sign({ entry: directory, body: { ...at, name: 'dir', kind: 'directory', mode: 0o700 }, seen }))
    await setup.add(sign({ entry: Buffer.alloc(16, 0x79), ...fileWith('x', { parent: directory, name: 'below' }) }))
    await setup.catalog.move(parsePath('/link'), parsePath('/to/link'), { replicas: 1 })
    const link = await found(setup, '/to/link')
    assert.deepEqual([link.body.target, link.body.props, link.body.mtime], ['../there', props, 7])
    await setup.catalog.move(parsePath('/dir'), parsePath('/to/dir'), { replicas: 1 })
    const moved = await found(setup, '/to/dir')
    assert.deepEqual([moved.body.mode, moved.body.props, moved.body.mtime], [0o700, props, 7])
    assert.deepEqual(await setup.paths(), ['/to', '/to/dir', '/to/dir/below', '/to/link'])
  })
}

test('two directories that one member moves into each other at the same time do not make a cycle', async () => {
  const setup = await Setup.open()
  await setup.catalog.mkdir(parsePath('/a'), 1)
  await setup.catalog.mkdir(parsePath('/b'), 1)
  await Promise.allSettled([
    setup.catalog.move(parsePath('/a'), parsePath('/b/a'), { replicas: 1 }),
    setup.catalog.move(parsePath('/b'), parsePath('/a/b'), { replicas: 1 })
  ])
  const paths = await setup.paths()
  assert.ok(paths.length >= 2 && !paths.some(path => path.includes('conflict')), paths.join())
})

test('a write to a file whose directory moves comes before the move of that file, or after it', async () => {
  const setup = await Setup.open()
  const body: EntryBody = { parent: ROOT_ENTRY, name: 'dir', kind: 'directory', size: 0, mtime: 0 }
  await setup.add(sign({ entry: ENTRY, body, seen: FULL }))
  await setup.catalog.link(parsePath('/dir/f'), contentWith('x'), { replicas: 1 })
  const { id } = await found(setup, '/dir/f')
  await Promise.all([
    setup.catalog.link(parsePath('/dir/f'), contentWith('y'), { replicas: 1 }),
    setup.catalog.move(parsePath('/dir'), parsePath('/moved'), { replicas: 1 })
  ])
  const { row } = (await setup.tree.entry(id))!
  assert.equal(row.state.heads.length, 1)
  assert.equal(textOf((await found(setup, '/moved/f')).body), 'y')
})
