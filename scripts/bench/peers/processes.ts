import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

const TICKS_PER_SECOND = 100
const COMMAND_MS_MAX = 280_000
/** How often the memory of a command is read. The kernel keeps the peak, so only the last moments can be missed. */
const MEMORY_EVERY_MS = 10
/** How much of what a failed command has printed its error shows. */
const SHOWN_CHARS_MAX = 400
const TERMINATE_MS_MAX = 5_000

export interface SpawnOptions {
  env?: Record<string, string>
  /** Called with each piece of stdout. By default, it is kept for error messages. */
  onOutput?: (piece: Buffer) => void
}

/** A process that runs all the time, and its children. */
export class Service {
  readonly pid: number
  readonly child: ChildProcess
  private readonly ended: Promise<void>

  constructor(command: readonly string[], options: SpawnOptions = {}, stdio: 'ignore' | 'ipc' = 'ignore') {
    this.child = spawn(command[0] as string, command.slice(1), {
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'ignore', stdio === 'ipc' ? 'inherit' : 'ignore', ...(stdio === 'ipc' ? ['ipc' as const] : [])]
    })
    this.pid = this.child.pid ?? 0
    this.ended = new Promise(resolve => this.child.once('close', () => resolve()))
  }

  cpuSeconds(): number {
    return cpuSecondsOf(this.pid)
  }

  peakRss(): number {
    return peakRssOf(this.pid)
  }

  async stop(): Promise<void> {
    this.child.kill('SIGTERM')
    const timer = setTimeout(() => this.child.kill('SIGKILL'), TERMINATE_MS_MAX)
    await this.ended
    clearTimeout(timer)
  }
}

/** Runs a command to its end, and returns the most memory that it had resident. Throws what it printed if it fails. */
export async function run(command: readonly string[], options: SpawnOptions = {}): Promise<number> {
  const child = spawn(command[0] as string, command.slice(1), {
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: COMMAND_MS_MAX,
    killSignal: 'SIGKILL'
  })
  const pid = child.pid ?? 0
  let printed = ''
  const keep = (piece: Buffer): void => {
    printed = (printed + piece.toString()).slice(-SHOWN_CHARS_MAX)
  }
  child.stdout.on('data', options.onOutput ?? keep)
  child.stderr.on('data', keep)
  let peak = 0
  const watch = setInterval(() => {
    peak = Math.max(peak, peakRssOf(pid))
  }, MEMORY_EVERY_MS)
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', resolve)
    })
    if (code !== 0) throw new Error(`${command.join(' ').slice(-120)}: exit code ${code}: ${printed.trim()}`)
    return peak
  } finally {
    clearInterval(watch)
  }
}

/** Returns what a command prints. */
export async function output(command: readonly string[], options: SpawnOptions = {}): Promise<string> {
  const pieces: Buffer[] = []
  await run(command, { ...options, onOutput: piece => pieces.push(piece) })
  return Buffer.concat(pieces).toString()
}

/** Kills, one by one, whatever this process has started and is still there: nothing outlives a measurement. */
export function endAll(): void {
  for (const pid of family(process.pid).slice(1)) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It has ended in the meantime.
    }
  }
}

/** Seconds of processor time of all commands that have ended: the kernel adds them up for their parent. */
export function commandSeconds(): number {
  return ticks('self', 13, 15)
}

/** Seconds of processor time of a process, its children, and those of its children that have ended. */
export function cpuSecondsOf(pid: number): number {
  return family(pid).reduce((sum, id) => sum + ticks(id, 11, 15), 0)
}

/** The most memory that a process and its children had resident, in bytes. */
export function peakRssOf(pid: number): number {
  return family(pid).reduce((sum, id) => {
    const kib = /VmHWM:\s+(\d+) kB/.exec(readProc(`${id}/status`))?.[1] ?? 0
    return sum + Number(kib) * 1024
  }, 0)
}

/** Adds up fields of /proc/PID/stat, counted from the one after the name. */
function ticks(pid: number | 'self', from: number, end: number): number {
  const fields = readProc(`${pid}/stat`).split(') ').at(-1)?.split(' ') ?? []
  return fields.slice(from, end).reduce((sum, field) => sum + Number(field), 0) / TICKS_PER_SECOND
}

function family(pid: number): number[] {
  const ids = [pid]
  for (const id of ids) {
    for (const thread of threadsOf(id)) {
      const children = readProc(`${id}/task/${thread}/children`).trim()
      if (children !== '') ids.push(...children.split(' ').map(Number))
    }
  }
  return ids
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`)
  } catch {
    return []
  }
}

/** Returns nothing for a process that has ended. */
function readProc(path: string): string {
  try {
    return readFileSync(`/proc/${path}`, 'utf8')
  } catch {
    return ''
  }
}
