import { PURGE_WAIT_MS } from '../../../src/catalog/constants.ts'
import type { Machine } from '../whole/machine.ts'
import type { SimHost } from '../whole/sim-network.ts'
import type { Backup, History } from './history.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const DAY = 24 * 60 * MINUTE
/** So small that it is in the record, which a machine can sign without any other. */
const INLINE_BYTES = 300
const SMALL_BYTES = 5_000

/** What a scene may do with time. */
export interface Stage {
  history: History
  /** Lets time pass, and judges what happens. */
  pass(ms: number): Promise<void>
  /** Lets so much time pass that each machine has looked at its versions. */
  look(): Promise<void>
  /** Lets time pass until all verbs have ended. */
  settle(): Promise<void>
  draw(): number
  pick<T>(items: readonly T[]): T
}

/**
 * While one machine is away, a file is moved by one machine and overwritten by another, one is removed, and a writer
 * purges one. The machine comes back before the versions have expired, and then must keep them longer than the others, or
 * after that, and then must still see what the others see. All machines are up and connected when this begins.
 */
export async function playAbsence(stage: Stage): Promise<void> {
  const { history, pass, settle, pick } = stage
  const { world, days } = history
  const [mover, other, late] = cast(stage)
  if (mover === undefined || other === undefined || late === undefined) return
  world.say(`${late.name} is away`)
  late.kill()
  const all = [MOVED, REMOVED, PURGED]
  for (const path of all) await history.put(other, path, await world.contents.make(SMALL_BYTES), {})
  await settle()
  await pass(20 * SECOND)
  connect(history, mover, false)
  await history.move(mover, MOVED, `${MOVED}-to`)
  await history.put(other, MOVED, await world.contents.make(SMALL_BYTES), {})
  await pass(5 * SECOND)
  connect(history, mover, true)
  await pass(MINUTE)
  const purger = world.live.find(machine => history.roleOf(machine) === 'writer')
  await history.remove(other, REMOVED, { recursive: false, purge: false })
  if (purger !== undefined) await history.remove(purger, PURGED, { recursive: false, purge: true })
  await settle()
  // Neither the purge nor the end of the versions may take effect before its time.
  const [longMs, shortMs] = [0.6 * days.least * DAY, Math.min(0.6 * days.least * DAY, 0.6 * PURGE_WAIT_MS)]
  world.time.leap(shortMs)
  await stage.look()
  world.time.leap(longMs - shortMs)
  const isBackLate = stage.draw() < 0.5
  if (isBackLate) {
    world.time.leap(days.most * DAY)
    await stage.look()
  }
  await world.start(late)
  await pass(pick([MINUTE, 3 * MINUTE]))
  if (isBackLate) return
  world.time.leap(longMs)
  await stage.look()
}

/**
 * A machine is restored from a backup, and writes a file twice before it meets another machine, without what it had
 * written since the backup. All machines are up and connected when this begins.
 */
export async function playRollBack({ history, pass, settle, pick }: Stage): Promise<void> {
  const { world } = history
  const machine = pick(world.live.filter(machine => history.roleOf(machine) !== 'reader'))
  const write = async (): Promise<void> =>
    history.put(machine, WRITTEN, await world.contents.make(INLINE_BYTES), { replicas: 'all' })
  await write()
  await settle()
  history.backUp(machine)
  await pass(SECOND)
  await write()
  await settle()
  await pass(20 * SECOND)
  const others = world.live.filter(other => other !== machine)
  for (const other of [machine, ...others]) other.kill()
  history.rollBack(machine, history.backups.get(machine)?.at(-1) as Backup)
  await world.start(machine)
  // The second of two writes has seen the first, and so names a stamp after those that the backup does not have.
  for (let writes = 0; writes < 2; writes++) {
    await pass(10 * SECOND)
    await write()
  }
  await pass(10 * SECOND)
  for (const other of others) await world.start(other)
  await pass(MINUTE)
}

const MOVED = '/absence/moved'
const REMOVED = '/absence/removed'
const PURGED = '/absence/purged'
const WRITTEN = '/written'

/**
 * A machine that may move a file and one that may write it, and a third one. The first is no admin, if there is such a
 * one: what it moves counts only where the record is known that wrote the content.
 */
function cast({ history, draw }: Stage): Machine[] {
  const ranks = { writer: 0, admin: 1, storage: 2, reader: 2 }
  const order = history.world.live
    .map(machine => ({ machine, draw: draw(), rank: ranks[history.roleOf(machine)] }))
    .sort((a, b) => a.rank - b.rank || a.draw - b.draw)
  const [mover, ...rest] = order
  const others = rest.filter(({ rank }) => rank < 2).sort((a, b) => a.draw - b.draw)
  const [other] = others
  if (mover === undefined || other === undefined || mover.rank === 2) return []
  return [mover, other, ...rest.filter(one => one !== other)].map(({ machine }) => machine)
}

function connect({ world }: History, machine: Machine, isConnected: boolean): void {
  world.say(`${machine.name} is ${isConnected ? 'connected' : 'isolated'}`)
  for (const other of world.live)
    if (other !== machine) world.network[isConnected ? 'heal' : 'cut'](machine.host as SimHost, other.host as SimHost)
}
