import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Daemon, startDaemon, until } from '../../scripts/lib/daemon.ts'
import { ROOT, shell } from '../fixtures/shell.ts'
import { lacksOwnDisk, SmallDisk } from '../fixtures/small-disk.ts'
import { temporaryFolder } from '../fixtures/temporary-folder.ts'

const never = new AbortController().signal
const EXIT_NO_SPACE = 7

async function daemon(t: TestContext, dataDir: string, keys: string, args: string[] = []): Promise<Daemon> {
  const started = await startDaemon({
    name: 'solo',
    dataDir,
    fromSource: true,
    args: ['--network-key-file', join(keys, 'key'), '--no-mdns', '--listen', '/ip4/127.0.0.1/tcp/0', ...args]
  })
  t.after(() => started.stop())
  return started
}

async function* once(bytes: Uint8Array): AsyncGenerator<Buffer> {
  yield Buffer.from(bytes)
}

async function all(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const part of source) parts.push(part)
  return Buffer.concat(parts)
}

/** The files of a node and what is in them, as its user is told: what was accepted, and nothing that was refused. */
class Expected {
  readonly files = new Map<string, Buffer>()
  refused = 0

  async put({ client }: Daemon, path: string, bytes = randomBytes(300)): Promise<void> {
    if (await this.#accepted(client.put(path, once(bytes), {}, never))) this.files.set(path, bytes)
  }

  async remove({ client }: Daemon, path: string): Promise<void> {
    if (await this.#accepted(client.call('remove', { path, recursive: false }, never))) this.files.delete(path)
  }

  async check({ client }: Daemon): Promise<void> {
    const listed: string[] = []
    for await (const item of client.stream('list', { path: '/', recursive: true }))
      if (item.kind === 'file') listed.push(item.path)
    assert.deepEqual(listed.sort(), [...this.files.keys()].sort())
    for (const [path, bytes] of this.files)
      assert.ok((await all((await client.get(path, undefined, never)).body)).equals(bytes), path)
    assert.equal((await client.call('status', {})).files, this.files.size)
  }

  async #accepted(change: Promise<unknown>): Promise<boolean> {
    try {
      await change
      return true
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'no-space')
      this.refused++
      return false
    }
  }
}

async function dfs(dataDir: string, ...args: string[]): Promise<number | null> {
  const { code } = await shell([process.execPath, join(ROOT, 'src/bin/dfs.js'), '--data-dir', dataDir, ...args])
  return code
}

test('a change that a full disk refused never comes true, and the node goes on once there is room', {
  skip: lacksOwnDisk,
  timeout: 300_000
}, async t => {
  const disk = await SmallDisk.mount(t, 40)
  const keys = await temporaryFolder(t)
  const dataDir = join(disk.folder, 'n')
  let node = await daemon(t, dataDir, keys, ['--new'])
  const expected = new Expected()
  for (let i = 0; i < 29; i++) await expected.put(node, `/f${i}`)
  // Another program fills the disk, and takes whatever becomes free.
  for (let i = 0; i < 12; i++) {
    await disk.fill()
    await expected.remove(node, `/f${i}`)
    await expected.put(node, `/g${i}`)
  }
  assert.ok(expected.refused > 12, `${expected.refused} were refused`)
  await expected.check(node)
  const { disk: state, warnings } = await node.client.call('status', {})
  assert.equal(state.state, 'full')
  t.diagnostic(warnings.join('; '))
  assert.equal(await dfs(dataDir, 'put', join(ROOT, 'package.json'), '/p'), EXIT_NO_SPACE)

  await disk.free()
  await until(
    'the node stores again without a restart',
    async () => {
      await node.client.put('/after', once(Buffer.from('after')), {}, never)
      return true
    },
    120_000
  )
  expected.files.set('/after', Buffer.from('after'))
  await expected.check(node)
  await until('the status is ok', async () => (await node.client.call('status', {})).disk.state === 'ok')
  await expected.remove(node, '/f20')
  await node.kill()
  node = await daemon(t, dataDir, keys)
  await expected.check(node)
  await expected.put(node, '/last')
  await node.stop()
  node = await daemon(t, dataDir, keys)
  await expected.check(node)
})

test('a node on a disk that others have filled to the last byte starts, reads, deletes, and says what to do', {
  skip: lacksOwnDisk,
  timeout: 300_000
}, async t => {
  const disk = await SmallDisk.mount(t, 40)
  const keys = await temporaryFolder(t)
  const dataDir = join(disk.folder, 'n')
  let node = await daemon(t, dataDir, keys, ['--new'])
  const expected = new Expected()
  for (let i = 0; i < 29; i++) await expected.put(node, `/f${i}`)
  await until('the reserve is there', async () => (await readdir(dataDir)).includes('reserve'))
  await disk.fill()
  await node.kill()
  await disk.fill()
  node = await daemon(t, dataDir, keys)
  await expected.check(node)
  assert.equal(await dfs(dataDir, 'rm', '/f0'), 0)
  expected.files.delete('/f0')
  await expected.put(node, '/more')
  assert.equal(expected.refused, 1)
  const { warnings } = await node.client.call('status', {})
  assert.match(warnings.join(), /free space on its disk/)
  await disk.free()
  await until('the reserve is there again', async () => (await readdir(dataDir)).includes('reserve'))
  await expected.put(node, '/more')
  await expected.check(node)

  // Without the reserve it says how much is missing, and starts once that is free.
  await node.kill()
  await shell(['rm', join(dataDir, 'reserve')])
  await disk.fill()
  await assert.rejects(daemon(t, dataDir, keys), /exit code 7:[\s\S]*free at least \d+ bytes/)
  await disk.free()
  node = await daemon(t, dataDir, keys)
  await expected.check(node)
})
