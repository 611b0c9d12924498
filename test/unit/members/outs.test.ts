import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import type { Secrets } from '../../../src/disk/keystore.ts'
import type { PeerId } from '../../../src/format/peer-id.ts'
import { type Hlc, hlcAt } from '../../../src/format/stamp.ts'
import type { Statement } from '../../../src/format/statement.ts'
import type { AcceptedStatement } from '../../../src/log/projection.ts'
import { LocalMember } from '../../../src/members/local-member.ts'
import { Outs } from '../../../src/members/outs.ts'
import { Roster } from '../../../src/members/roster.ts'
import { Settings } from '../../../src/members/settings.ts'
import { Statuses } from '../../../src/members/statuses.ts'
import { toHex } from '../../../src/util/bytes.ts'
import { acceptedBy } from '../../fixtures/accepted.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { adminSecrets, grantedSecrets, type MemberOptions, TestMember } from '../../fixtures/member.ts'
import { MemoryNetwork } from '../../fixtures/memory-host.ts'
import { settle, timePassesUntil } from '../../fixtures/pass-time.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'

const MINUTE = 60_000
const OUT_AFTER = 10 * MINUTE
const KEY = Buffer.alloc(32, 7)
const SOON = { stepMs: 10, msMax: 4_000 }

/** The projections of one member, and the members of its network. The first one is an admin. */
class World {
  readonly clock = new ManualClock()
  readonly chance = seededChance(8)
  readonly secrets = adminSecrets(KEY, this.clock, this.chance)
  readonly members: LocalMember[]
  readonly roster = new Roster(this.secrets.network, this.clock)
  readonly outs = new Outs()
  readonly statuses: Statuses
  readonly now = this.clock.now()

  constructor(size: number) {
    const granted = Array.from({ length: size - 1 }, () => grantedSecrets(this.secrets, this.clock, this.chance))
    this.members = [this.secrets, ...granted].map(secrets => new LocalMember(secrets, this.clock, this.chance))
    for (const member of this.members) this.roster.load(member.statements)
    this.statuses = this.fold(this.outs)
  }

  fold(outs: Outs): Statuses {
    return new Statuses({
      roster: this.roster,
      clock: this.clock,
      logger: silentLogger,
      settings: new Settings(),
      outs
    })
  }

  /** A status of the member with this index. */
  status(i: number, hlc: Hlc): AcceptedStatement<'status'> {
    const self = this.members[i] as LocalMember
    const fields = { instance: self.instance, addresses: [], weight: 100, outAfter: OUT_AFTER, head: Buffer.alloc(8) }
    return acceptedBy(self.publicKey, self.sign('status', { ...fields, state: 'in' }, hlc), self.role)
  }

  /** The word of the admin about the member with this index. */
  out(i: number, hlc: Hlc): AcceptedStatement<'out'> {
    const [admin] = this.members as [LocalMember]
    const subject = (this.members[i] as LocalMember).publicKey
    return acceptedBy(admin.publicKey, admin.sign('out', { subject }, hlc), 'admin')
  }

  /** The indexes of the members that are out. */
  outIn(statuses: Statuses): number[] {
    const out = new Set(statuses.view.members.filter(({ isOut }) => isOut).map(({ peer }) => peer))
    return this.members.flatMap(({ peerId }, i) => (out.has(peerId) ? [i] : []))
  }
}

test('a member is out at once when an admin says so, and in again with its next status', () => {
  const world = new World(2)
  const { statuses, outs, now } = world
  statuses.load([world.status(0, hlcAt(now)), world.status(1, hlcAt(now))])
  outs.load([world.out(1, hlcAt(now, 1))])
  assert.deepEqual(world.outIn(statuses), [1])
  statuses.load([world.status(1, hlcAt(now, 2))])
  assert.deepEqual(world.outIn(statuses), [])
  outs.load([world.out(1, hlcAt(now, 1))])
  assert.deepEqual(world.outIn(statuses), [], 'the same word once more')
  outs.load([world.out(1, hlcAt(now, 2))])
  assert.deepEqual(world.outIn(statuses), [], 'a word under the very stamp of the status')
  outs.load([world.out(1, hlcAt(now, 3))])
  assert.deepEqual(world.outIn(statuses), [1])
})

