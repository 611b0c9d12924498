import type { PutOptions, RestoreResult, VersionItem } from '../../../src/api.ts'
import type { DfsNode } from '../../../src/index.ts'
import type { Log } from '../../../src/log/log.ts'
import type { DfsError } from '../../../src/util/errors.ts'
import { adminSecrets, type GrantOptions, grantedSecrets } from '../../fixtures/member.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'
import type { Content } from '../whole/contents.ts'
import type { Machine } from '../whole/machine.ts'
import type { DiskBackup } from '../whole/sim-files.ts'
import { describe, isRefusal, NETWORK_KEY, World } from '../whole/world.ts'
import { hasAllBlocks, hasBlock } from './blocks.ts'
import { type Known, Records, type SeenRecord } from './records.ts'

export type VerbName = 'put' | 'rm' | 'purge' | 'cancel' | 'mv' | 'cp' | 'restore'

/** One verb that a machine was asked for, and how it ended. Times are in ms of the calendar. */
export interface Deed {
  n: number
  kind: VerbName
  machine: string
  path: string
  content?: Content
  startMs: number
  endMs: number
  /** `refused`: it had no effect; `unknown`: it may have had one. */
  outcome: 'pending' | 'ok' | 'refused' | 'unknown'
  /** The tags that the machine showed at the path when it began. */
  saw: ReadonlyMap<string, string>
  /** The records of its machine and this path's content that existed before it began. */
  before: ReadonlySet<string>
}

type Role = NonNullable<GrantOptions['role']>

export interface Backup {
  disk: DiskBackup
  known: Known
  atMs: number
}

/** A network of machines of several roles, in which files have a past: they are overwritten, removed, purged, restored. */
export class History {
  readonly world: World
  readonly records: Records
  readonly deeds: Deed[] = []
  readonly backups = new Map<Machine, Backup[]>()
  /** Contents of which a block was on one disk only, and was lost when a backup was restored there. */
  readonly gone = new Set<string>()
  /** Records that were lost in the same way, and may come back. */
  readonly erased: SeenRecord[] = []
  /** The shortest and the longest time for which versions were ever to be kept. */
  readonly days = { least: 30, most: 30 }
  readonly #roles: readonly Role[]
  readonly #watched = new WeakSet<object>()
  /** When the last process of each machine ended, until the next one is watched, in ms of the calendar. */
  readonly #endedMs = new Map<Machine, number>()

  constructor({ seed, machines, isLogging }: { seed: number; machines: number; isLogging?: boolean | undefined }) {
    const chance = seededChance(seed ^ 0x40135)
    const roles = Array.from({ length: machines }, (_, i) => {
      const draw = chance.fraction()
      return i === 0 || draw < 0.4 ? 'admin' : draw < 0.9 ? 'writer' : ('reader' as Role)
    })
    this.#roles = roles
    this.world = new World({
      seed,
      machines,
      isLogging,
      secretsOf: name => {
        const role = roles['abcdefgh'.indexOf(name)] as Role
        if (role === 'admin') return undefined
        return (clock, chance) =>
          grantedSecrets(adminSecrets(NETWORK_KEY, clock, seededChance(seed)), clock, chance, { role, name })
      }
    })
    this.world.say(`roles: ${roles.join(' ')}`)
    this.records = new Records({
      machineOf: peer => this.world.machineOf(peer)?.name ?? '?',
      nowMs: () => this.world.time.calendarMs
    })
  }

  get nowMs(): number {
    return this.world.time.calendarMs
  }

  roleOf(machine: Machine): Role {
    return this.#roles[this.world.machines.indexOf(machine)] as Role
  }

