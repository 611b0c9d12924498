import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { NoSpaceError } from '../../../src/disk/errors.ts'
import type { Secrets } from '../../../src/disk/keystore.ts'
import { encodeCanonical } from '../../../src/format/canonical.ts'
import { encodeHlc } from '../../../src/format/stamp.ts'
import { idOf, type Statement } from '../../../src/format/statement.ts'
import {
  BEHIND_RETRY_MS,
  BEHIND_RETRY_MS_MAX,
  EARLY_CHECK_MS,
  EXPECTED_MS,
  PASS_ON_MS
} from '../../../src/log/constants.ts'
import { Outbox } from '../../../src/log/outbox.ts'
import { LocalMember } from '../../../src/members/local-member.ts'
import { toHex } from '../../../src/util/bytes.ts'
import type { Clock } from '../../../src/util/clock.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { FakeFiles } from '../../fixtures/fake-files.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { adminSecrets, admittedSecrets, entryBy, grantedSecrets, inviteOf } from '../../fixtures/member.ts'
import { settle, timePassesUntil } from '../../fixtures/pass-time.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'
import { KEY, laterStatement, MINUTE, Setup, SOON, take } from './setup.ts'

test('a newcomer fetches every statement, whatever the order of their ids', async t => {
  const setup = new Setup(t)
  const b = await setup.member('b')
  for (let i = 0; i < 20; i++) await take(b, setup.leftBy(setup.admin(`gone ${i}`)))
  // A chain of grants, as long as one may be.
  let secrets = setup.admin('first')
  for (let depth = 1; depth < 4; depth++) {
    secrets = grantedSecrets(secrets, setup.clock, setup.chance, { role: 'admin' })
    await take(b, setup.leftBy(secrets))
  }
  // Each admin invited the next one, so that the last grant rests on as many statements as allowed.
  const founder = setup.admin('founder')
  for (let issuer = founder, i = 0; i < 9; i++) {
    issuer = admittedSecrets(founder, inviteOf(issuer, setup.clock, setup.chance, { role: 'admin' }), setup)
    await take(b, setup.leftBy(issuer))
  }
  await b.write(setup.chance, 3)
  const c = await setup.member('c', { bootstrap: ['b'] })
  await timePassesUntil(setup.clock, 'compared', () => c.members.compared.size === 1, SOON)
  assert.deepEqual(await c.ids(0), await b.ids(0))
  assert.deepEqual(await c.ids(1), await b.ids(1))
  assert.equal(toHex(c.members.view.id), toHex(b.members.view.id))
})

test('statements that are stamped too far ahead are fetched once, and count once their time has come', async t => {
  const setup = new Setup(t)
  const late = new ManualClock(setup.clock.now())
  const secrets = ['b', 'c'].map(name => setup.admin(name)) as [Secrets, Secrets]
  setup.clock.advance(6 * MINUTE)
  const b = await setup.member('b', { secrets: secrets[0] })
  await b.write(setup.chance, 2)
  const c = await setup.member('c', { secrets: secrets[1], bootstrap: ['b'], clock: late })
  await timePassesUntil(late, 'compared', () => c.members.compared.size === 1, SOON)
  // The status of b waits too.
  assert.deepEqual([c.log.earlyCount, (await c.ids(1)).length], [3, 0])
  await timePassesUntil(late, 'accepted', () => c.log.earlyCount === 0, { stepMs: EARLY_CHECK_MS, msMax: 2 * MINUTE })
  assert.deepEqual(await c.ids(1), await b.ids(1))
  assert.deepEqual(c.faults, [])
})

test('a member refuses bytes that are not a statement, and fetches statements of a later version without understanding them', async t => {
  const setup = new Setup(t)
  const b = await setup.member('b')
  const [good] = await b.write(setup.chance)
  const later = [laterStatement(b.self, 'entry', 2), laterStatement(b.self, 'poem', 1)]
  const unsigned = { grant: b.self.grant.id, sig: Buffer.alloc(64), hlc: encodeHlc(b.self.grant.hlc) }
  const broken = [
    Buffer.alloc(9, 9),
    encodeCanonical({ kind: 'entry', v: 1, ...unsigned }),
    encodeCanonical([1]),
    encodeCanonical({ kind: 'poem', v: 1, ...unsigned }),
    encodeCanonical({ kind: 'poem', v: 0, ...unsigned })
  ]
  const alien = encodeCanonical({ kind: 'entry', v: 7, seal: 'another' })
  const all = [...later, ...broken, alien, (good as Statement).bytes]
  assert.deepEqual(await b.log.receive(all, 'somebody'), [
    ...later.map(() => 'ok'),
    ...broken.map(() => 'invalid'),
    'unsupported',
    'ok'
  ])
  assert.deepEqual(
    await b.log.receive([Buffer.alloc(20_000)], 'somebody'),
    ['invalid'],
    'it is too long, whatever its version'
  )
  const c = await setup.member('c', { bootstrap: ['b'] })
  await timePassesUntil(setup.clock, 'compared', () => c.members.compared.size === 1, SOON)
  assert.deepEqual(c.faults, [])
  assert.equal((await c.ids(1)).length, 3)
  assert.deepEqual(await c.ids(1), await b.ids(1))
})

