import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PURGE_WAIT_MS, SHORT_LIVED_MAX, SHORT_LIVED_MS } from '../../src/catalog/constants.ts'
import { isOrigin, liveHeads, pastOfAll, stampKey } from '../../src/catalog/heads.ts'
import { nameBlock } from '../../src/format/cid.ts'
import { covers, type EntryRecord, readRecord } from '../../src/format/entry.ts'
import { parsePath } from '../../src/format/path.ts'
import { compareStamps, hlcAfter, hlcMs, type Stamp } from '../../src/format/stamp.ts'
import type { Statement } from '../../src/format/statement.ts'
import type { AcceptedStatement } from '../../src/log/projection.ts'
import type { LocalMember } from '../../src/members/local-member.ts'
import { equalBytes, toHex } from '../../src/util/bytes.ts'
import type { Chance } from '../../src/util/chance.ts'
import { DfsError } from '../../src/util/errors.ts'
import { seededChance, shuffled } from '../fixtures/seeded-chance.ts'
import { admin, clock, epoch, otherWriter, Setup, sign, writer } from '../unit/catalog/setup.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const SEEDS = 16
const STEPS = 60
const NAMES = ['/f', '/g']

/** A record as it reached a member. */
interface Arrived {
  record: EntryRecord
  arrivedAtMs: number
  isAdmin: boolean
  purge: boolean
  cancel: boolean
}

/** One of several members that write to the same few names, and hear of each other late and in any order. */
class Member {
  readonly setup: Setup
  readonly self: LocalMember
  readonly items: AcceptedStatement[] = []
  readonly #known = new Set<string>()

  constructor(setup: Setup, self: LocalMember) {
    this.setup = setup
    this.self = self
    setup.onProjected = items => {
      for (const item of items) {
        this.items.push(item)
        this.#known.add(toHex((item.statement as Statement).id))
      }
    }
  }

