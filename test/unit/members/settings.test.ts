import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Secrets } from '../../../src/disk/keystore.ts'
import { OUT_AFTER_MS_MAX } from '../../../src/format/constants.ts'
import type { Fields } from '../../../src/format/kinds.ts'
import { type Hlc, hlcAt } from '../../../src/format/stamp.ts'
import type { Statement } from '../../../src/format/statement.ts'
import { OUT_AFTER_MS } from '../../../src/members/constants.ts'
import { assertOwnGrant, becomeAdmin } from '../../../src/members/founding.ts'
import { LocalMember } from '../../../src/members/local-member.ts'
import { Settings } from '../../../src/members/settings.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { adminSecrets, grantedSecrets, type MemberOptions, TestMember } from '../../fixtures/member.ts'
import { MemoryNetwork } from '../../fixtures/memory-host.ts'
import { settle, timePassesUntil } from '../../fixtures/pass-time.ts'
import { permutations } from '../../fixtures/permutations.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'

const MINUTE = 60_000
const KEY = Buffer.alloc(32, 7)
const SOON = { stepMs: 10, msMax: 4_000 }
const clock = new ManualClock()
const chance = seededChance(41)
const [a, b] = ['a', 'b'].map(name => new LocalMember(adminSecrets(KEY, clock, chance, name), clock, chance)) as [
  LocalMember,
  LocalMember
]

function set(by: LocalMember, fields: Fields<'settings'>, hlc: Hlc) {
  return { statement: by.sign('settings', fields, hlc), author: by.publicKey }
}

test('each setting has the value that the last stamp gave it, in any order', () => {
  const now = clock.now()
  const statements = [
    set(a, { outAfter: 20 * MINUTE, replicas: 2 }, hlcAt(now)),
    set(a, { outAfter: 30 * MINUTE }, hlcAt(now + 1)),
    set(b, { replicas: 4, dedupe: false }, hlcAt(now - 1)),
    set(b, { outAfter: 40 * MINUTE }, hlcAt(now + 1))
  ]
  const expected = Buffer.compare(a.publicKey, b.publicKey) > 0 ? 30 : 40
  for (const order of [statements, statements.toReversed(), [...statements.slice(2), ...statements.slice(0, 2)]]) {
    const settings = new Settings()
    for (const statement of order) settings.load([statement])
    assert.deepEqual(
      [settings.outAfterMs, settings.get('replicas'), settings.get('dedupe'), settings.get('ack')],
      [expected * MINUTE, 2, false, undefined]
    )
  }
})

test('a setting that the last stamp takes back has its default, in any order', () => {
  const statements = [
    set(a, { ack: 2, replicas: 2, outAfter: 20 * MINUTE, versionDays: 7 }, hlcAt(1)),
    set(b, { ack: null, replicas: null, outAfter: null, versionDays: null }, hlcAt(2)),
    set(a, { versionDays: 9 }, hlcAt(3))
  ]
  for (const order of permutations(statements)) {
    const settings = new Settings()
    for (const statement of order) {
      settings.check(statement.statement as Statement)
      settings.load([statement])
    }
    const { ack, replicas, outAfterMs } = settings
    assert.deepEqual([ack, replicas, outAfterMs, settings.get('versionDays')], [undefined, 3, OUT_AFTER_MS, 9])
  }
})

test('of two settings under one stamp the one with the smaller id counts', () => {
  const twins = [1, 2].map(minutes => set(a, { outAfter: minutes * MINUTE }, hlcAt(5)))
  const smaller = twins.toSorted((x, y) => Buffer.compare(x.statement.id, y.statement.id))[0]
  for (const order of [twins, twins.toReversed()]) {
    const settings = new Settings()
    settings.load(order)
    assert.equal(settings.outAfterMs, smaller?.statement.fields.outAfter)
  }
})

test('an outAfter out of bounds is refused, and without any the default counts', () => {
  const settings = new Settings()
  assert.equal(settings.outAfterMs, OUT_AFTER_MS)
  for (const outAfter of [1, 999])
    assert.throws(() => settings.check(set(a, { outAfter }, 1n).statement as Statement), { name: 'FormatError' })
  for (const fields of [{ outAfter: 1_000 }, { outAfter: OUT_AFTER_MS_MAX }, { replicas: 3 }])
    assert.doesNotThrow(() => settings.check(set(a, fields, 1n).statement as Statement))
})

