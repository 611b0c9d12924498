import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { FormatError } from '../../../src/format/errors.ts'
import { type Hlc, hlcAt } from '../../../src/format/stamp.ts'
import type { Statement } from '../../../src/format/statement.ts'
import { LocalMember } from '../../../src/members/local-member.ts'
import { FakeFiles } from '../../fixtures/fake-files.ts'
import { entryBy, TestMember } from '../../fixtures/member.ts'
import { MemoryDatabase } from '../../fixtures/memory-database.ts'
import { MINUTE, Setup, take } from './setup.ts'

/** A member alone, whose index can be rebuilt from its segments. */
async function alone(t: TestContext, setup: Setup) {
  const secrets = setup.admin('a')
  const files = new FakeFiles()
  let member: TestMember | undefined
  t.after(() => member?.store.close())
  return async (): Promise<TestMember> => {
    await member?.store.close()
    const { clock, chance, network } = setup
    const host = network.host(`a${chance.bytes(4).toString()}`, new LocalMember(secrets, clock, chance).peerId)
    member = await TestMember.open({ files, database: new MemoryDatabase(), secrets, clock, chance, host })
    return member
  }
}

test('the log knows the newest stamp of each author, statuses aside, in any order and after a rebuild', async t => {
  const setup = new Setup(t)
  const { clock, chance } = setup
  const open = await alone(t, setup)
  const member = await open()
  const others = ['b', 'c'].map(name => new LocalMember(setup.admin(name), clock, chance)) as [LocalMember, LocalMember]
  const [b, c] = others
  for (const { statements } of others) await take(member, statements)
  assert.equal(await member.log.newest.of(b.publicKey), undefined)
  assert.equal(await member.log.newest.of(member.self.network), b.grant.hlc, 'grants are statements of their issuer')
  const at = (minutes: number): Hlc => hlcAt(clock.now() + minutes * MINUTE)
  const entries = [1, 3, 2].map(minutes => entryBy(b, chance, at(minutes)))
  await take(member, [entries[0] as Statement])
  assert.equal(await member.log.newest.of(b.publicKey), at(1))
  // Two authors in turn in one batch, and an older statement after a newer one.
  await take(member, [entries[1] as Statement, entryBy(c, chance, at(1)), entries[2] as Statement])
  assert.deepEqual([await member.log.newest.of(b.publicKey), await member.log.newest.of(c.publicKey)], [at(3), at(1)])
  await take(member, [entryBy(b, chance, at(2))])
  assert.equal(await member.log.newest.of(b.publicKey), at(3), 'an older statement that comes later')
  const fields = { instance: b.instance, addresses: [], weight: 1, state: 'in' as const, outAfter: MINUTE }
  await take(member, [b.sign('status', { ...fields, head: Buffer.alloc(8) }, at(4))])
  assert.equal(await member.log.newest.of(b.publicKey), at(3), 'a status does not count')
  const rebuilt = await open()
  assert.deepEqual([await rebuilt.log.newest.of(b.publicKey), await rebuilt.log.newest.of(c.publicKey)], [at(3), at(1)])
})

test('a statement that is set aside has reached this member too', async t => {
  const setup = new Setup(t)
  const member = await (await alone(t, setup))()
  member.entries.project = async () => {
    throw new FormatError('cannot be projected')
  }
  const entry = entryBy(member.self, setup.chance)
  await take(member, [entry])
  assert.equal(member.log.asides.count, 1)
  assert.equal(await member.log.newest.of(member.self.publicKey), entry.hlc)
})
