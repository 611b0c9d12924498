import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Secrets } from '../../../src/disk/keystore.ts'
import { type Hlc, hlcAt } from '../../../src/format/stamp.ts'
import { idOf, type SomeStatement, type Statement } from '../../../src/format/statement.ts'
import { LocalMember } from '../../../src/members/local-member.ts'
import { Roster } from '../../../src/members/roster.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import {
  type AdmitOptions,
  adminSecrets,
  admittedSecrets,
  entryBy,
  grantedSecrets,
  inviteOf,
  newDevice,
  type TestInvite
} from '../../fixtures/member.ts'
import { seededChance, shuffled } from '../../fixtures/seeded-chance.ts'

const KEY = Buffer.alloc(32, 7)
const DAY = 24 * 60 * 60_000

/** Statements of a network, and the standings that they must have, however they arrive. */
class Setup {
  readonly clock = new ManualClock()
  readonly chance = seededChance(21)
  readonly admin = adminSecrets(KEY, this.clock, this.chance)
  readonly statements: SomeStatement[] = [...this.selfOf(this.admin).statements]

  selfOf(secrets: Secrets): LocalMember {
    return new LocalMember(secrets, this.clock, this.chance)
  }

  grant(role: 'admin' | 'writer'): Secrets {
    this.clock.advance(1)
    return this.#kept(grantedSecrets(this.admin, this.clock, this.chance, { role }))
  }

  invite(issuer: Secrets, uses: number | null, role: 'admin' | 'writer' = 'writer'): TestInvite {
    this.clock.advance(1)
    const invite = inviteOf(issuer, this.clock, this.chance, { uses, role })
    this.statements.push(invite.statement)
    return invite
  }

  admit(by: Secrets, invite: TestInvite, options: AdmitOptions = {}): Secrets {
    this.clock.advance(1)
    return this.#kept(admittedSecrets(by, invite, this, options))
  }

  /** A stamp that is so many milliseconds before that of the next statement. */
  before(ms: number): Hlc {
    return hlcAt(this.clock.now() + 1 - ms)
  }

  revoke(by: Secrets, target: Statement, hlc?: Hlc): void {
    this.clock.advance(1)
    const self = this.selfOf(by)
    this.statements.push(self.sign('revocation', { target: target.id, list: null }, hlc ?? self.nextHlc()))
  }

  /** Checks the standings of these devices after the statements came in many orders, at once and one by one. */
  assertStandings(expected: Array<[Secrets, string]>): Roster {
    let last: Roster | undefined
    for (let order = 0; order < 30; order++) {
      const roster = new Roster(this.admin.network, this.clock)
      const statements = order === 0 ? this.statements : shuffled(this.statements, this.chance)
      if (order % 2 === 0) roster.load(statements)
      else for (const statement of statements) roster.load([statement])
      for (const [i, [secrets, standing]] of expected.entries()) {
        const { grant, peerId } = this.selfOf(secrets)
        assert.equal(roster.standingOf(grant.id), standing, `device ${i}, order ${order}`)
        assert.equal(roster.member(peerId) !== undefined, standing === 'effective', `device ${i}, order ${order}`)
        assert.equal(
          roster.removed.some(({ peer }) => peer === peerId),
          standing !== 'effective',
          `device ${i}`
        )
        assert.equal(roster.chainOf(peerId) !== undefined, standing === 'effective')
      }
      last = roster
    }
    return last as Roster
  }

  #kept(secrets: Secrets): Secrets {
    this.statements.push(this.selfOf(secrets).grant)
    return secrets
  }
}

test('an invite lets in the earliest devices, however the grants arrive', () => {
  const setup = new Setup()
  const [a, b] = [setup.grant('writer'), setup.grant('writer')]
  const invite = setup.invite(setup.admin, 2)
  const one = setup.admit(a, invite)
  const late = setup.admit(b, invite, { hlc: setup.before(-100) })
  const two = setup.admit(b, invite)
  const roster = setup.assertStandings([
    [one, 'effective'],
    [two, 'effective'],
    [late, 'used-up']
  ])
  assert.equal(roster.invite(invite.statement.id)?.used, 2)
})

