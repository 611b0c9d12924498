/**
 * Measures what the move of a directory with many files costs: the time until the verb returns, the bytes that the
 * log grows by, and how long another member takes to show it. Both nodes are processes, on the loopback interface:
 *
 *     node scripts/bench/moves.ts [FILES]
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connected, type Daemon, startDaemon, until } from '../lib/daemon.ts'

const FILES = Number(process.argv[2] ?? 100_000)
const DFS = join(import.meta.dirname, '../../src/bin/dfs.js')

const folder = await mkdtemp(join(tmpdir(), 'dfs-moves-'))
const key = randomBytes(32)
const keyFile = join(folder, 'key')
await writeFile(keyFile, key.toString('hex'), { mode: 0o600 })
const daemons: Daemon[] = []
try {
  for (const name of ['a', 'b']) {
    const bootstrap = daemons.flatMap(({ multiaddrs }) => ['--bootstrap', multiaddrs[0] as string])
    const args = ['--network-key-file', keyFile, '--no-mdns', '--api', '127.0.0.1:0', ...bootstrap]
    const network = name === 'a' ? ['--new'] : []
    daemons.push(
      await startDaemon({
        ...{ name, dataDir: join(folder, name), fromSource: true },
        args: [...args, ...network, '--listen', '/ip4/127.0.0.1/tcp/0']
      })
    )
  }
  const [a, b] = daemons as [Daemon, Daemon]
  await connected(daemons)
  await fill(a)
  await until('the other has all files', async () => (await b.client.call('status', {})).files === FILES, 600_000)
  await a.client.call('mkdir', { path: '/some/place' })
  for (const [from, to] of [
    ['/full', '/some/place/with a longer path'],
    ['/some/place/with a longer path', '/full'],
    ['/full', '/again']
  ] as const)
    await move(a, b, from, to)
} finally {
  for (const daemon of daemons) await daemon.stop()
  await rm(folder, { recursive: true, force: true })
}

async function move(a: Daemon, b: Daemon, from: string, to: string): Promise<void> {
  const [logs, start] = [await logBytes(), performance.now()]
  await a.client.call('move', { from, to })
  const took = performance.now() - start
  await until('the other shows it', async () => {
    const found = b.client.call('stat', { path: `${to}/file-7.txt` })
    return found.then(() => true).catch(() => false)
  })
  const shown = performance.now() - start
  const now = await logBytes()
  const grown = now.map((bytes, i) => bytes - (logs[i] as number)).join(' and ')
  console.log(
    `${FILES} files: ${took.toFixed(0)} ms, ${shown.toFixed(0)} ms until the other shows it, log ${grown} bytes`
  )
}

/** Puts many small files into `/full`. */
async function fill({ dataDir }: Daemon): Promise<void> {
  const tree = join(folder, 'full')
  await mkdir(tree)
  for (let i = 0; i < FILES; i++) await writeFile(join(tree, `file-${i}.txt`), `content of ${i}`)
  const child = spawn(process.execPath, [DFS, '--data-dir', dataDir, 'put', tree, '/full'], { stdio: 'ignore' })
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error(`dfs put ended with ${code}`)
}

/** The bytes in the segments of each node. */
async function logBytes(): Promise<number[]> {
  return Promise.all(
    daemons.map(async ({ dataDir }) => {
      const path = join(dataDir, 'segments')
      const sizes = await Promise.all((await readdir(path)).map(async name => (await stat(join(path, name))).size))
      return sizes.reduce((sum, size) => sum + size, 0)
    })
  )
}
