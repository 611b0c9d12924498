import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NoSpaceError } from '../../../src/disk/errors.ts'
import { indexKey } from '../../../src/disk/index-db.ts'
import { TABLES } from '../../../src/disk/tables.ts'
import { idOf, type Statement } from '../../../src/format/statement.ts'
import { Comparison } from '../../../src/log/comparison.ts'
import { DOUBT_AFTER_MS, FETCH_TURN_MS, LISTS_MAX, SYNC_TIMEOUT_MS } from '../../../src/log/constants.ts'
import { Cursors } from '../../../src/log/cursors.ts'
import { FetchTurns } from '../../../src/log/fetch-turns.ts'
import { statementKey } from '../../../src/log/keys.ts'
import type { News } from '../../../src/log/positions.ts'
import { Standings } from '../../../src/log/standing.ts'
import { COMPARE_EVERY_MS, COMPARE_PAUSE_MS } from '../../../src/members/constants.ts'
import { LocalMember } from '../../../src/members/local-member.ts'
import { toHex } from '../../../src/util/bytes.ts'
import { ProtocolError } from '../../../src/wire/errors.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { entryBy, type TestMember } from '../../fixtures/member.ts'
import type { MemoryHost } from '../../fixtures/memory-host.ts'
import { settle, timePassesUntil, whileTimePasses } from '../../fixtures/pass-time.ts'
import { MINUTE, Setup, SOON, take } from './setup.ts'

/** Counts the requests to a member from now on: how many ids it has listed, and how many statements it has sent. */
function watch(member: TestMember) {
  const seen = { listed: 0, news: 0, sent: 0 }
  const { list, bytesOf } = { list: member.log.list.bind(member.log), bytesOf: member.log.bytesOf.bind(member.log) }
  const { positions } = member.log
  const news = positions.news.bind(positions)
  member.log.list = async (...args) => {
    const ids = await list(...args)
    seen.listed += ids.length
    return ids
  }
  member.log.bytesOf = async (...args) => {
    const statements = await bytesOf(...args)
    seen.sent += statements.length
    return statements
  }
  positions.news = async (...args) => {
    const page = await news(...args)
    seen.news += page?.ids.length ?? 0
    return page
  }
  return seen
}

/** Counts how often each statement of class 1 is passed to a member, from now on. */
function deliveries(member: TestMember): Map<string, number> {
  const byId = new Map<string, number>()
  const receive = member.log.receive.bind(member.log)
  member.log.receive = async (all, ...rest) => {
    for (const bytes of all) byId.set(toHex(bytes), (byId.get(toHex(bytes)) ?? 0) + 1)
    return receive(all, ...rest)
  }
  return byId
}

const hostOf = (member: TestMember): MemoryHost => member.host as MemoryHost

async function compared(setup: Setup, ...members: TestMember[]): Promise<void> {
  const others = members.length - 1
  await timePassesUntil(setup.clock, 'compared', () => members.every(({ members: m }) => m.compared.size >= others), {
    stepMs: 100,
    msMax: MINUTE
  })
}

/** Cuts two members apart, and connects them again. */
async function reconnect(setup: Setup, a: TestMember, b: TestMember): Promise<void> {
  setup.network.cut(hostOf(a), hostOf(b))
  await timePassesUntil(setup.clock, 'apart', () => a.members.admitted.length === 0 && b.members.admitted.length === 0)
  setup.network.heal(hostOf(a), hostOf(b))
  await compared(setup, a, b)
}

