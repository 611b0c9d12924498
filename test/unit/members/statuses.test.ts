import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Secrets } from '../../../src/disk/keystore.ts'
import { OUT_AFTER_MS_MAX } from '../../../src/format/constants.ts'
import type { Fields } from '../../../src/format/kinds.ts'
import { type Hlc, hlcAt } from '../../../src/format/stamp.ts'
import { idOf, type Statement } from '../../../src/format/statement.ts'
import type { AcceptedStatement } from '../../../src/log/projection.ts'
import { WEIGHT_MAX } from '../../../src/members/constants.ts'
import { LocalMember } from '../../../src/members/local-member.ts'
import { Outs } from '../../../src/members/outs.ts'
import { Roster } from '../../../src/members/roster.ts'
import { Settings } from '../../../src/members/settings.ts'
import { Statuses } from '../../../src/members/statuses.ts'
import { acceptedBy } from '../../fixtures/accepted.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { adminSecrets, type GrantOptions, grantedSecrets } from '../../fixtures/member.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'

const OUT_AFTER = 600_000
const MINUTE = 60_000

class Setup {
  readonly clock = new ManualClock()
  readonly chance = seededChance(5)
  readonly admin = adminSecrets(Buffer.alloc(32, 7), this.clock, this.chance)
  readonly roster = new Roster(this.admin.network, this.clock)
  readonly settings = new Settings()
  readonly outs = new Outs()
  readonly statuses = new Statuses({
    roster: this.roster,
    clock: this.clock,
    logger: silentLogger,
    settings: this.settings,
    outs: this.outs
  })

  member(options: GrantOptions = {}): LocalMember {
    const secrets: Secrets = grantedSecrets(this.admin, this.clock, this.chance, options)
    const self = new LocalMember(secrets, this.clock, this.chance)
    this.roster.load(self.statements)
    return self
  }

  sign(self: LocalMember, hlc: Hlc, more: Partial<Fields<'status'>> = {}): AcceptedStatement<'status'> {
    const fields = {
      instance: self.instance,
      addresses: [],
      weight: 100,
      state: 'in' as const,
      outAfter: OUT_AFTER,
      head: Buffer.alloc(8),
      ...more
    }
    return acceptedBy(self.publicKey, self.sign('status', fields, hlc), self.role)
  }

  /** Adds statuses as the log does. Returns those that it may forget. */
  add(...added: Array<AcceptedStatement<'status'>>): AcceptedStatement[] {
    const replaced = this.statuses.replacedBy(added)
    this.statuses.applied({ added, removed: [] })
    return replaced
  }

  get weights(): number[] {
    return this.statuses.view.members.map(({ weight }) => weight)
  }
}

test('the last status of each member counts, and older ones are forgotten', async () => {
  const setup = new Setup()
  const self = setup.member()
  const [first, second] = [setup.sign(self, 1n, { weight: 1 }), setup.sign(self, 2n, { weight: 2 })]
  assert.deepEqual(setup.add(first), [])
  assert.deepEqual(setup.add(second), [first])
  assert.deepEqual([setup.statuses.of(self.peerId), setup.weights], [second.statement, [2]])
  // An older status that arrives late is removed at once.
  const late = setup.sign(self, 1n, { weight: 3 })
  assert.ok(setup.statuses.isSuperseded(late.statement, self.publicKey))
  assert.deepEqual(setup.add(late), [late])
  assert.deepEqual(setup.weights, [2])
})

test('the same status at another place replaces nothing', async () => {
  const setup = new Setup()
  const self = setup.member()
  const first = setup.sign(self, 1n)
  setup.add(first)
  const moved = { ...first, place: { segment: 2, offset: 0, length: 1 } }
  assert.deepEqual(setup.add(moved, moved), [])
  assert.equal(setup.statuses.isSuperseded(first.statement, self.publicKey), false)
})

test('a batch that is not applied changes nothing in memory', async () => {
  const setup = new Setup()
  const self = setup.member()
  const [first, second] = [setup.sign(self, 1n), setup.sign(self, 2n)]
  setup.add(first)
  assert.deepEqual(setup.statuses.replacedBy([second]), [first])
  assert.equal(setup.statuses.of(self.peerId), first.statement)
})

test('of two statuses under one stamp the smaller id counts, in either order', async () => {
  for (const isReversed of [false, true]) {
    const setup = new Setup()
    const self = setup.member()
    const twins = [setup.sign(self, 5n, { weight: 1 }), setup.sign(self, 5n, { weight: 2 })]
    const smaller = twins.map(({ statement }) => idOf(statement)).sort()[0]
    for (const twin of isReversed ? twins.toReversed() : twins) setup.add(twin)
    assert.equal(idOf(setup.statuses.of(self.peerId) as Statement), smaller)
  }
})

