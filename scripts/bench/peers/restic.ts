import { spawn } from 'node:child_process'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from '../../lib/daemon.ts'
import type { Machine } from './machines.ts'
import type { Peer, Range, ReadTimes } from './peer.ts'
import { run, Service } from './processes.ts'

const PORT = 8_000

/**
 * restic: one backup from the first machine to each of the others, where `rclone serve restic` stores it. Encrypted;
 * nobody but the sender can read it, and the server does not wait for the disk.
 */
export class Restic implements Peer {
  readonly restores = true
  private machines: readonly Machine[] = []
  private folder = ''
  private readonly services: Service[] = []
  private clientRss = 0
  private isSent = false

  async start(machines: readonly Machine[], folder: string): Promise<void> {
    this.machines = machines
    this.folder = folder
    for (const [i, machine] of machines.entries()) {
      if (i === 0) continue
      await mkdir(this.storeOf(i))
      const address = `${machine.address}:${PORT}`
      const serve = ['rclone', 'serve', 'restic', this.storeOf(i), '--addr', address, '--config', '/dev/null']
      this.services.push(new Service(machine.at(...serve)))
      await until('restic has its server', async () => (await fetch(`http://${address}/`)).status > 0)
      await this.restic(i, 'init')
    }
  }

  async send(source: string): Promise<void> {
    await Promise.all(this.machines.slice(1).map((_, i) => this.restic(i + 1, 'backup', source)))
    this.isSent = true
  }

  async copyOn(index: number, source: string): Promise<string> {
    const target = join(this.folder, 'restored')
    await rm(target, { recursive: true, force: true })
    await this.restic(index, 'restore', 'latest', '--target', target)
    return join(target, source)
  }

  /** It cannot begin in the middle of a file, so a range costs all that is before it. */
  async read(index: number, source: string, range?: Range): Promise<ReadTimes> {
    if (!this.isSent) await this.send(source)
    const [program, ...args] = this.command(index, 'dump', 'latest', source)
    const from = performance.now()
    const child = spawn(program as string, args, {
      env: { ...process.env, ...this.env() },
      stdio: ['ignore', 'pipe', 'ignore']
    })
    const wanted = range === undefined ? 1 : range.offset + range.length
    let [bytes, firstByteMs] = [0, 0]
    for await (const piece of child.stdout as AsyncIterable<Buffer>) {
      if (bytes === 0) firstByteMs = performance.now() - from
      bytes += piece.byteLength
      if (bytes >= wanted) break
    }
    const totalMs = performance.now() - from
    child.kill('SIGKILL')
    return { firstByteMs, totalMs, bytes: range === undefined ? bytes : Math.min(bytes - range.offset, range.length) }
  }

  storeOf(index: number): string {
    return join(this.folder, `repository-${index}`)
  }

  cpuSeconds(): number {
    return this.services.reduce((sum, service) => sum + service.cpuSeconds(), 0)
  }

  peakRss(): Record<string, number> {
    const servers = this.services.map((service, i) => ['BC'[i], service.peakRss()])
    return { restic: this.clientRss, ...Object.fromEntries(servers) }
  }

  async stop(): Promise<void> {
    await Promise.all(this.services.map(service => service.stop()))
  }

  private async restic(index: number, ...args: string[]): Promise<void> {
    this.clientRss = Math.max(this.clientRss, await run(this.command(index, ...args), { env: this.env() }))
  }

  private command(index: number, ...args: string[]): string[] {
    const repository = `rest:http://${(this.machines[index] as Machine).address}:${PORT}/`
    return (this.machines[0] as Machine).at('restic', '-r', repository, ...args)
  }

  private env(): Record<string, string> {
    return { RESTIC_PASSWORD: 'bench', RESTIC_CACHE_DIR: join(this.folder, 'cache') }
  }
}
