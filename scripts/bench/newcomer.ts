/**
 * Measures how a newcomer catches up with a long log: `node scripts/bench/newcomer.ts [RECORDS …] [--cut]`. One member
 * gets a log of RECORDS signed records, each a file of 5 bytes whose content is in its record. Then a second one, whose
 * directory is empty, fetches them all. With `--cut`, both ways in which this can break off are measured too: halfway,
 * the newcomer is killed with `kill -9`, or its connection breaks. Needs root and Linux: it runs in a network
 * namespace of its own, so that only the bytes of these two nodes are counted.
 *
 * DFS_CPU_PROF names a folder for CPU profiles of both nodes.
 */
import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openFormat } from '../../src/disk/data-directory.ts'
import { MonitoredFiles } from '../../src/disk/monitored-files.ts'
import { inlineRoot } from '../../src/format/seal-file.ts'
import { formatNetworkKey, generateNetworkKey, type NodeOptions, parseNetworkKey } from '../../src/index.ts'
import type { Log } from '../../src/log/log.ts'
import { secretsOf } from '../../src/node/identity.ts'
import { systemPlatform } from '../../src/node/platform.ts'
import { type Stack, startStack } from '../../src/node/stack.ts'
import { systemChance } from '../../src/util/chance.ts'
import { systemClock } from '../../src/util/clock.ts'
import { debugLogger } from '../../src/util/logger.ts'
import { type Daemon, startDaemon } from '../lib/daemon.ts'

/** The records that are signed and appended together. */
const GROUP = 1_024
/** How many files a directory gets. */
const DIRECTORY_FILES = 1_024
const WAIT_MS = 3 * 3_600_000
const POLL_MS = 100
const INSIDE = '--inside'

if (process.argv[2] === '--fill')
  await fill(process.argv[3] as string, process.argv[4] as string, Number(process.argv[5]))
else if (!process.argv.includes(INSIDE)) {
  const args = [...process.execArgv, import.meta.filename, ...process.argv.slice(2), INSIDE]
  execFileSync('unshare', ['-n', process.execPath, ...args], { stdio: 'inherit' })
} else {
  execFileSync('ip', ['link', 'set', 'lo', 'up'])
  const sizes = process.argv.slice(2).map(Number).filter(Number.isFinite)
  for (const records of sizes.length > 0 ? sizes : [10_000, 50_000]) await measure(records)
}

type Cut = 'none' | 'kill' | 'connections'

