import type { PutOptions } from '../../../src/api.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'
import type { Content } from './contents.ts'
import type { Machine } from './machine.ts'
import { hasConflict, plain } from './model.ts'
import { flipBit } from './sim-files.ts'
import type { SimHost } from './sim-network.ts'
import { World } from './world.ts'

const STEPS = 36
const SECOND = 1_000
const MINUTE = 60 * SECOND
/** After this long without a fault, everything must be at rest. */
const REST_MS_MAX = 90 * MINUTE
/** How long the machines may look for blocks that are lost for good. */
const PATIENCE_MS = 3 * MINUTE
const REST_STEP_MS = 20 * SECOND

/** After this long, the verbs that are under way have ended, unless something hinders them. */
const ALONE_MS = 3 * SECOND

const PATHS = ['/a', '/b.txt', '/d/a', '/d/b', '/d/e/c', '/g/a', '/g/h/c']
/** The fewer paths, the more often verbs meet. */
const RACING_PATHS = ['/a', '/d/a', '/d/b', '/d/e/c']
const DIRECTORIES = ['/d', '/g', '/d/e', '/g/h', '/x']
const SIZES = [300, 300, 300, 5_000, 5_000, 30_000, 90_000, 250_000, 1_200_000]
const RACING_SIZES = [300, 300, 300, 5_000]
/** How many of the seeds are races of verbs, without faults of machines. They are short. */
const RACING_SHARE = 0.4
const RACING_DELAYED_SHARE = 0.8

type Kind = keyof typeof STEP_WEIGHTS

/** How often each step is drawn, if a seed includes it at all. */
const STEP_WEIGHTS = {
  put: 10,
  overwrite: 6,
  guardedPut: 3,
  move: 5,
  moveDirectory: 3,
  remove: 4,
  removeTree: 2,
  copy: 2,
  get: 3,
  evict: 3,
  burst: 7,
  conflict: 2,
  putAndLoss: 4,
  restart: 2,
  kill: 3,
  powerCut: 3,
  freeze: 2,
  cut: 3,
  isolate: 2,
  silence: 2,
  heal: 3,
  slow: 2,
  fill: 2,
  failDisk: 1,
  loseRows: 2,
  flip: 2,
  destroy: 1,
  hostile: 5
}
/** The steps of a race. */
const RACING: readonly Kind[] = [
  'put',
  'guardedPut',
  'move',
  'moveDirectory',
  'remove',
  'removeTree',
  'burst',
  'burst',
  'burst',
  'burst',
  'conflict',
  'cut',
  'heal'
]
/** The steps that every seed includes. */
const ALWAYS: ReadonlySet<Kind> = new Set<Kind>(['put', 'overwrite', 'get', 'heal', 'burst'])

export interface RunOptions {
  seed: number
  isLogging?: boolean | undefined
}

export interface RunResult {
  world: World
  fault: Error | undefined
  hash: string
  virtualMs: number
}

/**
 * From this seed on, the network keeps no versions. So overwritten and deleted content is freed at once, and not after 30
 * days as in other worlds.
 */
export const FORGETFUL_SEEDS = 1_000_000

/**
 * Runs the world of one seed. The seed draws the number of machines, the kinds of steps, and the steps. Nothing else
 * does, so a seed always runs the same way.
 */
export async function runSeed({ seed, isLogging }: RunOptions): Promise<RunResult> {
  const chance = seededChance(seed ^ 0x5eed)
  const machines = 3 + Math.floor(chance.fraction() * 3)
  const world = new World({ seed, machines, isLogging })
  world.time.install()
  let fault: Error | undefined
  try {
    await new Schedule(world, seed).run()
    world.check()
  } catch (error) {
    fault = error as Error
  } finally {
    for (const machine of world.machines) machine.process.kill()
    world.time.uninstall()
  }
  return { world, fault, hash: world.traceHash, virtualMs: world.time.nowMs }
}

class Schedule {
  readonly #world: World
  readonly #seed: number
  readonly #chance
  readonly #kinds: readonly Kind[]
  readonly #isRacing: boolean
  /** The one machine on which bytes are flipped, or which is destroyed. The others keep what they acknowledged. */
  readonly #victim: Machine
  readonly #restartAt = new Map<Machine, number>()
  #steps = 0

