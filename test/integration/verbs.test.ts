import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { open } from 'node:fs/promises'
import { test } from 'node:test'
import { type AwaitedMember, codeOf, type DfsNode, generateNetworkKey } from '../../src/index.ts'
import { fastClock } from '../fixtures/clock.ts'
import { type LargeBlock, largeBlocksOn } from '../fixtures/large-blocks.ts'
import { assertInOrder, RecordingLogger } from '../fixtures/logger.ts'
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
import { settle } from '../fixtures/pass-time.ts'

const KIB = 1024
const MIB = 1024 * KIB

test('files of every size come back from the other member, byte for byte', async t => {
  const [a, b] = await startNodes(t, 2)
  // They are connected, but each learns only from the other's first status that it keeps blocks.
  await until('each counts on the other', async () => (await a!.put('/first', randomBytes(1))).wanted === 2)
  for (const size of [0, 1, KIB - 1, KIB, KIB + 1, 48 * KIB, 64 * KIB + 1, MIB - 1, MIB, MIB + 1, 5 * MIB + 7]) {
    const bytes = randomBytes(size)
    const { reached, wanted, root, owed } = await a!.put(`/f${size}`, bytes)
    assert.equal(reached.length, 2)
    assert.equal(wanted, 2)
    assert.equal(owed.blocks, 0)
    assert.equal(root === null, size <= KIB)
    await until('the record is there', async () => (await b!.stat(`/f${size}`)).size === size)
    assert.ok((await read(b!, `/f${size}`)).equals(bytes), `size ${size}`)
    if (size === 0) continue
    for (const [from, to] of [
      [0, 0],
      [size - 1, size - 1],
      [Math.floor(size / 3), Math.floor((2 * size) / 3)]
    ] as const) {
      const file = await b!.get(`/f${size}`, { range: { from, to } })
      assert.ok((await readAll(file)).equals(bytes.subarray(from, to + 1)), `size ${size}, ${from}-${to}`)
    }
  }
  assert.equal(await codeOfRejection(b!.get('/f1', { range: { from: 1 } })), 'invalid')
})

test('a file that is put while the other machine is away is owed, also one that travels in its record, until that one is back', async t => {
  const networkKey = generateNetworkKey()
  const { node: a, options } = await startNode(t, { networkKey, name: 'attic' })
  const bootstrap = [a.multiaddrs[0] as string]
  const cellar = await startNode(t, { networkKey, name: 'cellar', bootstrap })
  await until('each counts on the other', async () => (await a.put('/first', randomBytes(1))).wanted === 2)
  const { peerId } = cellar.node
  await cellar.node.stop()
  await until('the other has gone', async () => (await a.status()).peersConnected === 0)
  for (const size of [5, MIB]) {
    const { reached, confirmed, wanted, owed } = await a.put(`/f${size}`, randomBytes(size))
    assert.deepEqual([reached, confirmed, wanted], [[a.peerId], 1, 2])
    const [waited] = owed.waitingFor as [AwaitedMember]
    assert.deepEqual([owed.blocks, owed.bytes, owed.waitingFor.length], [1, size, 1])
    assert.deepEqual([waited.peerId, waited.name], [peerId, 'cellar'])
    assert.ok(Date.now() - (waited.since as Date).getTime() < 60_000)
  }
  const { owed } = await a.status()
  assert.deepEqual([owed.files, owed.waitingFor.map(({ name }) => name)], [2, ['cellar']])
  // It is known after a restart too.
  await a.stop()
  const { node: again } = await startNode(t, options)
  await until('it is known whom it waits for', async () => (await again.status()).owed.waitingFor[0]?.name === 'cellar')
  assert.equal((await again.status()).owed.files, 2)
  await startNode(t, { ...cellar.options, bootstrap: [again.multiaddrs[0] as string] })
  await until('nothing is owed', async () => (await again.status()).owed.files === 0)
  const now = (await again.status()).owed
  assert.deepEqual([now.blocks, now.waitingFor], [0, []])
})