  /** Hears of some records of another member that it does not know. */
  async hear(items: readonly AcceptedStatement[]): Promise<void> {
    const arrivedAtMs = this.setup.clock.now()
    const fresh = items.filter(({ statement }) => !this.#known.has(toHex(statement.id)))
    if (fresh.length > 0) await this.setup.project(fresh.map(item => ({ ...item, arrivedAtMs })))
  }

  /** The ids of the entries that it knows, in hex. */
  get entries(): Set<string> {
    return new Set(this.arrived.map(({ record }) => toHex(record.entry)))
  }

  get arrived(): Arrived[] {
    return this.items.map(({ statement, author, arrivedAtMs, role }) => {
      const entry = statement as Statement<'entry'>
      const { purge = false, cancel = false } = entry.fields
      return { record: readRecord(entry, author), arrivedAtMs, isAdmin: role === 'admin', purge, cancel }
    })
  }
}

/** Saves the versions of a deleted file from the purges that the member has heard of. */
async function cancel({ setup, entries }: Member, by: LocalMember, chance: Chance): Promise<void> {
  const deleted = (await Promise.all([...entries].map(id => setup.tree.entry(Buffer.from(id, 'hex'))))).flatMap(
    found =>
      found?.shown.isDeleted === true ? (found.row.state.heads[0] === undefined ? [] : [found.row.state.heads]) : []
  )
  const heads = deleted[Math.floor(chance.fraction() * deleted.length)]
  if (heads === undefined) return
  const [{ entry }] = heads as [EntryRecord]
  const hlc = hlcAfter(setup.clock.now(), ...heads.map(({ stamp }) => stamp.hlc))
  const incarnation = chance.bytes(8)
  await setup.add(sign({ entry, by, hlc, incarnation, op: 'delete', cancel: true, seen: pastOfAll(heads) }))
}

async function act(
  member: Member,
  { chance, serial, isBusy }: { chance: Chance; serial: number; isBusy: boolean }
): Promise<void> {
  const { setup, self } = member
  const draw = (count: number): number => Math.floor(chance.fraction() * count)
  const path = parsePath(NAMES[isBusy ? 0 : draw(NAMES.length)] as string)
  const block = nameBlock(Buffer.from(`${serial}`)).bytes
  const content = { root: block, rootEpoch: epoch.id, size: 5, mtime: 0, key: Buffer.alloc(32, 1) }
  try {
    const verb = draw(isBusy ? 15 : 20)
    if (verb < 14) await setup.catalog.link(path, content, { replicas: 1 })
    else if (verb < 16) await setup.catalog.move(path, parsePath(NAMES[draw(2)] as string), { replicas: 1 })
    else if (verb < 19) await setup.catalog.remove(path, { purge: verb === 18 })
    else await cancel(member, self, chance)
  } catch (error) {
    if (!(error instanceof DfsError)) throw error
  }
}

/** Returns true if a record carries a content that neither its author nor an admin has shown. */
function isWaiting({ record, isAdmin }: Arrived, all: readonly Arrived[]): boolean {
  const isEntitled = ({ record: { stamp, written, op }, isAdmin }: Arrived): boolean =>
    op === 'delete' || isAdmin || equalBytes(stamp.author, written.author)
  return (
    !isEntitled({ record, isAdmin } as Arrived) &&
    !all.some(other => isEntitled(other) && compareStamps(other.record.written, record.written) === 0)
  )
}

interface Judged {
  written: Stamp
  arrivedAtMs: number
  /** The record that wrote it, if it is here, and all others with its content. */
  carriers: Arrived[]
}

function versionsOf(all: readonly Arrived[]): Judged[] {
  const puts = all.filter(({ record }) => record.op === 'put')
  return [...Map.groupBy(puts, ({ record }) => stampKey(record.written)).values()].map(carriers => {
    const origin = carriers.find(({ record }) => isOrigin(record))
    const [{ record }] = carriers as [Arrived]
    const arrivedAtMs = origin?.arrivedAtMs ?? Math.min(...carriers.map(({ arrivedAtMs }) => arrivedAtMs))
    return { written: record.written, arrivedAtMs, carriers }
  })
}

/** The ids of the records that need no content any more, by the rules alone, from everything that has arrived. */
function releasedBy(all: readonly Arrived[], nowMs: number, keptMs: number, live: ReadonlySet<string>): Set<string> {
  const released = new Set<string>()
  for (const ofEntry of Map.groupBy(all, ({ record }) => toHex(record.entry)).values()) {
    const same = ofEntry.filter(item => !isWaiting(item, ofEntry))
    const judged = versionsOf(same).map(version => ({ ...version, ...judge(version, same, nowMs, keptMs) }))
    const short = judged.filter(({ isShort }) => isShort).sort((a, b) => compareStamps(b.written, a.written))
    const tooMany = new Set(short.slice(SHORT_LIVED_MAX))
    for (const version of judged) {
      if (!version.isOver && !tooMany.has(version)) continue
      for (const { record } of version.carriers) if (!live.has(toHex(record.id))) released.add(toHex(record.id))
    }
  }
  return released
}

function judge(
  { written, arrivedAtMs }: Judged,
  all: readonly Arrived[],
  nowMs: number,
  keptMs: number
): { isShort: boolean; isOver: boolean } {
  const seenBy = all.filter(
    other => compareStamps(other.record.written, written) !== 0 && covers(other.record, written)
  )
  const [end] = seenBy.sort((a, b) => a.arrivedAtMs - b.arrivedAtMs || compareStamps(a.record.stamp, b.record.stamp))
  if (end === undefined) return { isShort: false, isOver: false }
  const endedAtMs = Math.max(arrivedAtMs, end.arrivedAtMs)
  const isShort =
    equalBytes(end.record.stamp.author, written.author) &&
    end.arrivedAtMs - arrivedAtMs < SHORT_LIVED_MS &&
    hlcMs(end.record.stamp.hlc) - hlcMs(written.hlc) < SHORT_LIVED_MS
  const isPurged = seenBy.some(
    ({ record: by, purge, isAdmin, arrivedAtMs }) => purge && (isAdmin || isDue(by, arrivedAtMs + PURGE_WAIT_MS))
  )
  function isDue(purge: EntryRecord, dueAtMs: number): boolean {
    const isCancelled = all.some(
      other => other.cancel && other.arrivedAtMs < dueAtMs && covers(other.record, purge.stamp)
    )
    return dueAtMs <= nowMs && !isCancelled
  }
  return { isShort, isOver: isPurged || endedAtMs + keptMs <= nowMs }
}

async function releasedIn(setup: Setup, all: readonly Arrived[]): Promise<Set<string>> {
  const released = new Set<string>()
  for (const { record } of all) if (await setup.isReleased(record.id)) released.add(toHex(record.id))
  return released
}

async function liveIn({ tree }: Setup, all: readonly Arrived[]): Promise<Set<string>> {
  const live = new Set<string>()
  for (const { record } of all) {
    const found = await tree.entry(record.entry)
    for (const head of found === undefined ? [] : liveHeads(found.row.state)) live.add(toHex(head.id))
  }
  return live
}

/** Returns a member that has the same records from the same moments, which reach its index in any order and batches. */
async function rebuild(of: Setup, items: readonly AcceptedStatement[], chance: Chance): Promise<Setup> {
  const rebuilt = await Setup.open()
  rebuilt.keptMs = of.keptMs
  rebuilt.clock.advance(of.clock.now() - rebuilt.clock.now() - DAY)
  for (let left = shuffled(items, chance); left.length > 0; )
    await rebuilt.project(left.splice(0, 1 + Math.floor(chance.fraction() * 8)))
  rebuilt.clock.advance(DAY)
  return rebuilt
}

const sorted = (set: ReadonlySet<string>): string[] => [...set].sort()

test('which versions a member keeps follows from the records and their arrivals, in any order, also after a rebuild', async () => {
  const counts = { released: 0, kept: 0, short: 0, cancels: 0, forgotten: 0 }
  for (let seed = 1; seed <= SEEDS; seed++) {
    const chance = seededChance(seed)
    const draw = (count: number): number => Math.floor(chance.fraction() * count)
    const members: Member[] = []
    for (const [i, self] of [writer, otherWriter, admin].entries())
      members.push(new Member(await Setup.open({ self, seed: seed * 10 + i }), self))
    const isBusy = draw(3) === 0
    const keptMs = [30, 30, 3][draw(3)]! * DAY
    for (const { setup } of members) {
      setup.keptMs = keptMs
      setup.clock.advance(clock.now() - setup.clock.now())
    }
    const pass = (ms: number): void => {
      clock.advance(ms)
      for (const { setup } of members) setup.clock.advance(ms)
    }
    for (let step = 0; step < STEPS; step++) {
      pass(isBusy ? MINUTE : [MINUTE, MINUTE, 10 * MINUTE, HOUR, DAY][draw(5)]!)
      // A busy author writes the same file again and again.
      const [member, other] = [members[isBusy && draw(8) > 0 ? 0 : draw(3)]!, members[draw(3)]!]
      if (draw(3) > 0) await act(member, { chance, serial: seed * 1_000 + step, isBusy })
      else if (draw(2) === 0) await member.hear(other.items.slice(0, draw(other.items.length + 1)))
      else await member.hear(shuffled(other.items, chance).slice(0, draw(other.items.length + 1)))
      if (draw(4) === 0) await member.setup.retention.look()
    }
    pass(isBusy ? 2 * HOUR : [HOUR, 5 * DAY, 60 * DAY][draw(3)]!)
    for (const { setup, arrived, items } of members) {
      const rows = await setup.rows()
      const expected = releasedBy(arrived, setup.clock.now(), keptMs, await liveIn(setup, arrived))
      assert.deepEqual(sorted(await releasedIn(setup, arrived)), sorted(expected), `seed ${seed}`)
      counts.released += expected.size
      counts.cancels += arrived.filter(({ cancel }) => cancel).length
      if (isBusy) counts.short += expected.size
      counts.kept += arrived.length - expected.size
      const rebuilt = await rebuild(setup, items, chance)
      assert.deepEqual(await rebuilt.rows(), rows, `seed ${seed}`)
      // The log forgets records, so a real rebuild lacks them. It may keep a version for longer, and never for less.
      const inLog: AcceptedStatement[] = []
      for (const item of items) if ((await setup.log.get(item.statement.id)) !== undefined) inLog.push(item)
      counts.forgotten += items.length - inLog.length
      const fromLog = await rebuild(setup, inLog, chance)
      await fromLog.retention.look()
      assert.deepEqual(await fromLog.listing(), await setup.listing(), `seed ${seed}`)
      for (const id of await releasedIn(fromLog, arrived)) assert.ok(expected.has(id), `seed ${seed}`)
    }
  }
  assert.ok(
    Object.values(counts).every(count => count > 10),
    JSON.stringify(counts)
  )
})
