/**
 * The demo: three nodes store pictures, drop them, fetch them back, lose a node, and fetch them again. Everything is
 * real: processes, sockets, disks, PNG files. It exits with 0 only if every byte came back each time.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { formatBytes } from '../src/terminal/units.ts'
import { connected, type Daemon, startDaemon, until } from './lib/daemon.ts'
import { makePng } from './lib/png.ts'

const PORTS = [3000, 4000, 5001]
const NAMES = ['first', 'second', 'third']
const PICTURES = 20
const SMALLEST = 10_000
const LARGEST = 20_000_000

interface Fetched {
  ms: number
  from: Array<{ peerId: string; bytes: number }>
}

interface Row {
  name: string
  bytes: number
  putMs: number
  fetched: Fetched[]
}

const keeps = process.argv.includes('--keep')
const folder = await mkdtemp(join(tmpdir(), 'dfs-demo-'))
const daemons: Daemon[] = []
let isCleaned = false
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void clean().then(() => process.exit(130)))
try {
  await run()
  await clean()
} catch (error) {
  console.error(`\nThe demo failed: ${(error as Error).message}`)
  for (const daemon of daemons) if (daemon.log() !== '') console.error(`\n${daemon.name} said:\n${daemon.log()}`)
  await clean()
  process.exitCode = 1
}

async function run(): Promise<void> {
  const [first, second, third] = await startCluster()
  const pictures = Array.from({ length: PICTURES }, (_, i) => {
    const bytes = SMALLEST * (LARGEST / SMALLEST) ** (i / (PICTURES - 1))
    return { name: `picture_${i}.png`, data: makePng(bytes, i + 1) }
  })
  const total = pictures.reduce((sum, { data }) => sum + data.byteLength, 0)
  const rows: Row[] = []

  say(`\nThe third node stores ${PICTURES} pictures, ${formatBytes(total)}, on all three.`)
  for (const { name, data } of pictures) {
    const started = performance.now()
    await third.client.put(`/pictures/${name}`, slices(data), { type: 'image/png' }, AbortSignal.timeout(120_000))
    rows.push({ name, bytes: data.byteLength, putMs: performance.now() - started, fetched: [] })
  }
  await until('all copies delivered', async () => (await third.client.call('status', {})).owed.blocks === 0)

  say('It drops its own copies, and fetches each picture back from the others.')
  await evictAll(third)
  for (const [i, { data }] of pictures.entries()) await fetchBack(third, rows[i] as Row, data, [first, second])

  say('It drops them once more; the first node is killed with -9; all come back from the second.')
  await evictAll(third)
  await first.kill()
  daemons.splice(daemons.indexOf(first), 1)
  for (const [i, { data }] of pictures.entries()) await fetchBack(third, rows[i] as Row, data, [second])

  printTable(rows, [first, second, third])
  say(`\nEvery byte came back, twice. On every disk they are encrypted.`)
  if (keeps) await stayUp()
}

async function startCluster(): Promise<[Daemon, Daemon, Daemon]> {
  const invite = join(folder, 'writer.invite')
  for (const [i, name] of NAMES.entries()) {
    const port = await freePort(PORTS[i] as number)
    const daemon = await startDaemon({
      name,
      dataDir: join(folder, name),
      args: [
        ...(i === 0 ? ['--new', '--invite-out', invite] : ['--join', invite]),
        ...['--listen', `/ip4/127.0.0.1/tcp/${port}`],
        ...['--api', '127.0.0.1:0', '--replicas', 'all', '--no-mdns']
      ]
    })
    daemons.push(daemon)
    say(`${name.padEnd(7)} ${daemon.multiaddrs[0]}`)
  }
  await connected(daemons)
  return daemons as [Daemon, Daemon, Daemon]
}

async function evictAll(daemon: Daemon): Promise<void> {
  const { left } = await daemon.client.call('evict', { path: '/pictures' }, AbortSignal.timeout(120_000))
  if (left.blocks > 0)
    throw new Error(`${left.blocks} blocks could not be dropped: the others did not prove that they hold them`)
}

async function fetchBack(daemon: Daemon, row: Row, data: Buffer, sources: Daemon[]): Promise<void> {
  const started = performance.now()
  const download = await daemon.client.get(`/pictures/${row.name}`, undefined, AbortSignal.timeout(120_000))
  const parts: Buffer[] = []
  for await (const part of download.body) parts.push(part)
  const ms = performance.now() - started
  if (!Buffer.concat(parts).equals(data)) throw new Error(`${row.name} came back with other bytes`)
  const from = await download.from()
  const strange = from.find(({ peerId }) => !sources.some(source => source.peerId === peerId))
  if (strange !== undefined) throw new Error(`${row.name} came from a node that should not have it`)
  row.fetched.push({ ms, from })
}

function printTable(rows: readonly Row[], all: readonly Daemon[]): void {
  const nameOf = (peer: string): string => all.find(({ peerId }) => peerId === peer)?.name ?? peer.slice(-6)
  const sources = ({ from }: Fetched): string =>
    from.map(({ peerId, bytes }) => `${nameOf(peerId)} ${formatBytes(bytes)}`).join(', ')
  const ms = (value: number): string => `${value.toFixed(0)} ms`
  const header = ['picture', 'size', 'stored', 'fetched', 'from', 'fetched again', 'from']
  const cells = rows.map(({ name, bytes, putMs, fetched: [once, again] }) => [
    name,
    formatBytes(bytes),
    ms(putMs),
    ms((once as Fetched).ms),
    sources(once as Fetched),
    ms((again as Fetched).ms),
    sources(again as Fetched)
  ])
  const widths = header.map((text, column) =>
    Math.max(text.length, ...cells.map(row => (row[column] as string).length))
  )
  say('')
  for (const row of [header, ...cells]) say(row.map((text, column) => text.padEnd(widths[column] as number)).join('  '))
}

async function stayUp(): Promise<void> {
  say('\nTwo of the three nodes stay up until you press Ctrl-C. Try, in another terminal:')
  for (const { dataDir } of daemons)
    say(`  node_modules/.bin/node dist/bin/dfs.js --data-dir ${dataDir} ls -l /pictures`)
  await new Promise(() => setInterval(() => {}, 60_000))
}

/** The port, or 0 for a free one if it is taken. */
async function freePort(port: number): Promise<number> {
  const isFree = await new Promise<boolean>(resolve => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
  if (!isFree) say(`Port ${port} is taken: another one will do.`)
  return isFree ? port : 0
}

async function* slices(data: Buffer): AsyncGenerator<Buffer> {
  for (let start = 0; start < data.byteLength; start += 256 << 10) yield data.subarray(start, start + (256 << 10))
}

async function clean(): Promise<void> {
  if (isCleaned) return
  isCleaned = true
  await Promise.all(daemons.map(daemon => daemon.stop()))
  await rm(folder, { recursive: true, force: true })
}

function say(text: string): void {
  console.log(text)
}
