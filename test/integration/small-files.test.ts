import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { NoSpaceError } from '../../src/disk/errors.ts'
import { parsePath } from '../../src/format/path.ts'
import { openFile } from '../../src/fs/get.ts'
import { listPath } from '../../src/fs/list.ts'
import { putFile } from '../../src/fs/put.ts'
import { generateNetworkKey, type PutOptions, type PutResult } from '../../src/index.ts'
import { OverQuotaError } from '../../src/log/quotas.ts'
import type { Stack } from '../../src/node/stack.ts'
import { readAll, temporaryFolder } from '../fixtures/nodes.ts'
import { startRooms } from '../fixtures/stack.ts'

async function startOne(t: TestContext): Promise<Stack> {
  return startRooms(t, { dataDir: await temporaryFolder(t), networkKey: generateNetworkKey() })
}

function put({ fs }: Stack, path: string, text: Uint8Array, options?: PutOptions): Promise<PutResult> {
  return putFile(fs, parsePath(path), text, options)
}

function read({ fs }: Stack, path: string): Promise<Buffer> {
  return openFile(fs, parsePath(path)).then(readAll)
}

async function namesIn({ fs }: Stack, path: string): Promise<string[]> {
  const names: string[] = []
  for await (const item of listPath(fs, parsePath(path))) names.push(item.path)
  return names
}

test('small files that are put at the same time are linked together, those of each directory in one change', async t => {
  const stack = await startOne(t)
  const { mock } = t.mock.method(stack.fs.catalog, 'linkAll')
  // Some of them are so small that they travel in their records.
  const files = Array.from({ length: 40 }, (_, i) => ({ path: `/${i % 2}/${i}`, text: randomBytes(100 * i) }))
  const results = await Promise.all(files.map(({ path, text }) => put(stack, path, text)))
  assert.equal(mock.callCount(), 2)
  assert.deepEqual(
    results.map(({ path }) => path),
    files.map(({ path }) => path)
  )
  for (const { path, text } of files) assert.ok((await read(stack, path)).equals(text))
})

test('a small file that cannot be linked has its own error, and the others of its directory are put', async t => {
  const stack = await startOne(t)
  await put(stack, '/dir/old', randomBytes(5_000))
  await put(stack, '/dir/sub/file', randomBytes(5_000))
  const text = randomBytes(5_000)
  const outcomes = await Promise.allSettled([
    put(stack, '/dir/old', text, { noClobber: true }),
    put(stack, '/dir/new', text),
    put(stack, '/dir/sub', text),
    put(stack, '/dir/old/file', text),
    put(stack, '/missing/file', text, { ifTag: 'another' }),
    put(stack, '/dir/last', text),
    put(stack, '/', text)
  ])
  assert.deepEqual(
    outcomes.map(outcome => (outcome.status === 'rejected' ? outcome.reason.code : outcome.value.path)),
    ['exists', '/dir/new', 'is-a-directory', 'not-a-directory', 'changed', '/dir/last', 'is-a-directory']
  )
  assert.deepEqual(await namesIn(stack, '/dir'), ['/dir/last', '/dir/new', '/dir/old', '/dir/sub'])
  assert.deepEqual(await namesIn(stack, '/'), ['/dir'], 'no directory was made for the file that was refused')
})

test('of small files that are put under one name at the same time the last one stays, and the others are its versions', async t => {
  const stack = await startOne(t)
  const texts = [5_000, 6_000, 7_000].map(size => randomBytes(size))
  await Promise.all(texts.map(text => put(stack, '/file', text)))
  assert.deepEqual(await namesIn(stack, '/'), ['/file'])
  assert.ok((await read(stack, '/file')).equals(texts.at(-1) as Buffer))
})

test('a small put that is aborted before it is linked leaves nothing visible, and does not stop the others', async t => {
  const stack = await startOne(t)
  const controller = new AbortController()
  const { blocks } = stack.fs
  const keepSmall = blocks.keepSmall.bind(blocks)
  t.mock.method(blocks, 'keepSmall', async (...args: Parameters<typeof keepSmall>) => {
    const kept = await keepSmall(...args)
    controller.abort()
    return kept
  })
  const aborted = put(stack, '/aborted', randomBytes(5_000), { signal: controller.signal })
  const other = put(stack, '/other', randomBytes(5_000))
  await assert.rejects(aborted, { name: 'AbortError' })
  await other
  assert.deepEqual(await namesIn(stack, '/'), ['/other'])
})

test('if the blocks of small files do not fit together, each is tried alone', async t => {
  const stack = await startOne(t)
  const { blocks } = stack.fs
  const keepSmall = blocks.keepSmall.bind(blocks)
  t.mock.method(blocks, 'keepSmall', async (...args: Parameters<typeof keepSmall>) => {
    const kept = await keepSmall(...args)
    const bytes = args[0].reduce((sum, block) => sum + block.bytes.byteLength, 0)
    if (bytes > 20_000) throw new NoSpaceError('full')
    return kept
  })
  const sizes = { '/a': 5_000, '/large': 30_000, '/c': 6_000, '/inline': 10 }
  const outcomes = await Promise.allSettled(
    Object.entries(sizes).map(([path, size]) => put(stack, path, randomBytes(size)))
  )
  assert.deepEqual(
    outcomes.map(outcome => (outcome.status === 'rejected' ? outcome.reason.name : outcome.value.path)),
    ['/a', 'NoSpaceError', '/c', '/inline']
  )
  assert.deepEqual(await namesIn(stack, '/'), ['/a', '/c', '/inline'])
})

test('if small files cannot be linked together, each is tried alone', async t => {
  const stack = await startOne(t)
  const { catalog } = stack.fs
  const linkAll = catalog.linkAll.bind(catalog)
  let isLeft = true
  t.mock.method(catalog, 'linkAll', async (...args: Parameters<typeof linkAll>) => {
    if (args[1].length > 1 || !isLeft) throw new OverQuotaError('the quota is used up')
    isLeft = false
    return linkAll(...args)
  })
  const outcomes = await Promise.allSettled(['/a', '/b', '/c'].map(path => put(stack, path, randomBytes(5_000))))
  assert.deepEqual(
    outcomes.map(outcome => (outcome.status === 'rejected' ? outcome.reason.name : outcome.value.path)),
    ['/a', 'OverQuotaError', 'OverQuotaError']
  )
  assert.deepEqual(await namesIn(stack, '/'), ['/a'])
})
