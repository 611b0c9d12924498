import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { NoSpaceError } from '../../../src/disk/errors.ts'
import type { Secrets } from '../../../src/disk/keystore.ts'
import { encodeCanonical } from '../../../src/format/canonical.ts'
import { encodeHlc } from '../../../src/format/stamp.ts'
import { idOf, type Statement } from '../../../src/format/statement.ts'
import { BEHIND_RETRY_MS, BEHIND_RETRY_MS_MAX, EXPECTED_MS, PASS_ON_MS } from '../../../src/log/constants.ts'
import { Outbox } from '../../../src/log/outbox.ts'
import { COMPARE_RETRY_MS_MAX } from '../../../src/members/constants.ts'
import { LocalMember } from '../../../src/members/local-member.ts'
import { toHex } from '../../../src/util/bytes.ts'
import type { Clock } from '../../../src/util/clock.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { FakeFiles } from '../../fixtures/fake-files.ts'
import { adminSecrets, entryBy, grantedSecrets, TestMember } from '../../fixtures/member.ts'
import { MemoryNetwork } from '../../fixtures/memory-host.ts'
import { settle, timePassesUntil } from '../../fixtures/pass-time.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'

const MINUTE = 60_000
const KEY = Buffer.alloc(32, 7)
/** Many turns for other threads to check signatures, and less time than passes before anything is tried again. */
const SOON = { stepMs: 10, msMax: 4_000 }

class Setup {
  readonly clock = new ManualClock()
  readonly chance = seededChance(9)
  readonly network = new MemoryNetwork({ clock: this.clock })
  readonly #t: TestContext

  constructor(t: TestContext) {
    this.#t = t
  }

  admin(name: string): Secrets {
    return adminSecrets(KEY, this.clock, this.chance, name)
  }

  /** A member that runs, at `/memory/NAME`, and knows where the others are. */
  async member(
    name: string,
    { bootstrap = [], ...more }: { bootstrap?: string[]; clock?: Clock; files?: FakeFiles; secrets?: Secrets } = {}
  ): Promise<TestMember> {
    const { chance, clock, network } = this
    const secrets = more.secrets ?? this.admin(name)
    const host = network.host(name, new LocalMember(secrets, clock, chance).peerId)
    const options = { clock, chance, host, ...more, secrets }
    const member = await TestMember.open({ ...options, bootstrap: bootstrap.map(other => `/memory/${other}`) })
    await member.start()
    this.#t.after(() => member.stop())
    await settle()
    return member
  }

  /** What somebody leaves behind who was once here: its grants and its status. */
  leftBy(secrets: Secrets): Statement[] {
    const self = new LocalMember(secrets, this.clock, this.chance)
    return [...self.statements, statusOf(self)]
  }
}

function statusOf(self: LocalMember): Statement<'status'> {
  const { instance } = self
  const head = encodeHlc(0n)
  const fields = { instance, addresses: [], weight: 5, state: 'in' as const, outAfter: 10 * MINUTE, head }
  return self.sign('status', fields, self.nextStatusHlc())
}

async function take(member: TestMember, statements: readonly Statement[], from = 'somebody'): Promise<void> {
  const verdicts = await member.log.receive(
    statements.map(({ bytes }) => bytes),
    from
  )
  assert.deepEqual(new Set(verdicts), new Set(['ok']))
}

test('a newcomer comes to have every statement, whatever the order of their ids', async t => {
  const setup = new Setup(t)
  const b = await setup.member('b')
  for (let i = 0; i < 20; i++) await take(b, setup.leftBy(setup.admin(`gone ${i}`)))
  // Grants that rest on grants, as deep as they may.
  let secrets = setup.admin('first')
  for (let depth = 1; depth < 4; depth++) {
    secrets = grantedSecrets(secrets, setup.clock, setup.chance, { role: 'admin' })
    await take(b, setup.leftBy(secrets))
  }
  await b.write(setup.chance, 3)
  const c = await setup.member('c', { bootstrap: ['b'] })
  await timePassesUntil(setup.clock, 'compared', () => c.members.compared.size === 1, SOON)
  assert.deepEqual(await c.ids(0), await b.ids(0))
  assert.deepEqual(await c.ids(1), await b.ids(1))
  assert.equal(toHex(c.members.view.id), toHex(b.members.view.id))
})

test('a comparison that leaves out what time will cure is not over, and is made again', async t => {
  const setup = new Setup(t)
  const late = new ManualClock(setup.clock.now())
  const secrets = ['b', 'c'].map(name => setup.admin(name)) as [Secrets, Secrets]
  setup.clock.advance(6 * MINUTE)
  const b = await setup.member('b', { secrets: secrets[0] })
  await b.write(setup.chance, 2)
  const c = await setup.member('c', { secrets: secrets[1], bootstrap: ['b'], clock: late })
  await timePassesUntil(late, 'admitted', () => c.members.admitted.length === 1, SOON)
  await settle(300)
  assert.deepEqual([c.members.compared.size, (await c.ids(1)).length], [0, 0])
  await timePassesUntil(late, 'compared', () => c.members.compared.size === 1, {
    stepMs: MINUTE / 4,
    msMax: COMPARE_RETRY_MS_MAX
  })
  assert.deepEqual(await c.ids(1), await b.ids(1))
})

