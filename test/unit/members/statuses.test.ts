import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Secrets } from '../../../src/disk/keystore.ts'
import type { Fields } from '../../../src/format/kinds.ts'
import { type Hlc, hlcAt } from '../../../src/format/stamp.ts'
import { idOf, type Statement } from '../../../src/format/statement.ts'
import { keyOf, type Standing } from '../../../src/log/log.ts'
import { OUT_AFTER_MS_MAX, WEIGHT_MAX } from '../../../src/members/constants.ts'
import { Roster } from '../../../src/members/roster.ts'
import { Self } from '../../../src/members/self.ts'
import { Statuses } from '../../../src/members/statuses.ts'
import { toHex } from '../../../src/util/bytes.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { adminSecrets, type GrantOptions, grantedSecrets } from '../../fixtures/member.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'

const OUT_AFTER = 600_000
const MINUTE = 60_000

class Scene {
  readonly clock = new ManualClock()
  readonly chance = seededChance(5)
  readonly admin = adminSecrets(Buffer.alloc(32, 7), this.clock, this.chance)
  readonly roster = new Roster(this.admin.network)
  readonly dead: Standing[] = []
  readonly statuses = new Statuses({
    roster: this.roster,
    clock: this.clock,
    outAfterMs: OUT_AFTER,
    markDead: items => {
      this.dead.push(...items)
      return []
    }
  })
  #places = 0

  member(options: GrantOptions = {}): Self {
    const secrets: Secrets = grantedSecrets(this.admin, this.clock, this.chance, options)
    const self = new Self(secrets, this.clock, this.chance)
    this.roster.load(self.statements)
    return self
  }

