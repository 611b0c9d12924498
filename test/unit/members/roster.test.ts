import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Secrets } from '../../../src/disk/keystore.ts'
import { deriveNetwork } from '../../../src/format/network-key.ts'
import { peerIdOf } from '../../../src/format/peer-id.ts'
import { hlcAt } from '../../../src/format/stamp.ts'
import { type AnyStatement, idOf, type Statement, signStatement } from '../../../src/format/statement.ts'
import type { Authorized } from '../../../src/log/projection.ts'
import { assertOwnGrant } from '../../../src/members/founding.ts'
import { LocalMember } from '../../../src/members/local-member.ts'
import { Roster } from '../../../src/members/roster.ts'
import { acceptedBy } from '../../fixtures/accepted.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { adminSecrets, entryBy, grantedSecrets } from '../../fixtures/member.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'

const KEY = Buffer.alloc(32, 7)
const clock = new ManualClock()
const chance = seededChance(5)
const admin = adminSecrets(KEY, clock, chance)
const { root } = deriveNetwork(KEY)

function selfOf(secrets: Secrets): LocalMember {
  return new LocalMember(secrets, clock, chance)
}

test('a device key that does not match its grant is damage, not another device', () => {
  const device = Buffer.from(admin.device)
  device[0] = (device[0] as number) ^ 1
  assert.doesNotThrow(() => assertOwnGrant(admin))
  assert.throws(() => assertOwnGrant({ ...admin, device }), { name: 'GrantError' })
})

function rosterOf(...secrets: Secrets[]): Roster {
  const roster = new Roster(admin.network, clock)
  for (const one of secrets) roster.load(selfOf(one).statements)
  return roster
}

function verdict(roster: Roster, statement: Statement): string {
  const authorized = roster.authorize(statement as AnyStatement)
  return 'refused' in authorized ? authorized.refused : 'ok'
}

function statusOf(self: LocalMember) {
  const fields = {
    instance: self.instance,
    addresses: [],
    weight: 1,
    state: 'in' as const,
    outAfter: 600_000,
    head: Buffer.alloc(8)
  }
  return self.sign('status', fields, self.nextHlc())
}

const grantFields = {
  subject: Buffer.alloc(32, 1),
  x25519: Buffer.alloc(32, 2),
  role: 'reader' as const,
  epoch: admin.network,
  name: 'x'
}

test('each role may sign its own kinds of statement, and no others', () => {
  const allowed = {
    admin: { grant: 'ok', status: 'ok', entry: 'ok', out: 'ok' },
    writer: { grant: 'forbidden', status: 'ok', entry: 'ok', out: 'forbidden' },
    reader: { grant: 'forbidden', status: 'ok', entry: 'forbidden', out: 'forbidden' },
    storage: { grant: 'forbidden', status: 'ok', entry: 'forbidden', out: 'forbidden' }
  } as const
  for (const [role, expected] of Object.entries(allowed)) {
    const secrets = grantedSecrets(admin, clock, chance, { role: role as keyof typeof allowed })
    const self = selfOf(secrets)
    const roster = rosterOf(secrets)
    const statements = {
      grant: self.sign('grant', grantFields, self.nextHlc()),
      status: statusOf(self),
      entry: entryBy(self, chance),
      out: self.sign('out', { subject: Buffer.alloc(32) }, self.nextHlc())
    }
    for (const [kind, statement] of Object.entries(statements))
      assert.equal(verdict(roster, statement), expected[kind as keyof typeof expected], `${role} ${kind}`)
  }
})

test('the root key may sign few kinds of statement, and is the network’s id', () => {
  const roster = rosterOf()
  const options = { network: admin.network, key: root, hlc: hlcAt(0) }
  const grant = signStatement('grant', grantFields, options)
  const { signatures, ...signer } = roster.authorize(grant as AnyStatement) as Authorized
  assert.deepEqual(signer, { author: admin.network, role: 'root' })
  assert.equal(signatures.length, 1)
  assert.equal(verdict(roster, signStatement('out', { subject: Buffer.alloc(32) }, options)), 'forbidden')
  roster.check(signStatement('root', { recovery: Buffer.alloc(32) }, options))
  assert.throws(() => roster.check(signStatement('root', { recovery: Buffer.alloc(32) }, { ...options, hlc: 1n })), {
    name: 'FormatError'
  })
})

test('a statement under an unknown grant gets the verdict unknown-grant', () => {
  const secrets = grantedSecrets(admin, clock, chance)
  assert.equal(verdict(rosterOf(admin), statusOf(selfOf(secrets))), 'unknown-grant')
})

