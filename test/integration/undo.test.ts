import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import type { DfsError, DfsNode, ListItem, VersionItem } from '../../src/index.ts'
import {
  allConnected,
  codeOfRejection,
  listing,
  read,
  readAll,
  startNode,
  startNodes,
  until
} from '../fixtures/nodes.ts'

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const item of items) found.push(item)
  return found
}

async function versionsOf(node: DfsNode, path: string): Promise<VersionItem[]> {
  return all(node.versions(path))
}

async function deletedIn(node: DfsNode, path: string, recursive = false): Promise<ListItem[]> {
  return all(node.list(path, { deleted: true, recursive }))
}

async function readVersion(node: DfsNode, path: string, version: string): Promise<string> {
  return (await readAll(await node.get(path, { version }))).toString()
}

async function text(node: DfsNode, path: string): Promise<string> {
  return (await read(node, path)).toString()
}

test('each version of a file can be listed, read and restored, also on another member and after a delete', async t => {
  const [a, b] = (await startNodes(t, 2)) as [DfsNode, DfsNode]
  const large = randomBytes(3_000_000)
  const first = await a.put('/d/f', large)
  const second = await a.put('/d/f', 'two')
  const third = await b.put('/d/f', 'three')
  await until('all are known', async () => (await versionsOf(a, '/d/f')).length === 3)
  assert.deepEqual(
    (await versionsOf(a, '/d/f')).map(({ version, size, author, authorName, current, conflict, deleted, expires }) => {
      return [version, size, author, authorName, current, conflict, deleted, expires === null]
    }),
    [
      [third.version, 5, b.peerId, b.name, true, false, false, true],
      [second.version, 3, a.peerId, a.name, false, false, false, false],
      [first.version, large.byteLength, a.peerId, a.name, false, false, false, false]
    ]
  )
  const [, { expires }] = (await versionsOf(a, '/d/f')) as [VersionItem, VersionItem]
  const days = ((expires as Date).getTime() - Date.now()) / 86_400_000
  assert.ok(days > 29 && days <= 30, `it is kept for ${days} days more`)
  const old = await readAll(await b.get('/d/f', { version: first.version.slice(0, 8) }))
  assert.ok(old.equals(large))
  const part = await b.get('/d/f', { version: first.version, range: { from: 5, to: 8 } })
  assert.ok((await readAll(part)).equals(large.subarray(5, 9)))
  assert.equal(await readVersion(a, '/d/f', second.version), 'two')

  const restored = await b.restore('/d/f', { version: second.version.slice(0, 8) })
  assert.deepEqual([restored.path, restored.kind, restored.restored], ['/d/f', 'file', second.version])
  assert.equal(await text(b, '/d/f'), 'two')
  assert.equal((await versionsOf(b, '/d/f'))[0]?.version, restored.version)
  // Without a version it undoes the last change, and then the undoing.
  await b.restore('/d/f')
  assert.equal(await text(b, '/d/f'), 'three')
  await b.restore('/d/f')
  assert.equal(await text(b, '/d/f'), 'two')

  const removed = await b.remove('/d/f')
  const [gone, ...before] = await versionsOf(b, '/d/f')
  assert.deepEqual([gone?.version, gone?.deleted, gone?.current], [removed.version, true, false])
  assert.equal(before.length, 6)
  assert.ok(before.every(({ current, deleted }) => !current && !deleted))
  assert.ok((await readAll(await b.get('/d/f', { version: first.version }))).equals(large))
  await b.restore('/d/f')
  assert.equal(await text(b, '/d/f'), 'two')
  assert.equal((await versionsOf(b, '/d/f')).length, 8, 'it is the same file, with all its versions')
  await b.move('/d/f', '/moved')
  assert.equal((await versionsOf(b, '/moved')).length, 8)
  assert.equal((await versionsOf(b, '/moved'))[0]?.current, true)
  // The id of a delete names what it deleted.
  await b.restore('/moved', { version: removed.version })
  assert.equal(await text(b, '/moved'), 'two')
  // The id of a record that moved a file names what it carried.
  const moved = (await b.stat('/moved')).version as string
  assert.equal(await readVersion(b, '/moved', moved), 'two')

  assert.equal(await codeOfRejection(b.get('/moved', { version: '00000000' })), 'not-found')
  assert.equal(await codeOfRejection(b.get('/moved', { version: 'zz' })), 'invalid')
  assert.equal(await codeOfRejection(versionsOf(b, '/none')), 'not-found')
  assert.equal(await codeOfRejection(versionsOf(b, '/d')), 'is-a-directory')
  assert.equal(await codeOfRejection(b.restore('/none')), 'not-found')
  assert.equal(await codeOfRejection(b.restore('/d')), 'invalid', 'it was not removed')
  await b.put('/single', 'x')
  assert.equal(await codeOfRejection(b.restore('/single')), 'invalid', 'it has no other version')
})

