import type { PutOptions, VersionItem } from '../../../src/api.ts'
import { PURGE_WAIT_MS } from '../../../src/catalog/constants.ts'
import { seededChance, shuffled } from '../../fixtures/seeded-chance.ts'
import type { Content } from '../whole/contents.ts'
import type { Machine } from '../whole/machine.ts'
import type { SimHost } from '../whole/sim-network.ts'
import { describe } from '../whole/world.ts'
import { playAbsence, playRollBack, type Stage } from './absence.ts'
import { AHEAD_MS_MAX } from './fate.ts'
import { type Backup, History } from './history.ts'
import { Judge } from './judge.ts'

const STEPS = 40
const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
/** After this long without a fault, everything must be at rest. */
const REST_MS_MAX = 3 * HOUR
const REST_STEP_MS = 20 * SECOND
/** After this long, copies are owed only of versions that other members no longer keep. */
const OWED_MS_MAX = 30 * MINUTE
const PATIENCE_MS = 3 * MINUTE
/** A clock that runs evenly for an hour is believed, also one that leaps. Every ten minutes versions are looked at. */
const STEADY_MS = 75 * MINUTE
const LOOK_MS = 12 * MINUTE
/** A record that has arrived is in the index after this long. */
const WRITTEN_MS = 200
/** Longer than the blocks of a dead writer are kept, and than blocks without a claim wait before they are looked for. */
const LEFTOVERS_MS = 3 * DAY

/**
 * How far a clock may be off to the end. If two clocks were more than 5 minutes apart, one machine would always wait for
 * the time of some statement of the other.
 */
const LASTING_MS_MAX = 2 * MINUTE

/** How often everything that shows is removed, until nothing does. */
const TURNS_MAX = 6

const PATHS = ['/a', '/b.txt', '/d/a', '/d/b', '/d/e/c', '/g/a']
const DIRECTORIES = ['/d', '/g', '/d/e', '/x']
const SIZES = [300, 300, 5_000, 5_000, 30_000, 90_000, 250_000, 1_200_000]
const DAYS = [1, 2, 3, 10, 30, 30]

/** How often each step is drawn, if a seed includes it at all. */
const STEP_WEIGHTS = {
  put: 7,
  overwrite: 12,
  putAgain: 3,
  remove: 5,
  removeTree: 2,
  purge: 3,
  purgeTree: 1,
  cancel: 3,
  regret: 4,
  move: 4,
  moveDirectory: 2,
  copy: 3,
  restore: 5,
  restoreTree: 2,
  look: 3,
  evict: 2,
  restart: 2,
  kill: 2,
  powerCut: 2,
  cut: 3,
  isolate: 2,
  silence: 1,
  slow: 1,
  heal: 5,
  skew: 3,
  away: 2,
  back: 3,
  backUp: 3,
  rollBack: 2,
  loseIndex: 1,
  repeat: 4,
  declareOut: 1,
  setDays: 1,
  night: 5
}
type Kind = keyof typeof STEP_WEIGHTS
const ALWAYS: ReadonlySet<Kind> = new Set<Kind>([
  'put',
  'overwrite',
  'remove',
  'restore',
  'regret',
  'heal',
  'back',
  'night'
])

export interface RunOptions {
  seed: number
  isLogging?: boolean | undefined
}

/** Runs the history of one seed, which decides everything that happens. */
export async function runHistory({ seed, isLogging }: RunOptions) {
  const chance = seededChance(seed ^ 0x8157)
  const history = new History({ seed, machines: 3 + Math.floor(chance.fraction() * 3), isLogging })
  const { world } = history
  world.time.install()
  let fault: Error | undefined
  try {
    await new HistorySchedule(history, seed).run()
    world.check()
  } catch (error) {
    fault = error as Error
  } finally {
    for (const machine of world.machines) machine.process.kill()
    world.time.uninstall()
  }
  return { world, fault, hash: world.traceHash, virtualMs: world.time.calendarMs }
}

class HistorySchedule {
  readonly #history: History
  readonly #judge: Judge
  readonly #chance
  readonly #kinds: readonly Kind[]
  /** Machines that are off, and stay so until a step starts them. */
  readonly #away = new Set<Machine>()
  readonly #skewed = new Set<Machine>()