test('a listing says which files are on this disk, and copies which are on too few machines and why', async t => {
  const [a, b] = (await startNodes(t, 2)) as [DfsNode, DfsNode]
  await until('each counts on the other', async () => (await a.put('/small', randomBytes(10))).wanted === 2)
  for (const size of [100 * KIB, 3 * MIB]) await a.put(`/d/f${size}`, randomBytes(size), { replicas: 2 })
  await a.put('/d/one', randomBytes(2 * MIB), { replicas: 1, ack: 1 })
  const copies = async (node: DfsNode, path: string) => {
    const lines: string[] = []
    for await (const { path: file, wanted, confirmed, waitingFor } of node.copies(path))
      lines.push(`${file} ${confirmed}/${wanted}${waitingFor.map(({ name }) => ` ${name}`).join('')}`)
    return lines
  }
  const here = async (node: DfsNode) => {
    const paths: string[] = []
    for await (const item of node.list('/', { recursive: true, here: true }))
      if (item.here === true) paths.push(item.path)
    return paths
  }
  const all = ['/d/f102400', '/d/f3145728', '/d/one', '/small']
  await until('both have them', async () => (await copies(b, '/')).slice(0, 2).every(line => line.endsWith(' 2/2')))
  assert.deepEqual(await here(a), all)
  assert.ok((await here(b)).includes('/d/f3145728'))
  assert.deepEqual(await copies(a, '/d/f102400'), ['/d/f102400 2/2'])
  const name = b.name
  await b.stop()
  await until('it is gone', async () => (await a.status()).peersConnected === 0)
  assert.deepEqual((await copies(a, '/d')).slice(0, 2), [`/d/f102400 1/2 ${name}`, `/d/f3145728 1/2 ${name}`])
  assert.deepEqual(await copies(a, '/small'), [`/small 1/2 ${name}`])
  assert.equal(await codeOfRejection(copies(a, '/nothing')), 'not-found')
})

test('a put succeeds on a single node, and a member that comes later gets its copies', async t => {
  const networkKey = generateNetworkKey()
  const alone = await startNode(t, { networkKey })
  const bytes = randomBytes(3 * MIB)
  const result = await alone.node.put('/f', bytes)
  assert.deepEqual(result.reached, [alone.node.peerId])
  const { node: other } = await startNode(t, { networkKey, bootstrap: [alone.node.multiaddrs[0] as string] })
  await until('pulled what it owes', async () => (await other.stat('/f')).replicas.confirmed === 2)
  await alone.node.stop()
  assert.ok((await read(other, '/f')).equals(bytes))
})

test('all members see the same tree after moves, copies and removals', async t => {
  const [a, b, c] = await startNodes(t, 3, { replicas: 'all' })
  await a!.put('/docs/deep/one.txt', Buffer.from('one'))
  await a!.put('/docs/two.bin', randomBytes(2 * MIB))
  await until('three entries', async () => (await listing(b!)).length === 4)
  await b!.move('/docs/deep/one.txt', '/other/first.txt')
  await b!.copy('/docs', '/copy')
  await until('moved and copied', async () => (await listing(c!)).includes('/copy/two.bin 2097152'))
  assert.ok((await read(c!, '/copy/two.bin')).equals(await read(a!, '/docs/two.bin')))
  const removed = await c!.remove('/docs', { recursive: true })
  assert.equal(removed.removedOn.length, 3)
  assert.deepEqual(removed.waitingFor, [])
  for (const node of [a!, b!, c!]) {
    assert.deepEqual(await listing(node), [
      '/copy/',
      '/copy/deep/',
      '/copy/two.bin 2097152',
      '/other/',
      '/other/first.txt 3'
    ])
  }
  assert.equal(await codeOfRejection(a!.stat('/docs')), 'not-found')
  assert.equal(await codeOfRejection(a!.remove('/copy')), 'is-a-directory')
  assert.equal(await codeOfRejection(a!.move('/copy', '/copy/deep/x')), 'invalid')
  assert.equal(await codeOfRejection(a!.put('/copy', Buffer.from('x'))), 'is-a-directory')
  assert.equal(await codeOfRejection(a!.put('/other/first.txt/below', Buffer.from('x'))), 'not-a-directory')
  assert.equal(await codeOfRejection(a!.put('/other/first.txt', Buffer.from('x'), { noClobber: true })), 'exists')
})

