import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import type { Secrets } from '../../../src/disk/keystore.ts'
import { encodeHlc, type Hlc, hlcAt } from '../../../src/format/stamp.ts'
import { type AnyStatement, idOf, type Statement } from '../../../src/format/statement.ts'
import { LocalMember } from '../../../src/members/local-member.ts'
import { Roster } from '../../../src/members/roster.ts'
import { toHex } from '../../../src/util/bytes.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { adminSecrets, entryBy, grantedSecrets, type MemberOptions, TestMember } from '../../fixtures/member.ts'
import { MemoryNetwork } from '../../fixtures/memory-host.ts'
import { settle, timePassesUntil } from '../../fixtures/pass-time.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'

const MINUTE = 60_000
const KEY = Buffer.alloc(32, 7)
const SOON = { stepMs: 10, msMax: 4_000 }

/** An admin, and a writer whose grant ends after 10 minutes. */
class Setup {
  readonly clock = new ManualClock()
  readonly chance = seededChance(31)
  readonly network = new MemoryNetwork({ clock: this.clock })
  readonly admin = adminSecrets(KEY, this.clock, this.chance)
  readonly endMs = this.clock.now() + 10 * MINUTE
  readonly writer = grantedSecrets(this.admin, this.clock, this.chance, { name: 'first', notAfter: hlcAt(this.endMs) })
  readonly by = new LocalMember(this.admin, this.clock, this.chance)
  readonly self = new LocalMember(this.writer, this.clock, this.chance)
  readonly #t: TestContext | undefined

  constructor(t?: TestContext) {
    this.#t = t
  }

  /** Another grant for the writer, by the admin. */
  grant(
    name: string,
    { hlc = this.by.nextHlc(), notAfter }: { hlc?: Hlc; notAfter?: number } = {}
  ): Statement<'grant'> {
    const { notAfter: _ended, ...fields } = this.self.grant.fields
    const end = notAfter === undefined ? {} : { notAfter: encodeHlc(hlcAt(notAfter)) }
    return this.by.sign('grant', { ...fields, name, ...end }, hlc)
  }

  roster(...grants: Array<Statement<'grant'>>): Roster {
    const roster = new Roster(this.admin.network, this.clock)
    roster.load([...this.self.statements, ...grants])
    return roster
  }

  async start(name: string, secrets: Secrets, more: Partial<MemberOptions> = {}): Promise<TestMember> {
    const { clock, chance, network } = this
    const host = network.host(name, new LocalMember(secrets, clock, chance).peerId)
    const member = await TestMember.open({ clock, chance, host, secrets, ...more })
    await member.start()
    this.#t?.after(() => member.stop())
    await settle()
    return member
  }
}

test('a renewed grant takes effect when the earlier one ends, and extends the membership', () => {
  const setup = new Setup()
  const { clock, self } = setup
  clock.advance(MINUTE)
  const roster = setup.roster(setup.grant('renewed', { notAfter: setup.endMs + 60 * MINUTE }))
  let changes = 0
  roster.onChange(() => changes++)
  const name = (): string | undefined => roster.member(self.peerId)?.name
  assert.equal(name(), 'first', 'the earlier grant counts while it is in force')
  clock.advance(9 * MINUTE)
  roster.refresh()
  assert.deepEqual([name(), changes], ['first', 0], 'its last millisecond')
  clock.advance(1)
  roster.refresh()
  assert.deepEqual([name(), changes], ['renewed', 1])
  assert.deepEqual(
    roster.chainOf(self.peerId)?.map(({ fields }) => fields.name),
    ['admin', 'renewed']
  )
  clock.advance(60 * MINUTE)
  roster.refresh()
  assert.deepEqual([name(), changes, roster.members.length], [undefined, 2, 1])
  assert.equal(roster.chainOf(self.peerId), undefined)
  clock.jump(-30 * MINUTE)
  roster.refresh()
  assert.deepEqual([name(), changes], ['renewed', 3], 'the clock was set back')
})

test('a grant that comes after the earlier one has ended makes the device a member again', () => {
  const setup = new Setup()
  setup.clock.advance(11 * MINUTE)
  const roster = setup.roster()
  assert.equal(roster.member(setup.self.peerId), undefined)
  roster.load([setup.grant('renewed')])
  assert.equal(roster.member(setup.self.peerId)?.name, 'renewed')
})

