import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IndexDb } from '../../../src/disk/index-db.ts'
import { IndexOps } from '../../../src/disk/index-sink.ts'
import { LINEAGES_MAX } from '../../../src/log/constants.ts'
import { MEMBERSHIP, REST, type StatementClass } from '../../../src/log/keys.ts'
import { type Position, Positions } from '../../../src/log/positions.ts'
import { toHex } from '../../../src/util/bytes.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { MemoryDatabase } from '../../fixtures/memory-database.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'

const chance = seededChance(5)

/** One start of a member over a database in memory. */
async function open(database = new MemoryDatabase()) {
  const index = new IndexDb(database.asDatabase, silentLogger)
  await index.open()
  const positions = new Positions({ index, chance, logger: silentLogger })
  const listed = async (after: Position, statementClass: StatementClass = REST, limit = 100) =>
    (await positions.news(statementClass, after, limit))?.ids.map(id => id[0])
  const index_ = async (first: number, names: readonly number[], isCounted = true) => {
    const sink = new IndexOps()
    await positions.addTo(
      sink,
      names.map((name, i) => item(name, first + i, isCounted))
    )
    await index.batch(sink.all)
  }
  return {
    index,
    database,
    positions,
    listed,
    index_,
    /** Accepts statements whose ids begin with these numbers. */
    accept: async (...names: number[]) => {
      const first = positions.take(names.length)
      await index_(first, names)
      positions.settle(first, names.length)
    },
    /** The next start, over what is in the database, or over an older copy of it. */
    restart: async (older?: MemoryDatabase) => {
      await index.close()
      const next = await open(older ?? database)
      await next.positions.load()
      return next
    }
  }
}

async function started() {
  const member = await open()
  await member.positions.load()
  return member
}

function item(name: number, sequence: number, isCounted = true, statementClass: StatementClass = REST) {
  return { class: statementClass, id: idOf(name), sequence, isCounted }
}

function idOf(name: number): Uint8Array {
  return Buffer.alloc(32, name)
}

/** The sum of ids, computed in another way. */
function sumOf(...names: number[]): string {
  const sum = names.reduce((total, name) => total + BigInt(`0x${toHex(idOf(name))}`), 0n)
  return (sum % 2n ** 256n).toString(16).padStart(64, '0')
}

test('news lists what was accepted after a position, in order and in pages', async () => {
  const { positions, accept, listed } = await started()
  const start = positions.position()
  await accept(9, 3)
  const middle = positions.position()
  await accept(7, 1, 5)
  assert.deepEqual(await listed(start), [9, 3, 7, 1, 5])
  assert.deepEqual(await listed(middle), [7, 1, 5])
  assert.deepEqual(await listed(positions.position()), [])
  assert.deepEqual(await listed(start, MEMBERSHIP), [])
  const pages: number[][] = []
  let after = start
  for (;;) {
    const page = await positions.news(REST, after, 2)
    assert.ok(page !== undefined)
    pages.push(page.ids.map(id => id[0] as number))
    after = page.next
    if (page.isEnd) break
  }
  assert.deepEqual(pages, [[9, 3], [7, 1], [5]])
  assert.deepEqual(after, positions.position())
})

test('a reader does not get ahead of a statement that is still being indexed', async () => {
  const { positions, listed, accept, index_ } = await started()
  const start = positions.position()
  const slow = positions.take(2)
  await accept(4)
  assert.deepEqual(await listed(start), [])
  assert.equal((await positions.news(REST, start, 100))?.next.sequence, slow)
  await index_(slow, [1, 2])
  positions.settle(slow, 2)
  assert.deepEqual(await listed(start), [1, 2, 4])
})

test('the horizon passes a reservation whose write was undone, and waits for one whose rows may still come back', async () => {
  const { positions, accept, listed } = await started()
  const start = positions.position()
  const failed = positions.take(1)
  positions.settle(failed, 1)
  const unsure = positions.take(1)
  await accept(2)
  assert.equal(positions.position().sequence, unsure)
  assert.deepEqual(await listed(start), [])
})

test('a position of an earlier start is known, and the news after it runs across starts', async () => {
  const first = await started()
  const start = first.positions.position()
  await first.accept(1, 2)
  const end = first.positions.position()
  const second = await first.restart()
  await second.accept(3)
  assert.notEqual(toHex(second.positions.position().lineage), toHex(start.lineage))
  assert.deepEqual(await second.listed(start), [1, 2, 3])
  assert.deepEqual(await second.listed(end), [3])
  const third = await second.restart()
  assert.deepEqual(await third.listed(end), [3])
})