test('a statement that two peers send at once is announced, even if writing the first of them fails', async t => {
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
  // The threads that verify decide which of the two comes first, and that one fails.
  const taken = peers.filter((_, i) => results[i]?.status === 'fulfilled')
  assert.equal(taken.length, 1)
  assert.deepEqual(b.entries.announced, [{ id: idOf(entry), from: taken[0] }])
})

test('a member that did not get a push fetches the statement later if it stays connected', async t => {
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
  await timePassesUntil(setup.clock, 'the statement', async () => (await b.ids(1)).length === 1, {
    msMax: BEHIND_RETRY_MS
  })
  assert.ok(b.host.isConnected(a.peer))
})

test('a member measures the clocks at once when its stamps are refused', async t => {
  const setup = new Setup(t)
  const others = [await setup.member('b'), await setup.member('c', { bootstrap: ['b'] })]
  // The clock is set after the member was admitted, and does not change its timers.
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
  assert.equal(a.members.clocks.isOff, false)
  const [entry] = await a.write(setup.chance)
  assert.equal(await a.sync.push(others[0]?.peer as string, entry as Statement), 'waiting')
  await settle()
  assert.equal(a.members.clocks.isOff, true)
})

interface Mailbox {
  clock: ManualClock
  outbox: Outbox
  /** The time of each offer, in milliseconds since the start, and its number of ids. */
  offers: Array<{ ms: number; ids: number }>
  /** The times at which the peer was told to compare. */
  nudges: number[]
}

/** An outbox to a peer that lacks nothing and does not answer while `isDown`. */
function mailbox(t: TestContext, state: { isDown: boolean }): Mailbox {
  const clock = new ManualClock()
  const started = clock.now()
  const offers: Mailbox['offers'] = []
  const nudges: number[] = []
  const outbox = new Outbox({
    peer: 'peer',
    clock,
    logger: silentLogger,
    isAdmitted: () => true,
    offer: async ids => {
      offers.push({ ms: clock.now() - started, ids: ids.length })
      if (state.isDown) throw new Error('the peer does not answer')
      return []
    },
    changed: async () => {
      nudges.push(clock.now() - started)
      if (state.isDown) throw new Error('the peer does not answer')
    },
    push: async () => {}
  })
  t.after(() => outbox.stop())
  return { clock, outbox, offers, nudges }
}

test('a member that is behind is offered news at once, and told to compare at growing intervals', async t => {
  const chance = seededChance(3)
  const self = new LocalMember(adminSecrets(KEY, new ManualClock(), chance), new ManualClock(), chance)
  const fresh = entryBy(self, chance)
  const state = { isDown: true }
  const { clock, outbox, offers, nudges } = mailbox(t, state)
  outbox.fallBehind()
  const pass = async (ms: number, stepMs = 100): Promise<void> => {
    for (let passed = 0; passed < ms; passed += stepMs) {
      clock.advance(stepMs)
      await settle(5)
    }
  }
  await pass(2 * 60 * MINUTE, 5_000)
  const waits = nudges.map((ms, i) => ms - (nudges[i - 1] ?? 0))
  assert.deepEqual(waits.slice(0, 3), [BEHIND_RETRY_MS, 2 * BEHIND_RETRY_MS, 4 * BEHIND_RETRY_MS])
  assert.equal(waits.at(-1), BEHIND_RETRY_MS_MAX)
  assert.deepEqual(offers, [], 'nothing is listed to it')
  state.isDown = false
  outbox.add([fresh])
  await pass(2 * PASS_ON_MS)
  assert.deepEqual(
    offers.map(({ ids }) => ids),
    [1],
    'only the news is offered'
  )
  const before = nudges.length
  await pass(BEHIND_RETRY_MS_MAX, 5_000)
  assert.equal(nudges.length, before + 1)
  await pass(60 * MINUTE, 60_000)
  assert.equal(nudges.length, before + 1, 'it knows, so it is not told again')
})

test('an expected statement is offered after a while, unless it was pushed', async t => {
  const chance = seededChance(4)
  const self = new LocalMember(adminSecrets(KEY, new ManualClock(), chance), new ManualClock(), chance)
  const [pushed, dropped, late] = Array.from({ length: 3 }, () => entryBy(self, chance)) as [
    Statement,
    Statement,
    Statement
  ]
  const { clock, outbox, offers } = mailbox(t, { isDown: false })
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

test('a statement that its author did not push still reaches the other members', async t => {
  const setup = new Setup(t)
  const a = await setup.member('a')
  const b = await setup.member('b', { bootstrap: ['a'] })
  await timePassesUntil(setup.clock, 'compared', () => a.members.compared.size === 1 && b.members.compared.size === 1)
  await a.write(setup.chance)
  await settle()
  assert.equal((await b.ids(1)).length, 0)
  await timePassesUntil(setup.clock, 'the statement', async () => (await b.ids(1)).length === 1)
})
