import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { DfsNode, RemoveResult } from '../../src/index.ts'
import { systemClock } from '../../src/util/clock.ts'
import { codeOfRejection, listing, read, startNode, until } from '../fixtures/nodes.ts'

const DAY_MS = 86_400_000

/** An admin and a writer that are connected. */
async function startBoth(t: TestContext): Promise<{ admin: DfsNode; writer: DfsNode }> {
  const { node: admin } = await startNode(t, { found: true, name: 'admin' })
  const { token } = await admin.invite({ role: 'writer' })
  const { node: writer } = await startNode(t, { join: token, name: 'writer' })
  await until('connected', async () => (await admin.status()).peersConnected === 1)
  await writer.ready({ members: 1 })
  return { admin, writer }
}

async function put(by: DfsNode, other: DfsNode, ...paths: string[]): Promise<void> {
  for (const path of paths) await by.put(path, `text of ${path}`)
  for (const path of paths) await until(`${path} is known`, () => other.exists(path))
}

/** In how many days the space returns; undefined if that is not known. */
function daysOf({ freesAt }: RemoveResult): number | undefined {
  return freesAt === null ? undefined : Math.round((freesAt.getTime() - systemClock.now()) / DAY_MS)
}

test('a removal says when the space returns: after a month, at once for what an admin purges, and after a week for a writer', async t => {
  const { admin, writer } = await startBoth(t)
  await put(admin, writer, '/a', '/b', '/c', '/d/e')
  assert.equal(daysOf(await admin.remove('/a')), 30)
  assert.equal(daysOf(await writer.remove('/b', { purge: true })), 7)
  assert.equal(daysOf(await admin.remove('/d', { recursive: true })), 30)
  const { freesAt, removedOn } = await admin.remove('/c', { purge: true })
  assert.ok(freesAt === null || freesAt.getTime() <= systemClock.now())
  assert.deepEqual(removedOn, [admin.peerId, writer.peerId])
})

test('a deleted file can be purged, alone and with its directory, and only once', async t => {
  const { admin, writer } = await startBoth(t)
  await put(admin, writer, '/f', '/d/one', '/d/e/two', '/d/kept')
  await writer.remove('/f')
  assert.equal(daysOf(await writer.remove('/f', { purge: true })), 7)
  assert.equal(await codeOfRejection(writer.remove('/f', { purge: true })), 'not-found')
  await until('the admin knows of it', async () => !(await admin.exists('/f')))
  // An admin's does not wait, so it is another one.
  const sooner = await admin.remove('/f', { purge: true })
  assert.ok(sooner.freesAt === null || sooner.freesAt.getTime() <= systemClock.now())
  assert.equal(await codeOfRejection(admin.remove('/f', { purge: true })), 'not-found')
  assert.equal(await codeOfRejection(admin.remove('/f')), 'not-found')

  await writer.remove('/d/e', { recursive: true })
  await writer.remove('/d/one')
  assert.equal(await codeOfRejection(writer.remove('/d/e', { purge: true })), 'is-a-directory')
  await writer.remove('/d', { recursive: true, purge: true })
  await until('all is gone', async () => (await listing(admin)).length === 0)
  for (const path of ['/d/one', '/d/e/two', '/d/kept'])
    assert.equal(await codeOfRejection(writer.remove(path, { purge: true })), 'not-found', `${path} was purged before`)
})

