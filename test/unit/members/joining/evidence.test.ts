import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Secrets } from '../../../../src/disk/keystore.ts'
import { SUPPORT_STATEMENTS_MAX } from '../../../../src/format/constants.ts'
import { decodeStatement } from '../../../../src/format/statement.ts'
import { evidenceAgainst } from '../../../../src/members/joining/evidence.ts'
import { LocalMember } from '../../../../src/members/local-member.ts'
import { Roster } from '../../../../src/members/roster.ts'
import { ManualClock } from '../../../fixtures/clock.ts'
import { adminSecrets, admittedSecrets, grantedSecrets, inviteOf, type TestInvite } from '../../../fixtures/member.ts'
import { seededChance } from '../../../fixtures/seeded-chance.ts'
import { KEY } from './setup.ts'

/** A network with many members. All of its statements are here. */
class World {
  readonly clock = new ManualClock()
  readonly chance = seededChance(11)
  readonly admin = adminSecrets(KEY, this.clock, this.chance, 'attic')
  readonly roster = new Roster(this.admin.network, this.clock)

  /** Adds what a member holds, and lets a little time pass. */
  add(secrets: Secrets): Secrets {
    load(this.roster, secrets.grants)
    this.clock.advance(5)
    return secrets
  }

  let(invite: TestInvite): Secrets {
    const { clock, chance } = this
    return this.add(admittedSecrets(this.admin, invite, { clock, chance }))
  }

  selfOf(secrets: Secrets): LocalMember {
    return new LocalMember(secrets, this.clock, this.chance)
  }

  /** What the roster here tells a device of its grant, and what the device makes of that. */
  told(secrets: Secrets): { count: number; standing: string | undefined } {
    const { peerId, grant } = this.selfOf(secrets)
    const evidence = evidenceAgainst(peerId, this.roster)
    const own = new Roster(secrets.network, this.clock)
    load(own, secrets.grants)
    assert.equal(own.standingOf(grant.id), 'effective')
    load(own, evidence)
    return { count: evidence.length, standing: own.standingOf(grant.id) }
  }
}

function load(roster: Roster, statements: readonly Uint8Array[]): void {
  roster.load(statements.map(bytes => decodeStatement(bytes)))
}

test('a device is told of the revocation of its invite, however many others the invite let in', () => {
  const world = new World()
  const { admin, clock, chance } = world
  world.add(admin)
  const invite = inviteOf(admin, clock, chance, { uses: null })
  clock.advance(5)
  for (let i = 0; i < 2 * SUPPORT_STATEMENTS_MAX; i++) world.let(invite)
  const self = world.selfOf(admin)
  const fields = { target: invite.statement.id, list: null }
  world.roster.load([self.sign('revocation', fields, self.nextHlc())])
  clock.advance(5)
  assert.deepEqual(world.told(world.let(invite)), { count: 2, standing: 'invite-void' })
})

test('a device is told who used its invite before, also if that one has another grant by now', () => {
  const world = new World()
  const { admin, clock, chance } = world
  world.add(admin)
  const invite = inviteOf(admin, clock, chance, { uses: 2, role: 'reader' })
  clock.advance(5)
  const [first] = [world.let(invite), world.let(invite)]
  const { publicKey: subject } = world.selfOf(first as Secrets)
  world.add(grantedSecrets(admin, clock, chance, { role: 'writer', subject }))
  assert.deepEqual(world.told(world.let(invite)), { count: 4, standing: 'used-up' })
})

test('a device that was let in by a void device is told why that one is void', () => {
  const world = new World()
  const { admin, clock, chance } = world
  world.add(admin)
  const invite = inviteOf(admin, clock, chance, { uses: 1, role: 'admin' })
  clock.advance(5)
  world.let(invite)
  const second = world.let(invite)
  const below = world.add(grantedSecrets(second, clock, chance, { role: 'reader' }))
  assert.deepEqual(world.told(below), { count: 3, standing: 'issuer-void' })
})

test('a device is told nothing if its grant counts, or if the evidence does not fit into a message', () => {
  const world = new World()
  const { admin, clock, chance } = world
  world.add(admin)
  const invite = inviteOf(admin, clock, chance, { uses: SUPPORT_STATEMENTS_MAX })
  clock.advance(5)
  const all = Array.from({ length: SUPPORT_STATEMENTS_MAX }, () => world.let(invite))
  assert.deepEqual(world.told(all[0] as Secrets), { count: 0, standing: 'effective' })
  assert.deepEqual(world.told(world.let(invite)), { count: 0, standing: 'effective' })
})