test('two members with equal logs that meet again list only what is new', async t => {
  const setup = new Setup(t)
  const a = await setup.member('a')
  await a.write(setup.chance, 500)
  const b = await setup.member('b', { bootstrap: ['a'] })
  await compared(setup, a, b)
  // Each has now told the other what it took from it.
  await whileTimePasses(setup.clock, Promise.all([a.sync.compare(b.peer), b.sync.compare(a.peer)]))
  const [fromA, fromB] = [watch(a), watch(b)]
  await reconnect(setup, a, b)
  assert.equal(fromA.listed + fromB.listed, 0)
  assert.ok(fromA.news + fromB.news <= 4, 'only statuses are new')
  setup.network.cut(hostOf(a), hostOf(b))
  await settle()
  await a.write(setup.chance, 3)
  await reconnect(setup, a, b)
  assert.equal(fromA.listed + fromB.listed, 0)
  assert.deepEqual(await b.ids(1), await a.ids(1))
})

test('a newcomer that meets three members fetches each statement once', async t => {
  const setup = new Setup(t)
  setup.network.delayMs = 3
  const names = ['p', 'q', 'r']
  const olds: TestMember[] = []
  for (const [i, name] of names.entries()) olds.push(await setup.member(name, { bootstrap: names.slice(0, i) }))
  await olds[0]!.write(setup.chance, 1_500)
  await compared(setup, ...olds)
  await timePassesUntil(setup.clock, 'all', async () => (await olds[2]!.ids(1)).length === 1_500)
  const watched = olds.map(watch)
  const fresh = await setup.member('fresh', { bootstrap: names })
  const handed = deliveries(fresh)
  // In small steps, so that no turn ends because this machine is busy.
  await timePassesUntil(setup.clock, 'compared', () => fresh.members.compared.size === 3, { stepMs: 5, msMax: MINUTE })
  assert.equal((await fresh.ids(1)).length, 1_500)
  const sent = watched.reduce((sum, seen) => sum + seen.sent, 0)
  assert.ok(sent < 1_500 + 50, `${sent} statements were sent`)
  assert.deepEqual([...new Set(handed.values())], [1])
})

test('a member that freezes while it sends statements does not hold up the others', async t => {
  const setup = new Setup(t)
  const p = await setup.member('p')
  await p.write(setup.chance, 300)
  const q = await setup.member('q', { bootstrap: ['p'] })
  await compared(setup, p, q)
  const frozen = Promise.withResolvers<void>()
  const bytesOf = p.log.bytesOf.bind(p.log)
  p.log.bytesOf = async (...args) => {
    await frozen.promise
    return bytesOf(...args)
  }
  const fresh = await setup.member('fresh', { bootstrap: ['p', 'q'] })
  await timePassesUntil(setup.clock, 'all of them', async () => (await fresh.ids(1)).length === 300, {
    stepMs: 20,
    msMax: 4 * FETCH_TURN_MS
  })
  assert.ok(4 * FETCH_TURN_MS < SYNC_TIMEOUT_MS)
  frozen.resolve()
})

test('nothing else is compared with a member before the statements about membership', async t => {
  const setup = new Setup(t)
  const b = await setup.member('b')
  await b.write(setup.chance, 2)
  const asked: number[] = []
  const list = b.log.list.bind(b.log)
  let isBroken = true
  b.log.list = async (statementClass, after, limit) => {
    asked.push(statementClass)
    if (isBroken) throw new Error('membership cannot be read')
    return list(statementClass, after, limit)
  }
  const c = await setup.member('c', { bootstrap: ['b'] })
  await timePassesUntil(setup.clock, 'asked', () => asked.length > 1)
  assert.deepEqual(new Set(asked), new Set([0]))
  assert.deepEqual(await c.ids(1), [])
  isBroken = false
  await timePassesUntil(setup.clock, 'compared', () => c.members.compared.size === 1)
  assert.deepEqual(await c.ids(1), await b.ids(1))
})

