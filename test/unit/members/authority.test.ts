import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Secrets } from '../../../src/disk/keystore.ts'
import type { Fields, Role } from '../../../src/format/kinds.ts'
import { deriveNetwork } from '../../../src/format/network-key.ts'
import { peerIdOf } from '../../../src/format/peer-id.ts'
import { hlcAt } from '../../../src/format/stamp.ts'
import { type AnyStatement, type Statement, signStatement, verifySignature } from '../../../src/format/statement.ts'
import { LocalMember } from '../../../src/members/local-member.ts'
import { checkSupport } from '../../../src/members/proof.ts'
import { Roster } from '../../../src/members/roster.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { type AdmitOptions, adminSecrets, admittedSecrets, grantedSecrets, inviteOf } from '../../fixtures/member.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'

const KEY = Buffer.alloc(32, 7)
const MINUTE = 60_000
const clock = new ManualClock()
const chance = seededChance(20)
const parts = { clock, chance }
const admin = adminSecrets(KEY, clock, chance)
const ROLES: Role[] = ['admin', 'writer', 'reader', 'storage']

function selfOf(secrets: Secrets): LocalMember {
  return new LocalMember(secrets, clock, chance)
}

/** A roster that has accepted everything that the grants of these devices rest on, but not the grants themselves. */
function rosterFor(...admitted: Secrets[]): Roster {
  const roster = new Roster(admin.network, clock)
  for (const secrets of admitted) roster.load(selfOf(secrets).statements.slice(0, -1))
  return roster
}

function verdict(roster: Roster, statement: Statement): string {
  const authorized = roster.authorize(statement as AnyStatement)
  return 'refused' in authorized ? authorized.refused : 'ok'
}

function verdictOnGrant(secrets: Secrets): string {
  return verdict(rosterFor(secrets), selfOf(secrets).grant)
}

test('an admin lets devices in by any invite, a writer by any but one for an admin, and nobody else does', () => {
  for (const by of ROLES) {
    const admitter = grantedSecrets(admin, clock, chance, { role: by })
    for (const role of ROLES) {
      const grant = verdictOnGrant(admittedSecrets(admitter, inviteOf(admin, clock, chance, { role }), parts))
      const isAllowed = by === 'admin' || (by === 'writer' && role !== 'admin')
      assert.equal(grant, isAllowed ? 'ok' : 'forbidden', `${by} lets in ${role}`)
    }
  }
})

test('a grant by an invite has the role of the invite, and a stamp after the invite and not after its end', () => {
  const admitter = grantedSecrets(admin, clock, chance)
  const notAfter = hlcAt(clock.now() + MINUTE)
  const invite = inviteOf(admin, clock, chance, { role: 'reader', notAfter })
  const { hlc } = invite.statement
  const cases: Array<[AdmitOptions, string]> = [
    [{}, 'ok'],
    [{ role: 'writer' }, 'forbidden'],
    [{ role: 'storage' }, 'forbidden'],
    [{ hlc }, 'forbidden'],
    [{ hlc: hlc + 1n }, 'ok'],
    [{ hlc: notAfter }, 'ok'],
    [{ hlc: notAfter + 1n }, 'forbidden'],
    [{ notAfter: hlcAt(clock.now() + 2 * MINUTE) }, 'ok'],
    [{ zone: 'cellar' }, 'forbidden'],
    [{ capacityMax: 1 }, 'forbidden']
  ]
  for (const [i, [options, expected]] of cases.entries()) {
    assert.equal(verdictOnGrant(admittedSecrets(admitter, invite, parts, options)), expected, `case ${i}`)
  }
  for (const options of [{ zone: 'cellar' }, { capacityMax: 1 }])
    assert.equal(verdictOnGrant(admittedSecrets(admin, invite, parts, options)), 'ok', 'an admin grants those')
})

test('a writer signs no grant without an invite, and the root key none by an invite', () => {
  const writer = grantedSecrets(admin, clock, chance)
  assert.equal(verdictOnGrant(grantedSecrets(writer, clock, chance)), 'forbidden')
  const admitted = admittedSecrets(admin, inviteOf(admin, clock, chance), parts)
  const { fields, hlc } = selfOf(admitted).grant
  const { root } = deriveNetwork(KEY)
  const byRoot = (grant: Fields<'grant'>): Statement<'grant'> =>
    signStatement('grant', grant, { network: admin.network, key: root, hlc })
  const roster = rosterFor(admitted)
  const { admit: _admit, ...plain } = fields
  assert.equal(verdict(roster, byRoot(plain)), 'ok')
  assert.equal(verdict(roster, byRoot(fields)), 'forbidden')
})

test('only an admin signs an invite', () => {
  for (const role of ROLES) {
    const issuer = grantedSecrets(admin, clock, chance, { role })
    const { statement } = inviteOf(issuer, clock, chance)
    const roster = new Roster(admin.network, clock)
    roster.load(selfOf(issuer).statements)
    assert.equal(verdict(roster, statement), role === 'admin' ? 'ok' : 'forbidden', role)
  }
})

test('a grant whose invite is not here may be accepted later', () => {
  const invite = inviteOf(admin, clock, chance)
  const secrets = admittedSecrets(admin, invite, parts)
  const roster = new Roster(admin.network, clock)
  roster.load(selfOf(admin).statements)
  assert.equal(verdict(roster, selfOf(secrets).grant), 'unknown-grant')
  roster.load([invite.statement])
  assert.equal(verdict(roster, selfOf(secrets).grant), 'ok')
})