test('of two devices let in at the same moment the one with the shorter chain stays, then the one with the smaller id', () => {
  const setup = new Setup()
  const [a, b] = [setup.grant('writer'), setup.grant('writer')]
  const invite = setup.invite(setup.admin, 1)
  const hlc = setup.before(-5)
  const far = setup.admit(a, invite, { hlc })
  const near = setup.admit(setup.admin, invite, { hlc })
  const other = setup.invite(setup.admin, 1)
  const twins = [setup.admit(a, other, { hlc: hlc + 9n }), setup.admit(b, other, { hlc: hlc + 9n })]
  const id = (secrets: Secrets): string => idOf(setup.selfOf(secrets).grant)
  const [first, second] = twins.sort((x, y) => (id(x) < id(y) ? -1 : 1)) as [Secrets, Secrets]
  setup.assertStandings([
    [near, 'effective'],
    [far, 'used-up'],
    [first, 'effective'],
    [second, 'used-up']
  ])
})

test('of grants that are stamped alike the issuer is judged first, whatever their ids', () => {
  const setup = new Setup()
  const invite = setup.invite(setup.admin, 1, 'admin')
  const open = setup.invite(setup.admin, null)
  const [first, second] = [setup.admit(setup.admin, invite), setup.admit(setup.admin, invite)]
  const below = (by: Secrets): Secrets[] => {
    const { hlc } = setup.selfOf(by).grant
    return Array.from({ length: 6 }, () => setup.admit(by, open, { hlc }))
  }
  const [ofFirst, ofSecond] = [below(first), below(second)]
  const id = (secrets: Secrets): string => idOf(setup.selfOf(secrets).grant)
  assert.ok(ofFirst.some(one => id(one) < id(first)) && ofSecond.some(one => id(one) < id(second)))
  setup.assertStandings([
    [first, 'effective'],
    [second, 'used-up'],
    ...ofFirst.map((one): [Secrets, string] => [one, 'effective']),
    ...ofSecond.map((one): [Secrets, string] => [one, 'issuer-void'])
  ])
})

test('a device that uses the same invite again counts once', () => {
  const setup = new Setup()
  const invite = setup.invite(setup.admin, 2)
  const device = newDevice(setup.chance)
  const first = setup.admit(setup.admin, invite, { device })
  const again = setup.admit(setup.admin, invite, { device })
  const other = setup.admit(setup.admin, invite)
  const third = setup.admit(setup.admin, invite)
  setup.assertStandings([
    [first, 'effective'],
    [again, 'effective'],
    [other, 'effective'],
    [third, 'used-up']
  ])
})

test('a device that a void device let in is void too, and uses up no use of an invite', () => {
  const setup = new Setup()
  const invite = setup.invite(setup.admin, 1)
  const first = setup.admit(setup.admin, invite)
  const second = setup.admit(setup.admin, invite)
  const other = setup.invite(setup.admin, 1)
  const ofVoid = setup.admit(second, other)
  const ofValid = setup.admit(first, other)
  setup.assertStandings([
    [first, 'effective'],
    [second, 'used-up'],
    [ofVoid, 'issuer-void'],
    [ofValid, 'effective']
  ])
})

test('an invite and a revocation of a void admin count for nothing', () => {
  const setup = new Setup()
  const invite = setup.invite(setup.admin, 1, 'admin')
  setup.admit(setup.admin, invite)
  const noAdmin = setup.admit(setup.admin, invite)
  const theirs = setup.invite(noAdmin, null)
  const let1 = setup.admit(setup.admin, theirs)
  const ours = setup.invite(setup.admin, null)
  setup.revoke(noAdmin, ours.statement)
  const let2 = setup.admit(setup.admin, ours)
  const roster = setup.assertStandings([
    [noAdmin, 'used-up'],
    [let1, 'invite-void'],
    [let2, 'effective']
  ])
  assert.deepEqual(
    [theirs, ours].map(({ statement }) => {
      const { used, isEffective, isRevoked } = roster.invite(statement.id) ?? assert.fail()
      return [used, isEffective, isRevoked]
    }),
    [
      [0, false, false],
      [1, true, false]
    ]
  )
})

