import { hash } from 'node:crypto'
import type { DfsNode, GetOptions, NodeEvent, PutOptions } from '../../../src/api.ts'
import { idOf } from '../../../src/format/statement.ts'
import { SMALL_FILE_BYTES_MAX } from '../../../src/fs/constants.ts'
import { PartlyDoneError } from '../../../src/fs/partly-done.ts'
import type { Log } from '../../../src/log/log.ts'
import { toHex } from '../../../src/util/bytes.ts'
import type { Chance } from '../../../src/util/chance.ts'
import { DfsError, isAbort } from '../../../src/util/errors.ts'
import type { ComponentLogger } from '../../../src/util/logger.ts'
import { loggerTo, silentLogger } from '../../fixtures/logger.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'
import { forgetBlock, hasBlock, isDurable, isLarge } from './blocks-on-disk.ts'
import { type BlockOfContent, type Content, Contents } from './contents.ts'
import { Hostile } from './hostile.ts'
import { Machine, type MachineInit } from './machine.ts'
import { hasConflict, Model, nameOf, plain, type Verb } from './model.ts'
import { observing } from './sim-files.ts'
import { type SimHost, SimNetwork } from './sim-network.ts'
import { SimTime } from './sim-time.ts'

export const NETWORK_KEY = Buffer.alloc(32, 7)
/**
 * How often background work may fail within `FAILURES_MS` on a machine that is hindered. More means a loop without a
 * pause.
 */
const FAILURES_MAX = 60
const FAILURES_MS = 10_000
/** The number of files that are replaced and removed at the end. */
const USED_MAX = 3
/** If a look at a machine takes more turns than this, it must be waiting for something. */
const GLANCE_TURNS_MAX = 400
/** A machine counts as undisturbed once it has been left alone for this long. */
const CALM_MS = 25_000
/** How long errors may still come from a disk that has just begun to take writes again. */
const HINDERED_MS = 70_000
/** How long an unhindered put may take, even if one of the members that it asks does not answer. */
const PUT_MS_MAX = 15_000
/** The answers with which a verb says that it has done nothing. */
const REFUSALS: ReadonlySet<string> = new Set(
  'exists changed not-found is-a-directory not-a-directory invalid not-allowed clock-off'.split(' ')
)

/** Returns true if a verb that ended with this error has done nothing. `rm -r` may have removed a part before it ended. */
export function isRefusal(error: DfsError): boolean {
  return REFUSALS.has(error.code) && !(error instanceof PartlyDoneError)
}

/** Something that must not happen. */
export class Fault extends Error {
  override readonly name = 'Fault'
  /** The kind of fault, in a word or two. */
  readonly kind: string

  constructor(kind: string, message: string) {
    super(`${kind}: ${message}`)
    this.kind = kind
  }
}

export interface WorldOptions {
  seed: number
  machines: number
  /** Whether to remember what the nodes log, in `logged`. */
  isLogging?: boolean | undefined
  /** Makes the secrets with which a machine starts for the first time. By default it is an admin. */
  secretsOf?: ((machine: string) => MachineInit['secrets']) | undefined
}

/** How many ms a put may take until its first block is on the disk of its machine. */
const OWN_BLOCK_LOOKS = 60

/** Some machines, their network, the verbs that were requested of them, and what must be true of all these. */
export class World {
  readonly time = new SimTime()
  readonly model = new Model()
  readonly contents: Contents
  readonly network: SimNetwork
  readonly machines: Machine[]
  readonly trace: string[] = []
  readonly underWay = new Set<Promise<void>>()
  hostile: Hostile | undefined
  readonly #faults: Fault[] = []
  readonly #logged: string[] = []
  readonly #failedAtMs = new Map<string, number[]>()
  readonly #disturbedAtMs = new Map<string, number>()
  /** Machines on whose disks the test has changed bytes. Their errors are no faults. */
  readonly hurt = new Set<Machine>()
  /** True if a machine has lost the only copy of a block, and its put has failed. */
  hasLostBlocks = false

