import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { ROW_STATEMENT } from '../../../src/disk/constants.ts'
import { IndexOps, type IndexSink } from '../../../src/disk/index-sink.ts'
import type { Statement } from '../../../src/format/statement.ts'
import { REST } from '../../../src/log/keys.ts'
import type { Change } from '../../../src/log/projection.ts'
import { encodeStatementRow } from '../../../src/log/statement-row.ts'
import { equalBytes } from '../../../src/util/bytes.ts'
import type { FakeFiles } from '../../fixtures/fake-files.ts'
import { entryBy, type TestMember } from '../../fixtures/member.ts'
import { settle, timePassesUntil } from '../../fixtures/pass-time.ts'
import { MINUTE, Setup, take } from './setup.ts'

/** From now on, each of these entries is covered once the one after it has arrived. */
function coverInTurn(member: TestMember, chain: readonly Statement<'entry'>[]): void {
  const [arrived, covered] = [new Set<number>(), new WeakMap<IndexSink, Uint8Array[]>()]
  member.entries.project = async ({ added }: Change, sink: IndexSink) => {
    for (const { statement } of added) arrived.add(chain.findIndex(({ id }) => equalBytes(id, statement.id)))
    covered.set(
      sink,
      chain.filter((_, i) => arrived.has(i) && arrived.has(i + 1)).map(({ id }) => id)
    )
  }
  Object.assign(member.entries, { coveredIn: (sink: IndexSink) => covered.get(sink) ?? [] })
}

/** A member whose log has the first two entries of a chain of three. The first is covered. */
async function chained(t: TestContext) {
  const setup = new Setup(t)
  const a = await setup.member('a')
  const chain = [1, 2, 3].map(() => entryBy(a.self, setup.chance))
  coverInTurn(a, chain)
  await a.log.append(chain.slice(0, 1), a.self.signer)
  await a.log.append(chain.slice(1, 2), a.self.signer)
  return { setup, a, chain }
}

/** Forgets statements in a batch of its own. */
function forget({ log, store }: TestMember, ids: readonly Uint8Array[]): Promise<number> {
  return log.alone(async () => {
    const ops = new IndexOps()
    const { length: count } = await log.forgetIn(ops, ids)
    await store.index.batch(ops.all)
    return count
  })
}

const countOf = async ({ log }: TestMember): Promise<number> => (await log.positions.totals(REST)).count

test('a statement that is covered leaves the totals once, whether it came before or together with the one that covers it', async t => {
  const { a, chain } = await chained(t)
  assert.equal(await countOf(a), 1)
  await a.log.append(chain.slice(2), a.self.signer)
  assert.equal(await countOf(a), 1)
  assert.equal((await a.log.list(REST, undefined, 10)).length, 3, 'all are still listed for other members')
  const b = await new Setup(t).member('a')
  coverInTurn(b, chain)
  await b.log.append(chain, b.self.signer)
  assert.deepEqual(await b.log.positions.totals(REST), await a.log.positions.totals(REST))
})

test('a covered statement that arrives again stays out of the totals', async t => {
  const { a, chain } = await chained(t)
  const before = await a.log.positions.totals(REST)
  await take(a, chain.slice(0, 2), 'somebody')
  assert.deepEqual(await a.log.positions.totals(REST), before)
})

test('a forgotten statement leaves the log and the disk, and is not asked for again', async t => {
  const { a, chain } = await chained(t)
  const before = await a.log.positions.totals(REST)
  assert.equal(await forget(a, [chain[0]!.id, chain[1]!.id]), 1, 'what is not covered stays')
  assert.deepEqual(await a.log.positions.totals(REST), before)
  assert.equal(await a.log.get(chain[0]!.id), undefined)
  assert.equal((await a.log.list(REST, undefined, 10)).length, 1)
  assert.deepEqual(await a.log.has(chain.map(({ id }) => id)), [true, true, false])
  await take(a, chain.slice(0, 1), 'somebody')
  assert.equal((await a.log.list(REST, undefined, 10)).length, 1, 'a member that sends it gets a yes')
})

test('the dead row of a forgotten statement is not taken for a row that the index has lost', async t => {
  const { a, chain } = await chained(t)
  await forget(a, [chain[0]!.id])
  assert.ok((await a.store.checkLeaf()) > 0)
  assert.ok(a.store.isVerified)
})

test('a member that has forgotten a statement and one that has not are not in doubt about each other', async t => {
  const { setup, a, chain } = await chained(t)
  const b = await setup.member('b', { bootstrap: ['a'] })
  await timePassesUntil(setup.clock, 'compared', () => b.members.compared.size === 1, { stepMs: 100, msMax: MINUTE })
  coverInTurn(b, chain)
  await b.log.again(chain.slice(0, 2).map(({ id }) => id))
  await forget(a, [chain[0]!.id])
  assert.deepEqual(await a.log.positions.totals(REST), await b.log.positions.totals(REST))
  const c = await setup.member('c', { bootstrap: ['a', 'b'] })
  await timePassesUntil(setup.clock, 'compared', () => c.members.compared.size === 2, { stepMs: 100, msMax: MINUTE })
  coverInTurn(c, chain)
  await c.log.again(chain.slice(0, 2).map(({ id }) => id))
  assert.equal(await countOf(c), 1)
  assert.equal(
    (await c.log.list(REST, undefined, 10)).length,
    2,
    'it has the covered statement from the one that has it'
  )
})

test('a covered statement that is lost by damage stays out of the totals when it comes back', async t => {
  const { a, chain } = await chained(t)
  const before = await a.log.positions.totals(REST)
  const [first] = chain as [Statement<'entry'>]
  ;(a.files as FakeFiles).corrupt('segments/00000001.seg', content => {
    content[content.indexOf(Buffer.from(first.bytes)) + first.bytes.byteLength - 1]! ^= 1
    return content
  })
  await a.store.checkLeaf()
  await settle()
  assert.equal(a.log.lostCount, 1)
  assert.deepEqual(await a.log.positions.totals(REST), before)
  await take(a, [first])
  assert.equal(a.log.lostCount, 0)
  assert.deepEqual(await a.log.positions.totals(REST), before)
})

test('a statement that is forgotten while a compaction moves its row stays forgotten', async t => {
  const { a, chain } = await chained(t)
  const before = await a.log.positions.totals(REST)
  const facts = { sequence: 1, arrivedAtMs: 0, role: 'admin', author: Buffer.alloc(32) } as const
  const moved = encodeStatementRow({ ...facts, statement: chain[0] as Statement<'entry'> })
  await forget(a, [chain[0]!.id])
  await a.store.write(ROW_STATEMENT, [moved])
  assert.equal(await a.log.get(chain[0]!.id), undefined)
  assert.deepEqual(await a.log.positions.totals(REST), before)
  assert.ok((await a.store.checkLeaf()) > 0)
})
