import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DELETED_AT_ONCE } from '../../../src/catalog/constants.ts'
import { VersionExpiredError } from '../../../src/catalog/errors.ts'
import { Past, type PastPlace, type RemovedEntry, type VersionRow } from '../../../src/catalog/past/past.ts'
import { SEEN_MAX } from '../../../src/format/constants.ts'
import { parsePath } from '../../../src/format/path.ts'
import { hlcAt } from '../../../src/format/stamp.ts'
import { toHex } from '../../../src/util/bytes.ts'
import { CLOCK_STANDS_MS } from '../../../src/util/steady-clock.ts'
import { clock, contentOf, fileWith, names, Setup, sign, writer } from './setup.ts'

const ENTRY = Buffer.alloc(16, 1)

function pastOf({ index, tree, bodies, log, versions: kept }: Setup): Past {
  return new Past({ index, tree, bodies, names, log, kept, nodeCodecs: [0x71] })
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const item of items) found.push(item)
  return found
}

async function placeOf(past: Past, path: string): Promise<PastPlace> {
  return (await past.tree.place(parsePath(path))) as PastPlace
}

/** The texts of the versions of a path, the latest first; a delete is `-`, and the current one has a mark. */
async function textsAt(setup: Setup, path: string): Promise<string[]> {
  const past = pastOf(setup)
  const found: string[] = []
  for await (const { body, isDelete, isCurrent, isConflict } of past.versions.list(await placeOf(past, path)))
    found.push(isDelete ? '-' : Buffer.from(body?.content ?? []) + (isCurrent ? '*' : isConflict ? '!' : ''))
  return found
}

async function deletedPaths(setup: Setup, path: string, recursive = false): Promise<string[]> {
  const past = pastOf(setup)
  const directory = await past.tree.directory(parsePath(path))
  const listed = directory === undefined ? [] : await all(past.listing.list(directory, { recursive }))
  return listed.map(({ path }) => `/${path.join('/')}`)
}

/** Other writers' stamps: more than one record may name together with its own. */
function longPast() {
  return Array.from({ length: SEEN_MAX }, (_, i) => ({
    author: writer.publicKey,
    incarnation: Buffer.from([0, 0, 0, 0, 0, 0, i >> 8, i]),
    hlc: hlcAt(5)
  }))
}

test('a file that went on under a new id has one line of history, also once it was moved, removed and restored', async () => {
  const setup = await Setup.open()
  const { catalog } = setup
  await setup.add(sign({ entry: ENTRY, hlc: hlcAt(clock.now()), ...fileWith('one', { name: 'f' }), seen: longPast() }))
  await catalog.link(parsePath('/f'), contentOf('two'), { replicas: 1 })
  const node = await setup.at('/f')
  assert.ok(node?.kind === 'file' && toHex(node.id) !== toHex(ENTRY), 'it has a new id')
  assert.deepEqual(await textsAt(setup, '/f'), ['two*', 'one'])
  assert.deepEqual(await deletedPaths(setup, '/'), [], 'nobody has removed anything')
  await catalog.move(parsePath('/f'), parsePath('/g'), { replicas: 1 })
  assert.deepEqual(await textsAt(setup, '/g'), ['two*', 'one'])
  await catalog.remove(parsePath('/g'), {})
  assert.deepEqual(await textsAt(setup, '/g'), ['-', 'two', 'one'])
  const past = pastOf(setup)
  const { id: deleted } = (await all(past.tree.deletedAt(await placeOf(past, '/g'))))[0]!
  const { parent, name } = await placeOf(past, '/g')
  const rows = (await all(past.versions.rows(await placeOf(past, '/g')))) as VersionRow[]
  assert.ok(
    rows.every(({ file }) => toHex(file) === toHex(deleted)),
    'all of them go on in one file'
  )
  await catalog.restoreFile({ id: deleted, parent, name }, contentOf('one'), { replicas: 1 })
  assert.deepEqual(await textsAt(setup, '/g'), ['one*', '-', 'two', 'one'])
})