test('a statement that is stamped before its grant or after the grant’s end is refused', () => {
  const now = clock.now()
  const middle = grantedSecrets(admin, clock, chance, { role: 'admin', notAfter: hlcAt(now + 1_000) })
  const secrets = grantedSecrets(middle, clock, chance, { notAfter: hlcAt(now + 5_000) })
  const self = selfOf(secrets)
  const roster = rosterOf(secrets)
  assert.equal(verdict(roster, entryBy(self, chance, self.grant.hlc - 1n)), 'forbidden')
  assert.equal(verdict(roster, entryBy(self, chance, self.grant.hlc)), 'ok')
  assert.equal(verdict(roster, entryBy(self, chance, hlcAt(now + 1_000))), 'ok')
  assert.equal(verdict(roster, entryBy(self, chance, hlcAt(now + 1_001))), 'forbidden', 'the earliest end of its chain')
})

test('a chain of grants has a greatest length', () => {
  const chain = [admin]
  for (let depth = 0; depth < 4; depth++)
    chain.push(grantedSecrets(chain[depth] as Secrets, clock, chance, { role: 'admin' }))
  const roster = rosterOf(chain[3] as Secrets)
  assert.equal(verdict(roster, entryBy(selfOf(chain[3] as Secrets), chance)), 'ok')
  assert.equal(verdict(roster, selfOf(chain[4] as Secrets).grant), 'forbidden')
})

test('if a device has several grants, the highest role counts, then the shortest chain, the earliest, the smaller id', () => {
  const second = grantedSecrets(admin, clock, chance, { role: 'admin' })
  const target = grantedSecrets(second, clock, chance, { role: 'writer', name: 'far' })
  const subject = selfOf(target).publicKey
  const peer = peerIdOf(subject)
  const roster = rosterOf(second, target)
  const by = selfOf(admin)
  const fields = { ...grantFields, subject, role: 'writer' as const }
  const sign = (name: string, hlc: bigint) => by.sign('grant', { ...fields, name }, hlc)
  const now = (): [string, string] => [roster.member(peer)?.name ?? '', roster.member(peer)?.role ?? '']
  roster.load([by.sign('grant', { ...fields, name: 'reads', role: 'reader' }, by.nextHlc())])
  assert.deepEqual(now(), ['far', 'writer'], 'a lower role does not take effect, however short its chain is')
  const near = sign('near', by.nextHlc())
  roster.load([near])
  assert.deepEqual(now(), ['near', 'writer'])
  const earlier = sign('earlier', near.hlc - 1n)
  roster.load([earlier])
  assert.deepEqual(now(), ['earlier', 'writer'])
  const twins = [sign('one', earlier.hlc - 1n), sign('two', earlier.hlc - 1n)].sort((a, b) =>
    idOf(a) < idOf(b) ? -1 : 1
  )
  roster.load(twins.toReversed())
  assert.deepEqual(now(), [twins[0]?.fields.name, 'writer'])
  roster.load([selfOf(second).sign('grant', { ...fields, name: 'raised', role: 'admin' }, near.hlc + 1n)])
  assert.deepEqual(now(), ['raised', 'admin'], 'a later grant with a longer chain raises the role')
})

test('a grant waits until its issuer’s grant is loaded', () => {
  const middle = grantedSecrets(admin, clock, chance, { role: 'admin' })
  const last = grantedSecrets(middle, clock, chance)
  const roster = new Roster(admin.network, clock)
  for (const statement of selfOf(last).statements.toReversed()) roster.load([statement])
  assert.equal(roster.members.length, 3)
})

test('listeners are called at a change', () => {
  const roster = new Roster(admin.network, clock)
  let changes = 0
  roster.onChange(() => changes++)
  const added = selfOf(admin).statements.map(statement => acceptedBy(admin.network, statement, 'root'))
  roster.applied({ added, removed: [] })
  assert.equal(changes, 1)
  assert.deepEqual(
    roster.members.map(({ name, role }) => [name, role]),
    [['admin', 'admin']]
  )
})

test('loading a grant costs as much after hundreds of others as after a few', () => {
  const roster = rosterOf(admin)
  const by = selfOf(admin)
  const count = 300
  let looks = 0
  for (let i = 0; i < count; i++) {
    const subject = chance.bytes(32)
    const grant = by.sign('grant', { ...grantFields, subject }, by.nextHlc())
    Object.defineProperty(grant.fields, 'subject', { get: () => [subject, looks++][0] })
    roster.load([grant])
  }
  assert.equal(roster.members.length, count + 1)
  assert.ok(looks < 5 * count, `${looks} looks at whom a grant is for`)
})

test('a waiting grant counts once, however often it is loaded meanwhile', () => {
  const middle = grantedSecrets(admin, clock, chance, { role: 'admin' })
  const roster = rosterOf(admin)
  const grants = Array.from({ length: 5 }, () => selfOf(grantedSecrets(middle, clock, chance)).grant)
  roster.load([...grants, ...grants])
  assert.equal(roster.members.length, 1)
  roster.load([selfOf(middle).grant])
  assert.equal(roster.members.length, 7)
})
