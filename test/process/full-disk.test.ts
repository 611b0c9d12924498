import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { connected, type Daemon, startDaemon, until } from '../../scripts/lib/daemon.ts'
import { PROGRAMS } from '../../scripts/lib/programs.ts'
import { ROOT, shell } from '../fixtures/shell.ts'
import { lacksOwnDisk, SmallDisk } from '../fixtures/small-disk.ts'
import { temporaryFolder } from '../fixtures/temporary-folder.ts'

const never = new AbortController().signal
const EXIT_NO_SPACE = 7

async function daemon(t: TestContext, dataDir: string, keys: string, args: string[] = []): Promise<Daemon> {
  const started = await startDaemon({
    name: basename(dataDir),
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

/**
 * The files of a node and their contents, as its user knows them: everything that was accepted, and nothing that was
 * refused.
 */
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
  const { code } = await shell([process.execPath, join(PROGRAMS, 'dfs.js'), '--data-dir', dataDir, ...args])
  return code
}

/** A new node on a small disk of its own, with some files. */
async function withFiles(t: TestContext) {
  const disk = await SmallDisk.mount(t, 40)
  const keys = await temporaryFolder(t)
  const dataDir = join(disk.folder, 'n')
  const node = await daemon(t, dataDir, keys, ['--new'])
  const expected = new Expected()
  for (let i = 0; i < 29; i++) await expected.put(node, `/f${i}`)
  return { disk, keys, dataDir, node, expected }
}

test('a change that a full disk refused never takes effect, and the node goes on once there is room', {
  skip: lacksOwnDisk,
  timeout: 300_000
}, async t => {
  const { disk, keys, dataDir, expected, ...first } = await withFiles(t)
  let { node } = first
  // Another program fills the disk, and uses up all space that becomes free.
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
  const { disk, keys, dataDir, expected, ...first } = await withFiles(t)
  let { node } = first
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

/** What became of each file that was written while disks were full and nodes were killed. */
class Fates {
  readonly sure = new Map<string, Buffer>()
  /** Files of puts and deletes whose outcome nobody was told, because the node was killed or another error came. */
  readonly unknown = new Set<string>()
  readonly refused = new Set<string>()

  async put({ client }: Daemon, path: string, bytes: Buffer): Promise<void> {
    if (await this.#accepted(path, client.put(path, once(bytes), {}, never))) this.sure.set(path, bytes)
  }

  async remove({ client }: Daemon, path: string): Promise<void> {
    if (!this.sure.has(path) || this.unknown.has(path)) return
    if (await this.#accepted(path, client.call('remove', { path, recursive: false }, never))) this.sure.delete(path)
  }

  /** Throws unless a node shows every file that was accepted, with its bytes, and none that was refused or deleted. */
  async check({ client, name }: Daemon): Promise<void> {
    const listed = new Set<string>()
    for await (const item of client.stream('list', { path: '/', recursive: true }))
      if (item.kind === 'file') listed.add(item.path)
    for (const path of listed) assert.ok(this.sure.has(path) || this.unknown.has(path), `${name} shows ${path}`)
    for (const [path, bytes] of this.sure) {
      if (this.unknown.has(path)) continue
      assert.ok(listed.has(path), `${name} has lost ${path}`)
      assert.ok((await all((await client.get(path, undefined, never)).body)).equals(bytes), path)
    }
  }

  async #accepted(path: string, change: Promise<unknown>): Promise<boolean> {
    try {
      await change
      return true
    } catch (error) {
      if ((error as { code?: string }).code === 'no-space') this.refused.add(path)
      else this.unknown.add(path)
      return false
    }
  }
}

test('rounds of full disks, kills and restarts lose no accepted file, and no refused change takes effect', {
  skip: lacksOwnDisk,
  timeout: 1_500_000
}, async t => {
  const isLong = process.env['DFS_LONG'] === '1'
  const [size, rounds] = isLong ? [3, 20] : [2, 2]
  const disk = await SmallDisk.mount(t, 48 * size)
  const keys = await temporaryFolder(t)
  const nodes: Daemon[] = []
  const dirOf = (i: number): string => join(disk.folder, `n${i}`)
  for (let i = 0; i < size; i++) {
    const first = nodes[0]?.multiaddrs[0]
    nodes.push(await daemon(t, dirOf(i), keys, first === undefined ? ['--new'] : ['--bootstrap', first]))
  }
  await connected(nodes)
  const fates = new Fates()
  for (let round = 0; round < rounds; round++) {
    let isOver = false
    // For a while the disk is full, and any space that becomes free is used up. Then there is room for a while.
    const hog = (async () => {
      for (let turn = 0; !isOver; turn++) {
        if (turn % 60 < 20) await disk.fill()
        else await disk.free()
        await pause(100)
      }
    })()
    const writers = nodes.map(async (node, n) => {
      for (let i = 0; !isOver; i++) {
        await fates.put(node, `/${round}-${n}-${i}`, randomBytes(i % 4 === 0 ? 5_000 : 300))
        if (i % 3 === 2) await fates.remove(node, `/${round}-${n}-${i - 2}`)
      }
    })
    await pause(isLong ? 9_000 : 5_000)
    const victim = round % size
    await nodes[victim]?.kill()
    isOver = true
    await Promise.all([hog, ...writers])
    // Every other time the disk is still full when the node starts.
    if (round % 2 === 1) await disk.free()
    nodes[victim] = await daemon(t, dirOf(victim), keys).catch(async () => {
      await disk.free()
      return daemon(t, dirOf(victim), keys)
    })
    await disk.free()
    await connected(nodes)
    for (const node of nodes) {
      const shown = until(`${node.name} shows what was accepted`, () => shows(fates, node))
      // The check throws its own error.
      await shown.catch(() => fates.check(node))
    }
  }
  t.diagnostic(`accepted ${fates.sure.size}, refused ${fates.refused.size}, unknown ${fates.unknown.size}`)
  assert.ok(fates.sure.size > 0 && fates.refused.size > 0)
})

function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}

async function shows(fates: Fates, node: Daemon): Promise<boolean> {
  await fates.check(node)
  return true
}