test('a deleted file is where it was last, whichever of its records comes first', async () => {
  const put = sign({ entry: ENTRY, ...fileWith('x', { name: 'first' }) })
  const past = [{ ...put.record.stamp }]
  const { root, rootEpoch, body } = fileWith('x', { name: 'last' })
  const moved = sign({ entry: ENTRY, root, rootEpoch, body, seen: past, written: put.record.written })
  const removed = sign({ entry: ENTRY, op: 'delete', seen: [{ ...moved.record.stamp }] })
  for (const order of [
    [put, moved, removed],
    [removed, moved, put],
    [moved, removed, put],
    [put, removed, moved]
  ]) {
    const setup = await Setup.open()
    for (const record of order) await setup.add(record)
    assert.deepEqual(await deletedPaths(setup, '/'), ['/last'])
    assert.deepEqual(await textsAt(setup, '/last'), ['-', 'x'])
    assert.deepEqual(await textsAt(setup, '/first'), [])
  }
})

test('a directory that two members removed at the same time comes back as a whole', async () => {
  const setup = await Setup.open()
  const { catalog, author } = setup
  for (const path of ['/d/a', '/d/e/b', '/d/e/c']) await catalog.link(parsePath(path), contentOf(path), { replicas: 1 })
  await catalog.remove(parsePath('/d/e/c'), {})
  const d = await setup.at('/d')
  assert.ok(d?.kind === 'directory')
  // The other member has seen all but the last removal, and its removal of the file arrives before ours.
  const file = await setup.at('/d/a')
  assert.ok(file?.kind === 'file')
  const removal = author.newRemoval()
  const theirs = sign({
    entry: file.id,
    by: writer,
    hlc: hlcAt(setup.clock.now() + 1_000),
    op: 'delete',
    incarnation: removal,
    seen: [{ ...file.record.stamp }]
  })
  const { row } = (await setup.tree.entry(d.ids[0]!))!
  const body = { parent: Buffer.alloc(16), name: 'd', kind: 'directory' as const, size: 0, mtime: 0 }
  const hlc = hlcAt(setup.clock.now() + 1_000)
  const directory = { by: writer, hlc, incarnation: removal, seen: row.state.heads.map(({ stamp }) => ({ ...stamp })) }
  await setup.add(theirs)
  await catalog.remove(parsePath('/d'), { recursive: true })
  await setup.add(sign({ entry: d.ids[0]!, op: 'delete', body, ...directory }))
  assert.deepEqual(await setup.paths(), [])
  const past = pastOf(setup)
  const place = await placeOf(past, '/d')
  const { id } = (await all(past.tree.deletedAt(place)))[0]!
  const whole = (await past.tree.childDirectory(place.parent, place.name))!
  const removed: RemovedEntry[] = await all(past.removed.of(whole, id))
  const files = removed.flatMap(entry => (entry.kind === 'file' ? [entry.name] : []))
  assert.deepEqual(files.sort(), ['a', 'b'], 'what was removed before is not part of it')
  assert.equal(removed.length, 4)
})

test('a name that was used very often has all of its deleted files, the last first', { timeout: 300_000 }, async () => {
  const setup = await Setup.open()
  const count = DELETED_AT_ONCE + 10
  const records = Array.from({ length: count }, (_, i) => {
    const entry = Buffer.alloc(16, 7)
    entry.writeUInt32BE((i * 7_919) % count)
    const put = sign({ entry, ...fileWith(`${i}`, { name: 'log' }) })
    return [put, sign({ entry, op: 'delete', seen: [{ ...put.record.stamp }] })]
  })
  for (const batch of Array.from({ length: 12 }, (_, i) => records.filter((_, j) => j % 12 === i)))
    await setup.add(...batch.flat())
  const texts = (await textsAt(setup, '/log')).filter(text => text !== '-').map(Number)
  assert.equal(texts.length, count)
  assert.deepEqual(
    texts,
    texts.toSorted((a, b) => b - a)
  )
  assert.deepEqual(await deletedPaths(setup, '/'), ['/log'])
})