test('a statement that may be accepted later holds the cursor on the disk back, and nothing else', async t => {
  const setup = new Setup(t)
  const b = await setup.member('b')
  const c = await setup.member('c', { bootstrap: ['b'] })
  await compared(setup, b, c)
  const cursors = new Cursors(c.store.index)
  const before = await cursors.get(b.peer, 1)
  const receive = c.log.receive.bind(c.log)
  const [late, good] = await b.write(setup.chance, 2)
  let isRefused = true
  c.log.receive = async (all, from, check) => {
    const verdicts = await receive(
      all.filter(bytes => !isRefused || toHex(bytes) !== toHex(late!.bytes)),
      from,
      check
    )
    return all.map(bytes => (isRefused && toHex(bytes) === toHex(late!.bytes) ? 'unknown-grant' : verdicts.shift()!))
  }
  const compare = () => whileTimePasses(setup.clock, c.sync.compare(b.peer))
  assert.equal(await compare(), false)
  assert.deepEqual(await c.ids(1), [toHex(good!.id)])
  assert.deepEqual(await cursors.get(b.peer, 1), before)
  const seen = watch(b)
  assert.equal(await compare(), false)
  assert.deepEqual([seen.sent, seen.listed], [1, 0], 'it alone is asked for again')
  isRefused = false
  assert.equal(await compare(), true)
  assert.equal((await c.ids(1)).length, 2)
  assert.equal((await cursors.get(b.peer, 1))?.sequence, b.log.positions.position().sequence)
})

test('a member that withholds a statement is detected by its totals, and everything is listed again', async t => {
  const setup = new Setup(t)
  const b = await setup.member('b')
  const c = await setup.member('c', { bootstrap: ['b'] })
  await compared(setup, b, c)
  const [hidden] = await b.write(setup.chance)
  const { positions } = b.log
  const news = positions.news.bind(positions)
  let isHiding = true
  const hide = (ids: Uint8Array[]) => ids.filter(id => !isHiding || toHex(id) !== toHex(hidden!.id))
  positions.news = async (...args) => {
    const page = (await news(...args)) as News
    return { ...page, ids: hide(page.ids) }
  }
  // It hides the statement as asker and as answerer, and does not push it.
  b.sync.push = async () => 'ok'
  const offered = c.log.has.bind(c.log)
  c.log.has = async ids =>
    (await offered(ids)).map((has, i) => has || (isHiding && toHex(ids[i]!) === toHex(hidden!.id)))
  const compare = () => whileTimePasses(setup.clock, c.sync.compare(b.peer), { stepMs: 10 })
  await compare()
  await compare()
  setup.clock.advance(DOUBT_AFTER_MS - 1_000)
  await compare()
  assert.deepEqual(c.doubts, [], 'the other may not have finished taking ours')
  isHiding = false
  setup.clock.advance(2_000)
  await compare()
  assert.deepEqual(c.doubts, [b.peer])
  assert.deepEqual(await c.ids(1), [toHex(hidden!.id)])
  assert.deepEqual(c.sync.inDoubt, [])
})

test('a member that takes long to fetch what it missed says from whom, until it has it', async t => {
  const setup = new Setup(t)
  const b = await setup.member('b')
  await b.write(setup.chance)
  const { positions } = b.log
  const news = positions.news.bind(positions)
  const held = Promise.withResolvers<void>()
  positions.news = async (...args) => {
    await held.promise
    return news(...args)
  }
  const c = await setup.member('c', { bootstrap: ['b'] })
  assert.deepEqual(c.sync.catchingUpWith, [])
  await timePassesUntil(setup.clock, 'it lacks some', () => c.sync.catchingUpWith.includes(b.peer), SOON)
  held.resolve()
  await timePassesUntil(setup.clock, 'it has everything', () => c.sync.catchingUpWith.length === 0, SOON)
  assert.equal((await c.ids(1)).length, 1)
})

