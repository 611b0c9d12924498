import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { ROW_STATEMENT } from '../../../src/disk/constants.ts'
import type { Secrets } from '../../../src/disk/keystore.ts'
import { decodeHlc, encodeHlc, hlcAt, hlcMs } from '../../../src/format/stamp.ts'
import type { Statement } from '../../../src/format/statement.ts'
import { encodeEntry, keyOf } from '../../../src/log/keys.ts'
import { encodeStatementRow } from '../../../src/log/statement-row.ts'
import { LocalMember } from '../../../src/members/local-member.ts'
import { toHex } from '../../../src/util/bytes.ts'
import type { Clock } from '../../../src/util/clock.ts'
import { DISCOVERED_DIALS_MAX } from '../../../src/wire/constants.ts'
import { DisconnectedError } from '../../../src/wire/errors.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { RecordingLogger } from '../../fixtures/logger.ts'
import { adminSecrets, entryBy, grantedSecrets, type MemberOptions, TestMember } from '../../fixtures/member.ts'
import { type MemoryHost, MemoryNetwork } from '../../fixtures/memory-host.ts'
import { settle, timePassesUntil } from '../../fixtures/pass-time.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'

const MINUTE = 60_000
const YEAR = 365 * 24 * 60 * MINUTE
const KEY = Buffer.alloc(32, 7)
/** Takes many turns, in which other threads check signatures, but less time than any pause before a retry. */
const SOON = { stepMs: 10, msMax: 4_000 }

const statusFields = {
  addresses: [],
  weight: 1,
  state: 'in' as const,
  outAfter: 10 * MINUTE,
  head: encodeHlc(0n)
}

class Setup {
  readonly clock = new ManualClock()
  readonly chance = seededChance(21)
  readonly network = new MemoryNetwork({ clock: this.clock })
  readonly t: TestContext

  constructor(t: TestContext) {
    this.t = t
  }

  secrets(name: string, clock: Clock = this.clock): Secrets {
    return adminSecrets(KEY, clock, this.chance, name)
  }

  async start(name: string, secrets: Secrets, more: Partial<MemberOptions> = {}): Promise<TestMember> {
    const { clock, chance, network } = this
    const host = network.host(name, new LocalMember(secrets, clock, chance).peerId)
    const member = await TestMember.open({ clock, chance, host, secrets, ...more })
    await member.start()
    this.t.after(() => member.stop())
    await settle()
    return member
  }

  /** Starts a member once by another clock, and stops it. Returns its disk. */
  async startOnce(name: string, secrets: Secrets, clock: Clock, work: (member: TestMember) => Promise<void>) {
    const member = await this.start(name, secrets, { clock })
    await work(member)
    await member.stop()
    return { files: member.files, database: member.database }
  }
}

test('the background work of a member is listed by name, and stops with it', async t => {
  const setup = new Setup(t)
  const member = await setup.start('a', setup.secrets('a'))
  const { members } = member
  const states = (): string[] => members.workers.map(({ status: { name, state } }) => `${name}: ${state}`)
  const names = ['status renewal', 'clock check', 'news check', 'log comparison', 'view refresh']
  assert.deepEqual(
    states(),
    names.map(name => `${name}: waiting`)
  )
  await member.stop()
  assert.deepEqual(
    states(),
    names.map(name => `${name}: stopped`)
  )
})

