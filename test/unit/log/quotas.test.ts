import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { IndexOps, type IndexSink } from '../../../src/disk/index-sink.ts'
import { HANDOVER_BOX_BYTES } from '../../../src/format/constants.ts'
import type { Statement } from '../../../src/format/statement.ts'
import { REST } from '../../../src/log/keys.ts'
import type { QuotaRules } from '../../../src/log/log.ts'
import type { Change } from '../../../src/log/projection.ts'
import { SignedCounts } from '../../../src/log/signed-counts.ts'
import { LocalMember } from '../../../src/members/local-member.ts'
import { toHex } from '../../../src/util/bytes.ts'
import type { FakeFiles } from '../../fixtures/fake-files.ts'
import { entryBy, grantedSecrets, TestMember } from '../../fixtures/member.ts'
import { timePassesUntil } from '../../fixtures/pass-time.ts'
import { laterStatement, MINUTE, Setup, take } from './setup.ts'

const MANY = 1_000_000

/** Limits what each grant may sign on this member. */
function limit(member: TestMember, quota: Partial<QuotaRules['quota']>): void {
  const rules = { quota: { statements: MANY, bytes: MANY, ...quota }, members: () => member.roster.members.length }
  member.log.quotaRules = () => rules
}

/** A writer that has a grant and no node. It signs what a test wants. */
function outsider(setup: Setup): { self: LocalMember; grants: Statement[]; entries: (count: number) => Statement[] } {
  const secrets = grantedSecrets(setup.admin('issuer'), setup.clock, setup.chance)
  const self = new LocalMember(secrets, setup.clock, setup.chance)
  return {
    self,
    grants: self.statements,
    entries: count => Array.from({ length: count }, () => entryBy(self, setup.chance))
  }
}

async function verdicts(member: TestMember, statements: readonly Statement[], from: string): Promise<string[]> {
  const all = statements.map(({ bytes }) => bytes)
  return member.log.receive(all, from)
}

const countOf = async ({ store }: TestMember, grant: Uint8Array): Promise<number> =>
  (await new SignedCounts(store.index).of([grant])).get(toHex(grant))?.statements ?? 0

test('a member signs as much as its quota, and an eighth more of what does not make the catalog grow', async t => {
  const setup = new Setup(t)
  const a = await setup.member('a')
  const grant = a.self.grant.id
  const before = await countOf(a, grant)
  limit(a, { statements: before + 16 })
  await a.write(setup.chance, 15)
  await a.log.quotas.assertMayGrow(grant)
  await a.write(setup.chance, 1)
  await assert.rejects(a.log.quotas.assertMayGrow(grant), {
    name: 'OverQuotaError',
    code: 'not-allowed',
    message:
      /this machine has signed as many changes as its quota allows \(\d+\): an admin can raise it with dfs config quotaS/
  })
  await a.write(setup.chance, 2)
  await assert.rejects(a.write(setup.chance, 50), { name: 'OverQuotaError' })
  assert.equal(await countOf(a, grant), before + 18, 'nothing of the refused group is in the log')
  limit(a, { bytes: 1 })
  await assert.rejects(
    a.log.quotas.assertMayGrow(grant),
    /as many bytes as its quota allows \(1\): .* dfs config quotaBytes/
  )
})

test('a member that signs beyond its quota by hand is refused, and is accepted once an admin raises the quota', async t => {
  const setup = new Setup(t)
  const b = await setup.member('b')
  const hostile = outsider(setup)
  await take(b, hostile.grants)
  limit(b, { statements: 8 })
  const entries = hostile.entries(20)
  const first = await verdicts(b, entries, hostile.self.peerId)
  assert.deepEqual(
    first,
    entries.map((_, i) => (i < 10 ? 'ok' : 'over-quota'))
  )
  assert.equal((await b.ids(REST)).length, 10)
  assert.deepEqual(await verdicts(b, entries.slice(0, 3), hostile.self.peerId), ['ok', 'ok', 'ok'], 'these are known')
  limit(b, { statements: 100 })
  assert.deepEqual(new Set(await verdicts(b, entries, hostile.self.peerId)), new Set(['ok']))
})

test('a quota of bytes holds for statements of every kind, known or not', async t => {
  const setup = new Setup(t)
  const b = await setup.member('b')
  const hostile = outsider(setup)
  await take(b, hostile.grants)
  limit(b, { bytes: 40_000 })
  const big = Array.from({ length: 6 }, (_, i) =>
    laterStatement(hostile.self, 'note', 1, { filler: new Uint8Array(10_000).fill(i) })
  )
  const all = await b.log.receive(big, hostile.self.peerId)
  assert.deepEqual(all, ['ok', 'ok', 'ok', 'ok', 'over-quota', 'over-quota'])
})

