import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import type { Put } from '../../src/blocks/blocks.ts'
import { decodeOwn, encodeCanonical } from '../../src/format/canonical.ts'
import { parsePath } from '../../src/format/path.ts'
import { resolvePutOptions } from '../../src/fs/context.ts'
import { openFile } from '../../src/fs/get.ts'
import { Upload, type UploadPart } from '../../src/fs/upload.ts'
import { generateNetworkKey } from '../../src/index.ts'
import type { Stack } from '../../src/node/stack.ts'
import { readAll, temporaryFolder, until } from '../fixtures/nodes.ts'
import { startRooms } from '../fixtures/stack.ts'

const KIB = 1024
const FACTS = { mtime: 1_600_000_000_000, mode: undefined, type: 'video/mp4' }
const PATH = parsePath('/big/file')

/** Yields bytes in pieces, as a network does. */
async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += 100 * KIB) yield bytes.subarray(at, at + 100 * KIB)
}

function begin({ fs }: Stack): Upload {
  return new Upload(fs, resolvePutOptions(fs, {}))
}

function read({ fs }: Stack): Promise<Buffer> {
  return openFile(fs, PATH).then(readAll)
}

/** Encodes a value and decodes it again, like a row of the index. */
function rewritten<T>(value: T): T {
  return decodeOwn(encodeCanonical(value)) as T
}

async function startOne(t: TestContext): Promise<Stack> {
  return startRooms(t, { dataDir: await temporaryFolder(t), networkKey: generateNetworkKey() })
}

test('parts become one file in the order of the commit, in whatever order they were appended', async t => {
  const stack = await startOne(t)
  const texts = [2_500 * KIB, 0, 1, 1_024 * KIB, 700 * KIB].map(size => randomBytes(size))
  const upload = begin(stack)
  t.after(() => upload.close())
  const parts: UploadPart[] = []
  await Promise.all(
    [3, 0, 4, 1, 2].map(async i => {
      parts[i] = await upload.append(pieces(texts[i] as Buffer))
    })
  )
  assert.deepEqual(
    parts.map(({ size }) => size),
    texts.map(({ byteLength }) => byteLength)
  )
  assert.equal(await stack.fs.tree.resolve(PATH), undefined)
  const whole = Buffer.concat(texts)
  const result = await upload.commit(PATH, FACTS, parts)
  assert.deepEqual([result.path, result.size, result.reached.length], ['/big/file', whole.byteLength, 1])
  assert.ok((await read(stack)).equals(whole))
  // A part may be left out, or occur twice. The file is readable in ranges that cross its parts.
  await upload.commit(PATH, FACTS, [parts[2]!, parts[4]!, parts[2]!, parts[0]!])
  const other = Buffer.concat([texts[2]!, texts[4]!, texts[2]!, texts[0]!])
  assert.ok((await read(stack)).equals(other))
  const at = 700 * KIB
  const range = await openFile(stack.fs, PATH, { range: { from: at - 5, to: at + 5 } })
  assert.ok((await readAll(range)).equals(other.subarray(at - 5, at + 6)))
  assert.equal(range.type, 'video/mp4')
})

test('an upload of one part is the same file as a put, and one without bytes is an empty file', async t => {
  const stack = await startOne(t)
  const text = randomBytes(3_000 * KIB)
  const upload = begin(stack)
  t.after(() => upload.close())
  const part = await upload.append(pieces(text))
  const { root, tag } = await upload.commit(PATH, FACTS, [part])
  const again = await upload.commit(parsePath('/again'), FACTS, [part])
  assert.deepEqual([again.root, again.tag], [root, tag])
  const empty = await upload.commit(PATH, FACTS, [await upload.append(pieces(Buffer.alloc(0)))])
  assert.deepEqual([empty.size, empty.root], [0, null])
  assert.equal((await read(stack)).byteLength, 0)
})