test('the log tells how two members met and compared, and that one failed and is tried again', async t => {
  const setup = new Setup(t)
  const logger = new RecordingLogger()
  const b = await setup.start('b', setup.secrets('b'))
  const a = await setup.start('a', setup.secrets('a'), { bootstrap: ['/memory/b'], logger })
  await timePassesUntil(setup.clock, 'compared', () => a.members.compared.size === 1, SOON)
  const at = (text: string): number => logger.lines.findIndex(line => line.startsWith(text))
  const steps = [
    'dfs:members members loaded: 1',
    `dfs:wire:redial connected to ${b.peer} at dial 1`,
    `dfs:members comparing with ${b.peer}`,
    `dfs:members compared with ${b.peer}: everything that it has is here`
  ]
  const places = steps.map(at)
  assert.ok(!places.includes(-1), `${steps[places.indexOf(-1)]} in ${logger.lines.join('\n')}`)
  assert.deepEqual(
    places.toSorted((x, y) => x - y),
    places
  )
  setup.network.cut(a.host as MemoryHost, b.host as MemoryHost)
  await timePassesUntil(setup.clock, 'a failed dial', () =>
    logger.lines.some(line => /^dfs:wire:redial:trace dial \d of .* failed, next in \d+ ms$/.test(line))
  )
})

test('only admins and writers may write, and a stranger may not', async t => {
  const setup = new Setup(t)
  const admin = setup.secrets('a')
  const { members, roster, peer } = await setup.start('a', admin)
  const allowed = (['writer', 'reader', 'storage'] as const).map(role => {
    const secrets = grantedSecrets(admin, setup.clock, setup.chance, { role })
    const member = new LocalMember(secrets, setup.clock, setup.chance)
    roster.load(member.statements)
    return members.mayWrite(member.peerId)
  })
  assert.deepEqual([members.mayWrite(peer), ...allowed, members.mayWrite('nobody')], [true, true, false, false, false])
})

test('a clock that was once ahead does not put members out after it was set', async t => {
  const setup = new Setup(t)
  const other = await setup.start('other', setup.secrets('other'))
  const secrets = setup.secrets('pi')
  const fast = new ManualClock(setup.clock.now() + 3 * YEAR)
  const disk = await setup.startOnce('pi', secrets, fast, async ({ statuses, peer }) => {
    assert.equal(hlcMs(statuses.of(peer)?.hlc ?? 0n), fast.now())
  })
  for (const start of ['first', 'second']) {
    const pi = await setup.start('pi', secrets, { ...disk, bootstrap: ['/memory/other'] })
    const idAt = ({ statuses }: TestMember): string => toHex(statuses.of(pi.peer)?.id ?? new Uint8Array(0))
    await timePassesUntil(setup.clock, `${start} start`, () => idAt(other) === idAt(pi), SOON)
    const areEqual = async (): Promise<boolean> => String(await pi.ids(0)) === String(await other.ids(0))
    await timePassesUntil(setup.clock, `${start} start: both hold the same statements`, areEqual, SOON)
    assert.ok(hlcMs(pi.statuses.of(pi.peer)?.hlc ?? 0n) <= setup.clock.now())
    // The root, two grants and a status each: the one from the future is forgotten.
    assert.equal((await pi.ids(0)).length, 5)
    pi.members.assertMayWrite()
    await pi.stop()
  }
})

test('a status from the future that was forgotten is not taken for damage once its time has come', async t => {
  const setup = new Setup(t)
  const secrets = setup.secrets('pi')
  const fast = new ManualClock(setup.clock.now() + 10 * MINUTE)
  const disk = await setup.startOnce('pi', secrets, fast, async () => {})
  const pi = await setup.start('pi', secrets, disk)
  for (let passed = 0; passed < 7 * MINUTE; passed += MINUTE / 2) {
    setup.clock.advance(MINUTE / 2)
    await settle(5)
  }
  assert.ok(hlcMs(pi.statuses.of(pi.peer)?.hlc ?? 0n) < fast.now(), 'the later status is forgotten')
  assert.ok((await pi.store.checkLeaf()) > 3)
})