  constructor(history: History, seed: number) {
    this.#history = history
    this.#judge = new Judge(history)
    this.#chance = seededChance(seed)
    const kinds = Object.keys(STEP_WEIGHTS) as Kind[]
    this.#kinds = kinds.filter(kind => ALWAYS.has(kind) || this.#draw() < 0.6)
  }

  async run(): Promise<void> {
    const { world } = this.#history
    world.say(`steps: ${this.#kinds.join(' ')}`)
    for (const machine of world.machines) await world.start(machine)
    await this.#pass(5 * SECOND)
    world.calm()
    await this.#setDays()
    for (let step = 0; step < STEPS; step++) {
      await this.#step(this.#drawKind())
      const draw = this.#draw()
      await this.#pass(draw < 0.35 ? 0 : draw < 0.6 ? 100 * this.#draw() : 10 * SECOND * this.#draw())
      await this.#startDead()
    }
    await this.#comeToRest()
    await this.#judge.atRest()
    world.check()
    const hasMore = this.#draw() < 0.7
    if (hasMore && this.#draw() < 0.6) await playAbsence(this.#stage())
    if (hasMore && this.#draw() < 0.5) await playRollBack(this.#stage())
    if (hasMore) await this.#letPurgesFall()
    if (this.#draw() < 0.5) await this.#purgeAll()
    await this.#removeAll()
    await this.#letExpire()
    await this.#judge.whenAllIsGone()
    world.check()
  }

  #stage(): Stage {
    const { world } = this.#history
    return {
      history: this.#history,
      pass: ms => this.#pass(ms),
      look: () => this.#pass(LOOK_MS),
      settle: async () => {
        await world.time.passUntil(Promise.all(world.underWay), 5 * MINUTE)
      },
      draw: () => this.#draw(),
      pick: items => this.#pick(items)
    }
  }

  async #pass(ms: number): Promise<void> {
    const { world } = this.#history
    this.#history.watch()
    await world.time.pass(ms)
    this.#history.watch()
    this.#judge.atAnyTime()
    world.check()
  }

  async #startDead(): Promise<void> {
    for (const machine of this.#history.world.machines)
      if (machine.process.isDead && !this.#away.has(machine) && this.#draw() < 0.3) await this.#start(machine)
  }

  async #start(machine: Machine): Promise<void> {
    await this.#history.world.start(machine)
    await this.#pass(0)
  }

  async #step(kind: Kind): Promise<void> {
    const { world } = this.#history
    const history = this.#history
    const machine = this.#pickUp()
    if (kind === 'night') return this.#night()
    if (kind === 'back') return this.#back()
    if (machine === undefined) return
    switch (kind) {
      case 'put':
        return this.#put(machine, this.#pick(PATHS))
      case 'overwrite':
        return this.#put(machine, await this.#shownPath(machine))
      case 'putAgain': {
        const { all } = world.contents
        if (all.length === 0) return
        return this.#put(machine, this.#draw() < 0.5 ? this.#pick(PATHS) : `/n${all.length}`, this.#pick(all))
      }
      case 'remove':
      case 'purge': {
        const deleted = kind === 'purge' && this.#draw() < 0.4 ? await this.#deletedPath(machine) : undefined
        const path = deleted ?? (await this.#shownPath(machine))
        return history.remove(machine, path, { recursive: false, purge: kind === 'purge' })
      }
      case 'removeTree':
      case 'purgeTree':
        return history.remove(machine, this.#pick(DIRECTORIES), { recursive: true, purge: kind === 'purgeTree' })
      case 'cancel': {
        const purge = history.deeds.findLast(deed => deed.kind === 'purge')
        return history.cancel(machine, purge !== undefined && this.#draw() < 0.8 ? purge.path : this.#pick(PATHS))
      }
      case 'regret': {
        const path = await this.#shownPath(machine)
        await history.remove(machine, path, { recursive: false, purge: true })
        await this.#pass(10 * SECOND * this.#draw())
        return history.cancel(this.#pickUp() ?? machine, path)
      }
      case 'move':
        return history.move(machine, await this.#shownPath(machine), this.#pick(PATHS))
      case 'moveDirectory':
        return history.move(machine, this.#pick(DIRECTORIES), this.#pick(DIRECTORIES))
      case 'copy':
        return history.copy(machine, await this.#shownPath(machine), this.#draw() < 0.5 ? this.#pick(PATHS) : '/x/copy')
      case 'restore': {
        const path = (this.#draw() < 0.5 ? await this.#deletedPath(machine) : undefined) ?? this.#pick(PATHS)
        const versions = await this.#versionsOf(machine, path)
        return history.restore(
          machine,
          path,
          this.#draw() < 0.5 || versions.length === 0 ? undefined : this.#pick(versions)
        )
      }
      case 'restoreTree':
        return history.restore(machine, this.#pick(DIRECTORIES))
      case 'look':
        return this.#judge.readSome(machine, this.#draw() < 0.5 ? this.#pick(PATHS) : await this.#shownPath(machine))
      case 'evict':
        return world.evict(machine, await this.#shownPath(machine))
      case 'restart':
        return this.#stop(machine)
      case 'kill':
      case 'powerCut':
        return this.#armDeath(machine, kind)
      case 'cut':
      case 'silence': {
        const other = this.#pickUp()
        if (other === undefined || other === machine) return
        world.say(`${kind} ${machine.name} ${other.name}`)
        return world.network[kind](machine.host as SimHost, other.host as SimHost)
      }
      case 'isolate':
        world.say(`isolate ${machine.name}`)
        for (const other of world.live)
          if (other !== machine) world.network.cut(machine.host as SimHost, other.host as SimHost)
        return
      case 'slow': {
        const ms = this.#pick([0, 20, 200, 1_500])
        world.say(`slow ${machine.name} ${ms}`)
        return world.network.slow(machine.address, ms)
      }
      case 'heal':
        return this.#heal()
      case 'skew':
        return this.#skew(machine)
      case 'away':
        this.#away.add(machine)
        if (this.#draw() < 0.5) return this.#stop(machine)
        world.say(`${machine.name} is switched off`)
        machine.kill()
        return
      case 'backUp':
        return history.backUp(machine)
      case 'rollBack':
        return this.#rollBack(machine)
      case 'loseIndex':
        world.say(`${machine.name} loses its index`)
        machine.kill()
        machine.disk.rows.clear()
        return this.#start(machine)
      case 'repeat':
        return this.#repeat(machine)
      case 'declareOut':
        return this.#declareOut(machine)
      case 'setDays':
        return this.#setDays()
    }
  }

  async #put(machine: Machine, path: string, again?: Content): Promise<void> {
    const { contents } = this.#history.world
    const content = again ?? (await contents.make(this.#pick(SIZES)))
    const draw = this.#draw()
    const options: PutOptions = draw < 0.6 ? {} : { replicas: this.#pick([2, 2, 'all'] as const) }
    await this.#history.put(machine, path, content, options)
  }

  async #stop(machine: Machine): Promise<void> {
    const { world } = this.#history
    world.say(`${machine.name} stops`)
    const { process } = machine
    const died = new Promise<void>(resolve => process.onDeath(resolve))
    const stopped = machine.stop().then(
      () => world.say(`${machine.name} has stopped`),
      error => {
        if (!process.isDead) machine.kill()
        world.say(`${machine.name} stops with ${describe(error)}`)
      }
    )
    world.track(Promise.race([died, stopped]))
  }

  /** Makes a machine die at a later operation of its disk. */
  #armDeath(machine: Machine, kind: 'kill' | 'powerCut'): void {
    const { world } = this.#history
    let left = Math.floor(this.#draw() * 60)
    world.say(`${machine.name} ${kind} in ${left} operations`)
    const { process } = machine
    machine.disk.onOperation = () => {
      if (machine.process !== process || left-- > 0) return
      machine.disk.onOperation = () => {}
      world.say(`${machine.name} ${kind}`)
      machine[kind]()
    }
  }

  #heal(): void {
    const { world } = this.#history
    world.say('heal')
    this.#healNetwork()
    for (const machine of world.machines) world.network.slow(machine.address, 0)
    this.#setClocks()
  }

  #healNetwork(): void {
    const { machines, network } = this.#history.world
    for (const a of machines)
      for (const b of machines)
        if (a !== b && a.host !== undefined && b.host !== undefined) network.heal(a.host, b.host)
  }

  /** Sets a clock wrong, by some minutes for as long as it likes, or by much more for a short time. */
  #skew(machine: Machine): void {
    const isSmall = this.#draw() < 0.7
    const ms = isSmall
      ? (this.#draw() - 0.5) * 8 * MINUTE
      : (this.#draw() - 0.5) * 2 * this.#pick([2 * HOUR, AHEAD_MS_MAX])
    if (!isSmall || Math.abs(ms) > LASTING_MS_MAX) this.#skewed.add(machine)
    this.#history.world.say(`the clock of ${machine.name} is ${Math.round(ms / SECOND)} s off`)
    machine.setClock(ms)
  }

  /** Sets the clocks that are too far off. */
  #setClocks(): void {
    for (const machine of this.#skewed) machine.setClock(0)
    this.#skewed.clear()
  }

  async #back(): Promise<void> {
    for (const machine of this.#away) {
      this.#away.delete(machine)
      if (machine.process.isDead) return this.#start(machine)
    }
  }

  async #rollBack(machine: Machine): Promise<void> {
    const backups = this.#history.backups.get(machine) ?? []
    if (backups.length === 0) return this.#history.backUp(machine)
    machine.kill()
    this.#history.rollBack(machine, this.#pick(backups) as Backup)
    await this.#start(machine)
  }

  /** Has a machine push old records to another one, in any order and some of them twice. */
  async #repeat(machine: Machine): Promise<void> {
    const { world, records } = this.#history
    const other = this.#pickUp()
    const sync = machine.stack?.fs.sync
    if (other === undefined || other === machine || sync === undefined) return
    const some = shuffled([...records.all.values()], this.#chance).slice(0, 1 + Math.floor(this.#draw() * 40))
    world.say(`${machine.name} pushes ${some.length} old records to ${other.name}`)
    for (const { statement } of [...some, ...some.slice(0, 5)]) void sync.push(other.peerId, statement).catch(() => {})
  }

  async #declareOut(machine: Machine): Promise<void> {
    const { world } = this.#history
    const other = this.#pick(world.machines)
    if (other === machine || other.peerId === '') return
    world.say(`${machine.name} declares ${other.name} out`)
    const work = machine.node?.declareOut(other.peerId).catch(() => {})
    if (work !== undefined) world.track(Promise.race([work, this.#death(machine)]).then(() => {}))
  }

  async #setDays(): Promise<void> {
    const { world, days } = this.#history
    const [machine] = world.machines as [Machine]
    const { node } = machine
    if (node === undefined || machine.process.isDead) return
    const count = this.#pick(DAYS)
    const isFirst = this.#history.deeds.length === 0
    days.least = isFirst ? count : Math.min(days.least, count)
    days.most = isFirst ? count : Math.max(days.most, count)
    world.say(`versions are kept for ${count} days`)
    const work = node.setSetting('versionDays', count).then(
      () => {},
      error => world.say(`versionDays: ${describe(error)}`)
    )
    world.track(Promise.race([work, this.#death(machine)]))
    await this.#pass(SECOND)
  }

  #death({ process }: Machine): Promise<void> {
    return new Promise(resolve => process.onDeath(resolve))
  }

  /** Lets hours or days pass: while all machines sleep, or while they have no turn. */
  async #night(): Promise<void> {
    const { world, days } = this.#history
    this.#setClocks()
    const longest = this.#draw() < 0.3 ? PURGE_WAIT_MS : days.least * DAY
    const ms = (0.1 + 1.1 * this.#draw()) * longest
    const isSleep = this.#draw() < 0.4
    // A record whose arrival is noted just before the machine falls asleep is projected soon after.
    await this.#pass(WRITTEN_MS)
    world.say(`${(ms / HOUR).toFixed(1)} h pass ${isSleep ? 'in sleep' : ''}`)
    if (isSleep) world.time.sleep(ms)
    else world.time.leap(ms)
    await this.#pass(isSleep && this.#draw() < 0.5 ? STEADY_MS : 3 * MINUTE)
  }

  async #comeToRest(): Promise<void> {
    const { world } = this.#history
    world.say('all is mended')
    this.#setClocks()
    for (const machine of world.machines) {
      machine.disk.onOperation = () => {}
      world.network.slow(machine.address, 0)
    }
    this.#away.clear()
    let why: string | undefined = 'it has just begun'
    for (let passed = 0; why !== undefined && passed < REST_MS_MAX; passed += REST_STEP_MS) {
      this.#healNetwork()
      for (const machine of world.machines) if (machine.process.isDead) await this.#start(machine)
      await this.#pass(passed > 10 * MINUTE ? 10 * REST_STEP_MS : REST_STEP_MS)
      if (passed > 10 * MINUTE) passed += 9 * REST_STEP_MS
      why = await world.unrest(passed > PATIENCE_MS)
      // A member that heard late of the end of a version keeps it longer than others, and waits for their copies.
      if (why?.includes('owes') === true && passed > OWED_MS_MAX) world.time.leap(DAY)
      // A statement that waits for its time on some machines is why their logs differ.
      if (why === undefined || why === 'the logs differ') why = (await this.#judge.unrest()) ?? why
    }
    world.say(`at rest: ${why ?? 'yes'}`)
    if (why !== undefined) world.fault('no rest', why)
    world.check()
  }

  /** Lets so much time pass that each purge of a writer has taken effect, unless somebody has cancelled it. */
  async #letPurgesFall(): Promise<void> {
    const { world } = this.#history
    world.say('a week passes')
    world.time.leap(PURGE_WAIT_MS + HOUR)
    await this.#pass(LOOK_MS)
    await this.#comeToRest()
    await this.#judge.atRest()
  }

  /** Purges everything, as an admin, also what was deleted before. */
  async #purgeAll(): Promise<void> {
    const { world } = this.#history
    world.say('everything is purged')
    const [admin] = world.machines as [Machine]
    await this.#endAll(admin, { purge: true })
    await this.#pass(MINUTE)
    await this.#judge.whenAllIsPurged()
  }

  async #removeAll(): Promise<void> {
    const { world } = this.#history
    world.say('everything is removed')
    await this.#endAll(world.machines[0] as Machine, { purge: false })
    await this.#pass(MINUTE)
  }

  async #endAll(machine: Machine, { purge }: { purge: boolean }, turns = TURNS_MAX): Promise<void> {
    const history = this.#history
    const paths = await this.#listed(machine, '/', false)
    if (purge) paths.push(...(await this.#listed(machine, '/', true)))
    for (const path of paths) {
      await history.remove(machine, path, { recursive: true, purge })
      await history.world.time.passUntil(Promise.all(history.world.underWay), 5 * MINUTE)
    }
    // A conflict takes the name of the file that is gone, and a name that was in use hides what was deleted under it.
    const isLeft =
      (await this.#listed(machine, '/', false)).length > 0 ||
      (purge && (await this.#listed(machine, '/', true)).some(path => !paths.includes(path)))
    if (isLeft && turns > 1) await this.#endAll(machine, { purge }, turns - 1)
  }

  /** Lets so much time pass that no version is kept any more, and that nothing is left of what was cut off. */
  async #letExpire(): Promise<void> {
    const { world, days } = this.#history
    world.say('all versions expire')
    world.time.leap(days.most * DAY + PURGE_WAIT_MS + AHEAD_MS_MAX + DAY)
    await this.#pass(LOOK_MS)
    world.time.leap(LEFTOVERS_MS)
    await this.#comeToRest()
    await this.#pass(LOOK_MS)
  }

  async #listed(machine: Machine, path: string, deleted: boolean): Promise<string[]> {
    const paths: string[] = []
    await this.#history.world.glance(machine, async node => {
      for await (const item of node.list(path, { deleted })) paths.push(item.path)
    })
    return paths
  }

  async #versionsOf(machine: Machine, path: string): Promise<VersionItem[]> {
    const found = await this.#history.world.glance(machine, async node => {
      const items: VersionItem[] = []
      for await (const item of node.versions(path)) items.push(item)
      return items
    })
    return found ?? []
  }

  async #shownPath(machine: Machine): Promise<string> {
    return this.#pick((await this.#filesOn(machine, false)) ?? PATHS)
  }

  async #deletedPath(machine: Machine): Promise<string | undefined> {
    const found = await this.#filesOn(machine, true)
    return found === undefined ? undefined : this.#pick(found)
  }

  async #filesOn(machine: Machine, deleted: boolean): Promise<string[] | undefined> {
    const shown = await this.#history.world.glance(machine, async node => {
      const paths: string[] = []
      for await (const { path, kind } of node.list('/', { recursive: true, deleted }))
        if (kind === 'file') paths.push(path)
      return paths
    })
    return shown === undefined || shown.length === 0 ? undefined : shown
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
    const { live } = this.#history.world
    return live.length === 0 ? undefined : this.#pick(live)
  }

  #draw(): number {
    return this.#chance.fraction()
  }

  #pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.#draw() * items.length)] as T
  }
}