test('restoring a directory brings back what one removal took, with odd names, and only that', async t => {
  const { node } = await startNode(t)
  const odd = ['/t/a b', '/t/ü#?%', '/t/x (conflict 1a2b3c4d).txt', '/t/-rf', `/t/${'n'.repeat(255)}`, '/t/sub/deep/e']
  for (const path of odd) await node.put(path, path)
  await node.mkdir('/t/empty/inner')
  await node.put('/t/before', 'gone before')
  await node.put('/t/sub/old/f', 'gone before')
  await node.remove('/t/before')
  await node.remove('/t/sub/old', { recursive: true })
  const tree = await listing(node)
  await node.remove('/t', { recursive: true })
  assert.deepEqual(await listing(node), [])
  assert.deepEqual(
    (await deletedIn(node, '/')).map(({ path, kind }) => [path, kind]),
    [['/t', 'directory']]
  )
  const removed = (await deletedIn(node, '/', true)).map(({ path }) => path)
  for (const path of [...odd, '/t/empty', '/t/empty/inner', '/t/before', '/t/sub/old/f'])
    assert.ok(removed.includes(path), path)

  const { files, directories, left } = await node.restore('/t')
  assert.deepEqual(await listing(node), tree)
  assert.deepEqual([files, directories, left], [odd.length, 5, 0])
  assert.equal(await text(node, '/t/ü#?%'), '/t/ü#?%')
  assert.deepEqual(
    (await deletedIn(node, '/', true)).map(({ path }) => path),
    ['/t/before', '/t/sub/old', '/t/sub/old/f']
  )
  await node.restore('/t/before')
  await node.restore('/t/sub/old')
  assert.equal(await text(node, '/t/sub/old/f'), 'gone before')
  assert.deepEqual(await deletedIn(node, '/', true), [])
  assert.equal(await codeOfRejection(node.restore('/t')), 'invalid')
})

test('restoring one file of a removed directory shows the directory again, and the rest can still be restored', async t => {
  const { node } = await startNode(t)
  for (const name of ['a', 'b', 'c']) await node.put(`/d/e/${name}`, name)
  await node.remove('/d', { recursive: true })
  await node.restore('/d/e/b')
  assert.deepEqual(await listing(node), ['/d/', '/d/e/', '/d/e/b 1'])
  // Something new has one of the names, and what is put into the directory stays.
  await node.put('/d/e/a', 'new')
  const { files, left } = await node.restore('/d')
  assert.deepEqual([files, left], [1, 1])
  assert.deepEqual(await listing(node), ['/d/', '/d/e/', '/d/e/a 3', '/d/e/b 1', '/d/e/c 1'])
  assert.equal(await text(node, '/d/e/a'), 'new')
  assert.equal((await versionsOf(node, '/d/e/a')).filter(({ deleted }) => !deleted).length, 2)
})

test('a removed directory is restored into a new one that has its name', async t => {
  const { node } = await startNode(t)
  await node.put('/d/old', 'old')
  await node.put('/d/both', 'old')
  await node.remove('/d', { recursive: true })
  await node.put('/d/both', 'new')
  assert.deepEqual((await deletedIn(node, '/')).length, 0, 'the name is in use')
  assert.deepEqual(
    (await deletedIn(node, '/d')).map(({ path }) => path),
    ['/d/old']
  )
  assert.deepEqual(
    (await versionsOf(node, '/d/both')).map(({ size, deleted }) => [size, deleted]),
    [
      [3, false],
      [0, true],
      [3, false]
    ]
  )
  const { files, left } = await node.restore('/d')
  assert.deepEqual([files, left], [1, 1])
  assert.deepEqual(await listing(node), ['/d/', '/d/both 3', '/d/old 3'])
  await node.restore('/d/both')
  assert.equal(await text(node, '/d/both'), 'old')
})

test('a restore after a purge brings back what was there last, and the purge is one delete', async t => {
  const { node: a } = await startNode(t)
  const { token } = await a.invite({ role: 'writer' })
  const { node: b } = await startNode(t, { join: token })
  await allConnected([a, b])
  await b.ready({ members: 1 })
  await a.put('/s', 'n1')
  await a.remove('/s')
  await a.put('/s', 'n2 is longer')
  await until('b knows it', async () => (await versionsOf(b, '/s')).length === 3)
  await b.remove('/s', { purge: true })
  const shape = async (node: DfsNode): Promise<Array<number | string>> =>
    (await versionsOf(node, '/s')).map(({ deleted, current, size }) =>
      deleted ? 'removed' : current ? 'current' : size
    )
  assert.deepEqual(await shape(b), ['removed', 12, 'removed', 2])
  assert.deepEqual(
    (await deletedIn(b, '/')).map(({ path, size }) => [path, size]),
    [['/s', 12]]
  )
  await b.restore('/s')
  assert.equal(await text(b, '/s'), 'n2 is longer')
  await b.cancelPurge('/s')
  assert.deepEqual(await shape(b), ['current', 'removed', 12, 'removed', 2])
})