test('a clock that was ahead when one file was written stops later writes of that file only', async t => {
  const setup = new Setup(t)
  const secrets = setup.secrets('pi')
  const fast = new ManualClock(setup.clock.now() + 60 * MINUTE)
  const written: bigint[] = []
  const disk = await setup.startOnce('pi', secrets, fast, async member => {
    const [entry] = await member.write(setup.chance)
    written.push(entry?.hlc ?? 0n)
    assert.ok(hlcMs(entry?.hlc ?? 0n) >= fast.now())
  })
  const pi = await setup.start('pi', secrets, disk)
  pi.members.assertMayWrite()
  assert.equal(pi.members.writeError, undefined)
  assert.ok(hlcMs(pi.self.nextHlc()) <= setup.clock.now())
  // Both clocks start at 22:13:20. The file is stamped an hour later, and can be written again 5 minutes before that.
  assert.throws(() => pi.self.nextHlc(...written), {
    name: 'ClockOffError',
    message: /works again from 2023-11-14T23:09Z/
  })
  assert.ok(hlcMs(pi.self.nextHlc()) <= setup.clock.now(), 'the refused stamp left no trace')
  setup.clock.advance(56 * MINUTE)
  assert.equal(pi.self.nextHlc(...written), (written[0] as bigint) + 1n)
})

test('the head of a status is the newest stamp of the member’s own statements, over restarts and restored backups too', async t => {
  const setup = new Setup(t)
  const secrets = setup.secrets('a')
  const headOf = ({ statuses, peer }: TestMember): bigint =>
    decodeHlc(statuses.of(peer)?.fields.head ?? Buffer.alloc(8))
  const newest: bigint[] = []
  const disk = await setup.startOnce('a', secrets, setup.clock, async member => {
    assert.equal(headOf(member), 0n, 'it has signed nothing but its status')
    setup.clock.advance(MINUTE)
    const [later] = await member.write(setup.chance)
    newest.push((later as Statement).hlc)
    const early = entryBy(member.self, setup.chance, hlcAt(setup.clock.now() - MINUTE))
    await member.log.append([early], member.self.signer)
    await timePassesUntil(setup.clock, 'renewed', () => headOf(member) > 0n)
    assert.equal(headOf(member), newest[0])
  })
  const again = await setup.start('a', secrets, disk)
  assert.equal(headOf(again), newest[0], 'its first status after the restart')
  // The log of a restored backup has forgotten the entries. Another member brings them back.
  const forgotten = new LocalMember(secrets, setup.clock, setup.chance)
  const lost = entryBy(forgotten, setup.chance, hlcAt(setup.clock.now() + MINUTE))
  assert.deepEqual(await again.log.receive([lost.bytes], 'x'), ['ok'])
  await timePassesUntil(setup.clock, 'renewed', () => headOf(again) > (newest[0] as bigint))
  assert.equal(headOf(again), lost.hlc)
})

test('a stamp depends on the clock and on what it must come after, and on no other stamp of ours', t => {
  const setup = new Setup(t)
  const self = new LocalMember(setup.secrets('a'), setup.clock, setup.chance)
  const now = setup.clock.now()
  assert.throws(() => self.nextHlc(hlcAt(now + 6 * MINUTE)), { name: 'ClockOffError' })
  assert.equal(self.nextHlc(hlcAt(now + 4 * MINUTE)), hlcAt(now + 4 * MINUTE, 1))
  assert.equal(self.nextHlc(hlcAt(now), hlcAt(now, 3), hlcAt(now - 1)), hlcAt(now, 4))
  assert.equal(self.nextHlc(), hlcAt(now))
  assert.equal(self.nextHlc(), hlcAt(now), 'a clock that stands still')
  setup.clock.jump(-3 * MINUTE)
  assert.equal(self.nextHlc(), self.grant.hlc, 'a clock that was set back, though not before the grant')
})

test('no statement is stamped before its grant, even if the clock was set back', t => {
  const setup = new Setup(t)
  const grantedBy = new ManualClock(setup.clock.now() + 2 * MINUTE)
  const self = new LocalMember(setup.secrets('a', grantedBy), setup.clock, setup.chance)
  assert.equal(self.nextHlc(), self.grant.hlc)
})

