import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { test } from 'node:test'
import * as dagJson from '@ipld/dag-json'
import { memory } from '@libp2p/memory'
import { MemoryBlockstore } from 'blockstore-core'
import { FsBlockstore } from 'blockstore-fs'
import type { NodeCodec } from '../../src/format/manifest.ts'
import { type DfsNode, generateNetworkKey } from '../../src/index.ts'
import { allConnected, read, startNode, startNodes, temporaryFolder, until } from '../fixtures/nodes.ts'

const MIB = 1 << 20

test('two nodes reach each other over WebSockets', async t => {
  const networkKey = generateNetworkKey()
  const listen = ['/ip4/127.0.0.1/tcp/0/ws']
  const { node: a } = await startNode(t, { networkKey, listen })
  const { node: b } = await startNode(t, { networkKey, listen, bootstrap: [a.multiaddrs[0] as string] })
  await allConnected([a, b])
  const bytes = randomBytes(5 * MIB + 3)
  await a.put('/f', bytes)
  await a.evict('/f')
  assert.ok((await read(a, '/f')).equals(bytes))
  assert.match(b.peers()[0]?.via ?? '', /^ws\+/)
})

test('two nodes reach each other over a transport that a program brings: libp2p in memory', async t => {
  const networkKey = generateNetworkKey()
  const transports = [memory()]
  const { node: a } = await startNode(t, { networkKey, transports, listen: ['/memory/a'] })
  const { node: b } = await startNode(t, { networkKey, transports, listen: ['/memory/b'], bootstrap: ['/memory/a'] })
  await allConnected([a, b])
  const bytes = randomBytes(3 * MIB)
  await b.put('/f', bytes)
  await until('there', async () => (await a.stat('/f')).replicas.confirmed === 2)
  assert.ok((await read(a, '/f')).equals(bytes))
})

test('nodes keep their blocks on blockstores that a program brings', async t => {
  const files = new FsBlockstore(join(await temporaryFolder(t), 'blocks'))
  await files.open()
  const blockstores = [new MemoryBlockstore(), files]
  for (const blockstore of blockstores as never[]) {
    const networkKey = generateNetworkKey()
    const { node: a } = await startNode(t, { networkKey, blockstore })
    const { node: b } = await startNode(t, { networkKey, bootstrap: [a.multiaddrs[0] as string] })
    await allConnected([a, b])
    const bytes = randomBytes(2 * MIB + 1)
    await b.put('/f', bytes)
    await b.put('/small', bytes.subarray(0, 5_000))
    await b.stop()
    assert.ok((await read(a, '/f')).equals(bytes))
    assert.ok((await read(a, '/small')).equals(bytes.subarray(0, 5_000)))
  }
})

test('nodes read and write manifests with another codec', async t => {
  const [a, b] = await startNodes(t, 2, { codec: dagJson as unknown as NodeCodec })
  const bytes = randomBytes(3 * MIB)
  const { root } = await a!.put('/f', bytes)
  assert.match(root ?? '', /^baguq/)
  await a!.evict('/f')
  assert.ok((await read(a!, '/f')).equals(bytes))
  assert.ok((await read(b!, '/f')).equals(bytes))
})

test('five nodes, each given one address, are soon all connected', async t => {
  const networkKey = generateNetworkKey()
  const nodes: DfsNode[] = []
  for (let i = 0; i < 5; i++) {
    const before = nodes.at(-1)
    const bootstrap = before === undefined ? [] : [before.multiaddrs[0] as string]
    nodes.push((await startNode(t, { networkKey, bootstrap })).node)
  }
  await allConnected(nodes)
})

test('a restarted node finds the others again by itself', async t => {
  const networkKey = generateNetworkKey()
  const a = await startNode(t, { networkKey })
  const b = await startNode(t, { networkKey, bootstrap: [a.node.multiaddrs[0] as string] })
  await allConnected([a.node, b.node])
  await until('compared', async () => (await b.node.stat('/')).replicas.confirmed === 2)
  await b.node.stop()
  await a.node.put('/while/away', randomBytes(100_000))
  const again = await startNode(t, { dataDir: b.options.dataDir, networkKey })
  await allConnected([a.node, again.node])
  await until('caught up', async () => (await again.node.stat('/while/away')).replicas.confirmed === 2)
})

test('a listener for events that throws does not disturb the nodes', async t => {
  const onEvent = (): never => {
    throw new Error('a bug of the program')
  }
  const [one, other] = await startNodes(t, 2, { onEvent })
  await one!.put('/file', Buffer.from('content'), { ack: 2 })
  assert.equal((await read(other!, '/file')).toString(), 'content')
})