test('a statement of a later version is not understood, and nobody is to blame for it', async t => {
  const setup = new Setup(t)
  const b = await setup.member('b')
  const [good] = await b.write(setup.chance)
  const { sig, hlc } = { sig: Buffer.alloc(64), hlc: encodeHlc(1n) }
  const later = [
    encodeCanonical({ kind: 'entry', v: 2, hlc, sig, colour: 'red' }),
    encodeCanonical({ kind: 'poem', v: 1, hlc, sig })
  ]
  const broken = [Buffer.alloc(9, 9), encodeCanonical({ kind: 'entry', v: 1, hlc, sig }), encodeCanonical([1])]
  const all = [...later, ...broken, (good as Statement).bytes]
  assert.deepEqual(await b.log.receive(all, 'somebody'), [
    'unsupported',
    'unsupported',
    'invalid',
    'invalid',
    'invalid',
    'ok'
  ])
  assert.deepEqual(
    await b.log.receive([Buffer.alloc(20_000)], 'somebody'),
    ['invalid'],
    'whatever it is, it is too long'
  )
  const byId = new Map(later.map(bytes => [hash('sha256', bytes, 'hex'), bytes]))
  const { get, list } = { get: b.log.get.bind(b.log), list: b.log.list.bind(b.log) }
  b.log.list = async (kind, after, limit) =>
    [
      ...(await list(kind, after, limit)),
      ...(kind === 1 ? [...byId.keys()].map(id => Buffer.from(id, 'hex')) : [])
    ].sort(Buffer.compare)
  b.log.get = async id => {
    const bytes = byId.get(toHex(id))
    return bytes === undefined ? get(id) : ({ statement: { bytes } } as Awaited<ReturnType<typeof get>>)
  }
  const c = await setup.member('c', { bootstrap: ['b'] })
  await timePassesUntil(setup.clock, 'compared', () => c.members.compared.size === 1, SOON)
  assert.deepEqual(c.faults, [])
})

test('what two bring at once is passed on, though the first of them failed', async t => {
  const setup = new Setup(t)
  const b = await setup.member('b')
  const other = new LocalMember(setup.admin('other'), setup.clock, setup.chance)
  await take(b, other.statements)
  const entry = entryBy(other, setup.chance)
  const write = b.store.write.bind(b.store)
  const failed = Promise.withResolvers<void>()
  let writes = 0
  b.store.write = async (type, payloads) => {
    if (++writes === 1) {
      await settle()
      failed.resolve()
      throw new NoSpaceError('the disk is full')
    }
    await failed.promise
    await settle(1)
    return write(type, payloads)
  }
  const peers = ['p', 'q']
  const results = await Promise.allSettled(peers.map(peer => b.log.receive([entry.bytes], peer)))
  // Which of the two is verified first, and so fails, is up to the threads that verify.
  const taken = peers.filter((_, i) => results[i]?.status === 'fulfilled')
  assert.equal(taken.length, 1)
  assert.deepEqual(b.entries.told, [{ id: idOf(entry), from: taken[0] }])
})

test('whom a push did not reach, and who stays connected, is told later', async t => {
  const setup = new Setup(t)
  const a = await setup.member('a')
  let isFull = false
  const files = new FakeFiles({
    before: ({ name }) => {
      if (isFull && name === 'append') throw new NoSpaceError('the disk is full')
    }
  })
  const b = await setup.member('b', { bootstrap: ['a'], files })
  await timePassesUntil(setup.clock, 'compared', () => a.members.compared.size === 1 && b.members.compared.size === 1)
  isFull = true
  const [entry] = await a.write(setup.chance)
  await assert.rejects(a.sync.push(b.peer, entry as Statement), { status: 'internal' })
  setup.clock.advance(BEHIND_RETRY_MS - 1_000)
  await settle()
  isFull = false
  await timePassesUntil(setup.clock, 'told', async () => (await b.ids(1)).length === 1, { msMax: BEHIND_RETRY_MS })
  assert.ok(b.host.isConnected(a.peer))
})

test('a member whose stamps are refused looks at the clocks at once', async t => {
  const setup = new Setup(t)
  const others = [await setup.member('b'), await setup.member('c', { bootstrap: ['b'] })]
  // Set after it was let in, and its timers know nothing of it.
  let aheadMs = 0
  const clock: Clock = {
    now: () => setup.clock.now() + aheadMs,
    monotonic: () => setup.clock.monotonic(),
    sleep: (ms, signal) => setup.clock.sleep(ms, signal),
    after: (ms, callback) => setup.clock.after(ms, callback)
  }
  const a = await setup.member('a', { bootstrap: ['b', 'c'], clock })
  await timePassesUntil(setup.clock, 'compared with both', () => a.members.compared.size === 2)
  setup.clock.advance(31_000)
  await settle()
  aheadMs = 7 * MINUTE
  assert.equal(a.members.isClockOff, false)
  const [entry] = await a.write(setup.chance)
  assert.equal(await a.sync.push(others[0]?.peer as string, entry as Statement), 'clock-off')
  await settle()
  assert.equal(a.members.isClockOff, true)
})

