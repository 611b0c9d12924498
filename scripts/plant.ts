/**
 * Puts known faults back into the source, one at a time, and counts the seeds in which the simulator of whole nodes, or
 * the model of membership, or that of histories, finds each: `node scripts/plant.ts [--seeds N] [--first] [WORD]…`, with words, only the
 * faults whose names contain one of them; with `--first`, only until each is found once. It works on a copy of the
 * sources in a temporary folder.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { HISTORY_PLANTS } from '../test/simulation/history/plants.ts'
import { MEMBERSHIP_PLANTS } from '../test/simulation/membership-plants.ts'
import { type Edit, PLANTS, type Plant } from '../test/simulation/whole/plants.ts'

const root = join(import.meta.dirname, '..')
const args = process.argv.slice(2)
const seedsAt = args.indexOf('--seeds')
const seeds = seedsAt < 0 ? 100 : Number(args[seedsAt + 1])
const words = args.filter((arg, i) => !arg.startsWith('--') && i !== seedsAt + 1)
/** The longest run, because a fault may make a node loop for ever. */
const MS_MAX = 60 * 60_000

interface Line {
  seed: number
  kind: string | null
}

const folder = mkdtempSync(join(tmpdir(), 'dfs-plant-'))
try {
  for (const part of ['src', 'test', 'scripts']) cpSync(join(root, part), join(folder, part), { recursive: true })
  cpSync(join(root, 'package.json'), join(folder, 'package.json'))
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  console.log(`| fault | found in, of ${seeds} seeds | first | as |`)
  console.log('| --- | --- | --- | --- |')
  const none: Plant = { name: 'none', edits: [] }
  for (const { name, edits, model } of [none, ...PLANTS, ...MEMBERSHIP_PLANTS, ...HISTORY_PLANTS]) {
    if (words.length > 0 && !words.some(word => name.includes(word))) continue
    const before = new Map(edits.map(({ file }) => [file, readFileSync(join(folder, file))]))
    const isApplied = edits.every(apply)
    console.log(
      `| ${name} | ${isApplied ? (model === 'membership' ? countOfMembership() : count(model === 'history')) : 'does not fit the sources any more | | '} |`
    )
    for (const [file, bytes] of before) writeFileSync(join(folder, file), bytes)
  }
} finally {
  rmSync(folder, { recursive: true })
}

function apply({ file, find, replace }: Edit): boolean {
  const path = join(folder, file)
  const parts = readFileSync(path, 'utf8').split(find)
  if (parts.length !== 2) return false
  writeFileSync(path, parts.join(replace))
  return true
}

function count(isHistory: boolean): string {
  const command = [
    join(folder, 'scripts/simulate.ts'),
    '1',
    String(seeds),
    '--json',
    ...(isHistory ? ['--history'] : []),
    ...(args.includes('--first') ? ['--first'] : [])
  ]
  const { stdout, status, stderr, error } = spawnSync(process.execPath, command, {
    encoding: 'utf8',
    timeout: MS_MAX,
    maxBuffer: 64 << 20
  })
  if (stdout === null) throw error ?? new Error('the simulator could not be started')
  const lines = stdout
    .split('\n')
    .filter(line => line.endsWith('}'))
    .map(line => JSON.parse(line) as Line)
  const found = lines.filter(({ kind }) => kind !== null)
  const kinds = [...new Set(found.map(({ kind }) => kind))].join(', ')
  const note = status === 0 ? '' : ` (ended after ${lines.length}: ${stderr.split('\n')[0]})`
  return `${found.length}${note} | ${found[0]?.seed ?? ''} | ${kinds}`
}

/** The model of membership is a test, in which every seed is a test of its own. */
function countOfMembership(): string {
  const test = join(folder, 'test/simulation/membership.test.ts')
  const { stdout, error } = spawnSync(process.execPath, ['--test', '--test-reporter', 'tap', test], {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, DFS_SEEDS: String(seeds) },
    timeout: MS_MAX,
    maxBuffer: 64 << 20
  })
  if (error !== undefined) throw error
  const found = [...stdout.matchAll(/^ *not ok .*: seed (\d+)$/gm)].map(([, seed]) => seed)
  return `${found.length} | ${found[0] ?? ''} | membership`
}