test('a difference that stays is listed at most once an hour, and reported', async t => {
  const setup = new Setup(t)
  const b = await setup.member('b')
  const c = await setup.member('c', { bootstrap: ['b'] })
  await compared(setup, b, c)
  const totals = b.log.positions.totals.bind(b.log.positions)
  b.log.positions.totals = async statementClass =>
    statementClass === 1 ? { count: 7, sum: Buffer.alloc(32, 7) } : totals(statementClass)
  const seen = watch(b)
  await timePassesUntil(setup.clock, 'a doubt', () => c.doubts.length === 1, { stepMs: 5_000 })
  assert.deepEqual(c.sync.inDoubt, [b.peer])
  const listed = seen.listed
  for (let passed = 0; passed < 50 * MINUTE; passed += 15_000) {
    setup.clock.advance(15_000)
    await settle(20)
  }
  assert.equal(c.doubts.length, 1)
  assert.equal(seen.listed, listed)
  await timePassesUntil(setup.clock, 'another', () => c.doubts.length === 2, { stepMs: 15_000, msMax: 30 * MINUTE })
})

test('statements that were lost by damage are fetched from a member that has them, although the cursor is past them', async t => {
  const setup = new Setup(t)
  const b = await setup.member('b')
  const entries = await b.write(setup.chance, 3)
  const c = await setup.member('c', { bootstrap: ['b'] })
  await compared(setup, b, c)
  const [gone] = entries as [Statement]
  await c.store.index.batch([{ type: 'del', key: statementKey(1, gone.id) }])
  const compare = () => whileTimePasses(setup.clock, c.sync.compare(b.peer))
  await compare()
  assert.equal((await c.ids(1)).length, 2)
  c.lost = [gone.id, Buffer.alloc(32, 1)]
  assert.equal(await compare(), true)
  assert.equal((await c.ids(1)).length, 3)
  assert.deepEqual(c.faults, [], 'the other need not have what was lost here')
})

test('all ids are listed if a caller asks for that, whatever the cursor says', async t => {
  const setup = new Setup(t)
  const b = await setup.member('b')
  await b.write(setup.chance, 3)
  const c = await setup.member('c', { bootstrap: ['b'] })
  await compared(setup, b, c)
  const seen = watch(b)
  await whileTimePasses(setup.clock, c.sync.compare(b.peer))
  assert.equal(seen.listed, 0)
  assert.equal(await whileTimePasses(setup.clock, c.sync.compareAll(b.peer)), true)
  assert.ok(seen.listed >= 3)
})

/** Two members that have compared. From now on the second one answers with news that it has made up. */
async function liar(setup: Setup, news: (real: News) => News | undefined) {
  const b = await setup.member('b')
  const c = await setup.member('c', { bootstrap: ['b'] })
  await compared(setup, b, c)
  await whileTimePasses(setup.clock, c.sync.compare(b.peer))
  const { positions } = b.log
  const real = positions.news.bind(positions)
  const asked = { times: 0 }
  positions.news = async (...args) => {
    asked.times++
    return news((await real(...args)) as News)
  }
  const compare = () => whileTimePasses(setup.clock, c.sync.compare(b.peer))
  return { b, c, asked, compare }
}

const LIES: Array<[string, (real: News) => News | undefined]> = [
  ['goes backwards', real => ({ ...real, next: { ...real.next, sequence: 0 } })],
  ['does not go on', real => ({ ...real, isEnd: false })],
  ['names more statements than it has sequences', real => ({ ...real, ids: manyIds(9) })],
  ['forgets a position that it has just named', () => undefined],
  [
    'names statements that it does not have',
    real => ({ ...real, ids: manyIds(600), next: { ...real.next, sequence: 10_000 } })
  ]
]
for (const [name, lie] of LIES) {
  test(`a member whose news ${name} is at fault`, async t => {
    const { b, c, asked, compare } = await liar(new Setup(t), lie)
    const seen = watch(b)
    await assert.rejects(compare(), { name: 'ProtocolError' })
    assert.deepEqual(c.faults, [b.peer])
    assert.deepEqual([asked.times, seen.listed], [1, 0], 'it is found out at the first answer')
  })
}

