import assert from 'node:assert/strict'
import { hash, randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { ROOT_ENTRY, signRecord } from '../../src/format/entry.ts'
import { sealHandover } from '../../src/format/handover.ts'
import { deriveNetwork, epochSubkeys, privateKey, rawPublicKey } from '../../src/format/network-key.ts'
import { inlineRoot } from '../../src/format/seal-file.ts'
import type { Statement } from '../../src/format/statement.ts'
import { type DfsNode, generateNetworkKey } from '../../src/index.ts'
import { type Epoch, KeyRing } from '../../src/members/key-ring.ts'
import { LocalMember } from '../../src/members/local-member.ts'
import { equalBytes } from '../../src/util/bytes.ts'
import { systemChance } from '../../src/util/chance.ts'
import { systemClock } from '../../src/util/clock.ts'
import { makeDevice, secretsIn } from '../fixtures/device.ts'
import { codeOfRejection, listing, read, startNode, temporaryFolder, until } from '../fixtures/nodes.ts'
import { joinRaw, type RawMember } from '../fixtures/raw-member.ts'
import { Received } from '../fixtures/recorded-host.ts'
import { foundIn, needlesOf } from '../fixtures/secret-search.ts'
import { startRooms } from '../fixtures/stack.ts'

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

/** A storage member has no names to show. An empty list would look as if there were no files. */
async function assertReadsNothing(node: DfsNode): Promise<void> {
  assert.equal((await node.status()).files, 0)
  assert.equal(await codeOfRejection(listing(node)), 'not-allowed')
  assert.equal(await codeOfRejection(node.get('/docs/short.txt')), 'not-allowed')
}

test('a machine that was approved reads what was there before, with the key that it was handed', async t => {
  const founder = await startNode(t, { found: true, name: 'founder' })
  await founder.node.put('/a.txt', Buffer.from('hello'), { replicas: 1, ack: 1 })
  for (const role of ['writer', 'reader', 'storage'] as const) {
    const { node, events } = await startNode(t, {
      bootstrap: [founder.node.multiaddrs[0] as string],
      name: role,
      role,
      found: false
    })
    await until('pending', async () => events.some(({ event }) => event === 'pending'))
    const pending = events.find(({ event }) => event === 'pending') as { code: string }
    const t0 = performance.now()
    await founder.node.approve(pending.code, { role })
    await node.ready()
    const t1 = performance.now()
    if (role === 'storage') {
      await until('connected', async () => (await node.status()).peersConnected >= 1)
      await assertReadsNothing(node)
      continue
    }
    await until('file', async () => (await listing(node)).length === 1)
    assert.equal((await read(node, '/a.txt')).toString(), 'hello')
    t.diagnostic(`${role}: ready after ${Math.round(t1 - t0)} ms, read after ${Math.round(performance.now() - t0)} ms`)
  }
})

test('a member whose key has not arrived shows no files and no damage, and all files once it has', async t => {
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
  assert.match((await node.status()).warnings.join('\n'), /has not received the key of the network yet/)
  const again = await startNode(t, { ...founder.options, bootstrap: [storage.multiaddrs[0] as string] })
  await until('the key', async () => (await listing(node)).length === TREE.length)
  assert.deepEqual(await listing(node), TREE)
  assert.deepEqual(await read(node, '/docs/long.txt'), TEXT)
  assert.equal((await node.status()).files, 2)
  assert.equal(await holds(dataDir), 1)
  assert.doesNotMatch((await node.status()).warnings.join('\n'), /key of the network/)
  await node.put('/new.txt', TEXT, { replicas: 1, ack: 1 })
  await until('seen', async () => (await listing(again.node)).includes('/new.txt 8000'))
})

test('a storage member shows no files and says why, receives no key and may not write, until it is made a reader', async t => {
  const { founder, storage, dataDir } = await setup(t)
  await assertReadsNothing(storage)
  assert.equal(await holds(dataDir), 0)
  assert.equal(await codeOfRejection(storage.put('/new.txt', TEXT)), 'not-allowed')
  await founder.node.setRole(storage.peerId, 'reader')
  await until('the key', async () => storage.role === 'reader' && (await listing(storage)).length === TREE.length)
  assert.deepEqual(await listing(storage), TREE)
  assert.deepEqual(await read(storage, '/docs/long.txt'), TEXT)
  const [held] = (await secretsIn(dataDir)).epochs
  assert.ok(held !== undefined && equalBytes(held.key, (await secretsIn(founder.options.dataDir)).epochs[0]!.key))
  await storage.stop()
  const again = await startNode(t, { dataDir })
  assert.deepEqual(await listing(again.node), TREE, 'the key is in the keystore')
})

test('a member that lost its index opens everything that is sealed with the key that it has', async t => {
  const { founder, storage, dataDir } = await setup(t)
  await founder.node.setRole(storage.peerId, 'reader')
  await until('the key', async () => storage.role === 'reader' && (await listing(storage)).length === TREE.length)
  await storage.stop()
  await rm(join(dataDir, 'index'), { recursive: true })
  const again = await startNode(t, { dataDir })
  assert.deepEqual(await listing(again.node), TREE)
})

test('a later epoch is read and written by the members that hold its key, and its key is handed to a newcomer', async t => {
  const networkKey = generateNetworkKey()
  const founder = await startNode(t, { networkKey, name: 'founder' })
  const founderSecrets = await secretsIn(founder.options.dataDir)
  const bootstrap = [founder.node.multiaddrs[0] as string]
  // No program opens an epoch yet. This member does it by hand.
  const raw = await joinRaw(t, networkKey, bootstrap[0] as string)
  const key = randomBytes(32)
  const { self } = raw
  const fields = { previous: [self.network], hash: hash('sha256', key, 'buffer'), excludes: [] }
  const epoch = self.sign('epoch', fields, self.nextHlc())
  const later = new KeyRing([{ id: epoch.id, key }]).newest as Epoch
  const content = Buffer.from('later')
  const record = signRecord(
    {
      ...{ entry: randomBytes(16), incarnation: randomBytes(8), epoch: epoch.id, seen: [], op: 'put' },
      ...{ placed: null, written: null, root: inlineRoot(later.content, content), rootEpoch: epoch.id, replicas: 0 },
      body: { parent: ROOT_ENTRY, name: 'later.txt', kind: 'file', size: content.byteLength, mtime: 0, content }
    },
    { ...self.signing(self.nextHlc()), subkey: later.record }
  )
  await push(raw, [epoch, record])
  await founder.node.put('/first.txt', Buffer.from('first'))
  assert.deepEqual(await listing(founder.node), ['/first.txt 5'])

  const to = new LocalMember(founderSecrets, systemClock, systemChance)
  const facts = { network: self.network, epoch: epoch.id, recipient: to.publicKey }
  const x25519 = rawPublicKey(privateKey('x25519', founderSecrets.x25519))
  const box = sealHandover({ ...facts, x25519, epochKey: key }, randomBytes(32))
  await push(raw, [self.sign('handover', { epoch: epoch.id, recipient: to.publicKey, box }, self.nextHlc())])
  await until('the key', async () => (await listing(founder.node)).includes('/later.txt 5'))
  assert.equal((await read(founder.node, '/later.txt')).toString(), 'later')
  assert.equal(await holds(founder.options.dataDir), 2)
  // Everything that is written from now on is sealed in the later epoch.
  await founder.node.put('/second.txt', Buffer.from('second'))
  await raw.host.stop()

  const dataDir = await temporaryFolder(t)
  await makeDevice(dataDir, founderSecrets, 'writer')
  const { node } = await startNode(t, { dataDir, bootstrap })
  await until('all', async () => (await listing(node)).length === 3)
  assert.deepEqual(await listing(node), ['/first.txt 5', '/later.txt 5', '/second.txt 6'])
  assert.equal(await holds(dataDir), 2)
})

async function push(raw: RawMember, statements: readonly Statement[]): Promise<void> {
  const lengths = statements.map(({ bytes }) => bytes.byteLength)
  const request = { do: 'push', lengths, puts: lengths.map(() => null) }
  const { fields } = await raw.call(
    '/dfs/sync/1.0.0',
    request,
    statements.map(({ bytes }) => bytes)
  )
  assert.deepEqual(
    fields['verdicts'],
    lengths.map(() => 'ok')
  )
}

test('a member that was given the network key opens a later epoch whose key was handed to the recovery key', async t => {
  const networkKey = generateNetworkKey()
  const { node, options } = await startNode(t, { networkKey })
  const raw = await joinRaw(t, networkKey, node.multiaddrs[0] as string)
  const { self } = raw
  const key = randomBytes(32)
  const fields = { previous: [self.network], hash: hash('sha256', key, 'buffer'), excludes: [] }
  const epoch = self.sign('epoch', fields, self.nextHlc())
  const { recovery } = deriveNetwork(networkKey)
  const facts = { network: self.network, epoch: epoch.id, recipient: recovery, x25519: recovery, epochKey: key }
  const box = sealHandover(facts, randomBytes(32))
  await push(raw, [epoch, self.sign('handover', { epoch: epoch.id, recipient: recovery, box }, self.nextHlc())])
  await until('the key', async () => (await holds(options.dataDir)) === 2)
})

test('a storage member receives nothing of names, contents or keys, and a reader receives its key sealed', async t => {
  const founder = await startNode(t, { found: true, name: 'founder' })
  const admin = await secretsIn(founder.options.dataDir)
  const [directory, file, marker] = [24, 24, 48].map(length => randomBytes(length).toString('base64url')) as [
    string,
    string,
    string
  ]
  const { key } = admin.epochs[0]!
  const { content, record } = epochSubkeys(key)
  const keys = { epochKey: key, contentKey: content, recordKey: record, networkKey: admin.networkKey! }
  const needles = needlesOf({ directory, file, marker, ...keys })
  const received = new Received()
  const dataDir = await temporaryFolder(t)
  await makeDevice(dataDir, admin, 'storage')
  const bootstrap = [founder.node.multiaddrs[0] as string]
  const { fs } = await startRooms(t, { dataDir, bootstrap, platform: system => received.over(system) })
  await until('connected', async () => (await founder.node.status()).peersConnected === 1)
  const large = Buffer.from(Array.from({ length: 20_000 }, (_, i) => `${marker} ${i}\n`).join(''))
  await founder.node.put(`/${directory}/${file}`, large, { replicas: 2, ack: 2 })
  await founder.node.put(`/${directory}/small-${file}`, Buffer.from(marker), { replicas: 2, ack: 2 })
  const bytes = (): number => received.streams.reduce((sum, stream) => sum + stream.byteLength, 0)
  assert.ok(bytes() > large.byteLength, 'it received the blocks')
  const found = (of = needles): string[] => received.streams.flatMap(stream => foundIn(stream, of))
  assert.notDeepEqual(found(needlesOf({ device: 'founder' })), [], 'the search finds what is sent in clear')
  assert.deepEqual(found(), [])
  assert.equal(await fs.tree.countFiles(), 0)
  await founder.node.setRole(fs.members.self.peerId, 'reader')
  await until('the key', async () => (await fs.tree.countFiles()) === 2)
  assert.deepEqual(found(), [])
})