test('an upload goes on after a restart of its node, and commits what was appended before', async t => {
  const networkKey = generateNetworkKey()
  const [dataDir, otherDir] = [await temporaryFolder(t), await temporaryFolder(t)]
  const texts = [1_500 * KIB, 900 * KIB, 1_100 * KIB].map(size => randomBytes(size))
  const first = await startRooms(t, { dataDir, networkKey })
  const before = begin(first)
  const written = rewritten([await before.append(pieces(texts[0]!)), await before.append(pieces(texts[1]!))])
  // Only the parts of the upload are left.
  await first.stop()
  const second = await startRooms(t, { dataDir, networkKey })
  const bootstrap = second.host.addresses()
  const other = await startRooms(t, { dataDir: otherDir, networkKey, bootstrap })
  await until('the members count on each other', async () => second.fs.blocks.keepers.length === 2)
  await until('they are connected', async () => second.fs.members.admitted.length === 1)
  const upload = begin(second)
  t.after(() => upload.close())
  const last = await upload.append(pieces(texts[2]!))
  const { reached, wanted } = await upload.commit(PATH, FACTS, [last, ...written])
  assert.deepEqual([reached.length, wanted], [2, 2])
  await second.stop()
  assert.ok((await read(other)).equals(Buffer.concat([texts[2]!, texts[0]!, texts[1]!])))
})

test('an upload that is aborted later frees its blocks, and a commit of its parts then says that they are gone', async t => {
  const stack = await startOne(t)
  const upload = begin(stack)
  const kept = await upload.append(pieces(randomBytes(600 * KIB)))
  await upload.commit(PATH, FACTS, [kept])
  const part = await upload.append(pieces(randomBytes(2_000 * KIB)))
  const used = stack.capacity.usedBytes
  upload.close()
  // As after a restart: only the parts are left.
  begin(stack).abort([part])
  await until('the blocks are freed', async () => stack.capacity.usedBytes < used - 1_900 * KIB)
  const late = begin(stack)
  t.after(() => late.close())
  await assert.rejects(late.commit(parsePath('/late'), FACTS, [part]), { name: 'BlockUnreachableError' })
  assert.equal(await stack.fs.tree.resolve(parsePath('/late')), undefined)
  // What was committed before stays.
  assert.equal((await read(stack)).byteLength, 600 * KIB)
})

test('a part can be committed after its upload was closed, while its claims last', async t => {
  const stack = await startOne(t)
  const upload = begin(stack)
  const text = randomBytes(600 * KIB)
  const part = await upload.append(pieces(text))
  upload.close()
  upload.close()
  await upload.commit(PATH, FACTS, [part])
  assert.ok((await read(stack)).equals(text))
  upload.close()
})

test('an upload leaves no put under way, however many commits it makes and however they end', async t => {
  const stack = await startOne(t)
  const open = new Set<Put>()
  const { blocks } = stack.fs
  const openPut = blocks.openPut.bind(blocks)
  blocks.openPut = options => {
    const put = openPut(options)
    const close = put.close.bind(put)
    open.add(put)
    put.close = () => {
      open.delete(put)
      close()
    }
    return put
  }
  const upload = begin(stack)
  t.after(() => upload.close())
  const parts = [await upload.append(pieces(randomBytes(600 * KIB))), await upload.append(pieces(randomBytes(KIB)))]
  assert.equal(open.size, 2)
  await upload.commit(PATH, FACTS, [parts[0]!])
  await upload.commit(PATH, FACTS, [parts[1]!])
  assert.equal(open.size, 0)
  const refused = new Upload(stack.fs, resolvePutOptions(stack.fs, { noClobber: true }))
  t.after(() => refused.close())
  for (const chosen of [[parts[0]!], parts])
    await assert.rejects(refused.commit(PATH, FACTS, chosen), { code: 'exists' })
  assert.equal(open.size, 0)
})

test('an append that breaks off keeps the parts before it', async t => {
  const stack = await startOne(t)
  const upload = begin(stack)
  t.after(() => upload.close())
  const text = randomBytes(1_300 * KIB)
  const part = await upload.append(pieces(text))
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield randomBytes(1_300 * KIB)
    throw new Error('the client went away')
  }
  await assert.rejects(upload.append(broken()), /the client went away/)
  await upload.commit(PATH, FACTS, [part, part])
  assert.ok((await read(stack)).equals(Buffer.concat([text, text])))
})

test('an append for which there is no room is freed, and the parts before it stay', async t => {
  const capacityBytes = 24 << 20
  const stack = await startRooms(t, {
    dataDir: await temporaryFolder(t),
    networkKey: generateNetworkKey(),
    capacityBytes
  })
  const upload = begin(stack)
  t.after(() => upload.close())
  const text = randomBytes(1_000 * KIB)
  const part = await upload.append(pieces(text))
  await assert.rejects(upload.append(pieces(randomBytes(64 << 20))), { code: 'no-space' })
  await until('its blocks are freed', async () => stack.capacity.usedBytes < 4 << 20)
  await upload.commit(PATH, FACTS, [part])
  assert.ok((await read(stack)).equals(text))
})