test('another member’s status that we accepted while our clock was ahead gives way to its present one', async t => {
  const setup = new Setup(t)
  const secrets = setup.secrets('a')
  const other = new LocalMember(setup.secrets('other'), setup.clock, setup.chance)
  const fast = new ManualClock(setup.clock.now() + YEAR)
  const status = (ms: number) =>
    other.sign(
      'status',
      {
        instance: other.instance,
        addresses: [],
        weight: ms % 1_000,
        state: 'in',
        outAfter: MINUTE,
        head: encodeHlc(0n)
      },
      hlcAt(ms)
    )
  const disk = await setup.startOnce('a', secrets, fast, async ({ log }) => {
    const statements = [...other.statements, status(fast.now() - 1)]
    assert.deepEqual(
      new Set(
        await log.receive(
          statements.map(({ bytes }) => bytes),
          'x'
        )
      ),
      new Set(['ok'])
    )
  })
  const a = await setup.start('a', secrets, disk)
  const now = status(setup.clock.now())
  assert.deepEqual(await a.log.receive([now.bytes], 'x'), ['ok'])
  assert.deepEqual(a.statuses.of(other.peerId)?.id, now.id)
})

test('a status that is too far ahead waits beside the one that counts, the earliest of each member', async t => {
  const setup = new Setup(t)
  const a = await setup.start('a', setup.secrets('a'))
  const other = new LocalMember(setup.secrets('other'), setup.clock, setup.chance)
  const now = setup.clock.now()
  const status = (minutes: number) =>
    other.sign(
      'status',
      { ...statusFields, instance: other.instance, weight: 100 + minutes },
      hlcAt(now + minutes * MINUTE)
    )
  const [near, far, farther] = [status(0), status(20), status(40)]
  const receive = async (...statements: Statement[]) =>
    a.log.receive(
      statements.map(({ bytes }) => bytes),
      'x'
    )
  await receive(...other.statements)
  assert.deepEqual(await receive(near), ['ok'])
  assert.deepEqual(await receive(farther, far, farther), ['waiting', 'waiting', 'waiting'])
  const counting = (): number | undefined => a.statuses.of(other.peerId)?.fields.weight
  assert.deepEqual([counting(), a.log.earlyCount], [100, 1])
  await timePassesUntil(setup.clock, 'its time', () => counting() === 120, { stepMs: 5_000, msMax: 20 * MINUTE })
  assert.ok(setup.clock.now() >= now + 15 * MINUTE)
  assert.equal(a.log.earlyCount, 0)
  const renewed = status(16)
  assert.deepEqual([await receive(renewed), counting()], [['ok'], 120], 'it is the newest one now')
})

test('a member whose grant is stamped too far ahead is told so, and admitted once its time has come', async t => {
  const setup = new Setup(t)
  const b = await setup.start('b', setup.secrets('b'))
  const fast = new ManualClock(setup.clock.now() + 10 * MINUTE)
  const secrets = setup.secrets('c', fast)
  const c = await setup.start('c', secrets, { clock: fast, bootstrap: ['/memory/b'] })
  await timePassesUntil(fast, 'turned away', () => c.events.some(({ event }) => event === 'rejected'), SOON)
  assert.deepEqual([b.members.admitted, c.members.admitted], [[], []])
  assert.equal(b.members.member(c.peer), undefined)
  for (const [member, aheadMs] of [
    [c, -10 * MINUTE],
    [b, 10 * MINUTE]
  ] as const) {
    const [refusal] = member.members.clocks.refusals
    assert.ok(Math.abs((refusal?.aheadMs ?? 0) - aheadMs) < MINUTE, `${member.self.name}: ${refusal?.aheadMs}`)
  }
  setup.clock.advance(6 * MINUTE)
  await timePassesUntil(fast, 'let in', () => c.members.admitted.length === 1)
  assert.equal(b.members.member(c.peer)?.name, 'c')
  assert.deepEqual([b.members.clocks.refusals, c.members.clocks.refusals], [[], []])
})

