/**
 * Measures dfs-node beside other systems, each as new processes on machines of its own (network namespaces), in turn,
 * round by round. Prints a table, and writes it with all figures as JSON and a drawing. README.md says how to read it.
 */
import { rmSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { loadavg, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { barChart } from './peers/chart.ts'
import { type TestData, testData } from './peers/data.ts'
import { installTarballs, PEER_NAMES, peerKind } from './peers/kinds.ts'
import { machineLock } from './peers/lock.ts'
import { enterNamespaces, Machines } from './peers/machines.ts'
import type { PeerKind } from './peers/peer.ts'
import { endAll, output } from './peers/processes.ts'
import { machineText, markdown, medianOf, type Results, type Run, ratioOf, YARDSTICK } from './peers/report.ts'
import { WORKLOADS } from './peers/workloads.ts'

/** A system that hangs must not stop the others. */
const RUN_MS_MAX = 300_000
/** On a busy machine it may take long, because others go on writing. */
const SYNC_MS_MAX = 20_000
const STOP_MS_MAX = 10_000
const MIB = 2 ** 20

const DEFAULT_PEERS = PEER_NAMES.filter(name => name !== 'helia')
const HELP = `npm run bench -- peers [--rounds 3] [--workloads ${Object.keys(WORKLOADS).join(',')}]
    [--peers ${PEER_NAMES.join(',')}] [--folder DIR]

--peers takes ours=PATH as well: another checkout that is built, or a tarball of npm pack.
By default all workloads, and all peers but helia. The test data (3 GB) and the results are in DIR, by default
$DFS_BENCH_DIR or ${join(tmpdir(), 'dfs-bench')}.`

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    workloads: { type: 'string', default: Object.keys(WORKLOADS).join(',') },
    peers: { type: 'string', default: DEFAULT_PEERS.join(',') },
    folder: { type: 'string', default: process.env['DFS_BENCH_DIR'] ?? join(tmpdir(), 'dfs-bench') },
    help: { type: 'boolean', short: 'h', default: false }
  }
})
const rounds = Number(values.rounds)
const workloads = values.workloads.split(',')
const unknown = workloads.find(name => !(name in WORKLOADS))
if (values.help || unknown !== undefined || !(rounds >= 1)) {
  console.error(unknown === undefined ? HELP : `no such workload: ${unknown}\n\n${HELP}`)
  process.exit(values.help ? 0 : 2)
}
const folder = resolve(values.folder)
const work = join(folder, 'work', String(Date.now()))
const names = new Set([...values.peers.split(','), YARDSTICK])
installTarballs([...names], folder)
await enterNamespaces(() => {
  endAll()
  rmSync(work, { recursive: true, force: true })
})
const from = performance.now()
try {
  await mkdir(work, { recursive: true })
  const results: Results = {
    startedAt: new Date().toISOString().slice(0, 16),
    minutes: 0,
    machine: machineText(),
    rounds,
    peers: {},
    leftOut: {},
    runs: []
  }
  const kinds = await findPeers(results)
  const data = await testData(join(folder, 'data'))
  for (let round = 1; round <= rounds; round++) {
    for (const workload of workloads) {
      for (const [peer, kind] of inTurn(kinds, round)) {
        const run = await measureRun({ round, workload, peer }, kind, data)
        if (run === undefined) continue
        results.runs.push(run)
        console.error(line(run))
        results.minutes = (performance.now() - from) / 60_000
        await write(results)
      }
    }
  }
  console.log(markdown(results))
  console.error(`written to ${join(folder, 'results')}`)
} finally {
  await rm(work, { recursive: true, force: true })
}
process.exit(0)

async function findPeers(results: Results): Promise<Array<[string, PeerKind]>> {
  const kinds: Array<[string, PeerKind]> = []
  for (const name of names) {
    try {
      const kind = peerKind(name, { folder, scratch: work })
      results.peers[name] = await kind.version()
      kinds.push([name, kind])
    } catch (error) {
      results.leftOut[name] = (error as Error).message
      console.error(`${name} is left out: ${(error as Error).message}`)
    }
  }
  return kinds
}