  constructor({ seed, machines, isLogging = false, secretsOf }: WorldOptions) {
    this.contents = new Contents(NETWORK_KEY, seed)
    this.network = new SimNetwork(this.time, seededChance(seed ^ 0x2f0c))
    const names = 'abcdefgh'.slice(0, machines).split('')
    this.machines = names.map(
      (name, i) =>
        new Machine({
          name,
          seed: seed * 64 + i,
          time: this.time,
          network: this.network,
          networkKey: NETWORK_KEY,
          names,
          secrets: secretsOf?.(name),
          logger: isLogging ? this.#loggerOf(name) : silentLogger,
          onEvent: (machine, event) => this.#onEvent(machine, event)
        })
    )
  }

  /** What the nodes logged, and the trace between, if this world remembers it. */
  get log(): string {
    const names = new Map(this.machines.map(({ peerId, name }) => [peerId, name]))
    return this.#logged.join('\n').replace(/12D3Koo\w+/g, peer => names.get(peer) ?? peer)
  }

  #loggerOf(name: string): ComponentLogger {
    return loggerTo((scope, text) =>
      this.#logged.push(`${(this.time.nowMs / 1_000).toFixed(3)}   ${name} ${scope} ${text}`)
    )
  }

  get traceHash(): string {
    return hash('sha256', this.trace.join('\n'))
  }

  get live(): Machine[] {
    return this.machines.filter(machine => machine.isUp)
  }

  say(text: string): void {
    if (process.env['DFS_SIM_TRACE'] === '1') console.log(this.time.nowMs.toFixed(1), text)
    const line = `${(this.time.nowMs / 1_000).toFixed(3)} ${text}`
    this.trace.push(line)
    this.#logged.push(line)
  }

  fault(kind: string, message: string): void {
    this.say(`FAULT ${kind}: ${message}`)
    this.#faults.push(new Fault(kind, message))
  }

  /** Throws the first fault that was found. */
  check(): void {
    const [fault] = this.#faults
    if (fault !== undefined) throw fault
  }

  /** Notes that something happens to a machine, so that nobody expects it to be at its best for a while. */
  disturb(machine: Machine): void {
    this.#disturbedAtMs.set(machine.name, this.time.nowMs)
  }

  /** Forgets what happened to the machines before. */
  calm(): void {
    this.#disturbedAtMs.clear()
  }

  isCalm(machine: Machine, sinceMs: number): boolean {
    const { disk, process, address } = machine
    if (disk.isHindered || process.isFrozen || this.network.isSlow(address)) return false
    return (this.#disturbedAtMs.get(machine.name) ?? Number.NEGATIVE_INFINITY) < sinceMs - CALM_MS
  }

  /** Lets a hostile member join. */
  async addHostile(chance: Chance): Promise<void> {
    const serving = (['nothing', 'never', 'wrong'] as const)[Math.floor(chance.fraction() * 3)] ?? 'nothing'
    const weight = chance.fraction() < 0.5 ? 30_000_000 : 0
    this.say(`a hostile member of weight ${weight} serves ${serving}`)
    const { time, network, machines } = this
    this.hostile = new Hostile({ time, network, networkKey: NETWORK_KEY, chance, machines, serving, weight })
    await this.hostile.start()
  }

  /** Lets the hostile member sign something about the file at a path. */
  async attack(machine: Machine, what: 'deleteWidely' | 'linkForeignRoot', path: string): Promise<void> {
    const { hostile } = this
    if (hostile === undefined) return
    const isDone = await this.glance(machine, () => hostile[what](machine, path))
    this.say(`hostile ${what} ${path}: ${isDone}`)
    if (isDone !== true) return
    const startMs = this.time.nowMs
    const fields = { kind: 'rm', machine: 'hostile', outcome: 'unknown', endMs: Number.POSITIVE_INFINITY } as const
    this.model.verbs.push({ ...fields, n: this.model.verbs.length, path: plain(path), startMs, saw: undefined })
  }

  machineOf(peer: string): Machine | undefined {
    return this.machines.find(({ peerId }) => peerId === peer)
  }

  // Starting and stopping

  /** Starts a node. A node that does not start is a fault, unless its disk takes no writes. */
  async start(machine: Machine): Promise<void> {
    this.disturb(machine)
    this.say(`${machine.name} starts`)
    const startedAtMs = this.time.nowMs
    const isHindered = (): boolean => machine.disk.hinderedAtMs >= startedAtMs || machine.disk.isHindered
    let process = machine.process
    const start = machine.start()
    process = machine.process
    const work = start.then(
      () => {
        if (!process.isDead) this.say(`${machine.name} is up`)
      },
      (error: unknown) => {
        if (process.isDead) return
        machine.kill()
        if (isHindered()) this.say(`${machine.name} does not start: ${describe(error)}`)
        else this.fault('no start', `${machine.name} does not start: ${describe(error)}`)
      }
    )
    // A machine may be destroyed while it starts.
    this.track(Promise.race([work, new Promise<void>(resolve => process.onDeath(resolve))]))
  }

  /** Waits for something in the background. */
  track(work: Promise<void>): void {
    this.underWay.add(work)
    void work.finally(() => this.underWay.delete(work))
  }

  // Looking

  /** Looks at a machine without letting time pass. Resolves to undefined if it cannot say without waiting. */
  async glance<T>(machine: Machine, look: (node: DfsNode) => Promise<T>): Promise<T | undefined> {
    const { node } = machine
    if (node === undefined || !machine.isUp) return undefined
    let result: T | undefined
    const work = observing
      .run(true, () => look(node))
      .then(
        value => {
          result = value
        },
        () => {}
      )
    await this.time.turn(work, GLANCE_TURNS_MAX)
    return result
  }

  /** Returns the tags of the files at a path, below it, and under names that conflict with it. */
  async shownAt(machine: Machine, paths: readonly string[]): Promise<Map<string, string> | undefined> {
    return this.glance(machine, async node => {
      const shown = new Map<string, string>()
      for (const path of paths) {
        const parent = path.slice(0, path.lastIndexOf('/')) || '/'
        for (const item of await list(node, parent, false)) {
          if (plain(item.path) !== plain(path)) continue
          const files = item.kind === 'file' ? [item] : await list(node, item.path, true)
          for (const file of files) if (file.kind === 'file') shown.set(file.path, await tagAt(node, file.path))
        }
      }
      return shown
    })
  }

  /** Returns the paths of the other contents of the file that a machine shows at a path. */
  async #besideAt(machine: Machine, path: string): Promise<ReadonlySet<string>> {
    const paths = await this.glance(machine, async node => (await node.stat(path)).conflicts.map(other => other.path))
    return new Set(paths)
  }

  // Verbs

  async put(machine: Machine, path: string, content: Content, options: PutOptions): Promise<void> {
    const verb = await this.#begin({ kind: 'put', machine, path, content, ...options })
    const { replicas = 3, ack } = options
    const calm = this.#calmPeersOf(machine)
    this.#drive(machine, verb, async node => {
      const { reached, wanted, tag } = await node.put(path, content.bytes, options)
      if (tag !== content.tag) this.fault('wrong tag', `put ${verb.n} is not what was put`)
      verb.reached = reached
      const isCalm = calm.some(other => this.#isStillCalm(other, verb))
      const asked = typeof ack === 'number' ? ack : isCalm ? Math.min(2, Number(replicas) || 2) : 1
      this.#checkYes(verb, asked)
      if (isCalm && this.time.nowMs - verb.startMs > PUT_MS_MAX)
        this.fault('slow yes', `put ${verb.n} took ${Math.round(this.time.nowMs - verb.startMs)} ms`)
      return ` reached ${reached.map(peer => this.machineOf(peer)?.name ?? '?').join('')} of ${wanted}`
    })
  }

  async remove(machine: Machine, path: string, options: { recursive?: boolean; ifTag?: string } = {}): Promise<void> {
    const verb = await this.#begin({ kind: 'rm', machine, path, ...options })
    this.#drive(machine, verb, async node => {
      await node.remove(path, options)
      return ''
    })
  }

  async move(machine: Machine, path: string, to: string, options: { noClobber?: boolean } = {}): Promise<void> {
    const verb = await this.#begin({ kind: 'mv', machine, path, to, ...options })
    this.#drive(machine, verb, async node => {
      await node.move(path, to, options)
      return ''
    })
  }

  async copy(machine: Machine, path: string, to: string): Promise<void> {
    const verb = await this.#begin({ kind: 'cp', machine, path, to })
    this.#drive(machine, verb, async node => {
      await node.copy(path, to)
      return ''
    })
  }

  async evict(machine: Machine, path: string): Promise<void> {
    this.say(`${machine.name} evict ${path}`)
    this.#driveOther(machine, 'evict', async node => {
      const { freed, left } = await node.evict(path)
      return `${freed.blocks} freed, ${left.blocks} left`
    })
  }

  async get(machine: Machine, path: string): Promise<void> {
    this.say(`${machine.name} get ${path}`)
    this.#driveOther(machine, 'get', async node => {
      const { tag, bytes } = await readFile(node, path)
      const content = this.contents.all.find(known => known.tag === tag)
      if (content === undefined) this.fault('foreign content', `${path} on ${machine.name}`)
      else if (!Buffer.from(content.bytes).equals(bytes)) this.fault('wrong bytes', `${path} on ${machine.name}`)
      return `content ${content?.n}`
    })
  }

  async #begin(init: VerbInit): Promise<Verb> {
    const { machine, kind, path } = init
    const { to, noClobber, ifTag, recursive, content } = init
    const paths = to === undefined ? [path] : [path, to, `${to}/${nameOf(path)}`]
    const verb: Verb = {
      n: this.model.verbs.length,
      kind,
      machine: machine.name,
      path,
      startMs: this.time.nowMs,
      endMs: Number.POSITIVE_INFINITY,
      outcome: 'pending',
      saw: await this.shownAt(machine, paths),
      ...(hasConflict(path) ? { beside: await this.#besideAt(machine, path) } : {}),
      ...(to === undefined ? {} : { to }),
      ...(noClobber === undefined ? {} : { noClobber }),
      ...(ifTag === undefined ? {} : { ifTag }),
      ...(recursive === undefined ? {} : { recursive }),
      ...(content === undefined ? {} : { content })
    }
    this.model.verbs.push(verb)
    const flags = [
      recursive === true ? ' -r' : '',
      noClobber === true ? ' no clobber' : '',
      ifTag === undefined ? '' : ` if ${this.nameOfTag(ifTag)}`
    ].join('')
    const what = content === undefined ? '' : ` content ${content.n} (${content.bytes.byteLength})`
    const saw = [...(verb.saw ?? [])].map(([at, tag]) => `${at}=${this.nameOfTag(tag)}`).join(' ')
    this.say(
      `${machine.name} #${verb.n} ${kind} ${path}${to === undefined ? '' : ` ${to}`}${flags}${what} sees {${saw}}`
    )
    return verb
  }

  nameOfTag(tag: string | null): string {
    return String(tag === null ? 'nothing' : (this.contents.all.find(content => content.tag === tag)?.n ?? tag))
  }

  #drive(machine: Machine, verb: Verb, work: (node: DfsNode) => Promise<string>): void {
    const { node, process } = machine
    const end = (outcome: Verb['outcome'], text: string): void => {
      verb.outcome = outcome
      verb.endMs = this.time.nowMs
      this.say(`${machine.name} #${verb.n} ${text}`)
    }
    if (node === undefined) {
      end('refused', 'is not up')
      return
    }
    const running = work(node).then(
      text => {
        // The caller was on the machine that has died, and never heard the answer.
        if (process.isDead) end('unknown', 'died')
        else end('ok', `ok${text}`)
      },
      (error: unknown) => {
        if (process.isDead) end('unknown', 'died')
        else {
          this.checkError(machine, error)
          end(isRefusal(error as DfsError) ? 'refused' : 'unknown', describe(error))
        }
      }
    )
    const died = new Promise<void>(resolve => process.onDeath(resolve)).then(() => {
      if (verb.outcome === 'pending') end('unknown', 'died')
    })
    this.track(Promise.race([running, died]))
  }

  #driveOther(machine: Machine, what: string, work: (node: DfsNode) => Promise<string>): void {
    const { node, process } = machine
    if (node === undefined) return
    const running = work(node).then(
      text => {
        if (!process.isDead) this.say(`${machine.name} ${what}: ${text}`)
      },
      (error: unknown) => {
        if (process.isDead) return
        this.checkError(machine, error)
        this.say(`${machine.name} ${what}: ${describe(error)}`)
      }
    )
    this.track(Promise.race([running, new Promise<void>(resolve => process.onDeath(resolve))]))
  }

  /** Every error of a verb is one of those that the library documents. */
  checkError(machine: Machine, error: unknown): void {
    if (!(error instanceof DfsError) && !isAbort(error))
      this.fault('undocumented error', `${machine.name}: ${(error as Error).stack}`)
    else if (
      !this.hurt.has(machine) &&
      this.hostile === undefined &&
      ['corrupt', 'damaged'].includes((error as DfsError).code)
    )
      this.fault('damage', `${machine.name} says ${describe(error)}, and nothing is damaged`)
  }

  /**
   * Takes a large block away from the machine that puts it, as soon as it is there, if the put has not linked the file.
   * The block of a small file stays: it is linked at once, and what was stored a moment before is not looked at again.
   */
  loseOwnBlockSoon(machine: Machine, path: string, content: Content): void {
    if (content.bytes.byteLength <= SMALL_FILE_BYTES_MAX) return
    const isHere = (): boolean => content.blocks.some(block => isLarge(block) && hasBlock(machine.disk, block))
    let looksLeft = OWN_BLOCK_LOOKS
    const look = (): void => {
      if (isHere()) void this.#loseOwnBlock(machine, path, content)
      else if (looksLeft-- > 0) this.time.after(1, look)
    }
    look()
  }

  async #loseOwnBlock(machine: Machine, path: string, content: Content): Promise<void> {
    const { tag, blocks } = content
    const { rows } = machine.disk
    const { changes } = rows
    const shown = await this.shownAt(machine, [path])
    const lost = blocks.find(block => isLarge(block) && hasBlock(machine.disk, block))
    if (lost === undefined || shown === undefined || [...shown.values()].includes(tag)) return
    // The put went on during the look. It may have linked the file since, and checked the block, and said yes.
    if (rows.changes !== changes) return this.#loseOwnBlock(machine, path, content)
    this.hasLostBlocks = true
    this.hurt.add(machine)
    this.disturb(machine)
    this.say(`${machine.name} loses ${toHex(lost.multihash)}`)
    forgetBlock(machine.disk, lost)
  }

  // What must be true when a put says yes

  #calmPeersOf(machine: Machine): Machine[] {
    const now = this.time.nowMs
    if (!this.isCalm(machine, now)) return []
    return this.live.filter(
      other =>
        other !== machine &&
        this.isCalm(other, now) &&
        machine.stack?.fs.members.isAdmitted(other.peerId) === true &&
        !this.network.isSilent(machine.host as SimHost, other.host as SimHost) &&
        other.stack?.capacity.isFull === false
    )
  }

  #isStillCalm(other: Machine, { machine, startMs }: Verb): boolean {
    const own = this.machines.find(({ name }) => name === machine) as Machine
    const isLeftAlone = this.isCalm(own, startMs) && this.isCalm(other, startMs)
    const isHeard = own.isUp && other.isUp && !this.network.isSilent(own.host as SimHost, other.host as SimHost)
    return isLeftAlone && isHeard && other.stack?.capacity.isFull === false
  }

  /**
   * Checks that the copies which a put reports are on disks at that moment. `asked` is the number of copies that the
   * caller asked for or, if nothing hindered the put, may expect.
   */
  #checkYes(verb: Verb, asked: number): void {
    const { reached = [], content, n } = verb
    const { blocks } = content as Content
    const liars = this.hostile !== undefined && reached.includes(this.hostile.peerId) ? 1 : 0
    if (reached.length < asked) this.fault('lonely yes', `put ${n} reached ${reached.length}, and should have ${asked}`)
    // Nobody knows about bytes that were changed while the put ran and were not read since.
    const hit = [...this.model.destroyed.values()].filter(atMs => atMs >= verb.startMs).length
    verb.copies = reached.length - liars
    for (const [i, block] of blocks.entries()) {
      const holders = this.machines.filter(machine => !machine.isDestroyed && holds(machine, block))
      verb.copies = Math.min(verb.copies, holders.length)
      // Each member that was reached has the one block of a small file, and some of the blocks of a larger one.
      if (holders.length >= (blocks.length === 1 ? Math.max(asked, reached.length) : asked) - liars - hit) continue
      const names = holders.map(({ name }) => name).join('') || 'none'
      this.fault(
        'false yes',
        `put ${n}: block ${i} is durable on ${names}, ${reached.length} reached, ${asked} asked for`
      )
    }
  }

  // What must be true in the end

  /**
   * Returns why the world is not at rest yet; undefined if it is. If bytes were destroyed, the only copy of something may
   * have been among them. Then nobody has to have it.
   */
  async unrest(isPatient: boolean): Promise<string | undefined> {
    const mayLack = isPatient && (this.model.destroyed.size > 0 || this.hostile !== undefined || this.hasLostBlocks)
    if (this.underWay.size > 0) return `${this.underWay.size} are under way`
    const totals = new Set<string>()
    for (const machine of this.machines) {
      if (machine.isDestroyed) continue
      const { stack } = machine
      if (!machine.isUp || stack === undefined) return `${machine.name} is not up`
      const { blocks, members } = stack.fs
      const missed = this.live.find(other => other !== machine && !members.isAdmitted(other.peerId))
      if (missed !== undefined) return `${machine.name} has not met ${missed.name}`
      if (blocks.owed.blocks > 0 && !mayLack) return `${machine.name} owes ${blocks.owed.blocks}`
      if (blocks.repairing.blocks > 0) return `${machine.name} repairs`
      const ids = await this.glance(machine, async () => {
        const sums = []
        for (const kind of [0, 1] as const) {
          const { count, sum } = await (stack.log as unknown as Log).positions.totals(kind)
          sums.push(count, Buffer.from(sum).toString('hex'))
        }
        return sums.join(' ')
      })
      if (ids === undefined) return `${machine.name} does not say what it has`
      totals.add(ids)
    }
    return totals.size > 1 && !mayLack && (await this.#idsDiffer()) ? 'the logs differ' : undefined
  }

  /** Returns true unless all machines have the same statements. Totals may be wrong where the index has lost a row. */
  async #idsDiffer(): Promise<boolean> {
    const logs = new Set<string | undefined>()
    for (const machine of this.machines) {
      if (machine.isDestroyed) continue
      const ids = await this.glance(machine, async () => {
        const all: string[] = []
        for await (const { statement } of (machine.stack as unknown as { log: Log }).log.all(1))
          all.push(idOf(statement))
        return all.sort().join(' ')
      })
      logs.add(ids)
    }
    return logs.size > 1 || logs.has(undefined)
  }

  /** All machines show the same, and all that was acknowledged is there. */
  async checkEnd(): Promise<void> {
    const survivors = this.machines.filter(({ peerId }) => !this.model.destroyed.has(peerId))
    const trees = new Map<string, string>()
    let shown = new Map<string, string>()
    for (const machine of survivors) {
      const tree = await this.glance(machine, node => treeOf(node))
      if (tree === undefined) {
        this.fault('unlisted', `${machine.name} cannot list its files`)
        return
      }
      shown = new Map(tree.filter(({ tag }) => tag !== '').map(({ path, tag }) => [path, tag]))
      trees.set(machine.name, tree.map(({ path, tag }) => `${path} ${this.nameOfTag(tag)}`).join('\n'))
    }
    const [first] = trees.values()
    for (const [name, tree] of trees)
      if (tree !== first)
        this.fault('divergence', `${survivors[0]?.name} and ${name} show different trees:\n${first}\n---\n${tree}`)
    this.#checkFiles(shown)
    const [first2, second] = this.model.doubleYes() ?? []
    if (first2 !== undefined && second !== undefined)
      this.fault(
        'double yes',
        `${first2.kind} ${first2.n} and ${second.kind} ${second.n} of ${first2.path} are both ok`
      )
    await this.checkWorkers(survivors)
    await this.#checkBytes(survivors, shown)
    await this.#checkUse(survivors, shown)
  }

  #checkFiles(shown: ReadonlyMap<string, string>): void {
    const tags = new Set(shown.values())
    for (const put of this.model.puts) {
      const { tag, n } = put.content as Content
      if (tags.has(tag)) {
        const end = this.model.endOf(put)
        const at = [...shown].find(([, other]) => other === tag)?.[0] as string
        if (end !== undefined && !hasConflict(at))
          this.fault('came back', `content ${n} of put ${put.n} shows at ${at} after ${end.kind} ${end.n}`)
      } else if (put.outcome === 'ok' && !this.model.isBeyondRepair(put)) {
        if (this.model.excuseFor(put) === undefined)
          this.fault('lost', `content ${n} of put ${put.n} at ${put.path} is shown nowhere`)
      }
    }
  }

  /** Background work that failed while something hindered it is repeated. */
  async checkWorkers(machines: readonly Machine[]): Promise<void> {
    for (const machine of machines) {
      const status = await this.glance(machine, node => node.status())
      if (status === undefined) this.fault('no status', machine.name)
      for (const { name, lastError, nextInMs, state } of status?.workers ?? [])
        if (lastError !== null && nextInMs === null && state === 'waiting' && !this.hurt.has(machine))
          this.fault('worker fails', `${name} on ${machine.name} failed with ${lastError}, and is not repeated`)
    }
  }

  async #checkBytes(machines: readonly Machine[], shown: ReadonlyMap<string, string>): Promise<void> {
    let i = 0
    for (const [path, tag] of shown) {
      if (this.hostile?.foreignTags.has(tag) === true) continue
      const put = this.model.puts.find(({ content }) => content?.tag === tag)
      if (put === undefined) {
        this.fault('foreign content', path)
        continue
      }
      if (put.outcome !== 'ok' || this.model.isBeyondRepair(put)) continue
      const machine = machines[i++ % machines.length] as Machine
      if (machine.node === undefined) continue
      let bytes: Uint8Array | undefined
      let why: unknown = 'it takes too long'
      const reading = readFile(machine.node, path).then(
        file => {
          bytes = file.bytes
        },
        error => {
          why = error
        }
      )
      await this.time.passUntil(reading, 60_000)
      if (bytes === undefined) this.fault('unreadable', `${path} (put ${put.n}) on ${machine.name}: ${describe(why)}`)
      else if (!Buffer.from((put.content as Content).bytes).equals(bytes))
        this.fault('wrong bytes', `${path} (put ${put.n}) on ${machine.name}`)
    }
  }

  /** Checks that every file can be replaced and removed, no matter which records were signed about it. */
  async #checkUse(machines: readonly Machine[], shown: ReadonlyMap<string, string>): Promise<void> {
    const paths = [...shown.keys()].filter(path => !hasConflict(path)).slice(0, USED_MAX)
    for (const [i, path] of paths.entries()) {
      const { node, name } = machines[i % machines.length] as Machine
      if (node === undefined) continue
      let what = 'put'
      let why: unknown = 'it takes too long'
      const work = async (): Promise<void> => {
        await node.put(path, Buffer.from('used'))
        what = 'rm'
        await node.remove(path)
        what = ''
      }
      const working = work().catch(error => {
        why = error
      })
      await this.time.passUntil(working, 120_000)
      if (what !== '') this.fault('locked', `${name} cannot ${what} ${path}: ${describe(why)}`)
    }
  }

  #countFailure(machine: Machine): void {
    const { nowMs } = this.time
    const recent = (this.#failedAtMs.get(machine.name) ?? []).filter(atMs => atMs > nowMs - FAILURES_MS)
    this.#failedAtMs.set(machine.name, [...recent, nowMs])
    if (recent.length === FAILURES_MAX)
      this.fault(
        'busy',
        `background work of ${machine.name} has failed ${FAILURES_MAX} times in ${FAILURES_MS / 1_000} s`
      )
  }

  #onEvent(machine: Machine, event: NodeEvent): void {
    const { event: name } = event
    const details =
      event.event === 'failed'
        ? ` ${event.code} in ${event.task}`
        : 'peerId' in event
          ? ` ${this.machineOf(event.peerId)?.name}`
          : ''
    this.say(`${machine.name} ${name}${details}`)
    const isHurt =
      this.hurt.has(machine) || machine.disk.isHindered || machine.disk.hinderedAtMs > this.time.nowMs - HINDERED_MS
    if (name === 'failed') this.#countFailure(machine)
    if (name === 'failed' && event.code === 'io' && !isHurt)
      this.fault('background failure', `${machine.name}:${details}`)
  }
}

