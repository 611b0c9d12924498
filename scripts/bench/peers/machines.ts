import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, readlinkSync } from 'node:fs'
import { until } from '../../lib/daemon.ts'

/** As large as that of loopback, so that a wire between machines is as fast as loopback. */
const MTU_BYTES = 65_535
const BRIDGE = 'dfsbench'
const SUBNET = '10.78.0'
const INSIDE = 'DFS_BENCH_INSIDE'
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
const INTERRUPTED = 130

/** A network namespace with an address of its own. */
export interface Machine {
  address: string
  /** Makes a command one that runs on this machine. */
  at(...command: string[]): string[]
}

/**
 * Runs this program again where it may build machines: in namespaces of its own, for networks and for processes. They
 * end with it, and so does every process that it has started. Returns only in that run. `onEnd` is called if that run
 * is to end early, by a signal or because the first one has gone.
 */
export async function enterNamespaces(onEnd: () => void): Promise<void> {
  if (process.env[INSIDE] === '1') {
    const end = (): void => {
      onEnd()
      process.exit(INTERRUPTED)
    }
    // The first process of a namespace ignores signals that it does not handle.
    for (const signal of SIGNALS) process.on(signal, end)
    process.on('disconnect', end)
    const bridge = `ip link add ${BRIDGE} mtu ${MTU_BYTES} type bridge && ip addr add ${SUBNET}.254/24 dev ${BRIDGE}`
    execFileSync('sh', ['-c', `ip link set lo up && ${bridge} && ip link set ${BRIDGE} up`])
    return
  }
  const asRoot = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user']
  const namespaces = [...asRoot, '--net', '--pid', '--fork', '--kill-child', '--mount-proc']
  const probe = spawnSync('unshare', [...namespaces, 'sh', '-c', 'command -v ip && command -v nsenter'])
  if (probe.status !== 0) {
    const why = probe.error?.message ?? probe.stderr.toString()
    console.error(`cannot make machines: ${why}
(this needs Linux with ip and unshare, and root)`)
    process.exit(1)
  }
  const inner = spawn('unshare', [...namespaces, process.execPath, ...process.argv.slice(1)], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, [INSIDE]: '1' }
  })
  // `unshare` does not pass signals on, but the inner run sees that we have disconnected.
  for (const signal of SIGNALS) process.on(signal, () => inner.connected && inner.disconnect())
  const [code] = (await once(inner, 'exit')) as [number | null]
  process.exit(code ?? 1)
}

/** Machines on one bridge, and the bytes that they send each other. */
export class Machines {
  private static made = 0
  private readonly holders: ChildProcess[] = []
  private readonly wires: string[] = []
  readonly all: Machine[] = []

  static async create(count: number): Promise<Machines> {
    const machines = new Machines()
    for (let i = 0; i < count; i++) await machines.add(`${SUBNET}.${i + 1}`)
    return machines
  }

  private async add(address: string): Promise<void> {
    const holder = spawn('unshare', ['--net', 'sleep', 'infinity'], { stdio: 'ignore' })
    this.holders.push(holder)
    const ours = readlinkSync('/proc/self/ns/net')
    await until('a machine has its namespace', async () => readlinkSync(`/proc/${holder.pid}/ns/net`) !== ours)
    const wire = `dfs${Machines.made++}`
    const at = (...command: string[]): string[] => ['nsenter', '--target', String(holder.pid), '--net', ...command]
    const outside = `ip link add ${wire} mtu ${MTU_BYTES} type veth peer name eth0 mtu ${MTU_BYTES} netns ${holder.pid} && ip link set ${wire} master ${BRIDGE} up`
    execFileSync('sh', ['-c', outside])
    const inside = at('sh', '-c', `ip link set lo up && ip addr add ${address}/24 dev eth0 && ip link set eth0 up`)
    execFileSync(inside[0] as string, inside.slice(1))
    this.wires.push(wire)
    this.all.push({ address, at })
  }

  /** The bytes that all machines, or one of them, have sent to others. */
  wireBytes(index?: number): number {
    const wires = index === undefined ? this.wires : [this.wires[index]]
    let sum = 0
    for (const line of readFileSync('/proc/net/dev', 'utf8').split('\n')) {
      const [name, counters] = line.trim().split(':')
      if (counters !== undefined && wires.includes(name as string)) sum += Number(counters.trim().split(/\s+/)[0])
    }
    return sum
  }

  /** Limits what a machine sends from now on, and with `bothWays` what it receives too. */
  limit(index: number, bitsPerS: number, { bothWays = false } = {}): void {
    const shape = (device: string): string[] => [
      ...['tc', 'qdisc', 'add', 'dev', device, 'root', 'tbf'],
      ...['rate', `${bitsPerS}bit`, 'burst', '256kb', 'latency', '100ms']
    ]
    const inside = (this.all[index] as Machine).at(...shape('eth0'))
    const outside = shape(this.wires[index] as string)
    for (const [program, ...args] of bothWays ? [inside, outside] : [inside]) execFileSync(program as string, args)
  }

  remove(): void {
    for (const holder of this.holders) holder.kill('SIGKILL')
  }
}
