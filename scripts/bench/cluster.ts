import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { createNode, formatNetworkKey, generateNetworkKey } from '../../src/index.ts'
import { type Daemon, startDaemon, until } from '../lib/daemon.ts'

/** A node that a workload puts to and gets from: a daemon, through its HTTP API, or a node in this process. */
export interface BenchNode {
  name: string
  multiaddrs: string[]
  put(path: string, body: Uint8Array | AsyncIterable<Uint8Array>, sizeBytes: number): Promise<{ reached: string[] }>
  get(path: string): Promise<AsyncIterable<Uint8Array>>
  evict(path: string): Promise<unknown>
  peersConnected(): Promise<number>
  /** Seconds of processor time so far. */
  cpuSeconds(): Promise<number>
  /** Bytes. */
  peakRss(): Promise<number>
  stop(): Promise<unknown>
}

/**
 * Starts two nodes of one network on this machine, runs a workload, and ends them, whatever happens. The second is a
 * daemon; so is the first, unless this process is given `--library`: then it is a node in this process. Small files are
 * sent to a daemon as `dfs put FOLDER` sends them, in a bundle; with `--single` each by a request of its own.
 */
export async function withPair(work: (a: BenchNode, b: BenchNode) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(process.env['DFS_BENCH_DIR'] ?? tmpdir(), 'dfs-bench-'))
  const networkKey = generateNetworkKey()
  const keyFile = join(folder, 'key')
  await writeFile(keyFile, formatNetworkKey(networkKey), { mode: 0o600 })
  const nodes: BenchNode[] = []
  try {
    const first = isLibrary ? await embedded(join(folder, 'a'), networkKey) : await daemon(join(folder, 'a'), keyFile)
    nodes.push(first)
    nodes.push(await daemon(join(folder, 'b'), keyFile, '--bootstrap', first.multiaddrs[0] as string))
    for (const { name, peersConnected } of nodes)
      await until(`${name} is connected`, async () => (await peersConnected()) === 1)
    await work(...(nodes as [BenchNode, BenchNode]))
    for (const { name, peakRss } of nodes)
      console.log(`${name}: peak RSS ${((await peakRss()) / 2 ** 20).toFixed(0)} MiB`)
  } finally {
    await Promise.all(nodes.map(node => node.stop()))
    await rm(folder, { recursive: true, force: true })
  }
}

const isLibrary = process.argv.includes('--library')
const isSingle = process.argv.includes('--single')

/** The numbers on the command line. */
export const numbers = process.argv
  .slice(2)
  .filter(argument => !argument.startsWith('--'))
  .map(Number)

const never = new AbortController().signal

async function daemon(dataDir: string, keyFile: string, ...args: string[]): Promise<BenchNode> {
  const profile = process.env['DFS_CPU_PROF']
  const node: Daemon = await startDaemon({
    name: basename(dataDir),
    dataDir,
    nodeArgs: [
      ...(process.env['DFS_NODE_ARGS']?.split(' ') ?? []),
      ...(profile === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', profile])
    ],
    args: [
      ...['--network-key-file', keyFile, '--no-mdns', '--api', '127.0.0.1:0', '--listen', '/ip4/127.0.0.1/tcp/0'],
      ...args
    ]
  })
  const { client, name, multiaddrs } = node
  const bundle = client.bundle({}, never)
  return {
    name,
    multiaddrs,
    put: (path, body, size) =>
      body instanceof Uint8Array && !isSingle ? bundle.put(path, body, {}) : client.put(path, body, { size }, never),
    get: async path => (await client.get(path, undefined, never)).body,
    evict: path => client.call('evict', { path }, never),
    peersConnected: async () => (await client.call('status', {})).peersConnected,
    cpuSeconds: () => node.cpuSeconds(),
    peakRss: () => node.peakRss(),
    stop: async () => {
      await bundle.end()
      await node.stop()
    }
  }
}

async function embedded(dataDir: string, networkKey: Uint8Array): Promise<BenchNode> {
  const node = await createNode({ dataDir, networkKey, mdns: false, listen: ['/ip4/127.0.0.1/tcp/0'] })
  return {
    name: 'this process',
    multiaddrs: node.multiaddrs,
    put: (path, body) => node.put(path, body),
    get: path => node.get(path),
    evict: path => node.evict(path),
    peersConnected: async () => (await node.status()).peersConnected,
    cpuSeconds: async () => {
      const { user, system } = process.cpuUsage()
      return (user + system) / 1e6
    },
    peakRss: async () => process.resourceUsage().maxRSS * 1024,
    stop: () => node.stop()
  }
}

/** Measures how long a piece of work takes, and how many processor seconds each node spends on it. */
export async function measured(
  nodes: readonly BenchNode[],
  work: () => Promise<void>
): Promise<{ s: number; cpu: string }> {
  const before = await Promise.all(nodes.map(node => node.cpuSeconds()))
  const started = performance.now()
  await work()
  const s = (performance.now() - started) / 1000
  const after = await Promise.all(nodes.map(node => node.cpuSeconds()))
  return { s, cpu: after.map((seconds, i) => (seconds - (before[i] as number)).toFixed(2)).join(' + ') }
}

/**
 * Yields this many random bytes. They are made from one random buffer, so that the benchmark does not measure the
 * generator.
 */
export async function* randomStream(bytes: number, random: Buffer, seed = 0): AsyncGenerator<Buffer> {
  const slice = 256 << 10
  for (let sent = 0; sent < bytes; sent += slice) {
    const at = sent % random.byteLength
    const piece = Buffer.from(random.subarray(at, at + Math.min(slice, bytes - sent)))
    // Makes each chunk differ from all others of this file, and from those of a file with another seed.
    piece.writeDoubleBE(sent, 0)
    piece.writeDoubleBE(seed, 8)
    yield piece
  }
}
