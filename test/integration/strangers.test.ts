import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import { encodeCanonical } from '../../src/format/canonical.ts'
import { ROOT_ENTRY, signRecord } from '../../src/format/entry.ts'
import { decodeStatement } from '../../src/format/statement.ts'
import { type DfsNode, generateNetworkKey } from '../../src/index.ts'
import { encodeFrame } from '../../src/wire/frames.ts'
import { codeOfRejection, listing, read, startNode, until } from '../fixtures/nodes.ts'
import { joinRaw, type RawMember } from '../fixtures/raw-member.ts'

/** The code for `lacking` among the states in an answer of `/dfs/store`. */
const LACKING = 1
const PROTOCOLS = ['/dfs/get/1.0.0', '/dfs/store/1.0.0', '/dfs/sync/1.0.0']

test('a libp2p program without a grant learns nothing', async t => {
  const { node } = await startNode(t)
  await node.put('/secret', randomBytes(100_000))
  const { root } = await node.stat('/secret')
  const stranger = await createLibp2p({
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()]
  })
  t.after(() => stranger.stop())
  const connection = await stranger.dial(multiaddr(node.multiaddrs[0] as string))
  for (const protocol of PROTOCOLS) {
    let heard = 0
    const ended = Promise.withResolvers<void>()
    try {
      const stream = await connection.newStream(protocol)
      stream.addEventListener('message', ({ data }) => {
        heard += data.byteLength
      })
      stream.addEventListener('close', () => ended.resolve())
      for (const part of encodeFrame({ id: 1, cid: CID.parse(root as string), do: 'list', class: 0, after: null }))
        stream.send(part)
    } catch {
      ended.resolve()
    }
    await ended.promise
    assert.equal(heard, 0, protocol)
  }
})

test('nodes with different network keys notice it and exchange nothing', async t => {
  const a = await startNode(t)
  await a.node.put('/f', Buffer.from('x'))
  const b = await startNode(t, { networkKey: generateNetworkKey(), bootstrap: [a.node.multiaddrs[0] as string] })
  await until('noticed', async () => b.events.some(({ event }) => event === 'foreign'))
  const foreign = b.events.find(event => event.event === 'foreign')
  assert.deepEqual(foreign, {
    event: 'foreign',
    peerId: a.node.peerId,
    words: (await a.node.networkInfo()).words,
    address: a.node.multiaddrs[0]
  })
  assert.deepEqual(b.node.peers(), [])
  assert.deepEqual(a.node.peers(), [])
  assert.deepEqual(await listing(b.node), [])
})

test('a directory of one network is not opened with the key of another', async t => {
  const a = await startNode(t)
  await a.node.stop()
  const { dataDir } = a.options
  assert.equal(await codeOfRejection(startNode(t, { dataDir, networkKey: generateNetworkKey() })), 'invalid')
  assert.equal(await codeOfRejection(startNode(t, { dataDir, passphrase: 'wrong' })), 'wrong-key')
  const { node } = await startNode(t, { dataDir })
  assert.equal(await codeOfRejection(startNode(t, { dataDir })), 'locked')
  await node.stop()
})

interface Setup {
  node: DfsNode
  raw: RawMember
}

async function setup(t: TestContext): Promise<Setup> {
  const networkKey = generateNetworkKey()
  const { node } = await startNode(t, { networkKey })
  return { node, raw: await joinRaw(t, networkKey, node.multiaddrs[0] as string) }
}

async function push({ raw }: Setup, bytes: Uint8Array): Promise<string> {
  const { fields } = await raw.call('/dfs/sync/1.0.0', { do: 'push', lengths: [bytes.byteLength], puts: [null] }, [
    bytes
  ])
  return (fields as { verdicts: string[] }).verdicts[0] as string
}

function recordNamed({ raw }: Setup, name: string, parent: Uint8Array = ROOT_ENTRY) {
  const { self, keys } = raw
  const epoch = keys.newest!
  const content = Buffer.from('content')
  return signRecord(
    {
      entry: randomBytes(16),
      incarnation: randomBytes(8),
      epoch: epoch.id,
      seen: [],
      op: 'put',
      placed: null,
      written: null,
      root: randomBytes(32),
      rootEpoch: epoch.id,
      replicas: 1,
      body: { parent, name, kind: 'file', size: content.byteLength, mtime: 0, content }
    },
    { ...self.signing(self.nextHlc()), subkey: epoch.record }
  )
}

