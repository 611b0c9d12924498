import { type ChildProcess, spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Client } from '../../src/cli/client.ts'
import { poll } from './poll.ts'
import { PROGRAMS } from './programs.ts'

const ROOT = join(import.meta.dirname, '../..')
const START_MS_MAX = 300_000

/** A `dfs-node` process, and a client that talks to it as `dfs` does. */
export interface Daemon {
  name: string
  dataDir: string
  client: Client
  peerId: string
  network: string
  multiaddrs: string[]
  pid: number
  /** What it has written to stderr. */
  log(): string
  /** Seconds of processor time, user and system. Linux. */
  cpuSeconds(): Promise<number>
  /** The most memory that it ever had resident, in bytes. Linux. */
  peakRss(): Promise<number>
  /** Asks it to stop and resolves with its exit code. */
  stop(): Promise<number | null>
  /** Kills it with `kill -9` and waits until it is gone. */
  kill(): Promise<void>
}

export interface DaemonOptions {
  name: string
  dataDir: string
  args?: string[]
  /** Run the sources, which need no build, or what `npm test` has bundled from them, in place of dist. */
  fromSource?: boolean
  /** The folder that holds the dist to run. By default that of this repository. */
  root?: string
  nodeArgs?: string[]
  /** A command to run it under, such as one that enters a network namespace. */
  prefix?: string[]
}

/** Starts a daemon and waits until it answers. Throws what it wrote to stderr if it does not start. */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const { name, dataDir, args = [], fromSource = false, nodeArgs = [], prefix = [], root = ROOT } = options
  const program = join(fromSource ? PROGRAMS : join(root, 'dist/bin'), 'dfs-node.js')
  const command = [
    ...prefix,
    process.execPath,
    ...nodeArgs,
    program,
    '--data-dir',
    dataDir,
    '--name',
    name,
    '--json',
    ...args
  ]
  const child = spawn(command[0] as string, command.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] })
  const pid = child.pid as number
  let log = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text
  })
  const exited = new Promise<number | null>(resolve => child.once('exit', code => resolve(code)))
  const ready = await readyEvent(child, exited, () => log)
  const client = await Client.open({ dataDir })
  return {
    name,
    dataDir,
    client,
    pid,
    ...ready,
    log: () => log,
    cpuSeconds: async () => {
      const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? []
      return (Number(fields[11]) + Number(fields[12])) / 100
    },
    peakRss: async () => {
      const text = await readFile(`/proc/${pid}/status`, 'utf8')
      return Number(/VmHWM:\s+(\d+) kB/.exec(text)?.[1]) * 1024
    },
    async stop() {
      client.close()
      child.kill('SIGTERM')
      return exited
    },
    async kill() {
      client.close()
      child.kill('SIGKILL')
      await exited
    }
  }
}

interface Ready {
  peerId: string
  network: string
  multiaddrs: string[]
}

async function readyEvent(child: ChildProcess, exited: Promise<number | null>, log: () => string): Promise<Ready> {
  const { promise, resolve, reject } = Promise.withResolvers<Ready>()
  const timer = setTimeout(() => reject(new Error(`the node did not come up:\n${log()}`)), START_MS_MAX)
  createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', line => {
    const event = JSON.parse(line) as Ready & { event: string }
    if (event.event === 'ready') resolve(event)
  })
  void exited.then(code => reject(new Error(`the node ended with exit code ${code}:\n${log()}`)))
  try {
    return await promise
  } finally {
    clearTimeout(timer)
  }
}

/** Waits until something holds. A check that fails says that it does not hold. */
export function until(what: string, holds: () => Promise<boolean>, msMax = 60_000): Promise<void> {
  return poll(what, () => holds().catch(() => false), { msMax, pauseMs: 25 })
}

/** Machines that look for each other again need up to 50 s on a busy computer. */
const CONNECT_MS_MAX = 180_000

/** Waits until each of the daemons is connected to all the others. */
export async function connected(daemons: readonly Daemon[]): Promise<void> {
  for (const { client, name } of daemons) {
    await until(
      `${name} connected to all`,
      async () => (await client.call('status', {})).peersConnected >= daemons.length - 1,
      CONNECT_MS_MAX
    )
  }
}
