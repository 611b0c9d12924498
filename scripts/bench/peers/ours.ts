import { once } from 'node:events'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { Agent, type IncomingMessage, request } from 'node:http'
import { basename, join } from 'node:path'
import { formatNetworkKey, generateNetworkKey } from '../../../src/index.ts'
import { connected, type Daemon, startDaemon } from '../../lib/daemon.ts'
import type { Machine } from './machines.ts'
import type { Peer, Range, ReadTimes } from './peer.ts'
import { cpuSecondsOf, peakRssOf, run } from './processes.ts'

const PORT = 4001
const ALL = ['--replicas', 'all', '--ack', 'all']

/**
 * dfs-node: a daemon on each machine, with default settings, and `dfs` as a new process for each put and get. A put
 * waits until every machine has acknowledged the file, unless a workload says otherwise.
 */
export class Ours implements Peer {
  readonly restores = true
  private readonly root: string
  private readonly flags: readonly string[]
  private folder = ''
  private machines: readonly Machine[] = []
  private readonly daemons: Daemon[] = []
  private readonly lostRss: Record<string, number> = {}
  private clientRss = 0
  private isSenderLost = false
  private isSent = false

  /** Runs the dist in the folder `root`, with these flags of `dfs-node`. */
  constructor(root: string, flags: readonly string[] = []) {
    this.root = root
    this.flags = flags
  }

  async start(machines: readonly Machine[], folder: string): Promise<void> {
    this.machines = machines
    this.folder = folder
    const keyFile = join(folder, 'key')
    await writeFile(keyFile, formatNetworkKey(generateNetworkKey()), { mode: 0o600 })
    for (const [i, machine] of machines.entries()) {
      const first = this.daemons[0]
      const daemon = await startDaemon({
        name: nameOf(i),
        dataDir: this.storeOf(i),
        root: this.root,
        prefix: machine.at(),
        args: [
          ...['--no-mdns', '--network-key-file', keyFile, '--listen', `/ip4/${machine.address}/tcp/${PORT}`],
          ...(first === undefined ? ['--new'] : ['--bootstrap', first.multiaddrs[0] as string]),
          ...this.flags
        ]
      })
      this.daemons.push(daemon)
    }
    await connected(this.daemons)
  }

  async send(source: string): Promise<void> {
    await this.dfs(0, 'put', ...ALL, source, pathOf(source))
    this.isSent = true
  }

  async copyOn(index: number, source: string): Promise<string> {
    const copy = join(this.folder, 'copy', basename(source))
    await rm(copy, { recursive: true, force: true })
    await run(['mkdir', '-p', join(this.folder, 'copy')])
    await this.dfs(index, 'get', pathOf(source), copy)
    return copy
  }

  /** Frees what the machine holds of the file, and reads it over a connection that is open already. */
  async read(index: number, source: string, range?: Range): Promise<ReadTimes> {
    if (!this.isSent) await this.send(source)
    const { client, dataDir } = this.daemons[index] as Daemon
    await client.call('evict', { path: pathOf(source) })
    const api = JSON.parse(await readFile(join(dataDir, 'api.json'), 'utf8')) as { socket: string; token: string }
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const ask = async (path: string, headers: Record<string, string> = {}): Promise<IncomingMessage> => {
      const asked = request({
        socketPath: api.socket,
        agent,
        path,
        headers: { authorization: `Bearer ${api.token}`, ...headers }
      })
      asked.end()
      const [answer] = (await once(asked, 'response')) as [IncomingMessage]
      return answer
    }
    try {
      for await (const _ of await ask('/healthz'));
      const last = range === undefined ? '' : range.offset + range.length - 1
      const from = performance.now()
      const answer = await ask(`/v1/files${pathOf(source)}`, range && { range: `bytes=${range.offset}-${last}` })
      if (answer.statusCode !== (range ? 206 : 200)) throw new Error(`GET answered ${answer.statusCode}`)
      let [bytes, firstByteMs] = [0, 0]
      for await (const piece of answer as AsyncIterable<Buffer>) {
        if (bytes === 0) firstByteMs = performance.now() - from
        bytes += piece.byteLength
        if (range === undefined) break
      }
      return { firstByteMs, totalMs: performance.now() - from, bytes }
    } finally {
      agent.destroy()
    }
  }

  async loseSender(): Promise<void> {
    const [sender] = this.daemons
    if (this.isSenderLost || sender === undefined) return
    this.lostRss[sender.name] = peakRssOf(sender.pid)
    await sender.kill()
    this.isSenderLost = true
  }

  /** With the copies and acknowledgements of the default settings: to wait for all would be to wait for the frozen one. */
  async sendPast(frozen: number, source: string): Promise<void> {
    process.kill((this.daemons[frozen] as Daemon).pid, 'SIGSTOP')
    await this.dfs(0, 'put', source, pathOf(source))
  }

  storeOf(index: number): string {
    return join(this.folder, nameOf(index))
  }

  cpuSeconds(): number {
    return this.daemons.reduce((sum, { pid }) => sum + cpuSecondsOf(pid), 0)
  }

  peakRss(): Record<string, number> {
    const daemons = this.daemons.map(({ name, pid }) => [name, this.lostRss[name] ?? peakRssOf(pid)])
    return { ...Object.fromEntries(daemons), dfs: this.clientRss }
  }

  async stop(): Promise<void> {
    const left = this.daemons.slice(this.isSenderLost ? 1 : 0)
    // One that is frozen cannot stop.
    for (const { pid } of left) process.kill(pid, 'SIGCONT')
    await Promise.all(left.map(daemon => daemon.stop()))
  }

  private async dfs(index: number, ...args: string[]): Promise<void> {
    const program = [process.execPath, join(this.root, 'dist/bin/dfs.js'), '--data-dir', this.storeOf(index)]
    const machine = this.machines[index] as Machine
    this.clientRss = Math.max(this.clientRss, await run(machine.at(...program, ...args)))
  }
}

function nameOf(index: number): string {
  return String.fromCharCode('A'.charCodeAt(0) + index)
}

function pathOf(source: string): string {
  return `/bench/${basename(source)}`
}
