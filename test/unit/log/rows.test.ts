import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { ROW_STATEMENT } from '../../../src/disk/constants.ts'
import { DiskError } from '../../../src/disk/errors.ts'
import type { IndexSink } from '../../../src/disk/index-sink.ts'
import { FormatError } from '../../../src/format/errors.ts'
import { hlcAt } from '../../../src/format/stamp.ts'
import { idOf } from '../../../src/format/statement.ts'
import { EARLY_OF_AUTHOR_MAX } from '../../../src/log/constants.ts'
import type { Change, Projection } from '../../../src/log/projection.ts'
import { StatementRows } from '../../../src/log/rows.ts'
import { encodeStatementRow } from '../../../src/log/statement-row.ts'
import { LocalMember } from '../../../src/members/local-member.ts'
import { concatBytes, toHex } from '../../../src/util/bytes.ts'
import { FakeFiles } from '../../fixtures/fake-files.ts'
import { entryBy, TestMember } from '../../fixtures/member.ts'
import { MemoryDatabase } from '../../fixtures/memory-database.ts'
import { settle } from '../../fixtures/pass-time.ts'
import { laterStatement, MINUTE, Setup } from './setup.ts'

/** A member alone, which can be stopped and started again on its disk. */
class Alone {
  readonly setup: Setup
  readonly secrets
  readonly files = new FakeFiles()
  database = new MemoryDatabase()
  member!: TestMember

  constructor(t: TestContext) {
    this.setup = new Setup(t)
    this.secrets = this.setup.admin('a')
    t.after(() => this.member.store.close())
  }

  async open(): Promise<TestMember> {
    const { files, database, secrets, setup } = this
    const { clock, chance, network } = setup
    const host = network.host(`a${chance.bytes(4).toString()}`, new LocalMember(secrets, clock, chance).peerId)
    this.member = await TestMember.open({ files, database, secrets, clock, chance, host })
    return this.member
  }

  async again({ isRebuilt = false } = {}): Promise<TestMember> {
    await this.member.store.close()
    if (isRebuilt) this.database = new MemoryDatabase()
    return this.open()
  }
}

const { register } = StatementRows.prototype

function throwFor(added: Change['added'], id: string): void {
  if (added.some(({ statement }) => idOf(statement) === id)) throw new RangeError('Maximum call stack size exceeded')
}

/** Makes the projection of entries fail for some ids. */
function poison(member: TestMember, ids: ReadonlySet<string>, error: Error): void {
  member.entries.project = async ({ added }: Change, sink: IndexSink) => {
    for (const { statement } of added) {
      if (ids.has(idOf(statement))) throw error
      sink.put(concatBytes(Buffer.from('?'), statement.id), new Uint8Array(0))
    }
  }
}

test('a statement that cannot be projected is set aside, and the others of its batch count', async t => {
  const alone = new Alone(t)
  const member = await alone.open()
  const entries = Array.from({ length: 5 }, () => entryBy(member.self, alone.setup.chance))
  const bad = entries[2]!
  poison(member, new Set([idOf(bad)]), new FormatError('a number is too large'))
  const verdicts = await member.log.receive(
    entries.map(({ bytes }) => bytes),
    'somebody'
  )
  assert.deepEqual(new Set(verdicts), new Set(['ok']))
  assert.deepEqual([member.log.asides.count, member.log.asides.some.map(({ id }) => toHex(id))], [1, [idOf(bad)]])
  assert.equal((await member.ids(1)).length, 5, 'all are in the log, so that other members get them')
  const projected = await Promise.all(
    entries.map(({ id }) => member.store.index.has(concatBytes(Buffer.from('?'), id)))
  )
  assert.deepEqual(projected, [true, true, false, true, true])
  const again = await alone.again()
  assert.equal(again.log.asides.count, 1, 'after a restart')
})

test('a statement of our own that cannot be projected is refused, and does not come back', async t => {
  const alone = new Alone(t)
  const member = await alone.open()
  const [good, bad] = [entryBy(member.self, alone.setup.chance), entryBy(member.self, alone.setup.chance)]
  poison(member, new Set([idOf(bad)]), new FormatError('a number is too large'))
  const writes = [good, bad].map(entry => member.log.append([entry], member.self.signer))
  assert.deepEqual(
    (await Promise.allSettled(writes)).map(({ status }) => status),
    ['fulfilled', 'rejected']
  )
  assert.equal(member.log.asides.count, 0)
  const again = await alone.again({ isRebuilt: true })
  assert.deepEqual(await again.ids(1), [idOf(good)])
})