test('listeners are called when a setting changes, and not otherwise', () => {
  const settings = new Settings()
  let changes = 0
  settings.onChange(() => changes++)
  const first = set(a, { outAfter: MINUTE }, 5n)
  settings.load([first])
  settings.load([first, set(b, { outAfter: MINUTE }, 4n)])
  assert.equal(changes, 1)
})

class Setup {
  readonly clock = new ManualClock()
  readonly chance = seededChance(42)
  readonly network = new MemoryNetwork({ clock: this.clock })
  readonly t: TestContext

  constructor(t: TestContext) {
    this.t = t
  }

  async start(name: string, secrets: Secrets, more: Partial<MemberOptions> = {}) {
    const { clock, chance, network } = this
    const host = network.host(name, new LocalMember(secrets, clock, chance).peerId)
    const member = await TestMember.open({ clock, chance, host, secrets, ...more })
    await member.start()
    this.t.after(() => member.stop())
    await settle()
    return member
  }
}

test('the founder’s outAfter becomes the network’s, and another member can only raise its own', async t => {
  const setup = new Setup(t)
  const founding = { networkKey: KEY, name: 'f', keepNetworkKey: true, clock: setup.clock, chance: setup.chance }
  const secrets = becomeAdmin({ ...founding, outAfterMs: 20 * MINUTE })
  assertOwnGrant(secrets)
  assert.equal(becomeAdmin({ ...founding, outAfterMs: OUT_AFTER_MS }).grants.length, 2, 'the default is not signed')
  const founder = await setup.start('f', secrets, { outAfterMs: 20 * MINUTE })
  const key = adminSecrets(KEY, setup.clock, setup.chance, 'other')
  const impatient = await setup.start('i', key, { bootstrap: ['/memory/f'], outAfterMs: MINUTE })
  const patient = await setup.start('p', adminSecrets(KEY, setup.clock, setup.chance, 'p'), {
    bootstrap: ['/memory/f'],
    outAfterMs: 60 * MINUTE
  })
  const stated = ({ statuses, peer }: TestMember): number => statuses.of(peer)?.fields.outAfter ?? 0
  await timePassesUntil(setup.clock, 'settings are known', () => stated(impatient) === 20 * MINUTE, SOON)
  await timePassesUntil(setup.clock, 'settings are known', () => patient.settings.outAfterMs === 20 * MINUTE, SOON)
  assert.deepEqual([founder, impatient, patient].map(stated), [20 * MINUTE, 20 * MINUTE, 60 * MINUTE])
  assert.deepEqual(impatient.members.outAfterMs, { network: 20 * MINUTE, flag: MINUTE })
})

test('settings are signed by admins only, and survive a restart', async t => {
  const setup = new Setup(t)
  const secrets = adminSecrets(KEY, setup.clock, setup.chance)
  const admin = new LocalMember(secrets, setup.clock, setup.chance)
  const writerSecrets = grantedSecrets(secrets, setup.clock, setup.chance)
  const writer = new LocalMember(writerSecrets, setup.clock, setup.chance)
  const member = await setup.start('a', secrets)
  const { log, settings } = member
  const receive = async (statement: Statement): Promise<string | undefined> =>
    (await log.receive([statement.bytes], 'x'))[0]
  assert.equal(await receive(writer.grant), 'ok')
  const hlc = admin.nextHlc()
  assert.equal(await receive(writer.sign('settings', { outAfter: MINUTE }, hlc) as Statement), 'forbidden')
  assert.equal(await receive(admin.sign('settings', { outAfter: 999 }, hlc) as Statement), 'invalid')
  assert.equal(await receive(admin.sign('settings', { outAfter: MINUTE }, hlc) as Statement), 'ok')
  assert.equal(settings.outAfterMs, MINUTE)
  await member.stop()
  const again = await setup.start('a', secrets, { files: member.files, database: member.database })
  assert.equal(again.settings.outAfterMs, MINUTE)
})