  /** Hears of all records that the running machines project. Call it often: each start has a log of its own. */
  watch(): void {
    for (const machine of this.world.machines) {
      const { stack, name, process } = machine
      if (stack === undefined || this.#watched.has(stack)) continue
      this.#watched.add(stack)
      this.records.watch(name, stack.log as unknown as Log, this.#endedMs.get(machine) ?? this.nowMs)
      this.#endedMs.delete(machine)
      process.onDeath(() => this.#endedMs.set(machine, this.nowMs))
    }
  }

  // Verbs

  async put(machine: Machine, path: string, content: Content, options: PutOptions): Promise<void> {
    await this.#do({ kind: 'put', machine, path, content }, ` content ${content.n}`, async node => {
      const { tag, reached, wanted } = await node.put(path, content.bytes, options)
      if (tag !== content.tag) this.world.fault('wrong tag', `put of content ${content.n} is not what was put`)
      return ` reached ${reached.map(peer => this.world.machineOf(peer)?.name ?? '?').join('')} of ${wanted}`
    })
  }

  async remove(machine: Machine, path: string, options: { recursive: boolean; purge: boolean }): Promise<void> {
    const kind = options.purge ? 'purge' : 'rm'
    await this.#do({ kind, machine, path }, options.recursive ? ' -r' : '', async node => {
      await node.remove(path, options)
      return ''
    })
  }

  async cancel(machine: Machine, path: string): Promise<void> {
    await this.#do({ kind: 'cancel', machine, path }, '', async node => {
      await node.cancelPurge(path)
      return ''
    })
  }

  async move(machine: Machine, path: string, to: string): Promise<void> {
    await this.#do({ kind: 'mv', machine, path }, ` ${to}`, async node => {
      await node.move(path, to)
      return ''
    })
  }

  async copy(machine: Machine, path: string, to: string): Promise<void> {
    await this.#do({ kind: 'cp', machine, path }, ` ${to}`, async node => {
      await node.copy(path, to)
      return ''
    })
  }

  async restore(machine: Machine, path: string, version?: VersionItem): Promise<void> {
    const options = version === undefined ? {} : { version: version.version }
    await this.#do({ kind: 'restore', machine, path }, ` ${version?.version.slice(0, 8) ?? ''}`, async node => {
      const { restored, files, left }: RestoreResult = await node.restore(path, options)
      return ` ${restored?.slice(0, 8) ?? `${files} files, ${left} left`}`
    })
  }

  async #do(
    { kind, machine, path, content }: { kind: VerbName; machine: Machine; path: string; content?: Content },
    details: string,
    work: (node: DfsNode) => Promise<string>
  ): Promise<void> {
    const { world } = this
    const { node, process } = machine
    if (node === undefined) return
    const deed: Deed = {
      n: this.deeds.length,
      kind,
      machine: machine.name,
      path,
      ...(content === undefined ? {} : { content }),
      startMs: this.nowMs,
      endMs: Number.POSITIVE_INFINITY,
      outcome: 'pending',
      saw: (await world.shownAt(machine, [path])) ?? new Map(),
      before: new Set(this.records.knownTo(machine.name).keys())
    }
    this.deeds.push(deed)
    const saw = [...deed.saw].map(([at, tag]) => `${at}=${world.nameOfTag(tag)}`).join(' ')
    world.say(`${machine.name} #${deed.n} ${kind} ${path}${details} sees {${saw}}`)
    const end = (outcome: Deed['outcome'], text: string): void => {
      if (deed.outcome !== 'pending') return
      deed.outcome = outcome
      deed.endMs = this.nowMs
      world.say(`${machine.name} #${deed.n} ${text}`)
    }
    const running = work(node).then(
      text => (process.isDead ? end('unknown', 'died') : end('ok', `ok${text}`)),
      (error: unknown) => {
        if (process.isDead) return end('unknown', 'died')
        world.checkError(machine, error)
        end(isRefusal(error as DfsError) ? 'refused' : 'unknown', describe(error))
      }
    )
    const died = new Promise<void>(resolve => process.onDeath(resolve)).then(() => end('unknown', 'died'))
    world.track(Promise.race([running, died]))
  }

  // Backups

  backUp(machine: Machine): void {
    const { name, disk } = machine
    this.world.say(`${name} is backed up`)
    const all = this.backups.get(machine) ?? []
    all.push({ disk: disk.backup(), known: this.records.copyOf(name), atMs: this.nowMs })
    this.backups.set(machine, all.slice(-3))
  }

  /** Replaces the disk of a dead machine by a backup. All that only that disk had is lost. */
  rollBack(machine: Machine, { disk, known, atMs }: Backup): void {
    const { world } = this
    const others = world.machines.filter(other => other !== machine)
    const held = world.contents.all.filter(content => content.blocks.length > 0 && hasAllBlocks(machine, content))
    machine.disk.restore(disk)
    this.#endedMs.set(machine, atMs)
    for (const { tag, blocks } of held) {
      const isGone = blocks.some(block => ![machine, ...others].some(other => hasBlock(other, block)))
      if (isGone) this.gone.add(tag)
    }
    const erased = this.records.rollBack(machine.name, known)
    this.erased.push(...erased)
    if (this.gone.size > 0) world.hasLostBlocks = true
    const hours = ((this.nowMs - atMs) / 3_600_000).toFixed(1)
    const lost = erased.map(({ id }) => id.slice(0, 6)).join(' ')
    world.say(`${machine.name} gets the backup of ${hours} h ago; records lost for good: ${lost || 'none'}`)
  }
}
