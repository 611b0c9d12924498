import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Blocks } from '../../../src/blocks/blocks.ts'
import { HEADS_MAX } from '../../../src/catalog/constants.ts'
import { pastOf, pastOfAll } from '../../../src/catalog/heads.ts'
import { COUNTS_KEY, entryKey } from '../../../src/catalog/rows/keys.ts'
import { indexKey } from '../../../src/disk/index-db.ts'
import { IndexOps } from '../../../src/disk/index-sink.ts'
import { TABLES } from '../../../src/disk/tables.ts'
import { nameBlock } from '../../../src/format/cid.ts'
import { covers, type EntryRecord } from '../../../src/format/entry.ts'
import { peerIdOf } from '../../../src/format/peer-id.ts'
import { compareStamps, hlcAt } from '../../../src/format/stamp.ts'
import { compareBytes, toHex } from '../../../src/util/bytes.ts'
import { acceptedBy } from '../../fixtures/accepted.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'
import { admin, carrying, directoryAt, fileWith, Setup, type Signed, sign, writer } from './setup.ts'

const [D, E, F] = [0xd0, 0xe0, 0xf0].map(byte => Buffer.alloc(16, byte)) as [Buffer, Buffer, Buffer]
const accepted = ({ statement, record }: Signed) => acceptedBy(record.stamp.author, statement)

test('the number of files stays correct after a batch that failed, after a replay, and after a rebuild', async () => {
  const setup = await Setup.open()
  const made = sign({ entry: D, ...directoryAt('dir') })
  const one = sign({ entry: E, ...fileWith('1', { parent: D, name: 'one' }) })
  const two = sign({ entry: F, ...fileWith('2', { name: 'two' }) })
  const gone = sign({ entry: F, seen: pastOf(two.record), op: 'delete' })
  await setup.add(made, one)
  assert.equal(await setup.tree.countFiles(), 1)
  // The index accepts nothing of this batch.
  await setup.projection.project({ added: [accepted(two)], removed: [] }, new IndexOps())
  assert.equal(await setup.tree.countFiles(), 1)
  await setup.add(two)
  await setup.add(two, one)
  assert.equal(await setup.tree.countFiles(), 2)
  await setup.add(gone)
  assert.equal(await setup.tree.countFiles(), 1)
  const rebuilt = await Setup.open()
  await rebuilt.add(gone, one, two, made)
  assert.equal(await rebuilt.tree.countFiles(), 1)
})

test('a deleted directory with something live in it is listed after a batch that failed, and after a rebuild', async () => {
  const made = sign({ entry: D, ...directoryAt('dir') })
  const child = sign({ entry: E, ...fileWith('x', { parent: D, name: 'f' }) })
  const gone = sign({ entry: D, seen: pastOf(made.record), op: 'delete', body: directoryAt('dir').body })
  const setup = await Setup.open()
  await setup.add(made, child)
  await setup.projection.project({ added: [accepted(gone)], removed: [] }, new IndexOps())
  assert.deepEqual(await setup.paths(), ['/dir', '/dir/f'])
  await setup.add(gone)
  assert.deepEqual(await setup.paths(), ['/dir', '/dir/f'])
  const rebuilt = await Setup.open()
  await rebuilt.add(gone, child, made)
  assert.deepEqual(await rebuilt.paths(), ['/dir', '/dir/f'])
})

test('an index that has lost the row of an entry, or the number of files, is rebuilt and not trusted', async () => {
  const one = sign({ entry: E, ...fileWith('1', { name: 'one' }) })
  const moved = sign({ ...carrying(one), ...fileWith('1', { name: 'moved' }) })
  const gone = sign({ entry: E, seen: pastOf(one.record), op: 'delete' })
  const isReported = { name: 'IndexCorruptError' }
  for (const key of [entryKey(E), COUNTS_KEY]) {
    const setup = await Setup.open()
    await setup.add(one)
    await setup.index.batch([{ type: 'del', key }])
    await assert.rejects(setup.add(moved), isReported)
    await assert.rejects(setup.add(gone), isReported)
  }
  const setup = await Setup.open()
  await setup.add(one)
  await setup.index.batch([{ type: 'del', key: entryKey(E) }])
  await assert.rejects(setup.add(one), isReported)
  const late = await Setup.open()
  await late.add(moved)
  await late.add(one)
  assert.deepEqual(await late.paths(), ['/moved'])
})