test('a statement that throws anything at all does not stop a rebuild', async t => {
  const alone = new Alone(t)
  const member = await alone.open()
  const [bad] = await member.write(alone.setup.chance, 3)
  await member.store.close()
  alone.database = new MemoryDatabase()
  // The fixture builds its projection itself, and the rebuild begins before a test could replace it.
  t.mock.method(StatementRows.prototype, 'register', function (this: StatementRows, projection: Projection) {
    if (projection.kinds.has('entry')) projection.project = async ({ added }) => throwFor(added, idOf(bad!))
    register.call(this, projection)
  })
  const again = await alone.open()
  assert.equal(again.log.asides.count, 1)
  assert.equal((await again.ids(1)).length, 3)
})

test('no statement is set aside because of an error of the disk', async t => {
  const alone = new Alone(t)
  const member = await alone.open()
  const entry = entryBy(member.self, alone.setup.chance)
  poison(member, new Set([idOf(entry)]), new DiskError('the disk reported EIO'))
  await assert.rejects(member.log.append([entry], member.self.signer), DiskError)
  assert.equal(member.log.asides.count, 0)
})

test('a row that this release cannot read is set aside at a rebuild, and kept by compaction', async t => {
  const alone = new Alone(t)
  const member = await alone.open()
  const entry = entryBy(member.self, alone.setup.chance)
  const row = encodeStatementRow({ ...member.self.signer, statement: entry, sequence: 50, arrivedAtMs: 0 })
  // The last byte belongs to the last field, so the statement is no longer canonical.
  const broken = Buffer.concat([row, Buffer.of(0)])
  const [place] = await member.store.write(ROW_STATEMENT, [broken])
  assert.equal(member.log.asides.count, 1)
  const again = await alone.again({ isRebuilt: true })
  assert.equal(again.log.asides.count, 1)
  assert.equal(Buffer.compare(await again.store.read(place!), broken), 0)
  assert.equal(await again.store.checkLeaf(), 0 + (await again.ids(0)).length + 1)
})

test('statements of unknown kinds survive a rebuild', async t => {
  const alone = new Alone(t)
  const member = await alone.open()
  const later = laterStatement(member.self, 'poem', 3)
  assert.deepEqual(await member.log.receive([later], 'somebody'), ['ok'])
  const again = await alone.again({ isRebuilt: true })
  const [id] = await again.ids(1)
  const { statement, role } = (await again.log.get(Buffer.from(id!, 'hex')))!
  assert.deepEqual([statement.kind, role, again.log.asides.count], ['unknown', 'admin', 0])
  assert.equal(Buffer.compare(statement.bytes, later), 0)
})

test('the sequence, the moment of arrival and the role of a statement survive a rebuild', async t => {
  const alone = new Alone(t)
  const member = await alone.open()
  const entries = await member.write(alone.setup.chance, 3)
  const factsOf = async ({ log }: TestMember) =>
    Promise.all(
      entries.map(async ({ id }) => {
        const { sequence, arrivedAtMs, role } = (await log.get(id))!
        return { sequence, arrivedAtMs, role }
      })
    )
  const before = await factsOf(member)
  assert.deepEqual(
    before.map(({ sequence }) => sequence - before[0]!.sequence),
    [0, 1, 2]
  )
  alone.setup.clock.advance(MINUTE)
  assert.deepEqual(await factsOf(await alone.again({ isRebuilt: true })), before)
})