  constructor(world: World, seed: number) {
    this.#world = world
    this.#seed = seed
    this.#chance = seededChance(seed)
    this.#victim = this.#pick(world.machines)
    this.#isRacing = this.#draw() < RACING_SHARE
    const some = (Object.keys(STEP_WEIGHTS) as Kind[]).filter(
      kind => ALWAYS.has(kind) || this.#draw() < (kind === 'hostile' ? 0.25 : 0.5)
    )
    this.#kinds = this.#isRacing ? RACING : some
    if (this.#isRacing) for (const { disk } of world.machines) disk.delayedShare = RACING_DELAYED_SHARE
  }

  async run(): Promise<void> {
    const world = this.#world
    world.say(`steps: ${this.#kinds.join(' ')}`)
    for (const machine of world.machines) await world.start(machine)
    if (this.#seed >= FORGETFUL_SEEDS) await world.machines[0]?.node?.setSetting('versionDays', 0)
    if (this.#kinds.includes('hostile')) await world.addHostile(this.#chance)
    await world.time.pass(5 * SECOND)
    world.hostile?.announce()
    world.calm()
    for (; this.#steps < STEPS; this.#steps++) {
      await this.#step(this.#drawKind())
      await this.#pass()
      world.check()
    }
    await this.#comeToRest()
    world.check()
    await world.checkEnd()
  }

  async #pass(): Promise<void> {
    const draw = this.#draw() * (this.#isRacing ? 0.8 : 1)
    const ms =
      draw < 0.3
        ? 0
        : draw < 0.55
          ? 60 * this.#draw()
          : draw < 0.85
            ? 4 * SECOND * this.#draw()
            : 25 * SECOND * this.#draw()
    await this.#world.time.pass(ms)
    for (const [machine, atMs] of this.#restartAt) {
      if (this.#world.time.nowMs < atMs || machine.isDestroyed) continue
      this.#restartAt.delete(machine)
      if (machine.process.isDead) await this.#world.start(machine)
    }
    // Some machines die in the middle of their work, at an operation that was drawn before.
    for (const machine of this.#world.machines)
      if (machine.process.isDead && !machine.isDestroyed && !this.#restartAt.has(machine)) this.#restartLater(machine)
  }

  async #step(kind: Kind): Promise<void> {
    const world = this.#world
    const machine = this.#pickUp()
    if (machine === undefined) return
    switch (kind) {
      case 'put':
        return this.#put(machine, await this.#somePath(machine), {})
      case 'overwrite':
        return this.#put(machine, await this.#shownPath(machine), {})
      case 'guardedPut': {
        const path = await this.#shownPath(machine)
        const tag = (await world.shownAt(machine, [path]))?.get(path)
        const options =
          this.#draw() < 0.5 ? { ifTag: tag ?? null } : this.#draw() < 0.5 ? { noClobber: true } : { ifTag: null }
        return this.#put(machine, path, options)
      }
      case 'move': {
        const noClobber = this.#draw() < 0.2
        const to = this.#draw() < 0.4 ? await this.#shownPath(machine) : await this.#somePath(machine)
        return world.move(machine, await this.#shownPath(machine), to, noClobber ? { noClobber } : {})
      }
      case 'moveDirectory':
        return world.move(machine, this.#pick(DIRECTORIES), this.#pick(DIRECTORIES))
      case 'remove': {
        const path = await this.#shownPath(machine)
        const tag = (await world.shownAt(machine, [path]))?.get(path)
        return world.remove(machine, path, tag !== undefined && this.#draw() < 0.3 ? { ifTag: tag } : {})
      }
      case 'removeTree':
        return world.remove(machine, this.#pick(DIRECTORIES), { recursive: true })
      case 'copy':
        return world.copy(machine, await this.#shownPath(machine), await this.#somePath(machine))
      case 'get':
        return world.get(machine, await this.#shownPath(machine))
      case 'evict': {
        const path = await this.#shownPath(machine)
        await world.evict(machine, path)
        // Each of two members may rely on the copy of the other.
        if (this.#draw() < 0.5) for (const other of world.live) if (other !== machine) await world.evict(other, path)
        return
      }
      case 'burst':
        return this.#burst(machine)
      case 'conflict':
        return this.#conflict(machine)
      case 'putAndLoss':
        return this.#putAndLoss(machine)
      case 'restart':
        return this.#restart(machine)
      case 'kill':
      case 'powerCut':
        return this.#armDeath(machine, kind)
      case 'freeze':
        return this.#freeze(machine)
      case 'cut':
      case 'silence': {
        const other = this.#pickUp()
        if (other === undefined || other === machine) return
        world.say(`${kind} ${machine.name} ${other.name}`)
        for (const each of [machine, other]) world.disturb(each)
        world.network[kind](machine.host as SimHost, other.host as SimHost)
        return
      }
      case 'isolate':
        world.say(`isolate ${machine.name}`)
        for (const other of world.live)
          if (other !== machine) world.network.cut(machine.host as SimHost, other.host as SimHost)
        for (const each of world.machines) world.disturb(each)
        return
      case 'heal':
        world.say('heal')
        return this.#healNetwork()
      case 'slow': {
        const ms = this.#pick([0, 20, 200, 1_500])
        world.say(`slow ${machine.name} ${ms}`)
        world.disturb(machine)
        world.network.slow(machine.address, ms)
        return
      }
      case 'fill':
        return this.#fill(machine)
      case 'failDisk':
        return this.#failDisk(machine)
      case 'loseRows':
        return this.#loseRows(machine)
      case 'flip':
        return this.#flip()
      case 'destroy':
        return this.#destroy()
      case 'hostile':
        return this.#attack(machine)
    }
  }

  async #put(machine: Machine, path: string, guards: PutOptions): Promise<void> {
    const content = await this.#world.contents.make(this.#pick(this.#isRacing ? RACING_SIZES : SIZES))
    const draw = this.#draw()
    const replicas = draw < 0.5 ? {} : { replicas: this.#pick([1, 2, 2, 'all'] as const) }
    const ack = this.#draw() < 0.75 ? {} : { ack: this.#pick([1, 2] as const) }
    await this.#world.put(machine, path, content, { ...replicas, ...ack, ...guards })
  }

  /** Several verbs on the same few paths at nearly the same time, on one machine or on several. */
  async #burst(machine: Machine): Promise<void> {
    const world = this.#world
    let path = await this.#shownPath(machine)
    if (this.#draw() < 0.4) {
      // At a free path this makes two entries; at any other, two heads of one entry.
      path = this.#draw() < 0.5 ? this.#pick(this.#paths) : `/d/n${this.#steps}`
      // Two files of one name, of which one shows as a conflict.
      await this.#put(machine, path, {})
      await this.#put(this.#pickUp() ?? machine, path, {})
      await world.time.pass(this.#draw() * 400)
    }
    if (this.#draw() < 0.4) return this.#duel(machine, path)
    const isOnOne = this.#draw() < 0.65
    const count = 2 + Math.floor(this.#draw() * 4)
    for (let i = 0; i < count; i++) {
      const on = isOnOne ? machine : (this.#pickUp() ?? machine)
      const shown = [...((await world.shownAt(on, [path])) ?? [])]
      const at = shown.length === 0 || this.#draw() < 0.2 ? path : (this.#pick(shown)[0] as string)
      await this.#oneOfBurst(on, at, shown.find(([shownAt]) => shownAt === at)?.[1])
      if (this.#draw() < 0.3) await world.time.pass(this.#draw() * 20)
    }
  }

  /** One verb about a conflict, with no other verb beside it, so that its effect is certain. */
  async #conflict(machine: Machine): Promise<void> {
    const world = this.#world
    const find = async (): Promise<string | undefined> => (await this.#filesOn(machine)).find(hasConflict)
    await world.time.pass(ALONE_MS)
    let conflict = await find()
    if (conflict === undefined) {
      const path = `/n${this.#steps}`
      await this.#put(machine, path, {})
      await this.#put(this.#pickUp() ?? machine, path, {})
      await world.time.pass(ALONE_MS)
      conflict = await find()
    }
    if (conflict === undefined || machine.process.isDead) return
    const at = conflict
    const verbs: Array<() => Promise<void>> = [
      () => world.move(machine, at, plain(at)),
      () => world.move(machine, at, plain(at)),
      () => world.move(machine, plain(at), `/n${this.#steps}`),
      () => world.remove(machine, at),
      () => world.remove(machine, plain(at)),
      () => this.#put(machine, at, {})
    ]
    await this.#pick(verbs)()
    await world.time.pass(ALONE_MS)
  }

  /** Two verbs of one machine that exclude each other, or nearly. */
  async #duel(on: Machine, path: string): Promise<void> {
    const world = this.#world
    const shown = [...((await world.shownAt(on, [path])) ?? [])]
    const [at, tag] = this.#pick(shown) ?? [path, undefined]
    const ifTag = tag ?? null
    const moveAway = (): Promise<void> => world.move(on, at, `/n${this.#steps}`)
    const pairs: Array<Array<() => Promise<void>>> = [
      [moveAway, () => world.remove(on, parentOf(at), { recursive: true })],
      [moveAway, () => world.remove(on, at)],
      [() => world.remove(on, at), () => this.#put(on, plain(at), {})],
      [() => this.#put(on, at, { ifTag }), () => this.#put(on, at, { ifTag })],
      [() => world.move(on, at, plain(at)), () => this.#put(on, plain(at), {})],
      [() => world.move(on, at, plain(at))],
      [() => this.#put(on, at, { noClobber: true }), moveAway]
    ]
    const pair = this.#pick(pairs)
    if (this.#draw() < 0.5) pair.reverse()
    for (const verb of pair) {
      await verb()
      if (this.#draw() < 0.3) await world.time.pass(this.#draw() * 5)
    }
  }

  /** A put during which another machine dies or freezes, or the putting machine loses its copy of a block. */
  async #putAndLoss(machine: Machine): Promise<void> {
    const world = this.#world
    const other = this.#pick(world.live)
    if (other !== machine) {
      if (this.#draw() < 0.5) this.#armDeath(other, 'kill')
      else world.time.after(this.#draw() * 40, () => this.#freeze(other))
    }
    const path = this.#pick(this.#paths)
    await this.#put(machine, path, {})
    const content = world.contents.all.at(-1) as Content
    if (this.#draw() < 0.5) world.loseOwnBlockSoon(machine, path, content)
  }

  async #oneOfBurst(on: Machine, at: string, tag: string | undefined): Promise<void> {
    const world = this.#world
    const draw = this.#draw()
    if (draw < 0.25) return this.#put(on, at, this.#draw() < 0.7 ? { ifTag: tag ?? null } : { noClobber: true })
    if (draw < 0.4) return this.#put(on, at, {})
    if (draw < 0.55) return world.remove(on, at, this.#draw() < 0.2 && tag !== undefined ? { ifTag: tag } : {})
    if (draw < 0.65) return world.remove(on, parentOf(at), { recursive: true })
    if (draw < 0.95) return world.move(on, at, this.#draw() < 0.4 ? plain(at) : await this.#somePath(on))
    return world.copy(on, at, await this.#somePath(on))
  }

  async #restart(machine: Machine): Promise<void> {
    const world = this.#world
    world.say(`${machine.name} stops`)
    world.disturb(machine)
    const { process } = machine
    world.track(
      Promise.race([
        new Promise<void>(resolve => process.onDeath(resolve)),
        machine.stop().then(
          () => world.say(`${machine.name} has stopped`),
          error => {
            if (!process.isDead) machine.kill()
            world.say(`${machine.name} stops with ${(error as Error).message}`)
          }
        )
      ])
    )
  }

  /** Makes a machine die at a later operation of its disk. */
  #armDeath(machine: Machine, kind: 'kill' | 'powerCut'): void {
    const world = this.#world
    let left = Math.floor(this.#draw() * (this.#draw() < 0.5 ? 8 : 60))
    world.say(`${machine.name} ${kind} in ${left} operations`)
    world.disturb(machine)
    const { process } = machine
    machine.disk.onOperation = () => {
      if (machine.process !== process || left-- > 0) return
      machine.disk.onOperation = () => {}
      world.say(`${machine.name} ${kind}`)
      world.disturb(machine)
      machine[kind]()
    }
  }

  #restartLater(machine: Machine): void {
    this.#restartAt.set(machine, this.#world.time.nowMs + this.#draw() * 30 * SECOND)
  }

  #freeze(machine: Machine): void {
    const world = this.#world
    const ms = this.#pick([3, 12, 40]) * SECOND * this.#draw()
    world.say(`freeze ${machine.name} ${Math.round(ms)}`)
    world.disturb(machine)
    const { process } = machine
    process.freeze()
    world.time.after(ms, () => {
      world.disturb(machine)
      process.thaw()
    })
  }

  #healNetwork(): void {
    const { machines, network } = this.#world
    for (const a of machines)
      for (const b of machines)
        if (a !== b && a.host !== undefined && b.host !== undefined) network.heal(a.host, b.host)
  }

  #fill(machine: Machine): void {
    const { disk } = machine
    this.#world.disturb(machine)
    if (disk.isFilled) {
      disk.mend(this.#world.time.nowMs)
      this.#world.say(`unfill ${machine.name}`)
      return
    }
    const freeBytes = Math.floor(this.#draw() * (this.#draw() < 0.5 ? 20_000 : 1_500_000))
    this.#world.say(`fill ${machine.name} but ${freeBytes}`)
    disk.fill(freeBytes)
  }

  #failDisk(machine: Machine): void {
    const { disk } = machine
    this.#world.disturb(machine)
    this.#world.say(`${disk.isFailing ? 'mend' : 'fail'} disk of ${machine.name}`)
    if (disk.isFailing) disk.mend(this.#world.time.nowMs)
    else disk.isFailing = true
  }

  #loseRows(machine: Machine): void {
    const count = 1 + Math.floor(this.#draw() * 6)
    this.#world.hurt.add(machine)
    this.#world.disturb(machine)
    const tables = machine.disk.rows.lose(this.#chance, count)
    this.#world.say(`${machine.name} loses ${count} rows of its index: ${tables}`)
  }

  #flip(): void {
    const victim = this.#victim
    if (victim.isDestroyed) return
    const world = this.#world
    const { disk } = victim
    world.hurt.add(victim)
    world.disturb(victim)
    const draw = this.#draw()
    if (draw < 0.3) {
      world.say(`flip a bit in the index of ${victim.name}`)
      disk.rows.flip(this.#chance)
      return
    }
    const folder = draw < 0.65 ? 'blocks/' : 'segments/'
    const paths = [...disk.files.contents().keys()].filter(path => path.startsWith(folder))
    if (paths.length === 0) return
    const path = this.#pick(paths)
    world.say(`flip a bit in ${path} of ${victim.name}`)
    this.#noteDestroyed(victim)
    flipBit(disk.files, path, this.#chance)
  }

  async #attack(machine: Machine): Promise<void> {
    const world = this.#world
    const draw = this.#draw()
    if (draw < 0.2) world.hostile?.announce()
    else if (draw < 0.4) world.hostile?.starve()
    else await world.attack(machine, draw < 0.7 ? 'deleteWidely' : 'linkForeignRoot', await this.#shownPath(machine))
  }

  #destroy(): void {
    const victim = this.#victim
    if (victim.isDestroyed || victim.peerId === '') return
    this.#world.say(`destroy ${victim.name}`)
    this.#noteDestroyed(victim)
    victim.isDestroyed = true
    victim.kill()
  }

  #noteDestroyed(victim: Machine): void {
    this.#world.model.destroyed.set(victim.peerId, this.#world.time.nowMs)
    for (const machine of this.#world.machines) this.#world.disturb(machine)
  }

  async #comeToRest(): Promise<void> {
    const world = this.#world
    world.say('all is mended')
    world.hostile?.stop()
    for (const machine of world.machines) {
      machine.disk.onOperation = () => {}
      machine.disk.mend(world.time.nowMs)
      world.network.slow(machine.address, 0)
      machine.process.thaw()
    }
    this.#healNetwork()
    await world.time.pass(this.#isRacing ? REST_STEP_MS : MINUTE)
    for (const machine of world.machines) if (machine.process.isDead && !machine.isDestroyed) await world.start(machine)
    this.#healNetwork()
    let why: string | undefined = 'it has just begun'
    for (let passed = 0; why !== undefined && passed < REST_MS_MAX; passed += REST_STEP_MS) {
      await world.time.pass(REST_STEP_MS)
      world.check()
      this.#healNetwork()
      for (const machine of world.machines)
        if (machine.process.isDead && !machine.isDestroyed) await world.start(machine)
      why = await world.unrest(passed > PATIENCE_MS)
    }
    world.say(`at rest: ${why ?? 'yes'}`)
    if (why !== undefined) world.fault('no rest', why)
  }

  #drawKind(): Kind {
    const total = this.#kinds.reduce((sum, kind) => sum + STEP_WEIGHTS[kind], 0)
    let left = this.#draw() * total
    for (const kind of this.#kinds) {
      left -= STEP_WEIGHTS[kind]
      if (left < 0) return kind
    }
    return 'put'
  }

  #pickUp(): Machine | undefined {
    const { live } = this.#world
    return live.length === 0 ? undefined : this.#pick(live)
  }

  async #somePath(machine: Machine): Promise<string> {
    if (this.#draw() < 0.15) return this.#shownPath(machine)
    return this.#pick(this.#draw() < 0.1 ? DIRECTORIES : this.#paths)
  }

  /** Returns the path of a file that a machine shows, also one under a conflicting name. */
  async #shownPath(machine: Machine): Promise<string> {
    const shown = await this.#filesOn(machine)
    return this.#pick(shown.length === 0 ? this.#paths : shown)
  }

  /** Returns the paths of all files that a machine shows; none if it cannot say. */
  async #filesOn(machine: Machine): Promise<string[]> {
    const shown = await this.#world.glance(machine, async node => {
      const paths: string[] = []
      for await (const { path, kind } of node.list('/', { recursive: true })) if (kind === 'file') paths.push(path)
      return paths
    })
    return shown ?? []
  }

  get #paths(): readonly string[] {
    return this.#isRacing ? RACING_PATHS : PATHS
  }

  #draw(): number {
    return this.#chance.fraction()
  }

  #pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.#draw() * items.length)] as T
  }
}

function parentOf(path: string): string {
  const parent = path.slice(0, path.lastIndexOf('/'))
  return parent === '' ? path : parent
}