test('an ended grant with a shorter chain gives way to one in force with a longer chain', () => {
  const setup = new Setup()
  const { clock, chance, self } = setup
  const second = grantedSecrets(setup.admin, clock, chance, { role: 'admin' })
  const far = grantedSecrets(second, clock, chance, { name: 'far', subject: self.publicKey })
  const roster = setup.roster()
  roster.load(new LocalMember(far, clock, chance).statements)
  assert.equal(roster.member(self.peerId)?.name, 'first')
  clock.advance(11 * MINUTE)
  roster.refresh()
  assert.equal(roster.member(self.peerId)?.name, 'far')
})

test('a membership ends with the earliest end of its chain', () => {
  const setup = new Setup()
  const { clock, chance } = setup
  const middle = grantedSecrets(setup.admin, clock, chance, { role: 'admin', notAfter: hlcAt(setup.endMs) })
  const last = new LocalMember(grantedSecrets(middle, clock, chance), clock, chance)
  const roster = setup.roster()
  roster.load(last.statements)
  assert.ok(roster.member(last.peerId) !== undefined)
  clock.advance(11 * MINUTE)
  roster.refresh()
  assert.equal(roster.member(last.peerId), undefined)
})

test('a statement is judged by the grant that it names, whichever grant takes effect', () => {
  const setup = new Setup()
  const { clock, chance, self } = setup
  const before = entryBy(self, chance)
  const roster = setup.roster(setup.grant('renewed'))
  clock.advance(11 * MINUTE)
  roster.refresh()
  const isOk = (statement: Statement): boolean => !('refused' in roster.authorize(statement as AnyStatement))
  assert.deepEqual([isOk(before), isOk(entryBy(self, chance, hlcAt(clock.now())))], [true, false])
  self.follow(roster)
  assert.equal(isOk(entryBy(self, chance)), true)
})

test('which grant takes effect does not depend on the order in which the grants came, or on when they came', () => {
  const grantInit = fc.record({ at: fc.nat(5), end: fc.option(fc.nat(20)) })
  const cases = fc.tuple(fc.array(grantInit, { minLength: 1, maxLength: 6 }), fc.nat(20), fc.infiniteStream(fc.nat()))
  fc.assert(
    fc.property(cases, ([inits, nowMinute, order]) => {
      const setup = new Setup()
      const { clock, self } = setup
      const startMs = clock.now()
      const grants = inits.map(({ at, end }, i) =>
        setup.grant(`g${i}`, {
          hlc: hlcAt(startMs + at * MINUTE),
          ...(end === null ? {} : { notAfter: startMs + end * MINUTE })
        })
      )
      const shuffled = grants
        .map(grant => ({ grant, key: order.next().value as number }))
        .sort((a, b) => a.key - b.key)
        .map(({ grant }) => grant)
      const early = setup.roster()
      for (const grant of shuffled) {
        early.load([grant])
        early.refresh()
      }
      clock.advance(nowMinute * MINUTE)
      early.refresh()
      const late = setup.roster(...grants)
      assert.equal(early.member(self.peerId)?.grantId, late.member(self.peerId)?.grantId)
      // The rule itself, in its simplest form.
      const nowMs = clock.now()
      const inForce = [self.grant, ...grants]
        .filter(({ fields }) => fields.notAfter === undefined || hlcMsOf(fields.notAfter) >= nowMs)
        .sort((a, b) => (a.hlc === b.hlc ? (idOf(a) < idOf(b) ? -1 : 1) : a.hlc < b.hlc ? -1 : 1))
      assert.equal(late.member(self.peerId)?.grantId, inForce[0] === undefined ? undefined : idOf(inForce[0]))
    }),
    { numRuns: 60, seed: 18 }
  )
})

function hlcMsOf(bytes: Uint8Array): number {
  return Number(BigInt(`0x${toHex(bytes)}`) >> 16n)
}

test('a member whose grant ends is no longer admitted, leaves the view, and signs nothing', async t => {
  const setup = new Setup(t)
  const a = await setup.start('a', setup.admin)
  const w = await setup.start('w', setup.writer, { bootstrap: ['/memory/a'] })
  await timePassesUntil(setup.clock, 'met', () => a.members.view.members.length === 2, SOON)
  assert.equal(a.members.mayWrite(w.peer), true)
  await timePassesUntil(setup.clock, 'ended', () => setup.clock.now() > setup.endMs + 6_000)
  assert.deepEqual([a.members.admitted, a.members.isAdmitted(w.peer)], [[], false])
  assert.deepEqual([a.members.all.length, a.members.view.members.length, a.members.mayWrite(w.peer)], [1, 1, false])
  assert.throws(() => w.members.assertMayWrite(), { name: 'NotAllowedError', message: /ended/ })
  assert.match(w.members.writeError?.message ?? '', /ended/)
  const last = w.statuses.of(w.peer)
  await timePassesUntil(setup.clock, 'no status', () => setup.clock.now() > setup.endMs + 10 * MINUTE)
  assert.equal(w.statuses.of(w.peer), last)
})

