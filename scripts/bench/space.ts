/**
 * Measures how much of the disk comes back: `node scripts/bench/space.ts [COUNT]`. Three nodes have 300 MiB. Then COUNT
 * files of 20 KiB are written, written again, and removed with a purge, and each node is watched until its folder has
 * stopped shrinking.
 */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { formatNetworkKey, generateNetworkKey } from '../../src/index.ts'
import { type Daemon, startDaemon, until } from '../lib/daemon.ts'

const COUNT = Number(process.argv.slice(2).find(argument => !argument.startsWith('--')) ?? 10_000)
const FILE_BYTES = 20 << 10
const BASE_FILES = 75
const BASE_BYTES = 4 << 20
const AT_ONCE = 64
/** How often the folders are measured, for how long, and for how long none of them may shrink at the end. */
const LOOK_MS = 10_000
const WATCH_MS = 480_000
const QUIET_MS = 75_000
const MIB = 1 << 20
const NAMES = ['a', 'b', 'c']
const never = new AbortController().signal

const folder = await mkdtemp(join(process.env['DFS_BENCH_DIR'] ?? tmpdir(), 'dfs-bench-'))
const keyFile = join(folder, 'key')
await writeFile(keyFile, formatNetworkKey(generateNetworkKey()), { mode: 0o600 })
const nodes: Daemon[] = []
try {
  for (const name of NAMES) {
    const args = [
      '--network-key-file',
      keyFile,
      '--no-mdns',
      '--api',
      '127.0.0.1:0',
      '--listen',
      '/ip4/127.0.0.1/tcp/0'
    ]
    const [first] = nodes
    if (first !== undefined) args.push('--bootstrap', first.multiaddrs[0] as string)
    nodes.push(await startDaemon({ name, dataDir: join(folder, name), args }))
  }
  const { client } = nodes[0] as Daemon
  await until('connected', async () => (await client.call('status', {})).peersConnected === NAMES.length - 1)
  for (let i = 0; i < BASE_FILES; i++)
    await client.put(`/base/${i}`, randomBytes(BASE_BYTES), { size: BASE_BYTES }, never)
  await sleep(LOOK_MS)
  const before = sizes()
  report('before', before)
  for (const what of ['written', 'overwritten']) {
    await putAll()
    report(what, sizes())
  }
  const beganAtMs = Date.now()
  await client.call('remove', { path: '/many', recursive: true, purge: true })
  const removedAtMs = Date.now()
  console.log(`the removal took ${((removedAtMs - beganAtMs) / 1_000).toFixed(1)} s`)
  let least = sizes()
  let shrankAtMs = Date.now()
  while (Date.now() - shrankAtMs < QUIET_MS && Date.now() - removedAtMs < WATCH_MS) {
    await sleep(LOOK_MS)
    const now = sizes()
    report(`${((Date.now() - beganAtMs) / 1_000).toFixed(0)} s after`, now)
    if (now.some((bytes, i) => bytes < (least[i] as number) - MIB / 4)) shrankAtMs = Date.now()
    least = least.map((bytes, i) => Math.min(bytes, now[i] as number))
  }
  for (const [i, bytes] of sizes().entries()) {
    const start = before[i] as number
    console.log(`${NAMES[i]}: ${((100 * (bytes - start)) / start).toFixed(1)} % above the start`)
    const { here } = await (nodes[i] as Daemon).client.call('df', {})
    console.log(JSON.stringify(here), parts(NAMES[i] as string))
  }
} finally {
  await Promise.all(nodes.map(node => node.kill()))
  await rm(folder, { recursive: true, force: true })
}

async function putAll(): Promise<void> {
  const bundle = (nodes[0] as Daemon).client.bundle({}, never)
  let next = 0
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (next < COUNT) {
        const i = next++
        await bundle.put(`/many/${i >> 10}/file ${i}`, randomBytes(FILE_BYTES), {})
      }
    })
  )
  await bundle.end()
}

function sizes(): number[] {
  return NAMES.map(name => bytesOf(join(folder, name)))
}

function bytesOf(path: string): number {
  return Number(execFileSync('du', ['-sk', path]).toString().split('\t')[0]) * 1_024
}

function parts(name: string): string {
  return ['blocks', 'segments', 'index']
    .map(part => `${part} ${(bytesOf(join(folder, name, part)) / MIB).toFixed(1)} MiB`)
    .join(', ')
}

function report(what: string, bytes: readonly number[]): void {
  console.log(`${what}: ${bytes.map((each, i) => `${NAMES[i]} ${(each / MIB).toFixed(1)} MiB`).join(', ')}`)
}
