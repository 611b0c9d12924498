import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WAITING_SEEN_MAX } from '../../../src/catalog/constants.ts'
import { SEEN_MAX } from '../../../src/format/constants.ts'
import { FormatError } from '../../../src/format/errors.ts'
import type { Hlc } from '../../../src/format/stamp.ts'
import { toHex } from '../../../src/util/bytes.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'
import { admin, carrying, fileWith, otherWriter, Setup, type Signed, sign, writer } from './setup.ts'

const ENTRY = Buffer.alloc(16, 0xf0)
const T: Hlc = 1_800_000_000_000n << 16n

/** The path and the content that show after the records have arrived in these batches. */
async function shownAfter(...batches: Signed[][]): Promise<string> {
  const setup = await Setup.open()
  for (const batch of batches) await setup.add(...batch)
  const [path] = await setup.paths()
  if (path === undefined) return 'nothing'
  const node = await setup.at(path)
  return node?.kind === 'file' ? `${path} ${Buffer.from(node.body!.content!)}` : path
}

function* ordersOf<T>(list: readonly T[]): Generator<T[]> {
  if (list.length === 0) yield []
  for (const [i, first] of list.entries()) for (const rest of ordersOf(list.toSpliced(i, 1))) yield [first, ...rest]
}

const wrote = sign({ entry: ENTRY, ...fileWith('old seal', { name: 'f' }), by: writer, hlc: T })
/** An admin seals the same content again: another root under the old `written`. */
const resealed = sign({
  ...carrying(wrote),
  ...fileWith('new seal', { name: 'f' }),
  placed: wrote.record.placed,
  by: admin,
  incarnation: Buffer.alloc(8, 2),
  hlc: T + 1n
})
/** A writer moves the file that the admin has sealed again. */
const moved = sign({ ...carrying(resealed), ...fileWith('new seal', { name: 'g' }), by: otherWriter, hlc: T + 2n })

test('content that an admin has sealed again is shown, whatever the log knows about grants at that time', async () => {
  const setup = await Setup.open()
  // Compaction may write the row of a grant after those of the records that were signed under it.
  setup.log.get = async () => undefined
  await setup.add(wrote, resealed)
  const node = await setup.at('/f')
  assert.equal(node?.kind === 'file' && Buffer.from(node.body!.content!).toString(), 'new seal')
})

test("a writer's move of what an admin has sealed again counts as soon as the admin's record is here", async () => {
  for (const order of ordersOf([wrote, resealed, moved])) {
    assert.equal(await shownAfter(...order.map(record => [record])), '/g new seal')
    assert.equal(await shownAfter(order), '/g new seal')
  }
  assert.equal(await shownAfter([moved, moved], [wrote, wrote, resealed, resealed]), '/g new seal')
  const setup = await Setup.open()
  await setup.add(moved, moved)
  await setup.add(wrote)
  assert.equal((await setup.tree.entry(ENTRY))!.row.state.waiting, 1 + moved.record.seen.length)
  assert.equal(await shownAfter([wrote, moved]), '/f old seal', 'until then what was there before shows')
  assert.equal(await shownAfter([moved]), 'nothing')
  assert.equal(await shownAfter([moved], [wrote], [moved], [resealed], [moved]), '/g new seal', 'some of them twice')
})

test('a writer cannot put another root under what somebody else wrote', async () => {
  const forged = sign({ ...carrying(wrote), ...fileWith('forged', { name: 'h' }), by: otherWriter, hlc: T + 3n })
  for (const order of ordersOf([wrote, resealed, forged])) assert.equal(await shownAfter(order), '/f new seal')
  assert.equal(await shownAfter([wrote], [forged]), '/f old seal')
  assert.equal(await shownAfter([forged]), 'nothing')
})

test('a write covers the content that is shown, and a record can be covered while it waits', async () => {
  const over = sign({ entry: ENTRY, ...fileWith('over', { name: 'f' }), seen: carrying(wrote).seen, hlc: T + 5n })
  for (const order of ordersOf([wrote, moved, over])) assert.equal(await shownAfter(order), '/f over')
})

test('the smaller id counts if two records have one stamp, and whatever the other has seen is covered too', async () => {
  const chance = seededChance(3)
  const left = sign({ entry: ENTRY, ...fileWith('left', { name: 'left' }), incarnation: chance.bytes(8), hlc: T })
  const right = sign({ entry: ENTRY, ...fileWith('right', { name: 'right' }), incarnation: chance.bytes(8), hlc: T })
  const twin = (name: string, seen: Signed): Signed =>
    sign({
      entry: ENTRY,
      ...fileWith(name, { name }),
      seen: carrying(seen).seen,
      incarnation: Buffer.alloc(8, 7),
      hlc: T + 1n
    })
  const twins = [twin('one', left), twin('two', right)].sort((a, b) => Buffer.compare(a.record.id, b.record.id))
  const [first] = twins as [Signed, Signed]
  for (const order of ordersOf([left, right, ...twins])) {
    const setup = await Setup.open()
    if (order[0] === left) await setup.add(...order)
    else for (const record of order) await setup.add(record)
    const { heads, writes } = (await setup.tree.entry(ENTRY))!.row.state
    assert.deepEqual(
      heads.map(({ id }) => toHex(id)),
      [toHex(first.record.id)]
    )
    assert.equal(writes, 3)
  }
})

test('no more than a bounded number of records wait for one entry, and the others of the batch do not suffer', async () => {
  const setup = await Setup.open()
  const seen = Array.from({ length: SEEN_MAX - 1 }, (_, i) => ({
    author: Buffer.alloc(32, i),
    incarnation: Buffer.alloc(8, 1),
    hlc: 5n
  }))
  const waits = (i: number): Signed =>
    sign({
      ...carrying(wrote),
      ...fileWith('forged', { name: 'h' }),
      seen: [...seen, ...carrying(wrote).seen],
      by: otherWriter,
      hlc: T + 10n + BigInt(i)
    })
  const fits = Math.floor(WAITING_SEEN_MAX / (SEEN_MAX + 1))
  for (let i = 0; i < fits; i++) await setup.add(waits(i))
  await assert.rejects(setup.add(waits(fits)), FormatError)
  await setup.add(wrote)
  assert.deepEqual(await setup.paths(), ['/f'])
  // All of them begin to count at once.
  await setup.add(sign({ ...carrying(wrote), ...fileWith('forged', { name: 'f' }), by: admin, hlc: T + 9n }))
  assert.deepEqual(await setup.paths(), ['/h'])
  assert.equal((await setup.tree.entry(ENTRY))!.row.state.waiting, 0)
})
