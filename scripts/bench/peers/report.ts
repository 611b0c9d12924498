import { cpus, release, totalmem } from 'node:os'
import type { Figures } from './workloads.ts'
import { WORKLOADS } from './workloads.ts'

/** The peer that is in every run: each figure is also given as a multiple of what it did in the same round. */
export const YARDSTICK = 'raw-tcp'

/** One system in one workload of one round. */
export interface Run {
  round: number
  workload: string
  peer: string
  at: string
  /** The load average of the machine when the run began. */
  load: number
  figures: Figures
  /** The most memory of each process, in MiB. */
  rssMib: Record<string, number>
  /** Why there are no figures. */
  error?: string
}

export interface Results {
  startedAt: string
  minutes: number
  machine: string
  rounds: number
  /** By peer: its version, or why it was left out. */
  peers: Record<string, string>
  leftOut: Record<string, string>
  runs: Run[]
}

interface Row {
  workload: string
  figure: string
  label: string
  decimals: number
  /** Whether more is better. A person reads ratios by it. */
  more?: boolean
}

/** What the table shows, in its order. */
const ROWS: readonly Row[] = [
  { workload: 'a', figure: 'mbPerS', label: 'MB/s', decimals: 0, more: true },
  { workload: 'a', figure: 'cpuS', label: 'CPU s', decimals: 2 },
  { workload: 'a', figure: 'backS', label: 'get back from one disk, s', decimals: 2 },
  { workload: 'a', figure: 'backCpuS', label: 'get back, CPU s', decimals: 2 },
  { workload: 'b', figure: 'mbPerS', label: 'MB/s', decimals: 0, more: true },
  { workload: 'b', figure: 'cpuS', label: 'CPU s', decimals: 2 },
  { workload: 'c', figure: 'filesPerS', label: 'files/s', decimals: 0, more: true },
  { workload: 'c', figure: 'cpuS', label: 'CPU s', decimals: 2 },
  { workload: 'c', figure: 'backS', label: 'get back from one disk, s', decimals: 2 },
  { workload: 'c20k', figure: 'filesPerS', label: 'files/s', decimals: 0, more: true },
  { workload: 'c20k', figure: 'cpuS', label: 'CPU s', decimals: 2 },
  { workload: 'c20k', figure: 'backS', label: 'get back from one disk, s', decimals: 2 },
  { workload: 'docs', figure: 'mbPerS', label: 'MB/s', decimals: 1, more: true },
  { workload: 'docs', figure: 'cpuS', label: 'CPU s', decimals: 2 },
  { workload: 'photos', figure: 'mbPerS', label: 'MB/s', decimals: 1, more: true },
  { workload: 'photos', figure: 'cpuS', label: 'CPU s', decimals: 2 },
  { workload: 'd', figure: 'mbPerS', label: 'MB/s, summed', decimals: 0, more: true },
  { workload: 'd', figure: 'cpuS', label: 'CPU s', decimals: 2 },
  { workload: 'thin', figure: 'seconds', label: 's', decimals: 2 },
  { workload: 'thin', figure: 'uplinkRatio', label: 'times that the file left its sender', decimals: 2 },
  { workload: 'e', figure: 'firstByteMs', label: 'first byte, ms', decimals: 1 },
  { workload: 'e', figure: 'rangeMs', label: '1 MiB from the middle, ms', decimals: 1 },
  { workload: 'f', figure: 'changedMb', label: '1 MiB overwritten: MB sent', decimals: 2 },
  { workload: 'f', figure: 'insertedMb', label: '10 bytes inserted: MB sent', decimals: 2 },
  { workload: 'frozen', figure: 'frozenS', label: 'put, s', decimals: 2 }
]

export function machineText(): string {
  const cores = cpus()
  const gib = (totalmem() / 2 ** 30).toFixed(0)
  return `${cores.length} × ${cores[0]?.model ?? 'unknown'}, ${gib} GiB, Linux ${release()}, Node ${process.versions.node}`
}

