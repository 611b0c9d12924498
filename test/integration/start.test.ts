import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { mkdir, readdir, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { serveApi } from '../../src/http/server.ts'
import { checkNodeOptions, createNode, isFirstStart, type NodeOptions } from '../../src/index.ts'
import { FakeNode } from '../fixtures/fake-node.ts'
import { codeOfRejection, startNode, temporaryFolder } from '../fixtures/nodes.ts'

test('a node and its API start although the disk refuses the files for their ports', async t => {
  const { node, options } = await startNode(t, { listen: undefined })
  await node.stop()
  const { dataDir } = options
  await rm(join(dataDir, 'ports.json'))
  // A folder of this name makes every replacement of the file fail, as a full disk does.
  for (const name of ['ports.json.new', 'api-port.new']) await mkdir(join(dataDir, name, 'x'), { recursive: true })
  await startNode(t, { ...options, dataDir })
  const api = await serveApi(new FakeNode(), { dataDir })
  t.after(() => api.close())
  const names = await readdir(dataDir)
  assert.deepEqual([names.includes('ports.json'), names.includes('api-port')], [false, false])
})

test('a machine that waited to be let in starts on free ports if others took the default ones meanwhile', async t => {
  const { node: founder } = await startNode(t)
  const asked = Promise.withResolvers<string>()
  const { node: laptop } = await startNode(t, {
    bootstrap: founder.multiaddrs,
    listen: undefined,
    onEvent: event => {
      if (event.event === 'pending') asked.resolve(event.code)
    }
  })
  const code = await asked.promise
  // A port that another program has already serves as well.
  for (const port of [3000, 3001]) {
    const other = createServer()
    t.after(() => other.close())
    other.listen(port)
    await Promise.race([once(other, 'listening'), once(other, 'error')])
  }
  await founder.approve(code, { role: 'writer' })
  await laptop.ready({ members: 1 })
  assert.deepEqual(
    laptop.multiaddrs.filter(address => /\/tcp\/300[01]\//.test(address)),
    []
  )
})

test('a library call whose first start is not confirmed leaves nothing, and the next one is a first start', async t => {
  const dataDir = join(await temporaryFolder(t), 'new/data')
  const options = { dataDir, found: true, listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false }
  const confirmFirstStart = async (): Promise<void> => {
    assert.ok((await readdir(dataDir)).includes('keystore'))
    throw new RangeError('no')
  }
  assert.equal(await codeOfRejection(createNode({ ...options, confirmFirstStart })), 'RangeError')
  assert.deepEqual(await readdir(join(dataDir, '../..')), [])
  assert.ok(await isFirstStart({ dataDir }))
  const node = await createNode({ ...options, confirmFirstStart: async () => {} })
  await node.stop()
  assert.equal(await isFirstStart({ dataDir }), false)
  // It is called at a first start only.
  const again = await createNode({ ...options, confirmFirstStart })
  await again.stop()
})

test('a machine that was let in keeps its keys if the disk refuses the keystore, and the next start goes on', async t => {
  const { node: founder } = await startNode(t)
  const dataDir = join(await temporaryFolder(t), 'data')
  const blocked = join(dataDir, 'keystore.new')
  const bootstrap = founder.multiaddrs
  const options: NodeOptions = { dataDir, listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false, bootstrap }
  const asked = Promise.withResolvers<string>()
  const choose: NonNullable<NodeOptions['choose']> = async () => assert.fail('the address names its peer')
  const laptop = await createNode({
    ...options,
    choose,
    onEvent: event => {
      if (event.event === 'pending') asked.resolve(event.code)
    }
  })
  const { peerId } = laptop
  const code = await asked.promise
  mkdirSync(join(blocked, 'x'), { recursive: true })
  await founder.approve(code, { role: 'writer' })
  await assert.rejects(laptop.ready())
  await laptop.stop()
  assert.ok((await readdir(dataDir)).includes('candidate'))
  await rm(blocked, { recursive: true })
  const again = await createNode({ ...options, choose })
  t.after(() => again.stop())
  await again.ready()
  assert.deepEqual([again.peerId, again.role], [peerId, 'writer'])
})

test('a machine that has asked to be let in founds no network of its own when it starts without flags', async t => {
  const { node: founder } = await startNode(t)
  const dataDir = join(await temporaryFolder(t), 'data')
  const options: NodeOptions = { dataDir, listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false }
  const asked = Promise.withResolvers<void>()
  const choose: NonNullable<NodeOptions['choose']> = async () => 'found'
  const laptop = await createNode({
    ...options,
    choose,
    bootstrap: founder.multiaddrs,
    onEvent: ({ event }) => {
      if (event === 'pending') asked.resolve()
    }
  })
  const refused = assert.rejects(laptop.ready())
  await asked.promise
  await laptop.stop()
  await refused
  let choices = 0
  const counted: typeof choose = async found => {
    choices++
    return choose(found)
  }
  assert.equal(await codeOfRejection(createNode({ ...options, choose: counted })), 'invalid')
  assert.equal(choices, 0, 'it does not say that it founds a network')
  assert.ok((await readdir(dataDir)).includes('candidate'))
  const anew = await createNode({ ...options, choose, found: true })
  await anew.stop()
})

test('options that can never work are refused before anything is written', async t => {
  const dataDir = join(await temporaryFolder(t), 'data')
  const never: Array<Partial<NodeOptions>> = [
    { bootstrap: ['bogus'] },
    { bootstrap: ['/ip4/10.0.0.1'] },
    { name: ' ' },
    { name: '\u200b' },
    { bootstrap: ['/ip4/10.0.0.1/udp/1'] },
    { announce: ['bogus'] },
    { listen: ['/ip4/127.0.0.1'] },
    // It is `capacityBytes`.
    { capacity: 1e9 } as Partial<NodeOptions>,
    // The node would overwrite these files of the owner, or remove them.
    ...['reserve', 'keystore', 'probe', 'lock', 'index', 'ports.json'].map(name => ({ ownersFiles: [name] }))
  ]
  for (const options of never) {
    assert.throws(() => checkNodeOptions({ dataDir, ...options }), { code: 'invalid' }, JSON.stringify(options))
    assert.equal(await codeOfRejection(createNode({ dataDir, mdns: false, ...options })), 'invalid')
  }
  assert.throws(() => checkNodeOptions({ dataDir: '' }), { code: 'invalid' })
  assert.deepEqual(await readdir(join(dataDir, '..')), [])
  checkNodeOptions({ dataDir, bootstrap: ['/dns4/node1/tcp/3000', '/dnsaddr/example.org', '/ip6/::1/tcp/1/ws'] })
})