test('a purge that waits can be cancelled by any writer, and then restored, also a whole directory', async t => {
  const { admin, writer } = await startBoth(t)
  await put(admin, writer, '/f', '/d/one', '/d/e/two', '/live')
  assert.equal(await codeOfRejection(writer.cancelPurge('/live')), 'invalid')
  await writer.remove('/live')
  assert.equal(await codeOfRejection(writer.cancelPurge('/live')), 'invalid', 'it is only removed')
  await writer.remove('/f', { purge: true })
  assert.equal(daysOf(await writer.cancelPurge('/f')), 30)
  assert.equal(await codeOfRejection(writer.cancelPurge('/f')), 'invalid')
  await writer.restore('/f')
  assert.equal((await read(writer, '/f')).toString(), 'text of /f')

  for (const canceller of [writer, admin]) {
    await writer.remove('/d', { recursive: true, purge: true })
    await until('the admin knows of it', async () => !(await admin.exists('/d')))
    assert.equal(daysOf(await canceller.cancelPurge('/d')), 30)
    assert.deepEqual(
      (await listing(canceller)).filter(line => line.startsWith('/d')),
      [],
      'it stays deleted'
    )
    const { files, directories } = await canceller.restore('/d')
    assert.deepEqual([files, directories], [2, 2])
    await until('the writer has it', () => writer.exists('/d/e/two'))
    await until('the admin has it', () => admin.exists('/d/e/two'))
  }

  // An admin's purge takes effect at once, so nobody can cancel it.
  await admin.remove('/f', { purge: true })
  await until('the writer knows of it', async () => !(await writer.exists('/f')))
  assert.equal(await codeOfRejection(writer.cancelPurge('/f')), 'invalid')
})

test('a reader may neither remove nor purge, and may cancel no purge', async t => {
  const { node: admin } = await startNode(t, { found: true })
  const { token } = await admin.invite({ role: 'reader' })
  const { node: reader } = await startNode(t, { join: token })
  await reader.ready({ members: 1 })
  await put(admin, reader, '/f', '/g')
  await admin.remove('/g')
  await until('the reader knows of it', async () => !(await reader.exists('/g')))
  for (const refused of [
    reader.remove('/f'),
    reader.remove('/f', { purge: true }),
    reader.remove('/g', { purge: true }),
    reader.cancelPurge('/g')
  ])
    assert.equal(await codeOfRejection(refused), 'not-allowed')
  assert.ok(await admin.exists('/f'))
})

/** The paths that `ls --deleted -R` lists. */
async function deletedPaths(node: DfsNode): Promise<string[]> {
  const paths: string[] = []
  for await (const { path } of node.list('/', { deleted: true, recursive: true })) paths.push(path)
  return paths
}

test('what was purged is said to be purged at once, is not listed as deleted, and cannot be restored', async t => {
  const { admin, writer } = await startBoth(t)
  await put(admin, writer, '/f', '/d/e/one', '/own/one', '/other/one', '/week/one')
  await admin.put('/f', 'again')
  await admin.remove('/f', { purge: true })
  const states: Array<[boolean, boolean]> = []
  for await (const { deleted, expired, purged } of admin.versions('/f')) if (!deleted) states.push([expired, purged])
  assert.ok(states.every(([expired, purged]) => expired && purged))
  await assert.rejects(admin.restore('/f'), { code: 'not-found' })

  await admin.remove('/d', { recursive: true, purge: true })
  assert.deepEqual(await deletedPaths(admin), [], 'a directory goes with everything in it')
  await admin.remove('/own', { recursive: true })
  await writer.remove('/other', { recursive: true })
  await until('the admin knows of it', async () => !(await admin.exists('/other')))
  assert.deepEqual(await deletedPaths(admin), ['/other', '/other/one', '/own', '/own/one'])
  for (const path of ['/own', '/other']) await admin.remove(path, { recursive: true, purge: true })
  assert.deepEqual(await deletedPaths(admin), [], 'whoever removed it before')
  await until('the writer lists nothing either', async () => (await deletedPaths(writer)).length === 0)
  assert.equal(await codeOfRejection(admin.remove('/own', { recursive: true, purge: true })), 'not-found')

  await writer.remove('/week', { recursive: true, purge: true })
  assert.deepEqual(await deletedPaths(writer), ['/week', '/week/one'], 'the purge of a writer waits')
  await writer.cancelPurge('/week')
  assert.equal((await writer.restore('/week')).files, 1)
})