test('early statements wait across a restart and a rebuild, each author with a bound', async t => {
  const alone = new Alone(t)
  const member = await alone.open()
  const other = new LocalMember(alone.setup.admin('other'), alone.setup.clock, alone.setup.chance)
  assert.deepEqual(
    await member.log.receive(
      other.statements.map(({ bytes }) => bytes),
      'somebody'
    ),
    ['ok', 'ok']
  )
  const at = hlcAt(alone.setup.clock.now() + 6 * MINUTE)
  const early = Array.from({ length: EARLY_OF_AUTHOR_MAX + 2 }, () => entryBy(other, alone.setup.chance, at).bytes)
  const verdicts = await member.log.receive(early, 'somebody')
  assert.deepEqual(
    [
      verdicts.filter(verdict => verdict === 'waiting').length,
      verdicts.filter(verdict => verdict === 'clock-off').length
    ],
    [EARLY_OF_AUTHOR_MAX, 2]
  )
  assert.deepEqual(await member.log.receive(early.slice(0, 1), 'somebody'), ['waiting'], 'it is known')
  assert.equal((await member.ids(1)).length, 0)
  await alone.again()
  const again = await alone.again({ isRebuilt: true })
  assert.equal(again.log.earlyCount, EARLY_OF_AUTHOR_MAX)
  alone.setup.clock.advance(2 * MINUTE)
  await again.log.acceptDue()
  assert.deepEqual([again.log.earlyCount, (await again.ids(1)).length], [0, EARLY_OF_AUTHOR_MAX])
  const last = await alone.again({ isRebuilt: true })
  assert.deepEqual([last.log.earlyCount, (await last.ids(1)).length], [0, EARLY_OF_AUTHOR_MAX], 'after a rebuild')
})

test('nobody is told that an early statement waits before it is durable, even if two members send it at once', async t => {
  const alone = new Alone(t)
  const member = await alone.open()
  const early = entryBy(member.self, alone.setup.chance, hlcAt(alone.setup.clock.now() + 60 * MINUTE))
  const { write } = member.store
  const { promise: failed, reject: fail } = Promise.withResolvers<never>()
  member.store.write = () => failed
  const receive = (from: string) => member.log.receive([early.bytes], from)
  const first = receive('b').catch(error => error)
  await settle(20)
  const second = receive('c').catch(error => error)
  await settle(20)
  assert.deepEqual(await member.log.has([early.id]), [false])
  const error = new DiskError('the disk does not answer')
  fail(error)
  assert.deepEqual([await first, await second], [error, error])
  member.store.write = write
  assert.deepEqual([await receive('c'), member.log.earlyCount], [['waiting'], 1])
})

test('statements are projected again without a change to the tables of the log, or an announcement', async t => {
  const alone = new Alone(t)
  const member = await alone.open()
  const [first, second, third] = (await member.write(alone.setup.chance, 3)) as [Written, Written, Written]
  const before = await rowsOf(member)
  const announced = member.entries.announced.length
  const projected: string[] = []
  member.entries.project = async ({ added }: Change, sink: IndexSink) => {
    for (const { statement } of added) {
      if (idOf(statement) === idOf(second)) throw new FormatError('this one fails')
      projected.push(idOf(statement))
      sink.put(ownKey(statement.id), statement.id)
    }
  }
  await member.log.again([first.id, second.id, Buffer.alloc(32), third.id])
  assert.deepEqual(projected.slice(-2), [idOf(first), idOf(third)], 'the one that fails does not stop the others')
  const after = (await rowsOf(member)).filter(row => !row.startsWith(toHex(OWN_TABLE)))
  assert.deepEqual(after, before)
  assert.equal(member.entries.announced.length, announced)
  assert.deepEqual([await member.store.index.has(ownKey(first.id)), member.log.asides.count], [true, 0])
})

test('a repeated projection waits for the batch that is being projected, even if there is nothing to project', async t => {
  const alone = new Alone(t)
  const member = await alone.open()
  const { promise, resolve } = Promise.withResolvers<void>()
  member.entries.project = () => promise
  const steps: string[] = []
  const writing = member.write(alone.setup.chance).then(() => steps.push('written'))
  await settle()
  const again = member.log.again([]).then(() => steps.push('again'))
  await settle()
  assert.deepEqual(steps, [])
  resolve()
  await Promise.all([writing, again])
  assert.deepEqual(steps.sort(), ['again', 'written'])
})

type Written = Awaited<ReturnType<TestMember['write']>>[number]

/** A table that no room uses. */
const OWN_TABLE = Buffer.from('#')

function ownKey(id: Uint8Array): Uint8Array {
  return concatBytes(OWN_TABLE, id)
}

async function rowsOf(member: TestMember): Promise<string[]> {
  const rows: string[] = []
  // The links of batches are rows too, and each batch writes one.
  for await (const { key, value } of member.store.index.range(new Uint8Array(0)))
    if (key[0] !== 'm'.charCodeAt(0)) rows.push(`${toHex(key)} ${toHex(value)}`)
  return rows
}