test('the fields of a status are limited by the grant and by bounds', async () => {
  const setup = new Setup()
  const plain = setup.member()
  const capped = setup.member({ capacityMax: 50, zone: 'cellar' })
  setup.add(
    setup.sign(plain, 1n, { weight: 10 ** 15, zone: 'attic', outAfter: 1 }),
    setup.sign(capped, 1n, { weight: 100, zone: 'cellar', outAfter: OUT_AFTER_MS_MAX })
  )
  const of = (self: LocalMember) => setup.statuses.view.members.find(({ peer }) => peer === self.peerId)
  assert.deepEqual([of(plain)?.weight, of(plain)?.zone], [WEIGHT_MAX, null])
  assert.deepEqual([of(capped)?.weight, of(capped)?.zone], [50, 'cellar'])
  setup.add(setup.sign(capped, 2n, { zone: 'attic' }))
  assert.equal(of(capped)?.zone, null, 'a zone that was not granted')
})

test('a peer that is not in the roster is not in the view', async () => {
  const setup = new Setup()
  const secrets = grantedSecrets(setup.admin, setup.clock, setup.chance)
  const self = new LocalMember(secrets, setup.clock, setup.chance)
  setup.add(setup.sign(self, 1n))
  assert.deepEqual(setup.statuses.view.members, [])
  let views = 0
  setup.statuses.onView(() => views++)
  setup.roster.load(self.statements)
  assert.deepEqual([setup.statuses.view.members.length, views], [1, 1])
})

test('a change of role changes the view', async () => {
  const setup = new Setup()
  const target = grantedSecrets(setup.admin, setup.clock, setup.chance, { role: 'storage' })
  const self = new LocalMember(target, setup.clock, setup.chance)
  setup.roster.load(self.statements)
  setup.add(setup.sign(self, 1n))
  assert.equal(setup.statuses.view.members[0]?.canRead, false)
  const raised = grantedSecrets(setup.admin, setup.clock, setup.chance, { role: 'reader', subject: self.publicKey })
  setup.roster.load([new LocalMember(raised, setup.clock, setup.chance).grant])
  assert.equal(setup.statuses.view.members[0]?.canRead, true)
})

test('a member counts as out once this node has seen it out for long enough', async () => {
  const setup = new Setup()
  const members = [setup.member(), setup.member(), setup.member()]
  const now = setup.clock.now()
  const isOut = (): boolean[] =>
    members.map(({ peerId }) => setup.statuses.view.members.find(({ peer }) => peer === peerId)?.isOut === true)
  setup.add(...members.map((self, i) => setup.sign(self, hlcAt(now - (i === 2 ? 20 * MINUTE : 0)))))
  setup.statuses.refresh()
  assert.deepEqual(isOut(), [false, false, false])
  setup.clock.advance(OUT_AFTER - 1)
  setup.statuses.refresh()
  assert.deepEqual(isOut(), [false, false, false])
  setup.clock.advance(1)
  setup.statuses.refresh()
  assert.deepEqual(isOut(), [false, false, true])
  setup.add(setup.sign(members[2] as LocalMember, hlcAt(setup.clock.now())))
  assert.deepEqual(isOut(), [false, false, false], 'it is back at once')
})

test('the wait starts again for a member that was out and came back', async () => {
  const setup = new Setup()
  const members = [setup.member(), setup.member(), setup.member()]
  const [, , third] = members as [LocalMember, LocalMember, LocalMember]
  const now = setup.clock.now()
  setup.add(...members.map((self, i) => setup.sign(self, hlcAt(now - (i === 2 ? 20 * MINUTE : 0)))))
  setup.clock.advance(OUT_AFTER - 1)
  setup.add(setup.sign(third, hlcAt(now)))
  setup.add(setup.sign(third, hlcAt(now) + 1n))
  setup.add(...members.slice(0, 2).map(self => setup.sign(self, hlcAt(now + 20 * MINUTE))))
  setup.clock.advance(OUT_AFTER - 1)
  setup.statuses.refresh()
  assert.ok(!setup.statuses.view.members.some(({ isOut }) => isOut))
})