test('a member with a grant from the future is not admitted either if it was dialled', async t => {
  const setup = new Setup(t)
  const fast = new ManualClock(setup.clock.now() + 10 * MINUTE)
  const c = await setup.start('c', setup.secrets('c', fast), { clock: fast })
  const b = await setup.start('b', setup.secrets('b'), { bootstrap: ['/memory/c'] })
  await timePassesUntil(setup.clock, 'turned away', () => b.events.some(({ event }) => event === 'rejected'), SOON)
  assert.deepEqual([b.members.admitted, b.members.member(c.peer)], [[], undefined])
  assert.ok((b.members.clocks.refusals[0]?.aheadMs ?? 0) > 9 * MINUTE)
})

test('bogus announcements of a member do not delay dials to its true addresses', async t => {
  const setup = new Setup(t)
  const b = await setup.start('b', setup.secrets('b'))
  const a = await setup.start('a', setup.secrets('a'), { bootstrap: ['/memory/b'] })
  await timePassesUntil(setup.clock, 'met', () => b.members.compared.size === 1, SOON)
  const dials: string[][] = []
  const host = b.host as MemoryHost
  const dial = host.dial.bind(host)
  host.dial = (addresses, options) => {
    dials.push([...addresses])
    return dial(addresses, options)
  }
  setup.network.cut(a.host as MemoryHost, host)
  for (let i = 0; i < 40; i++) {
    const bogus = Array.from({ length: 16 }, (_, j) => `/ip4/127.0.0.1/tcp/${1 + 16 * i + j}`)
    host.discover(a.peer, bogus)
    setup.clock.advance(10_000)
    await settle(5)
  }
  const isTrue = (addresses: string[]): boolean => addresses.includes('/memory/a')
  assert.ok(dials.filter(isTrue).every(addresses => addresses.length === 1))
  assert.equal(dials.filter(isTrue).length, Math.ceil(dials.length / 2), 'the true address first, each time')
})

test('a stranger that announces the same again and again gets a few dials, and a few more for other addresses', async t => {
  const setup = new Setup(t)
  const b = await setup.start('b', setup.secrets('b'))
  const stranger = new LocalMember(setup.secrets('nobody'), setup.clock, setup.chance).peerId
  const host = b.host as MemoryHost
  let dials = 0
  host.dial = async () => {
    dials++
    throw new DisconnectedError('nobody answers')
  }
  const announceFor = async (minutes: number, address: string): Promise<number> => {
    dials = 0
    for (let i = 0; i < minutes * 6; i++) {
      host.discover(stranger, [address])
      setup.clock.advance(10_000)
      await settle(5)
    }
    return dials
  }
  assert.equal(await announceFor(9, '/ip4/127.0.0.1/tcp/9'), DISCOVERED_DIALS_MAX)
  assert.equal(await announceFor(9, '/ip4/127.0.0.1/tcp/10'), DISCOVERED_DIALS_MAX)
  assert.equal(await announceFor(2, '/ip4/127.0.0.1/tcp/10'), DISCOVERED_DIALS_MAX, 'after a long while again')
})

test('an older status that a power cut left in the index is removed at the next start', async t => {
  const setup = new Setup(t)
  const secrets = setup.secrets('a')
  const disk = await setup.startOnce('a', secrets, setup.clock, async ({ store, statuses, self, peer }) => {
    const last = statuses.of(peer)
    assert.ok(last !== undefined)
    const older = self.sign('status', { ...last.fields, weight: 1 }, last.hlc - 1n)
    const row = encodeStatementRow({ ...self.signer, statement: older, sequence: 99, arrivedAtMs: 0 })
    const [place] = await store.write(ROW_STATEMENT, [row])
    await store.index.batch([
      { type: 'put', key: keyOf(older), value: encodeEntry({ place: place!, sequence: 99, isCovered: false }) }
    ])
  })
  const again = await TestMember.open({
    ...disk,
    secrets,
    clock: setup.clock,
    chance: setup.chance,
    host: setup.network.host('again', new LocalMember(secrets, setup.clock, setup.chance).peerId)
  })
  t.after(() => again.store.close())
  // Its root, its grant, its status.
  assert.equal((await again.ids(0)).length, 3)
})
