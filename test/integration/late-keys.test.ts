import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { DfsNode } from '../../src/index.ts'
import { equalBytes } from '../../src/util/bytes.ts'
import { makeDevice, secretsIn } from '../fixtures/device.ts'
import { codeOfRejection, listing, read, startNode, temporaryFolder, until } from '../fixtures/nodes.ts'

const TEXT = Buffer.from('content '.repeat(1_000))
const TREE = ['/docs/', '/docs/long.txt 8000', '/docs/short.txt 5']

/** An admin whose files are on a storage member too. */
async function setup(t: TestContext) {
  const founder = await startNode(t, { found: true, name: 'founder' })
  const admin = await secretsIn(founder.options.dataDir)
  const bootstrap = [founder.node.multiaddrs[0] as string]
  const dataDir = await temporaryFolder(t)
  await makeDevice(dataDir, admin, 'storage')
  const storage = (await startNode(t, { dataDir, bootstrap })).node
  await until('connected', async () => (await founder.node.status()).peersConnected === 1)
  await founder.node.put('/docs/long.txt', TEXT, { replicas: 'all', ack: 2 })
  await founder.node.put('/docs/short.txt', Buffer.from('short'), { replicas: 2, ack: 2 })
  return { founder, admin, storage, dataDir }
}

async function holds(dataDir: string): Promise<number> {
  return (await secretsIn(dataDir)).epochs.length
}

async function assertEmpty(node: DfsNode): Promise<void> {
  assert.deepEqual(await listing(node), [])
  assert.equal((await node.status()).files, 0)
  assert.equal(await codeOfRejection(node.get('/docs/short.txt')), 'not-found')
}

test('a member whose key has not come shows nothing and nothing damaged, and everything once it has', async t => {
  const { founder, admin, storage } = await setup(t)
  await founder.node.stop()
  // The storage member has all records, and no key to hand over.
  const dataDir = await temporaryFolder(t)
  await makeDevice(dataDir, admin, 'writer')
  const { node } = await startNode(t, { dataDir, bootstrap: [storage.multiaddrs[0] as string] })
  // It owes a copy, so it has one as soon as it has the record.
  await until('a copy', async () => (await node.status()).disk.used > TEXT.byteLength)
  await assertEmpty(node)
  assert.equal(await codeOfRejection(node.put('/new.txt', TEXT)), 'unreachable')
  const again = await startNode(t, { ...founder.options, bootstrap: [storage.multiaddrs[0] as string] })
  await until('the key', async () => (await listing(node)).length === TREE.length)
  assert.deepEqual(await listing(node), TREE)
  assert.deepEqual(await read(node, '/docs/long.txt'), TEXT)
  assert.equal((await node.status()).files, 2)
  assert.equal(await holds(dataDir), 1)
  await node.put('/new.txt', TEXT, { replicas: 1, ack: 1 })
  await until('seen', async () => (await listing(again.node)).includes('/new.txt 8000'))
})

test('a storage member has an empty tree, receives no key and may not write, until it is made a reader', async t => {
  const { founder, storage, dataDir } = await setup(t)
  await assertEmpty(storage)
  assert.equal(await holds(dataDir), 0)
  assert.equal(await codeOfRejection(storage.put('/new.txt', TEXT)), 'not-allowed')
  await founder.node.setRole(storage.peerId, 'reader')
  await until('the key', async () => (await listing(storage)).length === TREE.length)
  assert.deepEqual(await listing(storage), TREE)
  assert.deepEqual(await read(storage, '/docs/long.txt'), TEXT)
  const [held] = (await secretsIn(dataDir)).epochs
  assert.ok(held !== undefined && equalBytes(held.key, (await secretsIn(founder.options.dataDir)).epochs[0]!.key))
  await storage.stop()
  const again = await startNode(t, { dataDir })
  assert.deepEqual(await listing(again.node), TREE, 'the key is in the keystore')
})

test('a member that lost its index opens what is sealed with the key that it has', async t => {
  const { founder, storage, dataDir } = await setup(t)
  await founder.node.setRole(storage.peerId, 'reader')
  await until('the key', async () => (await listing(storage)).length === TREE.length)
  await storage.stop()
  await rm(join(dataDir, 'index'), { recursive: true })
  const again = await startNode(t, { dataDir })
  assert.deepEqual(await listing(again.node), TREE)
})