test('files of one name with the same content are no conflict, and are removed and moved as one', async () => {
  const entries = [1, 2, 3].map(fill => Buffer.alloc(16, fill))
  const make = async (): Promise<Setup> => {
    const setup = await Setup.open()
    for (const entry of entries) await setup.add(sign({ entry, ...fileWith('same', { name: 'f' }) }))
    assert.deepEqual(await setup.contents(), ['/f same'])
    assert.deepEqual(await textsAt(setup, '/f'), ['same*', 'same', 'same'])
    return setup
  }
  const removed = await make()
  await removed.catalog.remove(parsePath('/f'), {})
  assert.deepEqual(await removed.paths(), [])
  const moved = await make()
  await moved.catalog.move(parsePath('/f'), parsePath('/g'), { replicas: 1 })
  assert.deepEqual(await moved.contents(), ['/g same'])
  const written = await make()
  await written.catalog.link(parsePath('/f'), contentOf('new'), { replicas: 1 })
  assert.deepEqual(await written.contents(), ['/f new'])
  await written.catalog.remove(parsePath('/f'), {})
  assert.deepEqual(await written.paths(), [])
  // A twin that somebody writes to is a conflict, and stays when the file is removed.
  const apart = await make()
  const shown = await apart.at('/f')
  assert.ok(shown?.kind === 'file')
  const [twin] = shown.twins
  const row = (await apart.tree.entry(twin!))!.row
  const seen = row.state.heads.map(({ stamp }) => ({ ...stamp }))
  const { placed } = row.state.heads[0]!
  await apart.add(sign({ entry: twin!, ...fileWith('other', { name: 'f' }), seen, placed }))
  assert.equal((await apart.paths()).length, 2)
  await apart.catalog.remove(parsePath('/f'), {})
  assert.deepEqual(await apart.contents(), ['/f other'])
})

test('a version whose time is over is listed as gone, is not restored by default, and says since when it is gone', async () => {
  const setup = await Setup.open()
  const { catalog, retention } = setup
  const pass = async (ms: number): Promise<void> => {
    for (const step of [ms, CLOCK_STANDS_MS]) {
      setup.clock.advance(step)
      await retention.look()
    }
  }
  const day = 24 * 60 * 60_000
  await catalog.link(parsePath('/f'), contentOf('one'), { replicas: 1 })
  await pass(day)
  await catalog.link(parsePath('/f'), contentOf('two'), { replicas: 1 })
  await pass(20 * day)
  await catalog.remove(parsePath('/f'), {})
  await pass(15 * day)
  const past = pastOf(setup)
  const place = await placeOf(past, '/f')
  const states = (await all(past.versions.list(place))).map(({ isDelete, isDropped }) => [isDelete, isDropped])
  assert.deepEqual(states, [
    [true, false],
    [false, false],
    [false, true]
  ])
  const [, , gone] = (await all(past.versions.rows(place))) as [VersionRow, VersionRow, VersionRow]
  await assert.rejects(past.versions.read(gone), (error: unknown) => {
    assert.ok(error instanceof VersionExpiredError && error.code === 'not-found')
    assert.match(
      error.message,
      /^this version is gone: it was replaced or removed on \d{4}-\d\d-\d\d, and it was kept until/
    )
    return true
  })
  assert.deepEqual(await deletedPaths(setup, '/'), ['/f'])
  const [{ id }] = (await all(past.tree.deletedAt(place))) as unknown as [{ id: Uint8Array }]
  assert.equal(Buffer.from((await past.versions.lastOf(id))?.body?.content ?? []).toString(), 'two')
  await pass(20 * day)
  assert.equal(await past.versions.lastOf(id), undefined, 'nothing of it can be restored any more')
  await assert.rejects(past.versions.read((await past.versions.latestOf(id)) as VersionRow), VersionExpiredError)
})