interface VerbInit {
  kind: Verb['kind']
  machine: Machine
  path: string
  to?: string
  recursive?: boolean | undefined
  noClobber?: boolean | undefined
  ifTag?: string | null | undefined
  content?: Content
}

export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { code } = error as { code?: string }
  return `${error.name}${code === undefined ? '' : ` (${code})`}: ${error.message}`
}

export function holds({ disk }: Machine, block: BlockOfContent): boolean {
  return isDurable(disk, block)
}

async function list(node: DfsNode, path: string, recursive: boolean): Promise<Array<{ path: string; kind: string }>> {
  const items: Array<{ path: string; kind: string }> = []
  try {
    for await (const item of node.list(path, { recursive })) items.push(item)
  } catch (error) {
    if (!['not-found', 'not-a-directory'].includes((error as DfsError).code)) throw error
  }
  return items
}

async function tagAt(node: DfsNode, path: string): Promise<string> {
  return (await node.get(path)).tag
}

export async function treeOf(node: DfsNode): Promise<Array<{ path: string; tag: string }>> {
  const tree = []
  for (const { path, kind } of await list(node, '/', true))
    tree.push({ path, tag: kind === 'file' ? await tagAt(node, path) : '' })
  return tree
}

export async function readFile(
  node: DfsNode,
  path: string,
  options: GetOptions = {}
): Promise<{ tag: string; bytes: Uint8Array }> {
  const file = await node.get(path, options)
  const parts: Uint8Array[] = []
  for await (const part of file) parts.push(Uint8Array.from(part))
  return { tag: file.tag, bytes: Buffer.concat(parts) }
}