test('a member whose news or list has no end is at fault after a bounded number of pages', async () => {
  for (const endless of ['list', 'news'] as const) {
    let pages = 0
    const ask = async (isEnd: boolean) => ({
      ids: manyIds(1),
      position: { lineage: Buffer.alloc(16), sequence: ++pages },
      isEnd,
      totals: { count: 0, sum: Buffer.alloc(32) }
    })
    const comparison = new Comparison({
      peer: 'peer',
      client: {
        list: () => ask(endless !== 'list'),
        news: () => ask(false),
        fetch: async () => [],
        changed: async () => {},
        blame: (_, message) => {
          throw new ProtocolError(message)
        }
      },
      statements: { has: async ids => ids.map(() => true), receive: async () => [], earlyCount: 0 },
      positions: { totals: async () => ({ count: 0, sum: Buffer.alloc(32) }) },
      cursors: { get: async () => undefined, set: async () => {} },
      turns: new FetchTurns(new ManualClock()),
      standings: new Standings(),
      lost: async () => [],
      clock: new ManualClock(),
      log: silentLogger.forComponent('test'),
      onFault: () => {},
      onDoubt: () => {},
      signal: undefined
    })
    await assert.rejects(comparison.run(), { name: 'ProtocolError' })
    assert.ok(pages <= 1 + LISTS_MAX, `${pages} pages`)
  }
})

function manyIds(count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => {
    const id = Buffer.alloc(32, 3)
    id.writeUInt32BE(i)
    return id
  })
}

test('news that was lost on its way arrives with one of the next rounds', async t => {
  const setup = new Setup(t)
  const b = await setup.member('b')
  const c = await setup.member('c', { bootstrap: ['b'] })
  await compared(setup, b, c)
  // The statement is in the log of b, and b never mentions it by itself.
  b.sync.stop()
  await b.write(setup.chance)
  await timePassesUntil(setup.clock, 'the statement', async () => (await c.ids(1)).length === 1, {
    stepMs: 1_000,
    msMax: 5 * COMPARE_EVERY_MS
  })
})

test('a member compares at once when another says that something did not get through, and not without pause', async t => {
  const setup = new Setup(t)
  const b = await setup.member('b')
  const c = await setup.member('c', { bootstrap: ['b'] })
  await compared(setup, b, c)
  setup.clock.advance(COMPARE_PAUSE_MS)
  await settle()
  b.sync.stop()
  await b.write(setup.chance)
  c.members.compareSoon(b.peer)
  // Signatures are checked on other threads, so it takes some turns.
  await timePassesUntil(setup.clock, 'the statement', async () => (await c.ids(1)).length === 1, {
    stepMs: 1,
    msMax: 1_000
  })
  const seen = watch(b)
  await b.write(setup.chance)
  for (let i = 0; i < 20; i++) c.members.compareSoon(b.peer)
  await settle()
  assert.equal(seen.news, 0)
})

test('after its index was lost, a member compares everything again', async t => {
  const setup = new Setup(t)
  const b = await setup.member('b')
  await b.write(setup.chance, 4)
  const c = await setup.member('c', { bootstrap: ['b'] })
  await compared(setup, b, c)
  const keys: Uint8Array[] = []
  for await (const { key } of c.store.index.range(indexKey(TABLES.cursors))) keys.push(key)
  assert.equal(keys.length, 2, 'one cursor for each class, and both of them in the index')
  await c.store.index.batch(keys.map(key => ({ type: 'del', key })))
  const seen = watch(b)
  await reconnect(setup, b, c)
  assert.ok(seen.news >= 4)
})

test('a newcomer takes statements in the order in which the other accepted them', async t => {
  const setup = new Setup(t)
  const b = await setup.member('b')
  const written = await b.write(setup.chance, 600)
  const c = await setup.member('c', { bootstrap: ['b'] })
  await compared(setup, c, b)
  const got = c.entries.announced.map(({ id }) => id)
  assert.deepEqual(got, written.map(idOf))
})

