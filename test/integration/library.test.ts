import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { PassThrough, Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { test } from 'node:test'
import { createNode, type DfsNode, type Source } from '../../src/index.ts'
import { codeOfRejection, read, readAll, startNode, startNodes, temporaryFolder } from '../fixtures/nodes.ts'

const TEXT = 'hello, wörld'
const LARGE = Buffer.alloc(3 << 20, 'large ')

async function* pieces(): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < LARGE.byteLength; at += 100_000) yield LARGE.subarray(at, at + 100_000)
}

test('put accepts text, bytes, iterables, Node.js streams and web streams', async t => {
  const { node } = await startNode(t)
  const sources: Record<string, [Source, Uint8Array]> = {
    text: [TEXT, Buffer.from(TEXT)],
    bytes: [LARGE, LARGE],
    array: [[LARGE, LARGE], Buffer.concat([LARGE, LARGE])],
    generator: [pieces(), LARGE],
    readable: [Readable.from(pieces(), { objectMode: false }), LARGE],
    web: [new Blob([LARGE]).stream(), LARGE],
    response: [new Response(TEXT).body as ReadableStream<Uint8Array>, Buffer.from(TEXT)]
  }
  for (const [name, [source, bytes]] of Object.entries(sources)) {
    await node.put(`/${name}`, source)
    assert.ok((await read(node, `/${name}`)).equals(bytes), name)
  }
})

test('a stream that yields text is refused, and stores nothing', async t => {
  const { node } = await startNode(t)
  const source = new PassThrough({ encoding: 'utf8' })
  source.end(TEXT)
  assert.equal(await codeOfRejection(node.put('/text', source)), 'invalid')
  assert.equal(await node.exists('/text'), false)
})

test('arguments that are no path, no content and no directory are refused in words', async t => {
  const { node } = await startNode(t)
  for (const source of [42, null, undefined, {}, true])
    await assert.rejects(node.put('/x', source as unknown as Source), {
      code: 'invalid',
      message: /what is put has to be/
    })
  for (const path of [5, null, undefined])
    await assert.rejects(node.put(path as unknown as string, TEXT), { code: 'invalid', message: /a path is a text/ })
  assert.equal(await node.exists('/x'), false)
  await assert.rejects(createNode({} as Parameters<typeof createNode>[0]), {
    code: 'invalid',
    message: /dataDir is missing/
  })
})

/** A source of each kind that says nothing, and whether it has been told to end. */
function silentSources(): Record<string, { source: Source; hasEnded: () => boolean }> {
  let isCancelled = false
  let isReturned = false
  const readable = new PassThrough()
  const iterable: AsyncIterable<Uint8Array> = {
    [Symbol.asyncIterator]: () => ({
      next: () => new Promise(() => {}),
      return: () => {
        isReturned = true
        return new Promise(() => {})
      }
    })
  }
  const web = new ReadableStream<Uint8Array>({
    cancel() {
      isCancelled = true
    }
  })
  return {
    readable: { source: readable, hasEnded: () => readable.destroyed },
    iterable: { source: iterable, hasEnded: () => isReturned },
    web: { source: web, hasEnded: () => isCancelled }
  }
}

test('a put ends when it is aborted, even while its source is silent', async t => {
  const { node } = await startNode(t)
  for (const [name, { source, hasEnded }] of Object.entries(silentSources())) {
    const controller = new AbortController()
    const put = node.put('/silent', source, { signal: controller.signal })
    const reason = new Error('enough')
    setImmediate(() => controller.abort(reason))
    await assert.rejects(put, reason, name)
    assert.equal(hasEnded(), true, name)
  }
  assert.equal(await node.exists('/silent'), false)
})

test('the memory of pieces is used again only for a reader that says so', async t => {
  const { node } = await startNode(t)
  await node.put('/large', LARGE)
  for (const reusesPieces of [false, true]) {
    const copies: Buffer[] = []
    const memories = new Set<unknown>()
    for await (const piece of await node.get('/large', { reusesPieces })) {
      copies.push(Buffer.from(piece))
      memories.add(piece.buffer)
    }
    assert.ok(Buffer.concat(copies).equals(LARGE))
    assert.equal(memories.size, reusesPieces ? 1 : copies.length)
  }
})

test('files are written and read as streams', async t => {
  const { node } = await startNode(t)
  await pipeline(Readable.from(pieces(), { objectMode: false }), node.createWriteStream('/large', { mode: 0o600 }))
  assert.equal((await node.stat('/large')).mode, 0o600)
  assert.ok((await readAll(node.createReadStream('/large'))).equals(LARGE))
  const some = await readAll(node.createReadStream('/large', { range: { from: 2_000_000, to: 2_000_009 } }))
  assert.ok(some.equals(LARGE.subarray(2_000_000, 2_000_010)))
  const text = node.createWriteStream('/text')
  text.write('hello, ')
  text.end('wörld')
  await once(text, 'finish')
  assert.equal(String(await read(node, '/text')), TEXT)
})

test('a stream ends with the error of its put or get, and one that is destroyed stores nothing', async t => {
  const { node } = await startNode(t)
  await node.put('/there', TEXT)
  assert.equal(await codeOfRejection(readAll(node.createReadStream('/nothing'))), 'not-found')
  const clobbers = pipeline(pieces(), node.createWriteStream('/there', { noClobber: true }))
  assert.equal(await codeOfRejection(clobbers), 'exists')
  const broken = node.createWriteStream('/broken')
  broken.write(LARGE)
  broken.destroy()
  await once(broken, 'close')
  assert.equal(await node.exists('/broken'), false)
})

test('a node tells its listeners what happens, and waits for other members', async t => {
  const [attic, laptop] = (await startNodes(t, 2)) as [DfsNode, DfsNode]
  await attic.ready({ members: 1 })
  const departed = once(attic, 'departed')
  await laptop.stop()
  const [event] = (await departed) as [CustomEvent<{ event: string; peerId: string; name: string }>]
  assert.deepEqual(event.detail, { event: 'departed', peerId: laptop.peerId, name: 'node1' })
  const controller = new AbortController()
  const waiting = attic.ready({ members: 1, signal: controller.signal })
  const reason = new Error('enough')
  controller.abort(reason)
  await assert.rejects(waiting, reason)
  const stopped = codeOfRejection(attic.ready({ members: 1 }))
  await attic.stop()
  assert.equal(await stopped, 'aborted')
})

test('createNode founds a network only when it is told to, and leaves nothing otherwise', async t => {
  const dataDir = await temporaryFolder(t)
  const options = { dataDir, mdns: false, listen: ['/ip4/127.0.0.1/tcp/0'] }
  assert.equal(await codeOfRejection(createNode(options)), 'invalid')
  assert.deepEqual(await readdir(dataDir), [])
  {
    await using node = await createNode({ ...options, found: true })
    assert.equal((await node.status()).state, 'in')
  }
  const again = await createNode(options)
  await again.stop()
})