/** Returns the results as a table: medians, and in brackets the median of the multiples of the yardstick. */
export function markdown(results: Results): string {
  const names = Object.keys(results.peers)
  const lines = [
    '# dfs-node and its peers',
    '',
    `${results.startedAt}, ${results.rounds} rounds in ${results.minutes.toFixed(1)} minutes on ${results.machine}.`,
    `Load average when a run began: ${loads(results.runs)}.`,
    '',
    ...names.map(name => `- ${name}: ${results.peers[name]}`),
    ...Object.entries(results.leftOut).map(([name, why]) => `- ${name} was left out: ${why}`),
    '',
    `Medians of the rounds. In brackets: the multiple of ${YARDSTICK} in the same round. CPU is of all processes.`,
    '',
    `| workload | | ${names.join(' | ')} |`,
    `| --- | --- |${' ---: |'.repeat(names.length)}`
  ]
  for (const row of ROWS.filter(({ workload }) => results.runs.some(run => run.workload === workload))) {
    const cells = names.map(name => cell(results, name, row))
    lines.push(`| ${row.workload}: ${WORKLOADS[row.workload]?.title} | ${row.label} | ${cells.join(' | ')} |`)
  }
  for (const workload of new Set(results.runs.map(run => run.workload))) {
    const cells = names.map(name => memory(results, name, workload))
    lines.push(`| ${workload} | peak RSS, MiB | ${cells.join(' | ')} |`)
  }
  const failed = results.runs.filter(run => run.error !== undefined)
  if (failed.length > 0) lines.push('', 'Failed:', '')
  for (const run of failed) lines.push(`- round ${run.round}, ${run.workload}, ${run.peer}: ${run.error}`)
  return `${lines.join('\n')}\n`
}

/** The median over the rounds, or undefined if the system has no such figure. */
export function medianOf(results: Results, peer: string, workload: string, figure: string): number | undefined {
  return median(runsOf(results, peer, workload).flatMap(run => run.figures[figure] ?? []))
}

/** The median of the multiples of the yardstick, each taken within one round. */
export function ratioOf(results: Results, peer: string, workload: string, figure: string): number | undefined {
  return median(
    runsOf(results, peer, workload).flatMap(({ round, figures }) => {
      const yardstick = runsOf(results, YARDSTICK, workload).find(run => run.round === round)?.figures[figure]
      const own = figures[figure]
      return own === undefined || yardstick === undefined || yardstick === 0 ? [] : own / yardstick
    })
  )
}

function cell(results: Results, peer: string, { workload, figure, decimals }: Row): string {
  const value = medianOf(results, peer, workload, figure)
  if (value === undefined) return '–'
  const ratio = peer === YARDSTICK ? undefined : ratioOf(results, peer, workload, figure)
  const shown = value.toLocaleString('en', { minimumFractionDigits: decimals, maximumFractionDigits: decimals })
  return ratio === undefined ? shown : `${shown} (${ratio >= 10 ? ratio.toFixed(0) : ratio.toPrecision(2)} ×)`
}

/** The most of all rounds, by process. */
function memory(results: Results, peer: string, workload: string): string {
  const most: Record<string, number> = {}
  for (const { rssMib } of runsOf(results, peer, workload)) {
    for (const [name, mib] of Object.entries(rssMib)) most[name] = Math.max(most[name] ?? 0, mib)
  }
  return (
    Object.entries(most)
      .map(([name, mib]) => `${name} ${mib.toFixed(0)}`)
      .join(', ') || '–'
  )
}

function runsOf(results: Results, peer: string, workload: string): Run[] {
  return results.runs.filter(run => run.peer === peer && run.workload === workload && run.error === undefined)
}

function loads(runs: readonly Run[]): string {
  const values = runs.map(run => run.load)
  return `${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)}`
}

function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  if (sorted.length === 0) return undefined
  return sorted.length % 2 === 1 ? sorted[Math.floor(middle)] : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
}