test('listeners are called with a view only when it changes', async () => {
  const setup = new Setup()
  const self = setup.member()
  let views = 0
  setup.statuses.onView(() => views++)
  setup.add(setup.sign(self, 1n))
  setup.add(setup.sign(self, 2n))
  setup.statuses.refresh()
  assert.equal(views, 1)
  setup.add(setup.sign(self, 3n, { state: 'full' }))
  setup.add(setup.sign(self, 4n, { state: 'draining' }))
  assert.equal(views, 3)
})

test('the statuses of the last stop are loaded in any order', () => {
  const setup = new Setup()
  const self = setup.member()
  const items = [setup.sign(self, 2n), setup.sign(self, 3n), setup.sign(self, 1n)]
  const replaced = setup.statuses.load(items)
  assert.equal(setup.statuses.of(self.peerId)?.hlc, 3n)
  assert.deepEqual(replaced, [items[0], items[2]])
  assert.equal(setup.statuses.medianHlc, 3n)
})

test('a status that is stamped too far ahead gives way to one that is not, in any order', async () => {
  const setup = new Setup()
  const self = setup.member()
  const now = setup.clock.now()
  const far = setup.sign(self, hlcAt(now + 6 * MINUTE))
  const near = setup.sign(self, hlcAt(now))
  setup.add(far)
  assert.equal(setup.statuses.isSuperseded(near.statement, self.publicKey), false)
  setup.add(near)
  assert.equal(setup.statuses.of(self.peerId), near.statement)
  setup.add(far)
  assert.equal(setup.statuses.of(self.peerId), near.statement)
  setup.clock.advance(MINUTE)
  setup.add(far)
  assert.equal(setup.statuses.of(self.peerId), far.statement, 'its time has come')
})

test('a status that is stamped too far ahead is not dropped in favour of the one that counts', async () => {
  const setup = new Setup()
  const self = setup.member()
  const now = setup.clock.now()
  const [near, far] = [setup.sign(self, hlcAt(now)), setup.sign(self, hlcAt(now + 6 * MINUTE))]
  setup.statuses.load([near])
  assert.equal(setup.statuses.isSuperseded(far.statement, self.publicKey), false, 'the log lets it wait')
  setup.clock.advance(2 * MINUTE)
  assert.equal(setup.statuses.isSuperseded(far.statement, self.publicKey), false)
  setup.statuses.load([far])
  assert.equal(setup.statuses.of(self.peerId), far.statement)
})

test('statuses that were accepted while this clock was ahead put nobody out once it is right', () => {
  const setup = new Setup()
  const members = [setup.member(), setup.member(), setup.member()] as const
  const [, , late] = members
  const now = setup.clock.now()
  setup.clock.jump(60 * MINUTE)
  setup.statuses.load(members.slice(0, 2).map(self => setup.sign(self, hlcAt(now + 60 * MINUTE))))
  setup.clock.jump(-60 * MINUTE)
  for (let passed = 0; passed <= 2 * OUT_AFTER; passed += MINUTE) {
    setup.statuses.load([setup.sign(late, hlcAt(setup.clock.now()))])
    setup.clock.advance(MINUTE)
    setup.statuses.refresh()
  }
  assert.deepEqual(
    setup.statuses.view.members.map(({ isOut }) => isOut),
    [false, false, false]
  )
  assert.ok((setup.statuses.medianHlc ?? 0n) <= hlcAt(setup.clock.now() + 5 * MINUTE))
})

test('the view uses the outAfter of the network’s settings, and changes with them', () => {
  const setup = new Setup()
  const members = [setup.member(), setup.member(), setup.member()] as const
  const by = new LocalMember(setup.admin, setup.clock, setup.chance)
  const now = setup.clock.now()
  setup.statuses.load(
    members.map((self, i) => setup.sign(self, hlcAt(now - (i === 2 ? 20 * MINUTE : 0)), { outAfter: 1_000 }))
  )
  const set = (outAfter: number, hlc: Hlc) =>
    setup.settings.load([{ statement: by.sign('settings', { outAfter }, hlc), author: by.publicKey }])
  const countOut = (): number => setup.statuses.view.members.filter(({ isOut }) => isOut).length
  set(30 * MINUTE, hlcAt(now, 1))
  setup.clock.advance(60 * MINUTE)
  setup.statuses.refresh()
  assert.equal(countOut(), 0, '20 minutes behind is not out')
  set(MINUTE, hlcAt(now, 2))
  setup.clock.advance(MINUTE - 1)
  setup.statuses.refresh()
  assert.equal(countOut(), 0)
  setup.clock.advance(1)
  setup.statuses.refresh()
  assert.equal(countOut(), 1)
})