test('honest members to which a hostile one sends different statements end with the same ones', async t => {
  const setup = new Setup(t)
  const members = [await setup.member('b')]
  members.push(await setup.member('c', { bootstrap: ['b'] }), await setup.member('d', { bootstrap: ['b', 'c'] }))
  const hostile = outsider(setup)
  for (const member of members) limit(member, { statements: 8 })
  const compared = (): boolean => members.every(({ members: { compared } }) => compared.size === members.length - 1)
  await timePassesUntil(setup.clock, 'compared', compared, { stepMs: 100, msMax: MINUTE })
  for (const member of members) {
    await take(member, hostile.grants)
    await verdicts(member, hostile.entries(100), hostile.self.peerId)
  }
  const areSame = async (): Promise<boolean> => {
    const ids = await Promise.all(members.map(async member => (await member.ids(REST)).join()))
    return new Set(ids).size === 1
  }
  await timePassesUntil(setup.clock, 'the same', areSame, { stepMs: 1_000, msMax: 5 * MINUTE })
  assert.equal((await members[0]!.ids(REST)).length, 30, 'ten of each, and no more than a quota for each member')
  assert.deepEqual(
    members.flatMap(({ faults }) => faults),
    []
  )
  const late = await setup.member('e', { bootstrap: ['d'] })
  limit(late, { statements: 8 })
  await timePassesUntil(setup.clock, 'caught up', async () => (await late.ids(REST)).length === 30, {
    stepMs: 1_000,
    msMax: 5 * MINUTE
  })
})

test('a member that holds more than it may of one grant still takes everything else from the same peer', async t => {
  const setup = new Setup(t)
  const b = await setup.member('b')
  const hostile = outsider(setup)
  await take(b, hostile.grants)
  // Its own node never refuses it, as if it were hostile too.
  await take(b, hostile.entries(60))
  const own = await b.write(setup.chance, 5)
  const c = await setup.member('c')
  limit(c, { statements: 8 })
  c.host.dial(['/memory/b'], { signal: AbortSignal.timeout(5_000) }).catch(() => {})
  await timePassesUntil(setup.clock, 'compared', () => c.members.compared.size === 1, { stepMs: 100, msMax: MINUTE })
  const ids = new Set(await c.ids(REST))
  assert.ok(own.every(({ id }) => ids.has(toHex(id))))
  assert.equal(ids.size - own.length, 40, 'a quota and a quarter for each of the four members')
})

test('an admin whose quota is used up can still raise it, and a writer can still let machines in', async t => {
  const setup = new Setup(t)
  const b = await setup.member('b')
  const hostile = outsider(setup)
  await take(b, hostile.grants)
  limit(b, { statements: 0, bytes: 0 })
  const admin = new LocalMember(setup.admin('other'), setup.clock, setup.chance)
  await take(b, admin.statements, admin.peerId)
  const settings = admin.sign('settings', { quotas: { statements: 5 } }, admin.nextHlc())
  assert.deepEqual(await verdicts(b, [settings], admin.peerId), ['ok'])
  const { network } = hostile.self
  const fields = { epoch: network, recipient: admin.publicKey, box: new Uint8Array(HANDOVER_BOX_BYTES) }
  const handover = hostile.self.sign('handover', fields, hostile.self.nextHlc())
  assert.deepEqual(await verdicts(b, [handover, ...hostile.entries(1)], hostile.self.peerId), ['ok', 'over-quota'])
})

test('the counts of a grant are those of its statements, whatever came twice, was forgotten or replayed', async t => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.constantFrom('new', 'twice', 'forget', 'reopen'), fc.nat()), { maxLength: 12 }),
      async steps => {
        const setup = new Setup(t)
        const secrets = setup.admin('a')
        const host = setup.network.host('a', new LocalMember(secrets, setup.clock, setup.chance).peerId)
        const options = { secrets, host, clock: setup.clock, chance: setup.chance }
        let member = await TestMember.open(options)
        const covered = new Set<string>()
        coverAll(member, covered)
        const writer = outsider(setup)
        await take(member, writer.grants)
        const written: Statement[] = []
        for (const [step, n] of steps) {
          const some = written[n % Math.max(1, written.length)]
          if (step === 'new') {
            const entries = writer.entries(1 + (n % 3))
            written.push(...entries)
            await take(member, entries)
          } else if (step === 'twice' && some !== undefined) await take(member, [some])
          else if (step === 'forget' && some !== undefined) {
            covered.add(toHex(some.id))
            await member.log.again([some.id])
            await member.log.alone(async () => {
              const ops = new IndexOps()
              await member.log.forgetIn(ops, [some.id])
              await member.store.index.batch(ops.all)
            })
          } else if (step === 'reopen') {
            await member.store.close()
            const files = (member.files as FakeFiles).reopen()
            member = await TestMember.open({ ...options, files, database: member.database.after(n % 2) })
            coverAll(member, covered)
          }
        }
        const here = (await member.ids(REST)).length
        assert.equal(await countOf(member, writer.self.grant.id), here)
        await member.store.close()
      }
    ),
    { numRuns: 20 }
  )
})

/** From now on, the statements with these ids are covered whenever anything is projected. */
function coverAll(member: TestMember, ids: ReadonlySet<string>): void {
  const covered = new WeakMap<IndexSink, Uint8Array[]>()
  member.entries.project = async ({ added }: Change, sink: IndexSink) => {
    covered.set(
      sink,
      added.map(({ statement }) => statement.id).filter(id => ids.has(toHex(id)))
    )
  }
  Object.assign(member.entries, { coveredIn: (sink: IndexSink) => covered.get(sink) ?? [] })
}
