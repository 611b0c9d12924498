import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { connected, type Daemon, type DaemonOptions, startDaemon, until } from '../../scripts/lib/daemon.ts'
import { epochSubkeys } from '../../src/format/network-key.ts'
import { makeDevice, secretsIn } from '../fixtures/device.ts'
import { readAll, temporaryFolder } from '../fixtures/nodes.ts'
import { runProgram } from '../fixtures/program.ts'
import { foundInFolder, foundInMemory, type Needles, needlesOf } from '../fixtures/secret-search.ts'

const never = new AbortController().signal
const FLAGS = ['--no-mdns', '--api', '127.0.0.1:0', '--listen', '/ip4/127.0.0.1/tcp/0']
const LINES = 50_000

async function daemon(t: TestContext, options: DaemonOptions): Promise<Daemon> {
  const started = await startDaemon({ ...options, fromSource: true, args: [...FLAGS, ...(options.args ?? [])] })
  t.after(() => started.stop())
  return started
}

async function put(writer: Daemon, path: string, bytes: Buffer, ack: number): Promise<void> {
  async function* source() {
    yield bytes
  }
  await writer.client.put(path, source(), { replicas: 'all', ack: String(ack) }, never)
}

async function get(reader: Daemon, path: string): Promise<Buffer> {
  return readAll((await reader.client.get(path, undefined, never)).body)
}

async function paths(node: Daemon): Promise<string[]> {
  const found: string[] = []
  for await (const { path } of node.client.stream('list', { path: '/', recursive: true })) found.push(path)
  return found
}

/** Every command that would read a name is refused with one line, which says where to run it instead. */
async function assertReadsNothing({ dataDir }: Daemon): Promise<void> {
  for (const args of [['ls'], ['ls', '-R', '/'], ['stat', '/'], ['get', '/any'], ['cat', '/any']]) {
    const { code, stdout, stderr } = await runProgram('dfs', ['--data-dir', dataDir, ...args])
    assert.deepEqual([code, stdout.byteLength], [4, 0], args.join(' '))
    assert.match(stderr, /^[^\n]*storage member[^\n]*run this on (reader or writer|writer or reader)\n$/)
  }
  const { code, stderr } = await runProgram('dfs', ['--data-dir', dataDir, '--json', 'ls'])
  assert.deepEqual([code, JSON.parse(stderr).code], [4, 'not-allowed'])
}

async function idle(node: Daemon): Promise<void> {
  await until(`${node.name} has all that it owes`, async () => {
    const { owed, repairing } = await node.client.call('status', {})
    return owed.blocks === 0 && repairing.blocks === 0
  })
}

/** What a storage member must not have: names, contents and keys. */
async function secretsOfNetwork(dataDir: string, words: Record<string, string>): Promise<Needles> {
  const { networkKey, epochs } = await secretsIn(dataDir)
  assert.ok(networkKey !== undefined)
  const key = epochs[0]!.key
  const { content, record } = epochSubkeys(key)
  return needlesOf({ ...words, networkKey, epochKey: key, contentKey: content, recordKey: record })
}

test('a storage member keeps and serves all blocks, and nothing of names, contents or keys is in its directory or its memory', {
  timeout: 300_000,
  skip: process.platform !== 'linux' && 'it needs /proc'
}, async t => {
  const folder = await temporaryFolder(t)
  const dirOf = (name: string): string => join(folder, name)
  const [directory, file, marker] = [24, 24, 48].map(length => randomBytes(length).toString('base64url')) as [
    string,
    string,
    string
  ]
  // No two of its chunks are equal.
  const large = Buffer.from(Array.from({ length: LINES }, (_, i) => `${marker} ${i}\n`).join(''))
  const writer = await daemon(t, { name: 'writer', dataDir: dirOf('writer'), args: ['--new'] })
  const admin = await secretsIn(writer.dataDir)
  for (const role of ['reader', 'storage'] as const) await makeDevice(dirOf(role), admin, role)
  const to = (...nodes: Daemon[]): string[] => nodes.flatMap(node => ['--bootstrap', node.multiaddrs[0] as string])
  let reader = await daemon(t, { name: 'reader', dataDir: dirOf('reader'), args: to(writer) })
  let storage = await daemon(t, { name: 'storage', dataDir: dirOf('storage'), args: to(writer) })
  await connected([writer, reader, storage])
  const small = Buffer.from(marker)
  await put(writer, `/${directory}/small-${file}`, small, 3)
  await until('the reader reads', async () => (await get(reader, `/${directory}/small-${file}`)).equals(small))
  await reader.stop()
  await put(writer, `/${directory}/${file}`, large, 2)
  await idle(storage)
  assert.equal((await paths(writer)).length, 3)
  await assertReadsNothing(storage)
  const status = await storage.client.call('status', {})
  assert.deepEqual([status.files, status.role], [0, 'storage'])
  assert.ok(status.disk.used > large.byteLength, 'it holds the blocks')

  const needles = await secretsOfNetwork(writer.dataDir, { directory, file, marker })
  assert.deepEqual(
    await foundInMemory(writer.pid, needles),
    [...needles.keys()].sort(),
    'the search finds what is there'
  )
  assert.deepEqual(await foundInFolder(storage.dataDir, needles), [])
  assert.deepEqual(await foundInMemory(storage.pid, needles), [])

  // It comes back after a crash without its index, and still has everything.
  await storage.kill()
  await rm(join(storage.dataDir, 'index'), { recursive: true })
  storage = await daemon(t, { name: 'storage', dataDir: storage.dataDir, args: to(writer) })
  await connected([writer, storage])
  await idle(storage)
  await writer.kill()
  // This reader was away when the large file was put. It has the key, and gets all else from the storage member.
  reader = await daemon(t, { name: 'reader', dataDir: reader.dataDir, args: to(storage) })
  await until('the reader sees the file', async () => (await paths(reader)).includes(`/${directory}/${file}`))
  assert.ok((await get(reader, `/${directory}/${file}`)).equals(large))
  await assertReadsNothing(storage)
  assert.deepEqual(await foundInFolder(storage.dataDir, needles), [])
  assert.deepEqual(await foundInMemory(storage.pid, needles), [])
})
