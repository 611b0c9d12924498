import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HEADS_MAX } from '../../../src/catalog/constants.ts'
import { pastOfAll } from '../../../src/catalog/heads.ts'
import { entryKey } from '../../../src/catalog/rows/keys.ts'
import { SEEN_MAX } from '../../../src/format/constants.ts'
import { idOf } from '../../../src/format/statement.ts'
import { toHex } from '../../../src/util/bytes.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'
import { admin, fileWith, Setup, type Signed, sign } from './setup.ts'

const ENTRY = Buffer.alloc(16, 1)
const MORE = 6

/** Writes that have not seen one another. */
function writes(count: number): Signed[] {
  return Array.from({ length: count }, (_, i) =>
    sign({ entry: ENTRY, ...fileWith(`${i}`, { name: 'f' }), incarnation: Buffer.alloc(8, i) })
  )
}

async function headsAfter(batches: Signed[][]): Promise<string[]> {
  const setup = await Setup.open()
  for (const batch of batches) await setup.add(...batch)
  const { row } = (await setup.tree.entry(ENTRY))!
  return row.state.heads.map(({ id }) => toHex(id))
}

test('an entry keeps its latest heads, and older ones come back once those are covered, in any order', async () => {
  const records = writes(HEADS_MAX + MORE)
  const [old, latest] = [records.slice(0, MORE), records.slice(MORE)]
  const ids = (list: readonly Signed[]): string[] => list.map(({ statement }) => idOf(statement))
  const seen = pastOfAll(latest.map(({ record }) => record)).slice(0, SEEN_MAX)
  const over = sign({ entry: ENTRY, ...fileWith('over', { name: 'f' }), seen, incarnation: Buffer.alloc(8, 0xee) })
  // This record covers one head and becomes one, so the number of heads stays the same.
  const one = sign({ entry: ENTRY, ...fileWith('one', { name: 'f' }), seen: pastOfAll([latest[0]!.record]), by: admin })
  const chance = seededChance(5)
  const orders = [
    (all: Signed[]) => all,
    (all: Signed[]) => all.toReversed(),
    (all: Signed[]) =>
      all
        .map(item => [item, chance.fraction()] as const)
        .sort((a, b) => a[1] - b[1])
        .map(([item]) => item)
  ]
  for (const [set, expected] of [
    [records, ids(latest)],
    [
      [...records, over],
      [...ids(old), idOf(over.statement)]
    ],
    [
      [...records, one],
      [...ids(latest.slice(1)), idOf(one.statement)]
    ]
  ] as const) {
    assert.deepEqual(await headsAfter([[...set]]), expected)
    for (const order of orders) {
      const all = order([...set])
      assert.deepEqual(await headsAfter(all.map(record => [record])), expected)
    }
  }
})

test('the row of an entry does not grow with what its records have seen', async () => {
  const setup = await Setup.open()
  const sizes: number[] = []
  const chance = seededChance(6)
  let last: Signed | undefined
  for (let i = 0; i < 12; i++) {
    const made = Array.from({ length: SEEN_MAX - 1 }, () => ({
      hlc: 5n,
      author: chance.bytes(32),
      incarnation: chance.bytes(8)
    }))
    const seen = [...made, ...(last === undefined ? [] : [last.record.stamp])]
    last = sign({ entry: ENTRY, ...fileWith(`${i}`, { name: 'f' }), seen })
    await setup.add(last)
    sizes.push((await setup.index.get(entryKey(ENTRY)))!.byteLength)
  }
  const { row } = (await setup.tree.entry(ENTRY))!
  assert.deepEqual(
    row.state.heads.map(({ id }) => toHex(id)),
    [idOf(last!.statement)]
  )
  assert.ok(Math.max(...sizes) < sizes[0]! + 200, sizes.join())
})

test('a record of an entry that has as many heads as fit, with long pasts, does not write the pasts of the others again', async () => {
  const setup = await Setup.open()
  const chance = seededChance(7)
  const wide = (): Signed =>
    sign({
      entry: ENTRY,
      ...fileWith('x', { name: 'f' }),
      incarnation: chance.bytes(8),
      seen: Array.from({ length: SEEN_MAX }, () => ({
        author: chance.bytes(32),
        incarnation: chance.bytes(8),
        hlc: 5n
      }))
    })
  const records = Array.from({ length: HEADS_MAX + 2 }, wide)
  const last = records.pop() as Signed
  for (const record of records) await setup.add(record)
  const before = (await setup.tree.entry(ENTRY))?.row.state.heads ?? []
  assert.equal(before.length, HEADS_MAX)
  assert.ok(before.every(({ seen }) => seen.length === SEEN_MAX))
  let bytes = 0
  const batch = setup.index.batch.bind(setup.index)
  setup.index.batch = async ops => {
    for (const op of ops) bytes += op.key.byteLength + (op.type === 'put' ? op.value.byteLength : 0)
    return batch(ops)
  }
  await setup.add(last)
  assert.ok(bytes < 8 * last.statement.bytes.byteLength, `${bytes} bytes of the index were written`)
  const { row } = (await setup.tree.entry(ENTRY)) as NonNullable<Awaited<ReturnType<typeof setup.tree.entry>>>
  assert.deepEqual(row.state.heads.at(-1)?.seen, last.record.seen)
})