interface Mailbox {
  clock: ManualClock
  outbox: Outbox
  /** When it was offered something, in milliseconds since the start, and how many ids. */
  offers: Array<{ ms: number; ids: number }>
}

/** An outbox over a log of `standing` statements, to a peer that lacks everything and does not answer while `isDown`. */
function mailbox(t: TestContext, standing: readonly Statement[], state: { isDown: boolean }): Mailbox {
  const clock = new ManualClock()
  const started = clock.now()
  const offers: Mailbox['offers'] = []
  const byId = new Map(standing.map(statement => [idOf(statement), statement]))
  const outbox = new Outbox({
    clock,
    log: {
      list: async (kind, after) => (kind === 1 && after === undefined ? standing.map(({ id }) => id) : []),
      get: async id => ({ statement: byId.get(toHex(id)) }) as never
    },
    isWanted: () => true,
    offer: async ids => {
      offers.push({ ms: clock.now() - started, ids: ids.length })
      if (state.isDown) throw new Error('it does not answer')
      return []
    },
    push: async () => {}
  })
  t.after(() => outbox.stop())
  return { clock, outbox, offers }
}

test('news goes out at once, also to a member that is behind; all that stands, later and later', async t => {
  const chance = seededChance(3)
  const self = new LocalMember(adminSecrets(KEY, new ManualClock(), chance), new ManualClock(), chance)
  const [fresh, ...standing] = Array.from({ length: 8 }, () => entryBy(self, chance)) as [Statement, ...Statement[]]
  const state = { isDown: true }
  const { clock, outbox, offers } = mailbox(t, standing, state)
  outbox.fallBehind()
  const pass = async (ms: number, stepMs = 100): Promise<void> => {
    for (let passed = 0; passed < ms; passed += stepMs) {
      clock.advance(stepMs)
      await settle(5)
    }
  }
  await pass(2 * 60 * MINUTE, 5_000)
  const waits = offers.map(({ ms }, i) => ms - (offers[i - 1]?.ms ?? 0))
  assert.deepEqual(waits.slice(0, 3), [BEHIND_RETRY_MS, 2 * BEHIND_RETRY_MS, 4 * BEHIND_RETRY_MS])
  assert.equal(waits.at(-1), BEHIND_RETRY_MS_MAX)
  state.isDown = false
  const before = offers.length
  outbox.add([fresh])
  await pass(2 * PASS_ON_MS)
  assert.deepEqual(
    offers.slice(before).map(({ ids }) => ids),
    [1],
    'the news, and nothing but the news'
  )
  await pass(BEHIND_RETRY_MS_MAX, 5_000)
  assert.equal(offers.at(-1)?.ids, standing.length)
  const last = offers.length
  await pass(60 * MINUTE, 60_000)
  assert.equal(offers.length, last, 'it has caught up')
})

test('what nobody pushes is offered after a while, and what was pushed is not', async t => {
  const chance = seededChance(4)
  const self = new LocalMember(adminSecrets(KEY, new ManualClock(), chance), new ManualClock(), chance)
  const [pushed, dropped, late] = Array.from({ length: 3 }, () => entryBy(self, chance)) as [
    Statement,
    Statement,
    Statement
  ]
  const { clock, outbox, offers } = mailbox(t, [], { isDown: false })
  const pass = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 100) {
      clock.advance(100)
      await settle(5)
    }
  }
  outbox.expect([pushed, dropped])
  outbox.pushed(pushed)
  await pass(EXPECTED_MS - 100)
  outbox.expect([late])
  assert.deepEqual(offers, [])
  await pass(100 + PASS_ON_MS)
  assert.deepEqual(
    offers.map(({ ids }) => ids),
    [1]
  )
  await pass(2 * EXPECTED_MS)
  assert.deepEqual(
    offers.map(({ ids }) => ids),
    [1, 1]
  )
  await pass(10 * EXPECTED_MS)
  assert.equal(offers.length, 2)
})

test('a statement that its maker did not push comes to the others all the same', async t => {
  const setup = new Setup(t)
  const a = await setup.member('a')
  const b = await setup.member('b', { bootstrap: ['a'] })
  await timePassesUntil(setup.clock, 'compared', () => a.members.compared.size === 1 && b.members.compared.size === 1)
  await a.write(setup.chance)
  await settle()
  assert.equal((await b.ids(1)).length, 0)
  await timePassesUntil(setup.clock, 'told', async () => (await b.ids(1)).length === 1)
})