  sign(self: Self, hlc: Hlc, more: Partial<Fields<'status'>> = {}): Standing<'status'> {
    const fields = {
      instance: self.instance,
      addresses: [],
      weight: 100,
      state: 'in' as const,
      outAfter: OUT_AFTER,
      head: Buffer.alloc(8),
      ...more
    }
    const place = { segment: 1, offset: this.#places++, length: 1 }
    return { statement: self.sign('status', fields, hlc), author: self.publicKey, place }
  }

  get weights(): number[] {
    return this.statuses.view.members.map(({ weight }) => weight)
  }
}

test('the last status of each member counts, and older ones are forgotten', async () => {
  const scene = new Scene()
  const self = scene.member()
  const [first, second] = [scene.sign(self, 1n, { weight: 1 }), scene.sign(self, 2n, { weight: 2 })]
  assert.deepEqual(await scene.statuses.project([first]), [])
  const ops = await scene.statuses.project([second])
  assert.deepEqual(
    ops.map(({ type, key }) => [type, toHex(key)]),
    [['del', toHex(keyOf(first.statement))]]
  )
  assert.deepEqual(scene.dead, [first])
  assert.deepEqual([scene.statuses.of(self.peerId), scene.weights], [second.statement, [2]])
  // What comes late takes itself back.
  const late = scene.sign(self, 1n, { weight: 3 })
  assert.ok(scene.statuses.isSuperseded(late.statement, self.publicKey))
  assert.deepEqual(
    (await scene.statuses.project([late])).map(({ key }) => toHex(key)),
    [toHex(keyOf(late.statement))]
  )
  assert.deepEqual(scene.weights, [2])
})

test('the same status again, at another place, is no news', async () => {
  const scene = new Scene()
  const self = scene.member()
  const first = scene.sign(self, 1n)
  await scene.statuses.project([first])
  const moved = { ...first, place: { segment: 2, offset: 0, length: 1 } }
  assert.deepEqual(await scene.statuses.project([moved, moved]), [])
  assert.equal(scene.statuses.isSuperseded(first.statement, self.publicKey), false)
  const next = scene.sign(self, 2n)
  await scene.statuses.project([next])
  assert.deepEqual(scene.dead, [moved], 'the place that was known last')
})

test('of two under one stamp the smaller id counts, in either order', async () => {
  for (const isReversed of [false, true]) {
    const scene = new Scene()
    const self = scene.member()
    const twins = [scene.sign(self, 5n, { weight: 1 }), scene.sign(self, 5n, { weight: 2 })]
    const smaller = twins.map(({ statement }) => idOf(statement)).sort()[0]
    for (const twin of isReversed ? twins.toReversed() : twins) await scene.statuses.project([twin])
    assert.equal(idOf(scene.statuses.of(self.peerId) as Statement), smaller)
  }
})

test('what a member says of itself has limits', async () => {
  const scene = new Scene()
  const plain = scene.member()
  const capped = scene.member({ capacityMax: 50, zone: 'cellar' })
  await scene.statuses.project([
    scene.sign(plain, 1n, { weight: 10 ** 15, zone: 'attic', outAfter: 1 }),
    scene.sign(capped, 1n, { weight: 100, zone: 'cellar', outAfter: OUT_AFTER_MS_MAX * 2 })
  ])
  const of = (self: Self) => scene.statuses.view.members.find(({ peer }) => peer === self.peerId)
  assert.deepEqual([of(plain)?.weight, of(plain)?.zone], [WEIGHT_MAX, null])
  assert.deepEqual([of(capped)?.weight, of(capped)?.zone], [50, 'cellar'])
  await scene.statuses.project([scene.sign(capped, 2n, { zone: 'attic' })])
  assert.equal(of(capped)?.zone, null, 'a zone that was not granted')
})

test('who is no member any more, or not yet, is not in the view', async () => {
  const scene = new Scene()
  const secrets = grantedSecrets(scene.admin, scene.clock, scene.chance)
  const self = new Self(secrets, scene.clock, scene.chance)
  await scene.statuses.project([scene.sign(self, 1n)])
  assert.deepEqual(scene.statuses.view.members, [])
  let views = 0
  scene.statuses.onView(() => views++)
  scene.roster.load(self.statements)
  assert.deepEqual([scene.statuses.view.members.length, views], [1, 1])
})

test('a change of role is a change of the view', async () => {
  const scene = new Scene()
  const far = grantedSecrets(scene.admin, scene.clock, scene.chance, { role: 'admin' })
  const target = grantedSecrets(far, scene.clock, scene.chance, { role: 'writer' })
  const self = new Self(target, scene.clock, scene.chance)
  scene.roster.load(self.statements)
  await scene.statuses.project([scene.sign(self, 1n)])
  assert.equal(scene.statuses.view.members[0]?.canRead, true)
  const near = grantedSecrets(scene.admin, scene.clock, scene.chance, { role: 'storage', subject: self.publicKey })
  scene.roster.load([new Self(near, scene.clock, scene.chance).grant])
  assert.equal(scene.statuses.view.members[0]?.canRead, false)
})

test('being out takes effect once this node has seen it for long enough', async () => {
  const scene = new Scene()
  const members = [scene.member(), scene.member(), scene.member()]
  const now = scene.clock.now()
  const isOut = (): boolean[] =>
    members.map(({ peerId }) => scene.statuses.view.members.find(({ peer }) => peer === peerId)?.isOut === true)
  await scene.statuses.project(members.map((self, i) => scene.sign(self, hlcAt(now - (i === 2 ? 20 * MINUTE : 0)))))
  scene.statuses.refresh()
  assert.deepEqual(isOut(), [false, false, false])
  scene.clock.advance(OUT_AFTER - 1)
  scene.statuses.refresh()
  assert.deepEqual(isOut(), [false, false, false])
  scene.clock.advance(1)
  scene.statuses.refresh()
  assert.deepEqual(isOut(), [false, false, true])
  await scene.statuses.project([scene.sign(members[2] as Self, hlcAt(scene.clock.now()))])
  assert.deepEqual(isOut(), [false, false, false], 'it is back at once')
})

test('who was out and came back is watched anew', async () => {
  const scene = new Scene()
  const members = [scene.member(), scene.member(), scene.member()]
  const [, , third] = members as [Self, Self, Self]
  const now = scene.clock.now()
  await scene.statuses.project(members.map((self, i) => scene.sign(self, hlcAt(now - (i === 2 ? 20 * MINUTE : 0)))))
  scene.clock.advance(OUT_AFTER - 1)
  await scene.statuses.project([scene.sign(third, hlcAt(now))])
  await scene.statuses.project([scene.sign(third, hlcAt(now) + 1n)])
  await scene.statuses.project(members.slice(0, 2).map(self => scene.sign(self, hlcAt(now + 20 * MINUTE))))
  scene.clock.advance(OUT_AFTER - 1)
  scene.statuses.refresh()
  assert.ok(!scene.statuses.view.members.some(({ isOut }) => isOut))
})

test('listeners hear of a view only when it changes', async () => {
  const scene = new Scene()
  const self = scene.member()
  let views = 0
  scene.statuses.onView(() => views++)
  await scene.statuses.project([scene.sign(self, 1n)])
  await scene.statuses.project([scene.sign(self, 2n)])
  scene.statuses.refresh()
  assert.equal(views, 1)
  await scene.statuses.project([scene.sign(self, 3n, { state: 'full' })])
  await scene.statuses.project([scene.sign(self, 4n, { state: 'draining' })])
  assert.equal(views, 3)
})

test('what stood at the last stop is loaded in any order', () => {
  const scene = new Scene()
  const self = scene.member()
  const items = [scene.sign(self, 2n), scene.sign(self, 3n), scene.sign(self, 1n)]
  const ops = scene.statuses.load(items)
  assert.equal(scene.statuses.of(self.peerId)?.hlc, 3n)
  const older = [items[0], items[2]].map(item => toHex(keyOf((item as Standing).statement)))
  assert.deepEqual(ops.map(({ type, key }) => [type, toHex(key)]).sort(), older.map(key => ['del', key]).sort())
  assert.equal(scene.dead.length, 2)
  assert.equal(scene.statuses.middle, 3n)
})

test('what is stamped too far ahead to be kept gives way to what is not, in any order', async () => {
  const scene = new Scene()
  const self = scene.member()
  const now = scene.clock.now()
  const far = scene.sign(self, hlcAt(now + 6 * MINUTE))
  const near = scene.sign(self, hlcAt(now))
  await scene.statuses.project([far])
  assert.equal(scene.statuses.isSuperseded(near.statement, self.publicKey), false)
  await scene.statuses.project([near])
  assert.equal(scene.statuses.of(self.peerId), near.statement)
  await scene.statuses.project([far])
  assert.equal(scene.statuses.of(self.peerId), near.statement)
  scene.clock.advance(MINUTE)
  await scene.statuses.project([far])
  assert.equal(scene.statuses.of(self.peerId), far.statement, 'its time has come')
})