test('a member that is not connected leaves the view when its grant ends', async t => {
  const setup = new Setup(t)
  const a = await setup.start('a', setup.admin)
  const w = await setup.start('w', setup.writer, { bootstrap: ['/memory/a'] })
  await timePassesUntil(setup.clock, 'met', () => a.members.view.members.length === 2, SOON)
  await w.stop()
  await timePassesUntil(setup.clock, 'gone', () => a.members.admitted.length === 0, SOON)
  setup.clock.advance(11 * MINUTE)
  await timePassesUntil(setup.clock, 'seconds', () => a.members.view.members.length === 1, {
    stepMs: 500,
    msMax: 6_000
  })
  assert.equal(a.members.all.length, 1)
})

test('an admission goes on under a renewed grant, and the member signs under it, after a restart too', async t => {
  const setup = new Setup(t)
  const { clock, endMs } = setup
  const a = await setup.start('a', setup.admin)
  const w = await setup.start('w', setup.writer, { bootstrap: ['/memory/a'] })
  await timePassesUntil(clock, 'met', () => a.members.admitted.length === 1 && w.members.admitted.length === 1, SOON)
  clock.advance(MINUTE)
  const renewed = setup.grant('renewed')
  await a.log.append([renewed], a.self.signer)
  a.sync.announce([renewed])
  await timePassesUntil(clock, 'ended', () => clock.now() > endMs + 6_000)
  const departed = [...a.events, ...w.events].filter(({ event }) => event === 'departed')
  assert.deepEqual([departed, a.members.admitted, w.members.admitted], [[], [w.peer], [a.peer]])
  assert.deepEqual([w.self.name, idOf(w.self.grant)], ['renewed', idOf(renewed)])
  w.members.assertMayWrite()
  const [entry] = await w.write(setup.chance)
  assert.deepEqual(await a.log.receive([(entry as Statement).bytes], w.peer), ['ok'])
  await w.stop()
  const again = await setup.start('w', setup.writer, {
    files: w.files,
    database: w.database,
    bootstrap: ['/memory/a']
  })
  await timePassesUntil(clock, 'admitted again', () => again.members.admitted.length === 1, SOON)
  assert.equal(again.self.name, 'renewed')
})

test('a member that was away while its grant was renewed is admitted, and learns of the new grant', async t => {
  const setup = new Setup(t)
  const a = await setup.start('a', setup.admin)
  const w = await setup.start('w', setup.writer, { bootstrap: ['/memory/a'] })
  await timePassesUntil(setup.clock, 'met', () => a.members.compared.size === 1, SOON)
  await w.stop()
  const { files, database } = w
  setup.clock.advance(11 * MINUTE)
  const away = await setup.start('w', setup.writer, { files, database, bootstrap: ['/memory/a'] })
  await timePassesUntil(setup.clock, 'refused', () => away.events.some(({ event }) => event === 'rejected'), SOON)
  assert.deepEqual(a.members.admitted, [])
  await away.stop()
  await a.log.append([setup.grant('renewed')], a.self.signer)
  const again = await setup.start('w', setup.writer, { files, database, bootstrap: ['/memory/a'] })
  await timePassesUntil(setup.clock, 'admitted', () => again.self.name === 'renewed', SOON)
  again.members.assertMayWrite()
  assert.deepEqual(a.members.admitted, [w.peer])
})

test('an admission ends although the machine slept, or its clock was set, past the end of the grant', async t => {
  const setup = new Setup(t)
  const a = await setup.start('a', setup.admin)
  const w = await setup.start('w', setup.writer, { bootstrap: ['/memory/a'] })
  await timePassesUntil(setup.clock, 'met', () => a.members.admitted.length === 1, SOON)
  setup.clock.jump(11 * MINUTE)
  await timePassesUntil(setup.clock, 'seconds', () => !a.members.isAdmitted(w.peer), { stepMs: 500, msMax: 6_000 })
})
