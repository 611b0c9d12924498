import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { appendFile, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Client } from '../../../src/cli/client.ts'
import { putFile } from '../../../src/cli/put-file.ts'
import type { ErrorCode, Source } from '../../../src/index.ts'
import { Progress } from '../../../src/terminal/progress.ts'
import { setUpDfs } from '../../fixtures/dfs.ts'
import { type FakeNode, Fault } from '../../fixtures/fake-node.ts'

const MIB = 1 << 20

/** Puts a file of 2 MiB as `/f`, in this process. The node's first put runs `first` in place of storing it. */
async function putTwice(
  t: TestContext,
  first: (local: string, source: AsyncIterable<Uint8Array>) => Promise<void>
): Promise<{ node: FakeNode; bytes: Buffer; progress: Progress; counted: () => number }> {
  const { node, dataDir, folder } = await setUpDfs(t)
  const client = await Client.open({ dataDir })
  t.after(() => client.close())
  const local = join(folder, 'f')
  const bytes = randomBytes(2 * MIB)
  await writeFile(local, bytes)
  const { size, mtime: modified, mode } = await stat(local)
  const progress = new Progress('put', true)
  let counted = 0
  progress.add = more => {
    counted += more
  }
  node.hooks.put = async (path, source: Source, options) => {
    node.hooks = {}
    await first(local, source as AsyncIterable<Uint8Array>)
    return node.put(path, source, options)
  }
  const session = { client, where: {}, isJson: true, signal: new AbortController().signal }
  const item = { shown: 'f', local, target: '/f', size, modified, mode: mode & 0o777 }
  await putFile({ session, rules: {}, progress }, item)
  return { node, bytes, progress, counted: () => counted }
}

test('a put sends the bytes of a file that the daemon cannot read to its end by itself', async t => {
  const { node, bytes, counted } = await putTwice(t, async (_local, source) => {
    for await (const _ of source) throw new Fault('file-unusable' as ErrorCode)
  })
  assert.ok(bytes.equals(node.files.get('/f')?.bytes ?? Buffer.alloc(0)))
  assert.equal(node.calls.filter(({ call }) => call === 'put /f').length, 2)
  assert.equal(counted(), bytes.byteLength, 'the progress counts each byte once')
})

test('a put stores the start of a file that is appended to while the daemon reads it', async t => {
  const { node, bytes } = await putTwice(t, async (local, source) => {
    let pieces = 0
    for await (const _ of source) if (++pieces === 1) await appendFile(local, 'more')
  })
  const grown = Buffer.concat([bytes, Buffer.from('more')])
  assert.ok(grown.equals(node.files.get('/f')?.bytes ?? Buffer.alloc(0)))
})

test('a get receives the bytes of a file that the daemon cannot write to its end by itself', async t => {
  const { node, folder, dfs } = await setUpDfs(t)
  const bytes = randomBytes(2 * MIB)
  node.set('/f', bytes)
  const failing = await node.get('/f')
  let opened = 0
  node.hooks.get = async (path, options) => {
    // The first open answers the question about the facts.
    if (++opened < 2) return failing
    node.hooks = {}
    node.set('/f', bytes, {
      tag: failing.tag,
      failsAfter: { bytes: MIB, error: new Fault('file-unusable' as ErrorCode) }
    })
    const half = await node.get(path, options)
    node.set('/f', bytes)
    return half
  }
  const { code, stderr } = await dfs(['get', '/f'])
  assert.deepEqual([code, stderr], [0, ''])
  assert.ok(bytes.equals(await readFile(join(folder, 'f'))))
  assert.deepEqual(await readdir(folder), ['f'])
})
