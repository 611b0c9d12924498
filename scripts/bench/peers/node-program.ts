import { mkdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Machine } from './machines.ts'
import type { Peer, Range, ReadTimes } from './peer.ts'
import { Service } from './processes.ts'
import type { Program, Reply, Request } from './programs/serve.ts'

/** A peer that is a Node program in `programs/`, one process a machine. */
export class NodeProgram implements Peer {
  readonly restores = false
  private readonly program: string
  private readonly env: Record<string, string>
  private folder = ''
  private readonly driven: Driven[] = []
  private added: unknown

  constructor(program: string, env: Record<string, string> = {}) {
    this.program = join(import.meta.dirname, 'programs', `${program}.ts`)
    this.env = env
  }

  async start(machines: readonly Machine[], folder: string): Promise<void> {
    this.folder = folder
    let first: unknown
    for (const [i, machine] of machines.entries()) {
      await mkdir(join(this.storeOf(i), 'out'), { recursive: true })
      const driven = new Driven(machine.at(process.execPath, this.program), this.env)
      this.driven.push(driven)
      const opened = await driven.call('open', this.storeOf(i), machine.address)
      if (i === 0) first = opened
      else await driven.call('connect', first)
    }
  }

  async send(source: string): Promise<void> {
    this.added = await this.driven[0]?.call('add', source)
    const receivers = [...this.driven.entries()].slice(1)
    await Promise.all(receivers.map(([i, driven]) => driven.call('fetch', this.added, join(this.storeOf(i), 'out'))))
  }

  async copyOn(index: number, source: string): Promise<string> {
    const folder = join(this.storeOf(index), 'out')
    return (await stat(source)).isFile() ? join(folder, basename(source)) : folder
  }

  /** The receivers have fetched nothing yet, so the sender adds the file first. */
  async read(index: number, source: string, range?: Range): Promise<ReadTimes> {
    this.added ??= await this.driven[0]?.call('add', source)
    return (await (this.driven[index] as Driven).call(
      'read',
      this.added,
      ...(range === undefined ? [] : [range])
    )) as ReadTimes
  }

  storeOf(index: number): string {
    return join(this.folder, String(index))
  }

  cpuSeconds(): number {
    return this.driven.reduce((sum, { service }) => sum + service.cpuSeconds(), 0)
  }

  peakRss(): Record<string, number> {
    return Object.fromEntries(this.driven.map(({ service }, i) => ['ABC'[i], service.peakRss()]))
  }

  async stop(): Promise<void> {
    await Promise.all(this.driven.map(({ service }) => service.stop()))
  }
}

/** A process, and the calls to it that it has not answered. */
class Driven {
  readonly service: Service
  private readonly calls = new Map<number, PromiseWithResolvers<unknown>>()
  private last = 0

  constructor(command: readonly string[], env: Record<string, string>) {
    this.service = new Service(command, { env }, 'ipc')
    const { child } = this.service
    child.on('message', message => {
      const { id, result, error } = message as Reply
      const call = this.calls.get(id)
      if (error === undefined) call?.resolve(result)
      else call?.reject(new Error(error))
      this.calls.delete(id)
    })
    child.once('close', () => {
      for (const call of this.calls.values()) call.reject(new Error('the process ended'))
    })
  }

  call(verb: keyof Program, ...args: unknown[]): Promise<unknown> {
    const id = ++this.last
    const call = Promise.withResolvers<unknown>()
    this.calls.set(id, call)
    this.service.child.send({ id, verb, args } satisfies Request)
    return call.promise
  }
}