/** Begins each round with another system, so that none always runs on the leftovers of the same one. */
function inTurn<T>(items: readonly T[], round: number): T[] {
  const first = (round - 1) % items.length
  return [...items.slice(first), ...items.slice(0, first)]
}

/** Measures one system in one workload. Returns nothing if it cannot take part. */
async function measureRun(
  which: Pick<Run, 'round' | 'workload' | 'peer'>,
  kind: PeerKind,
  data: TestData
): Promise<Run | undefined> {
  const workload = WORKLOADS[which.workload]
  const peer = kind.make()
  if (workload === undefined || workload.suits?.(peer) === false) return undefined
  using _lock = await machineLock()
  const own = join(work, `${which.round}-${which.workload}-${which.peer.split('=')[0]}`)
  const run: Run = { ...which, at: new Date().toISOString(), load: loadavg()[0] as number, figures: {}, rssMib: {} }
  let machines: Machines | undefined
  try {
    await mkdir(own)
    // What earlier runs have left to be written must not slow this one down.
    await within(SYNC_MS_MAX, 'sync', output(['sync'])).catch(() => {})
    machines = await Machines.create(workload.machines)
    const setting = { peer, machines, data, folder: own }
    const measured = peer.start(machines.all, own).then(() => workload.run(setting))
    run.figures = await within(RUN_MS_MAX, 'the measurement', measured)
    for (const [name, bytes] of Object.entries(peer.peakRss())) run.rssMib[name] = bytes / MIB
  } catch (error) {
    run.error = (error as Error).message
  }
  await within(STOP_MS_MAX, 'the stop', peer.stop()).catch(() => {})
  endAll()
  machines?.remove()
  await rm(own, { recursive: true, force: true })
  return run
}

async function within<T>(msMax: number, what: string, work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(`${what} took more than ${msMax / 1000} s`)), msMax)
  try {
    return await Promise.race([work, promise])
  } finally {
    clearTimeout(timer)
  }
}

function line({ round, workload, peer, figures, load, error }: Run): string {
  const shown = Object.entries(figures).map(([name, value]) => `${name} ${value.toFixed(value < 10 ? 2 : 0)}`)
  return `round ${round}  ${workload.padEnd(6)} ${peer.padEnd(12)} ${error ?? shown.join('  ')}  (load ${load.toFixed(1)})`
}

/** Written after each run, so that a run that is interrupted leaves what it has. */
async function write(results: Results): Promise<void> {
  const target = join(folder, 'results', results.startedAt.replaceAll(':', ''))
  await mkdir(join(folder, 'results'), { recursive: true })
  await writeFile(`${target}.json`, `${JSON.stringify(results, null, 1)}\n`)
  await writeFile(`${target}.md`, markdown(results))
  await writeFile(`${target}.svg`, drawing(results))
}

function drawing(results: Results): string {
  const shown = {
    a: 'mbPerS',
    b: 'mbPerS',
    c: 'filesPerS',
    c20k: 'filesPerS',
    docs: 'mbPerS',
    photos: 'mbPerS',
    d: 'mbPerS'
  }
  const groups = Object.entries(shown).flatMap(([workload, figure]) => {
    const bars = Object.keys(results.peers).flatMap(name => {
      const value = medianOf(results, name, workload, figure)
      const ratio = ratioOf(results, name, workload, figure)
      if (value === undefined) return []
      return [{ name, value, label: `${value.toFixed(0)}${ratio === undefined ? '' : ` (${ratio.toFixed(2)} ×)`}` }]
    })
    const unit = figure === 'mbPerS' ? 'MB/s' : 'files/s'
    return bars.length === 0 ? [] : [{ title: `${workload}: ${WORKLOADS[workload]?.title}, ${unit}`, bars }]
  })
  return barChart(`dfs-node and its peers, in brackets the multiple of ${YARDSTICK}`, groups)
}
