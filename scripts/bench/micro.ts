/**
 * Measures what single steps cost, against the size of what they work on, and draws each as curves on two logarithmic
 * axes: a line that is twice as steep as another grows with the square of it.
 */
import { execFileSync } from 'node:child_process'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { loadavg, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { listing } from './micro/listing.ts'
import type { Micro } from './micro/micro.ts'
import { rank } from './micro/rank.ts'
import { sealAndOpen } from './micro/seal.ts'
import { sources } from './micro/sources.ts'
import { verifyRecords } from './micro/verify.ts'
import { logPlot, type Series } from './peers/chart.ts'
import { machineLock } from './peers/lock.ts'
import { enterNamespaces } from './peers/machines.ts'
import { machineText } from './peers/report.ts'

const MICROS: Record<string, Micro> = { seal: sealAndOpen, rank, verify: verifyRecords, listing, sources }
/** These run daemons on machines of their own. */
const ON_MACHINES = ['sources']
const ROOT = join(import.meta.dirname, '../..')

const HELP = `npm run bench -- micro [--only ${Object.keys(MICROS).join(',')}] [--files-max 1000000] [--folder DIR]`
const { values } = parseArgs({
  options: {
    only: { type: 'string', default: Object.keys(MICROS).join(',') },
    'files-max': { type: 'string', default: '1000000' },
    folder: { type: 'string', default: process.env['DFS_BENCH_DIR'] ?? join(tmpdir(), 'dfs-bench') },
    help: { type: 'boolean', short: 'h', default: false }
  }
})
const names = values.only.split(',')
const unknown = names.find(name => !(name in MICROS))
if (values.help || unknown !== undefined) {
  console.error(unknown === undefined ? HELP : `no such measurement: ${unknown}\n\n${HELP}`)
  process.exit(values.help ? 0 : 2)
}
const folder = resolve(values.folder)
const work = join(folder, 'work', `micro-${Date.now()}`)
if (names.some(name => ON_MACHINES.includes(name))) {
  await enterNamespaces(() => {})
  execFileSync(process.execPath, [join(ROOT, 'scripts/build.ts')], { stdio: 'inherit' })
}

const results: Record<string, { title: string; x: string; y: string; series: Series[] }> = {}
const target = join(folder, 'results', `micro-${new Date().toISOString().slice(0, 16).replaceAll(':', '')}`)
await mkdir(join(folder, 'results'), { recursive: true })
try {
  using _lock = await machineLock()
  console.log(`${machineText()}, load average ${loadavg()[0]?.toFixed(1)}`)
  for (const name of names) {
    const { title, x, y, measure } = MICROS[name] as Micro
    console.log(`\n${title}`)
    const own = join(work, name)
    await mkdir(own, { recursive: true })
    try {
      const series = await measure({
        folder: own,
        filesMax: Number(values['files-max']),
        say: line => console.log(line)
      })
      results[name] = { title, x, y, series }
      await writeFile(`${target}-${name}.svg`, logPlot(title, x, y, series))
    } catch (error) {
      console.log(`failed: ${(error as Error).message}`)
    }
  }
  const about = { machine: machineText(), at: new Date().toISOString(), load: loadavg()[0] }
  await writeFile(`${target}.json`, `${JSON.stringify({ ...about, results }, null, 1)}\n`)
  console.log(`\nwritten to ${target}…`)
} finally {
  await rm(work, { recursive: true, force: true })
}
process.exit(0)