test('a revoked invite lets nobody in from then on, and devices that it let in before stay', () => {
  const setup = new Setup()
  const other = setup.grant('admin')
  const invite = setup.invite(setup.admin, null)
  const before = setup.admit(setup.admin, invite)
  setup.revoke(other, invite.statement)
  const after = setup.admit(setup.admin, invite)
  const roster = setup.assertStandings([
    [before, 'effective'],
    [after, 'invite-void']
  ])
  assert.equal(roster.invite(invite.statement.id)?.isRevoked, true)
})

test('nobody can use what is left of an invite that was revoked', () => {
  const setup = new Setup()
  const invite = setup.invite(setup.admin, 2)
  const first = setup.admit(setup.admin, invite)
  setup.revoke(setup.admin, invite.statement)
  const second = setup.admit(setup.admin, invite)
  setup.assertStandings([
    [first, 'effective'],
    [second, 'invite-void']
  ])
})

test('a grant that became void still shows who signed what, so that all logs hold the same statements', () => {
  const setup = new Setup()
  const invite = setup.invite(setup.admin, 1)
  setup.admit(setup.admin, invite)
  const second = setup.admit(setup.admin, invite)
  const roster = setup.assertStandings([[second, 'used-up']])
  assert.ok('author' in roster.authorize(entryBy(setup.selfOf(second), setup.chance)))
})

test('a device whose grant became void signs nothing more, and says why', () => {
  const setup = new Setup()
  const invite = setup.invite(setup.admin, 1)
  const second = setup.admit(setup.admin, invite)
  const first = setup.admit(setup.admin, invite, { hlc: setup.before(2) })
  const self = setup.selfOf(second)
  const roster = new Roster(setup.admin.network, setup.clock)
  roster.onChange(() => self.follow(roster))
  const { grant } = setup.selfOf(first)
  roster.load(setup.statements.filter(({ id }) => idOf({ id }) !== idOf(grant)))
  const reason = (): string | undefined => self.stampError?.message
  assert.equal(reason(), undefined)
  roster.load([grant])
  assert.match(reason() ?? '', /another machine used the invite before it/)
  assert.throws(() => self.nextHlc(), { name: 'NotAllowedError' })
  roster.load([grantedGrant(setup, self)])
  assert.equal(reason(), undefined, 'an admin let it in again')
})

function grantedGrant(setup: Setup, self: LocalMember): Statement<'grant'> {
  const { admit: _admit, ...fields } = self.grant.fields
  const by = setup.selfOf(setup.admin)
  return by.sign('grant', fields, by.nextHlc())
}

test('thousands of grants are judged in one pass', () => {
  const setup = new Setup()
  const invite = setup.invite(setup.admin, 2_000)
  const { grant } = setup.selfOf(setup.admit(setup.admin, invite))
  let now = 0
  const counted = (i: number): Statement<'grant'> => {
    const id = Buffer.alloc(32)
    id.writeUInt32BE(i)
    const fields = { ...grant.fields, subject: id }
    return Object.defineProperty({ ...grant, id, fields }, 'hlc', {
      get: () => [grant.hlc + BigInt(i), now++][0] as Hlc
    })
  }
  const grants = Array.from({ length: 5_000 }, (_, i) => counted(i + 1))
  const roster = new Roster(setup.admin.network, { now: () => setup.clock.now() + DAY })
  roster.load(setup.statements)
  now = 0
  roster.load(shuffled(grants, setup.chance))
  assert.equal(roster.members.length, 2_001)
  assert.ok(now < 500_000, `${now} looks at stamps`)
})