test('members that an admin has declared out are not counted among those that decide who lags', () => {
  const world = new World(4)
  const { statuses, outs, clock, now } = world
  const lateMs = now - 20 * MINUTE
  statuses.load([0, 1, 2, 3].map(i => world.status(i, hlcAt(i < 2 ? now : lateMs))))
  clock.advance(OUT_AFTER)
  statuses.refresh()
  assert.deepEqual(world.outIn(statuses), [], 'two of four put nobody out')
  outs.load([world.out(3, hlcAt(now))])
  assert.deepEqual(world.outIn(statuses), [3])
  assert.equal(statuses.medianHlc, hlcAt(now))
  clock.advance(OUT_AFTER)
  statuses.refresh()
  assert.deepEqual(world.outIn(statuses), [2, 3], 'of the three that are left, one lags')
})

test('an admin’s word that is stamped too far ahead does not count before its time', () => {
  const world = new World(2)
  const { statuses, outs, clock, now } = world
  statuses.load([world.status(0, hlcAt(now)), world.status(1, hlcAt(now))])
  outs.load([world.out(1, hlcAt(now + 6 * MINUTE))])
  assert.deepEqual(
    [world.outIn(statuses), statuses.stampsAbout(world.members[1]?.peerId as PeerId)],
    [[], [hlcAt(now)]]
  )
  clock.advance(MINUTE)
  statuses.refresh()
  assert.deepEqual(world.outIn(statuses), [1])
})

test('a status that is stamped too far ahead does not end an admin’s word', () => {
  const world = new World(2)
  const { statuses, outs, now } = world
  const peer = world.members[1]?.peerId as PeerId
  statuses.load([world.status(0, hlcAt(now)), world.status(1, hlcAt(now + 60 * MINUTE))])
  assert.deepEqual(statuses.stampsAbout(peer), [])
  outs.load([world.out(1, hlcAt(now))])
  assert.deepEqual([world.outIn(statuses), statuses.stampsAbout(peer)], [[1], [hlcAt(now)]])
})

test('a member that stays away and that only an admin can declare out is undecided', () => {
  const world = new World(2)
  const { statuses, outs, clock, now } = world
  const peer = world.members[1]?.peerId as PeerId
  statuses.load([world.status(0, hlcAt(now + OUT_AFTER)), world.status(1, hlcAt(now))])
  clock.advance(OUT_AFTER - 1)
  assert.deepEqual(statuses.undecided, [])
  clock.advance(1)
  assert.deepEqual(statuses.undecided, [peer])
  outs.load([world.out(1, hlcAt(now, 1))])
  assert.deepEqual(statuses.undecided, [])
  // Of three members, the statuses put the one that lags out once the others have renewed theirs, so nobody need say it.
  const three = new World(3)
  three.statuses.load([0, 1, 2].map(i => three.status(i, hlcAt(now + (i < 2 ? OUT_AFTER - 1 : 0)))))
  three.clock.advance(OUT_AFTER)
  assert.deepEqual(three.statuses.undecided, [])
  three.statuses.load([0, 1].map(i => three.status(i, hlcAt(now + OUT_AFTER))))
  assert.deepEqual(three.statuses.undecided, [])
})

test('who is out does not depend on the order in which statuses and words arrive, or on how often', () => {
  const world = new World(4)
  const { now } = world
  const minute = fc.integer({ min: 0, max: 30 })
  const item = fc.record({ kind: fc.constantFrom('status', 'out'), member: fc.nat(3), minute })
  const all = fc.array(item, { minLength: 1, maxLength: 24 })
  fc.assert(
    fc.property(all, fc.array(fc.nat(1_000), { minLength: 48, maxLength: 48 }), (items, keys) => {
      const signed = items.map(({ kind, member, minute: at }) => {
        const hlc = hlcAt(now - (30 - at) * MINUTE)
        return kind === 'out' ? world.out(member, hlc) : world.status(member, hlc)
      })
      const shuffled = [...signed, ...signed.slice(0, 5)]
        .map((statement, i) => ({ statement, key: keys[i] as number }))
        .sort((a, b) => a.key - b.key)
        .map(({ statement }) => statement)
      const [view, other] = [signed, shuffled].map(order => {
        const outs = new Outs()
        const statuses = world.fold(outs)
        for (const item of order) {
          if (item.statement.kind === 'out') outs.load([item])
          else statuses.load([item])
        }
        return statuses.view
      })
      assert.equal(toHex(other?.id as Uint8Array), toHex(view?.id as Uint8Array))
    }),
    { numRuns: 100 }
  )
})

