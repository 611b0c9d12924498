/**
 * Measures what many files cost an idle node: `node scripts/bench/many-files.ts [COUNT]`. One node gets COUNT files of
 * 5 bytes, and a second one fetches them all. The second is then started again, reconnects, and rebuilds its index. Run
 * it in a network namespace of its own (`unshare -n`, as root), so that only its own bytes are counted.
 */
import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { formatNetworkKey, generateNetworkKey } from '../../src/index.ts'
import { type Daemon, startDaemon, until } from '../lib/daemon.ts'

const COUNT = Number(process.argv.slice(2).find(argument => !argument.startsWith('--')) ?? 100_000)
const AT_ONCE = 128
/** How long the processor time of a start is counted. */
const WATCH_MS = 30_000
const WAIT_MS = 600_000
const never = new AbortController().signal

const folder = await mkdtemp(join(process.env['DFS_BENCH_DIR'] ?? tmpdir(), 'dfs-bench-'))
const keyFile = join(folder, 'key')
await writeFile(keyFile, formatNetworkKey(generateNetworkKey()), { mode: 0o600 })
execFileSync('ip', ['link', 'set', 'lo', 'up'])
const running = new Set<Daemon>()
try {
  let a = await start('a')
  await timed(`a: put ${COUNT} files`, () => putAll(a))
  let b = await start('b', a)
  await timed('b: fetch them all', () => allFiles(b))
  await end(b)
  b = await watched('b: start again and reconnect', () => start('b', a))
  await end(a)
  a = await watched('a: start again and reconnect', () => start('a', b))
  await end(b)
  await rm(join(folder, 'b/index'), { recursive: true })
  b = await watched('b: rebuild', () => start('b', a))
  await Promise.all([end(a), end(b)])
} finally {
  await Promise.all([...running].map(node => node.kill()))
  await rm(folder, { recursive: true, force: true })
}

async function start(name: string, other?: Daemon): Promise<Daemon> {
  const node = await startDaemon({
    name,
    dataDir: join(folder, name),
    args: [
      ...['--network-key-file', keyFile, '--no-mdns', '--api', '127.0.0.1:0', '--listen', '/ip4/127.0.0.1/tcp/0'],
      ...(other === undefined ? [] : ['--bootstrap', other.multiaddrs[0] as string])
    ]
  })
  running.add(node)
  return node
}

async function end(node: Daemon): Promise<void> {
  await node.stop()
  running.delete(node)
}

async function putAll({ client }: Daemon): Promise<void> {
  const bundle = client.bundle({}, never)
  let next = 0
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (next < COUNT) {
        const i = next++
        await bundle.put(`/many/${i >> 10}/file ${i}`, Buffer.from(String(i % 100_000).padStart(5)), {})
      }
    })
  )
  await bundle.end()
}

async function allFiles({ client }: Daemon): Promise<void> {
  await until('all files', async () => (await client.call('status', {})).files === COUNT, WAIT_MS)
}

async function timed(what: string, work: () => Promise<void>): Promise<void> {
  const [bytes, began] = [await loopbackBytes(), performance.now()]
  await work()
  const s = (performance.now() - began) / 1000
  console.log(`${what}: ${s.toFixed(1)} s, ${mib((await loopbackBytes()) - bytes)} on the wire`)
}

/** Starts a node and says what its first half minute costs. */
async function watched(what: string, begin: () => Promise<Daemon>): Promise<Daemon> {
  const [bytes, began] = [await loopbackBytes(), performance.now()]
  const node = await begin()
  const startedMs = performance.now() - began
  await sleep(WATCH_MS - startedMs > 0 ? WATCH_MS - startedMs : 0)
  const cpu = await node.cpuSeconds()
  await allFiles(node)
  const { peersConnected } = await node.client.call('status', {})
  const rss = /VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${node.pid}/status`, 'utf8'))?.[1]
  console.log(
    `${what}: answers after ${(startedMs / 1000).toFixed(2)} s; CPU in ${WATCH_MS / 1000} s: ${cpu.toFixed(1)} s; ` +
      `RSS ${mib(Number(rss) * 1024)}, peak ${mib(await node.peakRss())}; ` +
      `${peersConnected} peer, ${mib((await loopbackBytes()) - bytes)} on the wire`
  )
  return node
}

/** All bytes that this network namespace has sent over its loopback. */
async function loopbackBytes(): Promise<number> {
  const line = (await readFile('/proc/net/dev', 'utf8')).split('\n').find(text => text.trim().startsWith('lo:')) ?? ''
  return Number(line.trim().split(/\s+/)[9] ?? 0)
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(2)} MiB`
}
