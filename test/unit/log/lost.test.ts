import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Secrets } from '../../../src/disk/keystore.ts'
import { hlcAt } from '../../../src/format/stamp.ts'
import { REST } from '../../../src/log/keys.ts'
import { SignedCounts } from '../../../src/log/signed-counts.ts'
import type { FakeFiles } from '../../fixtures/fake-files.ts'
import { entryBy, TestMember } from '../../fixtures/member.ts'
import { settle } from '../../fixtures/pass-time.ts'
import { MINUTE, Setup } from './setup.ts'

/** Flips a bit in the row of a statement. */
function rot(member: TestMember, { bytes }: { bytes: Uint8Array }): void {
  ;(member.files as FakeFiles).corrupt('segments/00000001.seg', content => {
    const at = content.indexOf(Buffer.from(bytes))
    assert.ok(at > 0)
    content[at + bytes.byteLength - 1]! ^= 1
    return content
  })
}

async function filled(setup: Setup, secrets = setup.admin('a')) {
  const a = await setup.member('a', { secrets })
  const entries = [1, 2, 3].map(() => entryBy(a.self, setup.chance))
  await a.log.append(entries, { author: a.self.publicKey, role: 'admin' })
  return { a, entries, lost: entries[1]! }
}

/** Damages the row of a statement, and lets the leaf check find it. */
async function lose(member: TestMember, statement: { bytes: Uint8Array }): Promise<void> {
  rot(member, statement)
  await member.store.checkLeaf()
  await settle()
}

/** Stops a member and opens what it left on its disk. Of its index only some batches may be left. */
async function reopen(
  { clock, chance, network }: Setup,
  member: TestMember,
  secrets: Secrets,
  batches?: number
): Promise<TestMember> {
  const left = batches === undefined ? undefined : member.database.after(batches)
  await member.stop()
  const files = (member.files as FakeFiles).reopen()
  const database = left ?? member.database.after(member.database.batches)
  return TestMember.open({ secrets, host: network.host('again', member.peer), clock, chance, files, database })
}

test('a damaged statement that nobody reads is found by the leaf check, and counts as absent', async t => {
  const { a, entries, lost } = await filled(new Setup(t))
  await lose(a, lost)
  assert.deepEqual([a.log.lostCount, a.log.lost(10)], [1, [Buffer.from(lost.id)]])
  const ids = entries.map(({ id }) => id)
  assert.deepEqual(await a.log.has(ids), [true, false, true])
  assert.equal(await a.log.get(lost.id), undefined)
  assert.equal((await a.log.list(REST, undefined, 10)).length, 2)
  assert.equal((await a.log.positions.totals(REST)).count, 2)
})

test('a damaged statement is noted once, and the note is removed when the statement arrives again, even after a restart', async t => {
  const setup = new Setup(t)
  const { a, lost } = await filled(setup)
  const before = await a.log.positions.totals(REST)
  const signed = () => new SignedCounts(a.store.index).of([lost.grant as Uint8Array])
  const signedBefore = await signed()
  rot(a, lost)
  for (let i = 0; i < 3; i++) assert.equal(await a.log.get(lost.id), undefined)
  await settle()
  assert.equal(a.log.lostCount, 1)
  assert.deepEqual(await a.log.receive([lost.bytes], a.peer), ['ok'])
  assert.equal(a.log.lostCount, 0)
  assert.deepEqual(Buffer.from((await a.log.get(lost.id))!.statement.bytes), Buffer.from(lost.bytes))
  assert.deepEqual(await a.log.positions.totals(REST), before)
  assert.deepEqual(await signed(), signedBefore, 'it counts once for the quota of its author')
  await a.log.load()
  assert.equal(a.log.lostCount, 0)
})

test('lost statements are still asked for after a restart', async t => {
  const setup = new Setup(t)
  const secrets = setup.admin('a')
  const { a, lost } = await filled(setup, secrets)
  await lose(a, lost)
  const again = await reopen(setup, a, secrets)
  assert.deepEqual(again.log.lost(10), [Buffer.from(lost.id)])
})

test('a member starts although the row of its own grant is damaged, and writes the grant again', async t => {
  const setup = new Setup(t)
  const secrets = setup.admin('a')
  const a = await setup.member('a', { secrets })
  const grant = a.self.statements.at(-1)!
  rot(a, grant)
  const again = await reopen(setup, a, secrets)
  await settle()
  assert.deepEqual(await again.log.has([grant.id]), [true])
  assert.equal(again.log.lostCount, 0)
  assert.ok((await again.log.get(grant.id)) !== undefined)
})

test('a statement that arrived again just before a crash is not lost any more', async t => {
  const setup = new Setup(t)
  const secrets = setup.admin('a')
  const { a, lost } = await filled(setup, secrets)
  await lose(a, lost)
  const { batches } = a.database
  assert.deepEqual(await a.log.receive([lost.bytes], a.peer), ['ok'])
  const again = await reopen(setup, a, secrets, batches)
  assert.equal(again.log.lostCount, 0)
  assert.ok((await again.log.get(lost.id)) !== undefined)
  await again.log.load()
  assert.equal(again.log.lostCount, 0)
})

test('a damaged statement is accepted if it arrives again before the index has noted the damage', async t => {
  const { a, lost } = await filled(new Setup(t))
  rot(a, lost)
  assert.equal(await a.log.get(lost.id), undefined)
  assert.deepEqual(await a.log.receive([lost.bytes], a.peer), ['ok'])
  await settle()
  assert.ok((await a.log.get(lost.id)) !== undefined)
  assert.equal(a.log.lostCount, 0)
})

test('of many statements that were lost, each is asked for in turn', async t => {
  const { a, entries } = await filled(new Setup(t))
  for (const entry of entries) rot(a, entry)
  await a.store.checkLeaf()
  await settle()
  const asked = new Set(
    entries.map(() =>
      a.log
        .lost(1)
        .map(id => Buffer.from(id).toString('hex'))
        .join()
    )
  )
  assert.equal(asked.size, 3)
})

test('a statement whose row is damaged while it waits for its time is asked for after a restart', async t => {
  const setup = new Setup(t)
  const secrets = setup.admin('a')
  const a = await setup.member('a', { secrets })
  const early = entryBy(a.self, setup.chance, hlcAt(setup.clock.now() + 60 * MINUTE))
  assert.deepEqual(await a.log.receive([early.bytes], 'somebody'), ['waiting'])
  await a.write(setup.chance)
  rot(a, early)
  const again = await reopen(setup, a, secrets)
  assert.deepEqual(again.log.lost(10), [Buffer.from(early.id)])
  assert.deepEqual([await again.log.receive([early.bytes], 'somebody'), again.log.earlyCount], [['waiting'], 1])
  setup.clock.advance(56 * MINUTE)
  await again.log.acceptDue()
  assert.deepEqual([again.log.lostCount, await again.log.has([early.id])], [0, [true]])
})