class Cluster {
  readonly clock = new ManualClock()
  readonly chance = seededChance(43)
  readonly network = new MemoryNetwork({ clock: this.clock })
  readonly admin = adminSecrets(KEY, this.clock, this.chance, 'attic')
  readonly t: TestContext

  constructor(t: TestContext) {
    this.t = t
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
}

function isOut(at: TestMember, peer: PeerId): boolean {
  return at.members.view.members.some(member => member.peer === peer && member.isOut)
}

test('a member that was declared out stays out over a restart of the others, and counts again when it starts', async t => {
  const cluster = new Cluster(t)
  const attic = await cluster.start('a', cluster.admin)
  const secrets = grantedSecrets(cluster.admin, cluster.clock, cluster.chance, { name: 'vm' })
  await attic.log.receive(secrets.grants, attic.peer)
  const vm = await cluster.start('v', secrets, { bootstrap: ['/memory/a'] })
  await timePassesUntil(cluster.clock, 'status is known', () => attic.statuses.of(vm.peer) !== undefined, SOON)
  await vm.stop()
  await timePassesUntil(cluster.clock, 'gone', () => attic.members.admitted.length === 0, SOON)
  const declared = { peerId: vm.peer, name: 'vm', role: 'writer', connected: false }
  assert.deepEqual(await attic.members.admitting.declareOut(vm.peer), declared)
  assert.ok(isOut(attic, vm.peer))
  assert.deepEqual(await attic.members.admitting.declareOut(vm.peer), { ...declared, already: true })
  await attic.stop()
  const again = await cluster.start('a', cluster.admin, { files: attic.files, database: attic.database })
  assert.ok(isOut(again, vm.peer))
  await cluster.start('v', secrets, { bootstrap: ['/memory/a'], files: vm.files, database: vm.database })
  await timePassesUntil(cluster.clock, 'counts again', () => !isOut(again, vm.peer), SOON)
})

test('a member that runs renews its status as soon as it learns that it was declared out', async t => {
  const cluster = new Cluster(t)
  const attic = await cluster.start('a', cluster.admin)
  const secrets = grantedSecrets(cluster.admin, cluster.clock, cluster.chance, { name: 'vm' })
  await attic.log.receive(secrets.grants, attic.peer)
  const vm = await cluster.start('v', secrets, { bootstrap: ['/memory/a'] })
  await timePassesUntil(cluster.clock, 'status is known', () => attic.statuses.of(vm.peer) !== undefined, SOON)
  const before = attic.statuses.of(vm.peer)?.hlc as Hlc
  let wasOut = false
  attic.statuses.onView(() => {
    wasOut ||= isOut(attic, vm.peer)
  })
  assert.equal((await attic.members.admitting.declareOut(vm.peer)).connected, true)
  await timePassesUntil(cluster.clock, 'is back', () => !isOut(attic, vm.peer), SOON)
  assert.ok(wasOut)
  assert.ok((attic.statuses.of(vm.peer)?.hlc as Hlc) > (attic.outs.hlcOf(vm.peer) as Hlc))
  assert.ok((attic.outs.hlcOf(vm.peer) as Hlc) > before)
})

test('only an admin declares members out, never itself, and only members', async t => {
  const cluster = new Cluster(t)
  const attic = await cluster.start('a', cluster.admin)
  const secrets = grantedSecrets(cluster.admin, cluster.clock, cluster.chance, { name: 'vm' })
  await attic.log.receive(secrets.grants, attic.peer)
  const vm = await cluster.start('v', secrets)
  const { admitting } = vm.members
  await assert.rejects(admitting.declareOut(attic.peer), {
    name: 'NotAllowedError',
    message: 'only an admin declares members out: this machine is a writer'
  })
  await assert.rejects(attic.members.admitting.declareOut(attic.peer), {
    name: 'InvalidInputError',
    message: /^this machine runs, so it is not out/
  })
  await assert.rejects(attic.members.admitting.declareOut('12D3KooWstranger'), { name: 'UnknownMemberError' })
  const receive = async (statement: Statement): Promise<string | undefined> =>
    (await attic.log.receive([statement.bytes], vm.peer))[0]
  const fields = { subject: attic.self.publicKey }
  assert.equal(await receive(vm.self.sign('out', fields, vm.self.nextHlc()) as Statement), 'forbidden')
  assert.ok(!isOut(attic, attic.peer))
})