test('a name in either normal form is one file, odd names work, and bad ones are refused', async t => {
  const { node } = await startNode(t)
  await node.put('/caf\u00e9', Buffer.from('composed'))
  await node.put('/cafe\u0301', Buffer.from('decomposed'))
  assert.equal((await read(node, '/caf\u00e9')).toString(), 'decomposed')
  const odd = ['a b', 'quote"\'', '😀', 'x'.repeat(255), '-dash', 'new\nline', 'é'.repeat(127)]
  for (const name of odd) await node.put(`/odd/${name}`, Buffer.from(name))
  for (const name of odd) assert.equal((await read(node, `/odd/${name}`)).toString(), name)
  assert.equal((await listing(node, '/odd')).length, odd.length)
  for (const path of [
    '/..',
    '/a/../b',
    '/.',
    '/a//b',
    '/a\0b',
    `/${'x'.repeat(256)}`,
    '/\ud800',
    '/'.padEnd(4200, 'y/')
  ])
    assert.equal(await codeOfRejection(node.put(path, Buffer.from('x'))), 'invalid', JSON.stringify(path.slice(0, 20)))
})

test('evict frees blocks that others prove to hold, and a read brings them back', async t => {
  const [a, b] = await startNodes(t, 2)
  const bytes = randomBytes(4 * MIB + 5)
  await a!.put('/f', bytes)
  await until('delivered', async () => (await a!.status()).owed.blocks === 0)
  const { freed, left } = await a!.evict('/f')
  assert.equal(freed.blocks, 5)
  assert.equal(left.blocks, 0)
  const file = await a!.get('/f')
  assert.ok((await readAll(file)).equals(bytes))
  assert.deepEqual(file.from, [{ peerId: b!.peerId, bytes: bytes.byteLength }])
  // A block that was read is kept again, since this node owes it.
  await until('kept again', async () => (await a!.stat('/f')).replicas.confirmed === 2)
  await b!.stop()
  assert.ok((await read(a!, '/f')).equals(bytes))
  const alone = await a!.evict('/f')
  assert.equal(alone.freed.blocks, 0)
  assert.ok((await read(a!, '/f')).equals(bytes))
})

test('a put fails if an explicit number of copies cannot be made, and loses nothing', {
  timeout: 300_000
}, async t => {
  const { node } = await startNode(t, { clock: fastClock(30) })
  assert.equal(await codeOfRejection(node.put('/f', Buffer.from('kept'), { ack: 2 })), 'unreachable')
  assert.equal((await read(node, '/f')).toString(), 'kept')
})

test('a put that is cut off leaves nothing visible', async t => {
  const [a, b] = await startNodes(t, 2)
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield randomBytes(3 * MIB)
    throw new Error('the source broke')
  }
  await assert.rejects(a!.put('/f', broken()), /the source broke/)
  const cut = new AbortController()
  async function* slow(): AsyncGenerator<Uint8Array> {
    yield randomBytes(3 * MIB)
    cut.abort()
    yield randomBytes(3 * MIB)
  }
  await assert.rejects(a!.put('/g', slow(), { signal: cut.signal }), { name: 'AbortError' })
  assert.deepEqual(await listing(a!), [])
  assert.deepEqual(await listing(b!), [])
})

test('a directory holds thousands of files', { timeout: 300_000 }, async t => {
  const { node } = await startNode(t)
  const count = process.env['DFS_LONG'] === '1' ? 10_000 : 2_000
  let next = 0
  await Promise.all(
    Array.from({ length: 128 }, async () => {
      for (let i = next++; i < count; i = next++) await node.put(`/many/${i}`, Buffer.from(String(i)))
    })
  )
  const names = await listing(node, '/many')
  assert.equal(names.length, count)
  assert.equal((await node.status()).files, count)
  assert.equal((await read(node, `/many/${count - 1}`)).toString(), String(count - 1))
})