test('statements that are not canonical, not signed, or altered by one bit are refused', async t => {
  const stage = await setup(t)
  const good = recordNamed(stage, 'fine.txt')
  const flipped = Buffer.from(good.bytes)
  const sig = flipped.indexOf(Buffer.from(good.sig))
  flipped[sig + 5]! ^= 1
  assert.equal(await push(stage, flipped), 'invalid')
  const inBody = Buffer.from(good.bytes)
  inBody[inBody.indexOf(Buffer.from(good.fields.body as Uint8Array)) + 40]! ^= 1
  assert.equal(await push(stage, inBody), 'invalid')
  assert.equal(await push(stage, Buffer.concat([good.bytes, Buffer.from([0])])), 'invalid')
  assert.equal(await push(stage, good.bytes.subarray(0, 100)), 'invalid')
  assert.equal(await push(stage, randomBytes(300)), 'invalid')
  const stray = {
    ...stage.raw.self.chain[0]!.fields,
    kind: 'grant',
    v: 1,
    hlc: Buffer.alloc(8),
    extra: 1,
    sig: randomBytes(64)
  }
  assert.equal(await push(stage, encodeCanonical(stray)), 'invalid')
  assert.equal(await push(stage, good.bytes), 'ok')
  assert.equal((await read(stage.node, '/fine.txt')).toString(), 'content')
  decodeStatement(good.bytes)
})

test('a record whose name leads elsewhere is accepted, shown as damaged, and never used as a path', async t => {
  const stage = await setup(t)
  for (const name of ['../../x', '..', '.', 'a/b', '', 'nul\0', 'cafe\u0301', 'x'.repeat(256)])
    assert.equal(await push(stage, recordNamed(stage, name).bytes), 'ok', JSON.stringify(name))
  const lines = await listing(stage.node)
  assert.equal(lines.length, 8)
  for (const line of lines) assert.match(line, /^\/damaged-[0-9a-f]{8} 7$/)
  for await (const item of stage.node.list('/')) {
    assert.ok(item.conflict)
    await stage.node.remove(item.path)
  }
  assert.deepEqual(await listing(stage.node), [])
})

test('blocks named by a truncated, exotic or foreign hash are refused', async t => {
  const { raw } = await setup(t)
  const digest = randomBytes(32)
  const names = [
    CID.createV1(0x55, Digest.create(0x12, digest.subarray(0, 4))),
    CID.createV1(0x55, Digest.create(0x00, digest)),
    CID.createV1(0x55, Digest.create(0x13, randomBytes(64))),
    CID.createV1(0x70, Digest.create(0x12, digest)),
    CID.createV0(Digest.create(0x12, digest))
  ]
  for (const cid of names) {
    await assert.rejects(raw.call('/dfs/get/1.0.0', { cid }), { status: 'invalid' }, cid.toString())
    const keep = { put: randomBytes(16), cids: [cid], lengths: [0], until: 1000, fetch: true }
    await assert.rejects(raw.call('/dfs/store/1.0.0', keep), { status: 'invalid' }, cid.toString())
  }
  await assert.rejects(raw.call('/dfs/get/1.0.0', { cid: CID.createV1(0x55, Digest.create(0x1e, digest)) }), {
    status: 'not-found'
  })
})

test('an inline block that does not match its CID ends the stream', async t => {
  const { raw } = await setup(t)
  const cid = CID.createV1(0x55, Digest.create(0x1e, randomBytes(32)))
  const bytes = randomBytes(100)
  const keep = { put: randomBytes(16), cids: [cid], lengths: [100], until: 1000, fetch: false }
  await assert.rejects(raw.call('/dfs/store/1.0.0', keep, [bytes]))
  const question = await raw.call('/dfs/store/1.0.0', { ...keep, lengths: [0] })
  assert.deepEqual([...(question.fields['states'] as Uint8Array)], [LACKING])
})