test('a restore after a purge of a directory brings back what was in it last', async t => {
  const { node: a } = await startNode(t)
  const { token } = await a.invite({ role: 'writer' })
  const { node: b } = await startNode(t, { join: token })
  await allConnected([a, b])
  await b.ready({ members: 1 })
  await a.put('/d/first', '1')
  await a.remove('/d', { recursive: true })
  await a.put('/d/second', '2')
  await until('b knows it', async () => (await listing(b)).includes('/d/second 1'))
  await b.remove('/d', { recursive: true, purge: true })
  await b.restore('/d')
  assert.deepEqual(await listing(b), ['/d/', '/d/second 1'])
})

test('what was removed is listed while something of another kind has its name, and the restore says to move that away', async t => {
  const { node } = await startNode(t)
  const refusal = async (path: string, version?: string): Promise<[string, string]> => {
    const error = await node.restore(path, { version }).then(
      () => assert.fail('it was restored'),
      (error: DfsError) => error
    )
    return [error.code, error.message]
  }
  const { version } = await node.put('/f', 'text')
  await node.remove('/f')
  await node.mkdir('/f')
  await node.put('/d/inner', 'text')
  await node.remove('/d', { recursive: true })
  await node.put('/d', 'a file')
  const listed = async (): Promise<string[][]> => (await deletedIn(node, '/')).map(({ path, kind }) => [path, kind])
  assert.deepEqual(await listed(), [
    ['/d', 'directory'],
    ['/f', 'file']
  ])
  for (const named of [undefined, version]) {
    const [code, message] = await refusal('/f', named)
    assert.equal(code, 'exists')
    assert.match(message, /a directory has the name of this removed file now: move it away first \(dfs mv\)/)
  }
  const [code, message] = await refusal('/d')
  assert.equal(code, 'exists')
  assert.match(message, /a removed directory had its name: to restore that one, move the file away first \(dfs mv\)/)
  await node.move('/f', '/g')
  await node.move('/d', '/e')
  await node.restore('/f')
  await node.restore('/d')
  assert.deepEqual(await listing(node), ['/d/', '/d/inner 4', '/e 6', '/f 4', '/g/'])
  assert.deepEqual(await listed(), [])
})

test('nothing is restored below a file that has taken the name of a directory', async t => {
  const { node } = await startNode(t)
  for (const path of ['/d/taken/deep/f', '/d/taken/g', '/d/h']) await node.put(path, path)
  await node.remove('/d', { recursive: true })
  await node.put('/d/taken', 'a file')
  for (const path of ['/d/taken/g', '/d/taken/deep', '/d/taken/deep/f'])
    assert.equal(await codeOfRejection(node.restore(path)), 'exists', path)
  const { files, directories, left } = await node.restore('/d')
  assert.deepEqual([files, directories, left], [1, 1, 2])
  assert.deepEqual(await listing(node), ['/d/', '/d/h 4', '/d/taken 6'])
  await node.move('/d/taken', '/d/away')
  assert.equal((await node.restore('/d/taken')).files, 2)
  assert.deepEqual(await listing(node), [
    ...['/d/', '/d/away 6', '/d/h 4', '/d/taken/', '/d/taken/deep/', '/d/taken/deep/f 15', '/d/taken/g 10']
  ])
})

test('a directory is restored without the files of which nothing is kept, but not if nothing is kept of any', async t => {
  const { node } = await startNode(t)
  for (const path of ['/d/a', '/d/sub/b', '/d/sub/c']) await node.put(path, 'text')
  await node.remove('/d', { recursive: true })
  await node.remove('/d/sub/b', { purge: true })
  const { files, directories, left, gone } = await node.restore('/d')
  assert.deepEqual([files, directories, left, gone], [2, 2, 0, 1])
  assert.deepEqual(await listing(node), ['/d/', '/d/a 4', '/d/sub/', '/d/sub/c 4'])
  await node.remove('/d', { recursive: true, purge: true })
  await assert.rejects(node.restore('/d'), /^VersionExpiredError: this version is gone: it was purged on /)
  assert.equal(await node.exists('/d/a'), false)
})

test('a directory that shows gets back what the last recursive removal in it took, and no single removals', async t => {
  const { node } = await startNode(t)
  for (const path of ['/d/sub/a', '/d/sub/b', '/d/single', '/d/other']) await node.put(path, 'x')
  await node.remove('/d/single')
  assert.equal(await codeOfRejection(node.restore('/d')), 'invalid')
  await node.remove('/d/sub', { recursive: true })
  await node.remove('/d/other')
  const { files, directories } = await node.restore('/d')
  assert.deepEqual([files, directories], [2, 1])
  assert.deepEqual(await listing(node), ['/d/', '/d/sub/', '/d/sub/a 1', '/d/sub/b 1'])
  assert.equal(await codeOfRejection(node.restore('/d')), 'invalid')
})