test('a node that is full says so once, however many requests it refuses', async t => {
  const networkKey = generateNetworkKey()
  const clock = fastClock(10)
  const { node: full, events } = await startNode(t, { networkKey, clock, capacityBytes: 24 * MIB })
  const codes: string[] = []
  for (let i = 0; i < 28; i++) codes.push(await full.put(`/f${i}`, randomBytes(MIB)).then(() => 'ok', codeOf))
  assert.deepEqual(codes.slice(-4), ['no-space', 'no-space', 'no-space', 'no-space'])
  await until('it has been told', async () => events.some(({ event }) => event === 'disk'))
  assert.deepEqual(
    events.filter(({ event }) => event === 'disk' || event === 'failed'),
    [{ event: 'disk', state: 'full' }]
  )
  // Meanwhile it may have room for another file, because its index has shrunk.
  const { node: other } = await startNode(t, { networkKey, clock, bootstrap: [full.multiaddrs[0] as string] })
  await until('it is known to be full', async () => (await other.put('/more', randomBytes(MIB))).reached.length === 1)
  assert.ok(events.every(({ event }) => event !== 'failed'))
  assert.ok((await read(full, '/f0')).byteLength === MIB)
})

test('a node that small files have filled refuses files and directories, and accepts deletes and what others write', async t => {
  const networkKey = generateNetworkKey()
  const clock = fastClock(10)
  const { node: full } = await startNode(t, { networkKey, clock, capacityBytes: MIB })
  let count = 0
  const fill = async (): Promise<string> => {
    for (;;) {
      // Their content is in the statement, so no block is stored.
      const puts = Array.from({ length: 32 }, () => full.put(`/d/f${count++}`, randomBytes(900)))
      const codes = (await Promise.allSettled(puts)).flatMap(put =>
        put.status === 'rejected' ? [codeOf(put.reason)] : []
      )
      if (codes.length > 0) return codes[0] as string
      if (count > 3_000) return 'never full'
    }
  }
  assert.equal(await fill(), 'no-space')
  const { disk } = await full.status()
  // How much more than the capacity it may be depends on the machine: the index is measured every 10 s.
  assert.ok(disk.used > 0.9 * MIB, `${disk.used} bytes are used`)
  assert.equal(disk.state, 'full')
  assert.equal(await codeOfRejection(full.mkdir('/new')), 'no-space')
  assert.equal(await codeOfRejection(full.put('/empty', Buffer.alloc(0))), 'no-space')
  await full.remove('/d/f0')
  const { node: other } = await startNode(t, { networkKey, clock, bootstrap: [full.multiaddrs[0] as string] })
  await until('it takes what another member writes', async () => {
    await other.put('/others', randomBytes(900))
    return (await full.stat('/others')).size === 900
  })
})

test('a rotten block is mended from another member, and the status warns of the disk', async t => {
  const networkKey = generateNetworkKey()
  const { node: other } = await startNode(t, { networkKey })
  const bootstrap = [other.multiaddrs[0] as string]
  const { node, options, events } = await startNode(t, { networkKey, bootstrap, ack: 'all' })
  await allConnected([node, other])
  const bytes = randomBytes(MIB)
  await until('both have it', async () => (await node.put('/f', bytes)).reached.length === 2)
  const [block] = (await largeBlocksOn(options.dataDir)) as [LargeBlock]
  const rotten = await open(block.path, 'r+')
  await rotten.write(randomBytes(1), 0, 1, block.offset + 1000)
  await rotten.close()
  assert.ok((await read(node, '/f')).equals(bytes))
  assert.deepEqual(
    events.filter(({ event }) => event === 'bad-block'),
    [{ event: 'bad-block', isDamaged: true }]
  )
  assert.match((await node.status()).warnings.join(), /could not be read since the start \(1, still bad: 0\)/)
  assert.deepEqual((await other.status()).warnings, [])
  await other.stop()
  assert.ok((await read(node, '/f')).equals(bytes))
})

test('the owed bytes are those of the files, not of chunks of the largest size', async t => {
  const [node, other] = await startNodes(t, 2)
  await until('each counts on the other', async () => (await node!.put('/first', randomBytes(1))).wanted === 2)
  await other!.stop()
  await until('it is gone', async () => (await node!.status()).peersConnected === 0)
  const { owed } = await node!.put('/small', randomBytes(10 * KIB))
  assert.deepEqual([owed.blocks, owed.bytes], [1, 10 * KIB])
  const now = (await node!.status()).owed
  assert.deepEqual([now.blocks, now.bytes], [1, 10 * KIB])
})