test('a restored backup does not know positions from the time that it lacks', async () => {
  const first = await started()
  await first.accept(1)
  const before = first.positions.position()
  const backup = first.database.after(first.database.batches)
  await first.accept(2, 3)
  const forgotten = first.positions.position()
  const later = await first.restart()
  await later.accept(4)
  const afterRestart = later.positions.position()
  const restored = await later.restart(backup)
  assert.deepEqual(await restored.listed(before), [])
  assert.equal(await restored.listed(forgotten), undefined)
  assert.equal(await restored.listed(afterRestart), undefined)
  // The same sequences are used again, for other statements.
  await restored.accept(7, 8, 9)
  assert.ok(restored.positions.position().sequence > forgotten.sequence)
  assert.equal(await restored.listed(forgotten), undefined)
  assert.deepEqual(await restored.listed(before), [7, 8, 9])
})

test('a start is told apart from an earlier one that accepted nothing', async () => {
  const first = await started()
  const idle = first.positions.position()
  const backup = first.database.after(first.database.batches)
  await first.accept(1, 2)
  const forgotten = first.positions.position()
  const restored = await first.restart(backup)
  await restored.accept(5, 6, 7)
  assert.equal(await restored.listed(forgotten), undefined)
  assert.deepEqual(await restored.listed(idle), [5, 6, 7])
})

test('a lineage that no member drew is unknown, and so is a sequence that has not been used yet', async () => {
  const { positions, accept, listed } = await started()
  await accept(1)
  const { lineage, sequence } = positions.position()
  assert.equal(await listed({ lineage: Buffer.alloc(16, 1), sequence: 0 }), undefined)
  assert.equal(await listed({ lineage, sequence: sequence + 1 }), undefined)
  assert.equal(await listed({ lineage, sequence: Number.MAX_SAFE_INTEGER }), undefined)
})

test('a replay keeps the sequences of the rows, and the next start goes on after them', async () => {
  const before = await open()
  await before.index_(40, [1, 2])
  await before.index_(10, [3])
  await before.positions.load()
  assert.equal(before.positions.take(1), 42)
  assert.deepEqual(
    (await before.positions.news(REST, { ...before.positions.position(), sequence: 0 }, 9))?.ids.map(id => id[0]),
    [3, 1, 2]
  )
})

test('sequences are not used again after a restart, even if nothing that has them is left', async () => {
  const first = await started()
  await first.accept(1, 2)
  const sink = new IndexOps()
  await first.positions.removeFrom(sink, [item(2, 1)])
  await first.index.batch(sink.all)
  const end = first.positions.position()
  const second = await first.restart()
  assert.equal(second.positions.position().sequence, end.sequence)
  assert.deepEqual(await second.listed(end), [])
})

test('the totals count the statements that are in the log, without statuses', async () => {
  const { positions, index, accept } = await started()
  const totals = async () => {
    const { count, sum } = await positions.totals(REST)
    return { count, sum: toHex(sum) }
  }
  assert.deepEqual(await totals(), { count: 0, sum: sumOf() })
  await accept(255, 250, 3)
  assert.deepEqual(await totals(), { count: 3, sum: sumOf(255, 250, 3) })
  // One batch adds and removes.
  const sink = new IndexOps()
  await positions.addTo(sink, [item(9, 3), item(8, 4, false)])
  await positions.removeFrom(sink, [item(250, 1), item(8, 4, false)])
  assert.deepEqual(await totals(), { count: 3, sum: sumOf(255, 250, 3) }, 'a batch that is not written changes nothing')
  await index.batch(sink.all)
  assert.deepEqual(await totals(), { count: 3, sum: sumOf(255, 3, 9) })
  assert.deepEqual(await positions.totals(MEMBERSHIP), { count: 0, sum: Buffer.alloc(32) })
})

test('only the newest starts are remembered', async () => {
  const { positions, index } = await started()
  const oldest = positions.position()
  const start = async () => {
    const next = new Positions({ index, chance, logger: silentLogger })
    await next.load()
    return next
  }
  const second = (await start()).position()
  for (let i = 2; i < LINEAGES_MAX; i++) await start()
  const last = await start()
  assert.equal(await last.news(REST, oldest, 9), undefined)
  assert.deepEqual((await last.news(REST, second, 9))?.ids, [])
})