test('a newcomer that is cut off goes on with the page at which it was', async t => {
  const setup = new Setup(t)
  const b = await setup.member('b')
  await b.write(setup.chance, 300)
  const { positions } = b.log
  const news = positions.news.bind(positions)
  const asked: number[] = []
  let isCut = false
  positions.news = async (statementClass, after) => {
    if (statementClass === 1) asked.push(after.sequence)
    if (asked.length === 3 && !isCut) {
      isCut = true
      throw new Error('the connection is lost')
    }
    return news(statementClass, after, 100)
  }
  const c = await setup.member('c', { bootstrap: ['b'] })
  const seen = watch(b)
  await compared(setup, c, b)
  assert.equal((await c.ids(1)).length, 300)
  assert.equal(asked[3], asked[2], 'it goes on with the page that did not come')
  assert.ok(seen.sent < 320, `${seen.sent} statements were sent`)
  assert.equal(seen.listed, 0)
})

test('a statement that is accepted while all ids are listed comes with the news after the list', async t => {
  const setup = new Setup(t)
  const b = await setup.member('b')
  await b.write(setup.chance, 3)
  b.sync.stop()
  const c = await setup.member('c', { bootstrap: ['b'] })
  await compared(setup, c, b)
  const list = b.log.list.bind(b.log)
  let isFirst = true
  b.log.list = async (statementClass, after, limit) => {
    const ids = await list(statementClass, after, limit)
    if (statementClass === 1 && isFirst) {
      isFirst = false
      await b.write(setup.chance)
    }
    return ids
  }
  await whileTimePasses(setup.clock, c.sync.compareAll(b.peer))
  assert.equal((await c.ids(1)).length, 4)
})

test('a member that has not fetched what we have is asked to compare, once', async t => {
  const setup = new Setup(t)
  const b = await setup.member('b')
  const c = await setup.member('c', { bootstrap: ['b'] })
  await compared(setup, b, c)
  const asked: string[] = []
  b.members.compareSoon = peer => asked.push(peer)
  c.sync.stop()
  await c.write(setup.chance)
  for (const expected of [0, 1, 1, 1]) {
    await c.sync.compare(b.peer)
    assert.equal(asked.length, expected)
  }
  assert.deepEqual(c.doubts, [])
})

test('no member is told a position beyond a failed write that the disk could not undo', async t => {
  const setup = new Setup(t)
  const b = await setup.member('b')
  const { positions } = b.log
  const before = positions.position().sequence
  const { write } = b.store
  let isUndone = false
  Object.defineProperty(b.store.segments, 'isUndone', { get: () => isUndone })
  b.store.write = async () => {
    throw new NoSpaceError('the disk is full')
  }
  await assert.rejects(b.write(setup.chance))
  b.store.write = write
  await b.write(setup.chance)
  assert.equal(positions.position().sequence, before)
  isUndone = true
  await b.write(setup.chance)
  assert.equal(positions.position().sequence, before + 3)
})

test('news and totals hold exactly the statements that count, after statuses were replaced and statements arrived twice', async t => {
  const setup = new Setup(t)
  const b = await setup.member('b')
  const left = setup.admin('left')
  for (let i = 0; i < 3; i++) {
    setup.clock.advance(MINUTE / 10)
    await take(b, setup.leftBy(left))
  }
  const other = new LocalMember(left, setup.clock, setup.chance)
  const twice = entryBy(other, setup.chance)
  await Promise.all(['p', 'q'].map(peer => b.log.receive([twice.bytes], peer)))
  const { positions } = b.log
  for (const statementClass of [0, 1] as const) {
    const all = await positions.news(statementClass, { ...positions.position(), sequence: 0 }, 100)
    assert.deepEqual(all?.ids.map(toHex).sort(), await b.ids(statementClass))
  }
  const kinds: string[] = []
  for await (const { statement } of b.log.all(0)) kinds.push(statement.kind)
  assert.equal(kinds.filter(kind => kind === 'status').length, 2)
  assert.equal((await positions.totals(0)).count, kinds.length - 2)
  assert.equal((await positions.totals(1)).count, 1)
})