test('the signatures to check are those of the signer, of the invite’s key and of the device', async () => {
  const admitter = grantedSecrets(admin, clock, chance)
  const invite = inviteOf(admin, clock, chance)
  const secrets = admittedSecrets(admitter, invite, parts)
  const { grant, publicKey } = selfOf(secrets)
  const authorized = rosterFor(secrets).authorize(grant as AnyStatement)
  assert.ok('signatures' in authorized)
  assert.deepEqual(
    authorized.signatures.map(({ key }) => Buffer.from(key).toString('hex')),
    [selfOf(admitter).publicKey, invite.statement.fields.key, publicKey].map(key => Buffer.from(key).toString('hex'))
  )
  assert.deepEqual(await Promise.all(authorized.signatures.map(verifySignature)), [true, true, true])
})

test('a proof with invites can be checked with the network id alone, and is not valid with a bit changed', async () => {
  const helper = grantedSecrets(admin, clock, chance, { role: 'admin' })
  const first = admittedSecrets(helper, inviteOf(admin, clock, chance, { uses: 2 }), parts)
  const second = admittedSecrets(first, inviteOf(helper, clock, chance, { role: 'reader' }), parts)
  const self = selfOf(second)
  const roster = new Roster(admin.network, clock)
  roster.load(self.statements)
  const support = roster.supportOf(self.grant.id)
  assert.deepEqual(
    support.map(({ kind }) => kind),
    ['grant', 'grant', 'invite', 'grant', 'invite', 'grant']
  )
  const proof = support.map(({ bytes }) => bytes)
  const proven = await checkSupport(proof, admin.network, self.publicKey)
  assert.deepEqual(
    proven.map(({ id }) => id),
    support.map(({ id }) => id)
  )
  await assert.rejects(checkSupport(proof, admin.network, selfOf(first).publicKey), { name: 'GrantError' })
  await assert.rejects(checkSupport(proof.toReversed(), admin.network, self.publicKey), { name: 'GrantError' })
  for (let i = 0; i < proof.length; i++) {
    await assert.rejects(checkSupport(proof.toSpliced(i, 1), admin.network, self.publicKey), { name: 'GrantError' })
    for (let bit = 0; bit < 8 * (proof[i] as Uint8Array).byteLength; bit += 7) {
      const altered = Buffer.from(proof[i] as Uint8Array)
      altered[bit >> 3]! ^= 1 << (bit & 7)
      await assert.rejects(checkSupport(proof.with(i, altered), admin.network, self.publicKey), `${i}, bit ${bit}`)
    }
  }
})

test('a member proves itself with all that its grant rests on, and follows a better grant', () => {
  const writer = grantedSecrets(admin, clock, chance)
  const secrets = admittedSecrets(writer, inviteOf(admin, clock, chance, { role: 'reader' }), parts)
  const self = selfOf(secrets)
  assert.deepEqual([self.role, self.chain.length, self.support.length], ['reader', 3, 4])
  const roster = new Roster(admin.network, clock)
  roster.onChange(() => self.follow(roster))
  roster.load(self.statements)
  assert.deepEqual([self.role, self.chain.length, self.support.length], ['reader', 3, 4])
  const by = selfOf(admin)
  const { admit: _admit, ...fields } = self.grant.fields
  roster.load([by.sign('grant', { ...fields, role: 'writer' }, by.nextHlc())])
  assert.deepEqual([self.role, self.chain.length, self.support.length], ['writer', 2, 2])
})

test('a grant rests on a bounded number of statements', () => {
  let issuer = admin
  const roster = new Roster(admin.network, clock)
  roster.load(selfOf(admin).statements)
  const verdicts: string[] = []
  // Each of these admins invites the next one, and the founder lets it in. So all chains are short, although each grant
  // rests on more statements than the last.
  for (let i = 0; i < 10; i++) {
    const invite = inviteOf(issuer, clock, chance, { role: 'admin' })
    const next = admittedSecrets(admin, invite, parts)
    const { grant } = selfOf(next)
    roster.load([invite.statement])
    verdicts.push(verdict(roster, grant))
    if (verdicts.at(-1) === 'ok') {
      roster.load([grant])
      assert.ok(roster.supportOf(grant.id).length <= 20)
    }
    issuer = next
  }
  assert.deepEqual(verdicts, [...Array(9).fill('ok'), 'forbidden'])
})

test('a device that was let in by an invite is a member once the invite is here, in any order of loading', () => {
  const writer = grantedSecrets(admin, clock, chance)
  const secrets = admittedSecrets(writer, inviteOf(admin, clock, chance), parts)
  const self = selfOf(secrets)
  for (let turn = 0; turn < self.statements.length; turn++) {
    const roster = new Roster(admin.network, clock)
    for (const statement of [...self.statements.slice(turn), ...self.statements.slice(0, turn)])
      roster.load([statement])
    assert.equal(roster.member(peerIdOf(self.publicKey))?.role, 'writer')
    assert.deepEqual(
      roster.invites.map(({ used, isRevoked, isEffective }) => [used, isRevoked, isEffective]),
      [[1, false, true]]
    )
  }
})