test('a copy of a directory copies every file that it can, and fails with what one of the others met', async t => {
  const { node } = await startNode(t)
  await node.put('/from/a', Buffer.from('a'))
  for (let i = 0; i < 20; i++) await node.put(`/from/below${i}/c`, Buffer.from('c'))
  // The copy goes into the existing directory, in which a directory has the name of a file.
  await node.mkdir('/to/from/a')
  const copied = node.copy('/from', '/to')
  await assert.rejects(copied, { code: 'is-a-directory', message: /: 1; 41 of its files and directories/ })
  for (let i = 0; i < 20; i++) assert.equal((await node.stat(`/to/from/below${i}/c`)).size, 1)
  const again = node.copy('/from', '/to', { noClobber: true })
  await assert.rejects(again, { name: 'PartlyDoneError', message: /: 21; 21 of its files and directories/ })
  assert.equal((await node.status()).files, 41)
})

test('a copy of a directory that is aborted ends with the abort, and nothing of it goes on', async t => {
  const { node } = await startNode(t)
  const put = (i: number) => node.put(`/from/d${i % 3}/f${i}`, Buffer.from(`file ${i}`))
  await Promise.all(Array.from({ length: 200 }, (_, i) => put(i)))
  const cut = new AbortController()
  const copied = node.copy('/from', '/to', { signal: cut.signal })
  while ((await node.status()).files < 203) await settle(1)
  cut.abort()
  await assert.rejects(copied, { name: 'AbortError' })
  const left = await listing(node, '/to')
  assert.ok(left.length < 200, `copied: ${left.length}`)
  await node.put('/later', Buffer.from('later'))
  assert.deepEqual(await listing(node, '/to'), left)
})

test('the log of a put that loses its keeper tells what is owed, and holds no path, name, key or content', async t => {
  const networkKey = generateNetworkKey()
  const logger = new RecordingLogger()
  const { node, options } = await startNode(t, { networkKey, name: 'writer-name', logger })
  const bootstrap = [node.multiaddrs[0] as string]
  const { node: keeper } = await startNode(t, { networkKey, name: 'keeper-name', bootstrap })
  await until('each counts on the other', async () => (await node.put('/first', randomBytes(1))).wanted === 2)
  const secret = Buffer.alloc(2 * MIB, 'content-of-the-file ')
  async function* source(): AsyncGenerator<Uint8Array> {
    yield secret
    await keeper.stop()
    yield secret
  }
  logger.lines.length = 0
  const { root, owed } = await node.put('/folder-name/file-name', source(), { type: 'text/secret-type' })
  assert.ok(root !== null && owed.blocks > 0)
  assertInOrder(logger.lines, [
    /^dfs:blocks:put put .*: opened: 3 copies wanted, waits for 2$/,
    new RegExp(`^dfs:blocks:placer put .*: asks ${keeper.peerId} to keep blocks$`),
    new RegExp(`^dfs:blocks:placer put .*: ${keeper.peerId} is lost: `),
    /^dfs:blocks:put put .*: root [0-9a-f]{8}, chunks: 4; kept by /,
    /^dfs:blocks:acknowledgement record .*: yes, durable copies: 1 of 2 \(no other member can be asked now\)$/,
    new RegExp(
      `^dfs:blocks:acknowledgement record .*: copies of chunks that are still owed: 4, by ${keeper.peerId}: 4$`
    ),
    /^dfs:blocks:handoff record [0-9a-f]{8}: asks its members until they confirm what they owe$/
  ])
  const log = logger.lines.join('\n')
  const kept = [networkKey, secret.subarray(0, 8)].flatMap(bytes => [
    bytes.toString(),
    Buffer.from(bytes).toString('hex')
  ])
  for (const text of [
    'folder-name',
    'file-name',
    'writer-name',
    'keeper-name',
    'secret-type',
    options.dataDir,
    ...kept
  ])
    assert.ok(!log.includes(text), text)
})