test('a record that carries the content of a stamp counts as written by the twin that counts, whichever comes first', async () => {
  const put = (n: number) => sign({ entry: E, ...fileWith(`${n}`, { name: 'f' }), by: admin, hlc: hlcAt(5_000_000) })
  const gone = sign({ entry: E, op: 'delete', by: admin, hlc: hlcAt(5_000_000) })
  // Of two records under one stamp the one with the smaller id counts.
  let written = put(0)
  for (let n = 1; compareBytes(written.record.id, gone.record.id) > 0; n++) written = put(n)
  const moved = sign({ ...carrying(written), by: writer, body: { ...fileWith('', { name: 'g' }).body } })
  const [first, last] = [await Setup.open(), await Setup.open()]
  await first.add(written)
  await first.add(gone)
  await first.add(moved)
  await last.add(moved)
  await last.add(gone)
  await last.add(written)
  assert.deepEqual(await first.paths(), ['/g'])
  assert.deepEqual(await last.paths(), ['/g'])
  assert.deepEqual(await last.rows(), await first.rows())
})

test('the rows about missing parents and about cycles are removed when their reason ends', async () => {
  const setup = await Setup.open()
  const rowsOf = async (table: string) => (await setup.rows()).filter(row => row.startsWith(table)).length
  const child = sign({ entry: F, ...fileWith('x', { parent: D, name: 'f' }) })
  await setup.add(child)
  assert.equal(await rowsOf(TABLES.waiting), 1)
  const elsewhere = sign({ ...carrying(child), ...fileWith('x', { name: 'f' }) })
  await setup.add(elsewhere)
  assert.equal(await rowsOf(TABLES.waiting), 0)
  const [one, two] = [sign({ entry: D, ...directoryAt('one', E) }), sign({ entry: E, ...directoryAt('two', D) })]
  await setup.add(one, two)
  assert.equal(await rowsOf(TABLES.cycles), 2)
  await setup.add(sign({ ...carrying(one), ...directoryAt('one') }))
  assert.equal(await rowsOf(TABLES.cycles), 0)
  assert.deepEqual(await setup.paths(), ['/f', '/one', '/one/two'])
})

test('an entry whose statement was damaged shows under its name once the statement has arrived again', async () => {
  const first = sign({ entry: F, ...fileWith('1', { name: 'one' }), hlc: hlcAt(1_000) })
  // These two have not seen each other. Once the second one is deleted, the first one places the entry again.
  const second = sign({
    entry: F,
    ...fileWith('2', { name: 'two' }),
    hlc: hlcAt(2_000),
    incarnation: Buffer.alloc(8, 2)
  })
  const gone = sign({ entry: F, seen: pastOf(second.record), op: 'delete', hlc: hlcAt(3_000) })
  const setup = await Setup.open()
  await setup.add(first)
  await setup.add(second)
  const stateOf = setup.bodies.stateOf.bind(setup.bodies)
  setup.bodies.stateOf = async () => 'damaged'
  await setup.add(gone)
  assert.deepEqual(await setup.paths(), ['/damaged-f0f0f0f0'])
  await setup.add(first)
  setup.bodies.stateOf = stateOf
  assert.deepEqual(await setup.paths(), ['/one'])
  assert.equal((await setup.at('/one'))?.kind, 'file')
})

