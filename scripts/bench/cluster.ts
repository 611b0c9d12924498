import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connected, type Daemon, startDaemon } from '../lib/daemon.ts'

/** Starts some daemons of one network on this machine, runs a workload, and ends them, whatever happens. */
export async function withCluster(
  size: number,
  work: (daemons: Daemon[]) => Promise<void>,
  args: readonly string[] = []
): Promise<void> {
  const folder = await mkdtemp(join(process.env['DFS_BENCH_DIR'] ?? tmpdir(), 'dfs-bench-'))
  const daemons: Daemon[] = []
  const profile = process.env['DFS_CPU_PROF']
  try {
    for (let i = 0; i < size; i++) {
      const first = daemons[0]
      daemons.push(
        await startDaemon({
          name: `node${i}`,
          dataDir: join(folder, `node${i}`),
          nodeArgs: [
            ...(process.env['DFS_NODE_ARGS']?.split(' ') ?? []),
            ...(profile === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', profile])
          ],
          args: [
            ...['--network-key-file', join(folder, 'key'), '--no-mdns', '--api', '127.0.0.1:0'],
            ...['--listen', '/ip4/127.0.0.1/tcp/0'],
            ...(first === undefined ? ['--new'] : ['--bootstrap', first.multiaddrs[0] as string]),
            ...args
          ]
        })
      )
    }
    await connected(daemons)
    await work(daemons)
  } finally {
    await Promise.all(daemons.map(daemon => daemon.stop()))
    await rm(folder, { recursive: true, force: true })
  }
}

/** Times a piece of work, with the processor seconds that each daemon spent on it. */
export async function measured(
  daemons: readonly Daemon[],
  work: () => Promise<void>
): Promise<{ s: number; cpu: number[] }> {
  const before = await Promise.all(daemons.map(daemon => daemon.cpuSeconds()))
  const started = performance.now()
  await work()
  const s = (performance.now() - started) / 1000
  const after = await Promise.all(daemons.map(daemon => daemon.cpuSeconds()))
  return { s, cpu: after.map((seconds, i) => seconds - (before[i] as number)) }
}

export async function printMemory(daemons: readonly Daemon[]): Promise<void> {
  for (const daemon of daemons)
    console.log(`${daemon.name}: peak RSS ${((await daemon.peakRss()) / 2 ** 20).toFixed(0)} MiB`)
}

/** A stream of so many random bytes, made from one random buffer: what is measured is not the generator. */
export async function* randomStream(bytes: number, random: Buffer, seed = 0): AsyncGenerator<Buffer> {
  const slice = 256 << 10
  for (let sent = 0; sent < bytes; sent += slice) {
    const at = sent % random.byteLength
    const piece = Buffer.from(random.subarray(at, at + Math.min(slice, bytes - sent)))
    // So that no two chunks are equal: neither of the file, nor of one with another seed.
    piece.writeDoubleBE(sent, 0)
    piece.writeDoubleBE(seed, 8)
    yield piece
  }
}