async function measure(records: number): Promise<void> {
  const folder = await mkdtemp(join(process.env['DFS_BENCH_DIR'] ?? tmpdir(), 'dfs-bench-'))
  const keyFile = join(folder, 'key')
  await writeFile(keyFile, formatNetworkKey(generateNetworkKey()), { mode: 0o600 })
  try {
    const program = [...process.execArgv, import.meta.filename, '--fill', folder, keyFile, String(records)]
    execFileSync(process.execPath, program, { stdio: 'inherit' })
    const cuts: Cut[] = process.argv.includes('--cut') ? ['none', 'kill', 'connections'] : ['none']
    for (const cut of cuts) {
      const a = await start(folder, keyFile, 'a')
      try {
        await catchUp(folder, keyFile, { a, records, cut })
      } finally {
        await a.stop()
        await rm(join(folder, 'b'), { recursive: true, force: true })
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Lets a newcomer catch up with `a`, and prints what that costs. */
async function catchUp(
  folder: string,
  keyFile: string,
  { a, records, cut }: { a: Daemon; records: number; cut: Cut }
): Promise<void> {
  const wire = await openWire(Number(a.multiaddrs[0]?.split('/')[4]))
  const before = { bytes: await loopbackBytes(), cpu: await a.cpuSeconds() }
  const began = performance.now()
  let b = await start(folder, keyFile, 'b', wire.port)
  const found: string[] = []
  let cpu = 0
  try {
    for (let isCut = cut === 'none', isFound = false; ; ) {
      const { files } = await b.client.call('status', {})
      if (files > 0 && !isFound) {
        const used = await firstUse(b, began)
        isFound = used !== undefined
        if (used !== undefined) found.push(used)
      }
      if (!isCut && files >= records / 2) {
        isCut = true
        found.push(`cut (${cut}) at ${files} records`)
        if (cut === 'connections') wire.cut()
        else {
          cpu = await b.cpuSeconds()
          await b.kill()
          b = await start(folder, keyFile, 'b', wire.port)
        }
      }
      if (files === records) break
      if (performance.now() - began > WAIT_MS) throw new Error('the newcomer does not catch up')
      await sleep(POLL_MS)
    }
    const s = (performance.now() - began) / 1000
    const used = { a: (await a.cpuSeconds()) - before.cpu, b: cpu + (await b.cpuSeconds()) }
    // The bytes on the wire between the two are on the loopback twice.
    const bytes = (await loopbackBytes()) - before.bytes - wire.bytes()
    console.log(
      `${records} records: ${s.toFixed(1)} s, ${(records / s).toFixed(0)} records/s; ` +
        `CPU a ${used.a.toFixed(1)} s, b ${used.b.toFixed(1)} s (${((used.b / records) * 1e6).toFixed(0)} µs a record); ` +
        `peak RSS a ${mib(await a.peakRss())}, b ${mib(await b.peakRss())}; at the end ${await memoryOf(a)}, ${await memoryOf(b)}; ` +
        `${(bytes / records).toFixed(0)} bytes a record on the wire; ${found.join('; ')}`
    )
    console.log(`with all ${records} files: ${await listingOf(b)}`)
  } finally {
    await b.stop()
    wire.close()
  }
}

/** The wire between the two nodes, which can be cut. A node that was cut off may then dial the other directly. */
async function openWire(to: number): Promise<{ port: number; bytes(): number; cut(): void; close(): void }> {
  const sockets = new Set<Socket>()
  let bytes = 0
  const server = createServer(near => {
    const far = connect(to, '127.0.0.1')
    for (const [socket, other] of [
      [near, far],
      [far, near]
    ] as const) {
      sockets.add(socket)
      socket.on('data', chunk => {
        bytes += chunk.byteLength
      })
      socket.on('error', () => other.destroy())
      socket.on('close', () => other.destroy())
      socket.pipe(other)
    }
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const cut = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  const { port } = server.address() as AddressInfo
  return { port, bytes: () => bytes, cut, close: () => server.close(cut) }
}

/** Lists a directory and reads a file of it, while the newcomer is catching up. Undefined if it is not there yet. */
async function firstUse({ client }: Daemon, began: number): Promise<string | undefined> {
  const never = new AbortController().signal
  const ms = performance.now()
  const items = client.stream('list', { path: '/many/0', recursive: false }, never)
  const listed: unknown[] = []
  try {
    for await (const item of items) listed.push(item)
  } catch (error) {
    // The directory has not arrived yet.
    if ((error as { code?: string }).code !== 'not-found') throw error
  }
  const listMs = performance.now() - ms
  const [first] = listed as Array<{ path: string }>
  if (first === undefined) return undefined
  for await (const _ of (await client.get(first.path, undefined, never)).body) {
    // Only the time counts.
  }
  const getMs = performance.now() - ms - listMs
  const atMs = performance.now() - began
  return `first file ${(atMs / 1000).toFixed(1)} s after the start (ls of ${listed.length} ${listMs.toFixed(0)} ms, get ${getMs.toFixed(0)} ms)`
}

/** How long a listing takes once all files are there: of one directory, and of everything. */
async function listingOf(daemon: Daemon): Promise<string> {
  const never = new AbortController().signal
  const one = await timeList(daemon, '/many/0', never)
  const all = await timeList(daemon, '/', never)
  return (
    `ls of ${one.count} ${one.ms.toFixed(1)} ms; ls -R of ${all.count} ${(all.ms / 1000).toFixed(1)} s, ` +
    `its first line after ${all.firstMs.toFixed(1)} ms; peak RSS ${mib(await daemon.peakRss())}`
  )
}

async function timeList({ client }: Daemon, path: string, signal: AbortSignal) {
  const began = performance.now()
  let count = 0
  let firstMs = Number.NaN
  for await (const _ of client.stream('list', { path, recursive: path === '/' }, signal)) {
    if (count++ === 0) firstMs = performance.now() - began
  }
  return { count, firstMs, ms: performance.now() - began }
}

function start(folder: string, keyFile: string, name: string, port?: number): Promise<Daemon> {
  const profile = process.env['DFS_CPU_PROF']
  return startDaemon({
    name,
    dataDir: join(folder, name),
    nodeArgs: profile === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', profile],
    args: [
      ...['--network-key-file', keyFile, '--no-mdns', '--api', '127.0.0.1:0', '--listen', '/ip4/127.0.0.1/tcp/0'],
      ...(port === undefined ? [] : ['--bootstrap', `/ip4/127.0.0.1/tcp/${port}`])
    ]
  })
}

/** Signs records in groups and appends them to the log of a new member, without the other steps of a put. */
async function fill(folder: string, keyFile: string, records: number): Promise<void> {
  const stack = await startAlone(join(folder, 'a'), parseNetworkKey(await readFile(keyFile, 'utf8')))
  try {
    const { author, catalog } = stack.fs
    const { id: rootEpoch, content: subkey } = author.epoch
    const signer = stack.fs.members.self.signer
    for (let first = 0; first < records; first += DIRECTORY_FILES) {
      const [directory] = (await catalog.mkdir(['many', String(first / DIRECTORY_FILES)], 3)).statements.slice(-1)
      const count = Math.min(GROUP, records - first)
      const statements = Array.from({ length: count }, (_, i) => {
        const content = Buffer.from(String((first + i) % 100_000).padStart(5))
        const root = inlineRoot(subkey, content)
        const at = { parent: directory?.fields.id as Uint8Array, name: `file ${first + i}` }
        const facts = { root, rootEpoch, size: content.byteLength, mtime: Date.now(), content }
        return author.createFile(systemChance.bytes(16), at, facts, 3)
      })
      await (stack.log as Log).append(statements, signer)
    }
  } finally {
    await stack.stop()
  }
}

/** Starts the rooms of a member that knows no other. */
async function startAlone(dataDir: string, networkKey: Uint8Array): Promise<Stack> {
  const options: NodeOptions = { dataDir, networkKey, mdns: false }
  const files = new MonitoredFiles(dataDir)
  const { storeId, capacityBytes: measuredBytes, isNew } = await openFormat(files, systemChance, debugLogger)
  return startStack({
    ...{ options, files, storeId, measuredBytes, isNew },
    platform: systemPlatform(options),
    secrets: await secretsOf(options, files),
    keep: async () => {},
    entryAddresses: [],
    clock: systemClock,
    chance: systemChance,
    logger: debugLogger,
    onEvent: () => {},
    onDoubt: () => {},
    listen: ['/ip4/127.0.0.1/tcp/0'],
    own: { replicas: 3, ack: undefined, chunker: undefined }
  })
}

/** All bytes that this network namespace has sent over its loopback. */
async function loopbackBytes(): Promise<number> {
  const line = (await readFile('/proc/net/dev', 'utf8')).split('\n').find(text => text.trim().startsWith('lo:')) ?? ''
  return Number(line.trim().split(/\s+/)[9] ?? 0)
}

/** What a process has in memory now. LevelDB maps its files, and their pages count too, though the system may drop them. */
async function memoryOf({ name, pid }: Daemon): Promise<string> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8')
  const [own, files] = ['RssAnon', 'RssFile'].map(
    field => Number(new RegExp(`${field}:\\s+(\\d+)`).exec(text)?.[1]) * 1024
  )
  return `${name} ${mib(own as number)} of its own and ${mib(files as number)} of files`
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`
}
