/**
 * Measures listings in a large network: `node scripts/bench/listing.ts [COUNT]`. One node gets COUNT small files, in one
 * directory of 100,000 and in others of 100 each, straight into its log. Then it lists one of the small directories, the
 * large one, and everything.
 */
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { MonitoredFiles } from '../../src/disk/monitored-files.ts'
import { type EntryBody, ROOT_ENTRY, signRecord } from '../../src/format/entry.ts'
import { parsePath } from '../../src/format/path.ts'
import { inlineRoot } from '../../src/format/seal-file.ts'
import type { Statement } from '../../src/format/statement.ts'
import { listPath } from '../../src/fs/list.ts'
import { generateNetworkKey } from '../../src/index.ts'
import type { Log } from '../../src/log/log.ts'
import { type Epoch, KeyRing } from '../../src/members/key-ring.ts'
import { secretsOf } from '../../src/node/identity.ts'
import { startRooms } from '../../test/fixtures/stack.ts'

const COUNT = Number(process.argv[2] ?? 1_000_000)
const LARGE = Math.min(100_000, Math.floor(COUNT / 2))
const SMALL = 100
const AT_ONCE = 512
const SETTLE_MS = 5_000

const dataDir = await mkdtemp(join(process.env['DFS_BENCH_DIR'] ?? tmpdir(), 'dfs-bench-'))
const ends: Array<() => unknown> = []
try {
  const networkKey = generateNetworkKey()
  const t = { after: (end: () => unknown) => ends.push(end) } as unknown as TestContext
  const { fs, log } = await startRooms(t, { dataDir, networkKey })
  const { self } = fs.members
  const secrets = await secretsOf({ dataDir, networkKey }, new MonitoredFiles(dataDir))
  const epoch = new KeyRing(secrets.epochs).newest as Epoch
  const content = Buffer.from('hello')
  const root = inlineRoot(epoch.content, content)
  const incarnation = randomBytes(8)
  const signed = (entry: Uint8Array, body: EntryBody): Statement<'entry'> => {
    const isFile = body.kind === 'file'
    const facts = { root: isFile ? root : null, rootEpoch: isFile ? epoch.id : null, replicas: 1, body }
    const stamps = { seen: [], placed: null, written: null }
    const fields = { entry, incarnation, epoch: epoch.id, op: 'put' as const, ...stamps, ...facts }
    return signRecord(fields, { ...self.signing(self.nextHlc()), subkey: epoch.record })
  }
  const start = performance.now()
  let waiting: Array<Statement<'entry'>> = []
  const add = async (statement: Statement<'entry'>, isLast = false): Promise<void> => {
    waiting.push(statement)
    if (waiting.length < AT_ONCE && !isLast) return
    await (log as Log).append(waiting, self.signer)
    waiting = []
  }
  for (let file = 0, directory = 0; file < COUNT; directory++) {
    const id = randomBytes(16)
    const name = directory === 0 ? 'large' : `d${directory}`
    await add(signed(id, { parent: ROOT_ENTRY, name, kind: 'directory', size: 0, mtime: 0 }))
    const count = Math.min(directory === 0 ? LARGE : SMALL, COUNT - file)
    for (let i = 0; i < count; i++, file++) {
      const body = {
        parent: id,
        name: `file-${i}.txt`,
        kind: 'file' as const,
        size: content.byteLength,
        mtime: 0,
        content
      }
      await add(signed(randomBytes(16), body), file === COUNT - 1)
    }
  }
  say(`${COUNT} files in the log`, start)
  // The workers look at what is new first.
  await new Promise(resolve => setTimeout(resolve, SETTLE_MS))
  for (const [path, recursive] of [
    ['/d7', false],
    ['/d8', false],
    ['/large', false],
    ['/', false],
    ['/', true]
  ] as const) {
    globalThis.gc?.()
    const before = process.memoryUsage().rss
    let [most, count, firstMs] = [before, 0, 0]
    const from = performance.now()
    for await (const _ of listPath(fs, parsePath(path), { recursive })) {
      if (count++ === 0) firstMs = performance.now() - from
      if (count % 1_000 === 0) most = Math.max(most, process.memoryUsage().rss)
    }
    const mib = Math.round((most - before) / (1 << 20))
    say(
      `ls ${recursive ? '-R ' : ''}${path}: ${count} items, the first after ${firstMs.toFixed(1)} ms, ${mib} MiB more`,
      from
    )
  }
  const from = performance.now()
  for await (const _ of listPath(fs, [], { recursive: true })) break
  say('ls -R / that ends after its first item', from)
} finally {
  for (const end of ends.reverse()) await end()
  await rm(dataDir, { recursive: true, force: true })
}

function say(what: string, sinceMs: number): void {
  console.log(`${what}: ${(performance.now() - sinceMs).toFixed(1)} ms`)
}