test('records of an entry with more heads than its row has room for leave the same rows, and cover the same puts, in any order', async () => {
  let withOlder = 0
  let covered = 0
  for (let seed = 1; seed <= 5; seed++) {
    const chance = seededChance(seed)
    const records: Signed[] = []
    const count = HEADS_MAX + 56
    for (let i = 0; i < count; i++) {
      const share = i > count - 4 ? 0.06 : i % 31 === 30 ? 0.1 : 0.002
      const some = records.filter(() => chance.fraction() < share).map(({ record }) => record)
      const twin = chance.fraction() < 0.1 ? records.at(-1) : undefined
      const stamp = twin?.record.stamp ?? { hlc: hlcAt(1_000 + i), incarnation: Buffer.alloc(8, i % 90) }
      const seen = pastOfAll(some).filter(item => item.hlc < stamp.hlc)
      const { hlc, incarnation } = stamp
      const isDelete = chance.fraction() < 0.1
      const what = isDelete ? { op: 'delete' as const } : fileWith(`${i}`, { name: `f${i}` })
      records.push(sign({ entry: F, ...what, seen, hlc, incarnation, by: admin }))
    }
    let expected: string[] | undefined
    for (let order = 0; order < 3; order++) {
      const setup = await Setup.open()
      const keyed = records.map(record => ({ record, key: order === 0 ? 0 : chance.fraction() }))
      const list = keyed.sort((a, b) => a.key - b.key).map(({ record }) => record)
      for (let start = 0; start < list.length; ) {
        const count = order === 1 ? list.length : 1 + Math.floor(chance.fraction() * 4)
        await setup.add(...list.slice(start, start + count))
        start += count
      }
      const rows = await setup.rows()
      expected ??= rows
      assert.deepEqual(rows, expected, `seed ${seed}, order ${order}`)
      // A twin that does not count is not called covered, unless it counted at first.
      const isTwin = ({ record }: Signed): boolean =>
        records.some(({ record: { id, stamp } }) => id !== record.id && compareStamps(stamp, record.stamp) === 0)
      const single = records.filter(record => !isTwin(record)).map(({ record }) => record)
      const isSeen = ({ stamp, id }: EntryRecord): boolean =>
        records.some(({ record }) => record.id !== id && covers(record, stamp))
      for (const record of single)
        assert.equal(setup.covered.has(toHex(record.id)), record.op === 'put' && isSeen(record), `seed ${seed}`)
      covered += setup.covered.size
    }
    if (expected?.some(row => row.startsWith(TABLES.olderHeads))) withOlder++
  }
  assert.ok(withOlder > 0 && covered > 0, `${withOlder} ${covered}`)
})

test('a record counts as indexed only with the claim on its root, and a head only with the rows of what it has seen', async () => {
  const setup = await Setup.open()
  const root = nameBlock(Buffer.from('block')).bytes
  const file = fileWith('1', { name: 'one' })
  const { content: _, ...body } = file.body
  const first = sign({ entry: E, ...file })
  const second = sign({ entry: E, ...file, root, body: { ...body, key: Buffer.alloc(32) }, seen: pastOf(first.record) })
  await setup.add(first, second)
  assert.ok(await setup.projection.isIndexed(accepted(second)))
  for (const table of [TABLES.claims, TABLES.seen]) {
    const lost = []
    for await (const row of setup.index.range(indexKey(table))) lost.push(row)
    assert.ok(lost.length > 0)
    await setup.index.batch(lost.map(({ key }) => ({ type: 'del', key })))
    assert.ok(!(await setup.projection.isIndexed(accepted(second))), table)
    await setup.index.batch(lost.map(row => ({ type: 'put', ...row })))
  }
})

test('a record that was released counts as indexed without a claim on its root', async () => {
  const setup = await Setup.open()
  const root = nameBlock(Buffer.from('block'))
  const file = fileWith('1', { name: 'one' })
  const { content: _, ...body } = file.body
  const signed = sign({ entry: E, ...file, root: root.bytes, body: { ...body, key: Buffer.alloc(32) } })
  await setup.add(signed)
  const author = peerIdOf(signed.record.stamp.author)
  await setup.index.batch(Blocks.releaseOps({ id: signed.record.id, root, replicas: 1, author }))
  assert.equal(await setup.index.has(Blocks.referenceKey({ id: signed.record.id, root })), false)
  assert.ok(await setup.projection.isIndexed(accepted(signed)))
})
