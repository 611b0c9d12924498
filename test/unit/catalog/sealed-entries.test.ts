import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OPEN_AT_ONCE, ORPHAN_MS, PROBES_MAX } from '../../../src/catalog/constants.ts'
import { pastOf } from '../../../src/catalog/heads.ts'
import { TABLES } from '../../../src/disk/tables.ts'
import { parsePath } from '../../../src/format/path.ts'
import { hlcAt } from '../../../src/format/stamp.ts'
import { toHex } from '../../../src/util/bytes.ts'
import { permutations } from '../../fixtures/permutations.ts'
import {
  carrying,
  directoryAt,
  fileWith,
  lateEpoch,
  ringWithBoth,
  ringWithout,
  Setup,
  type Signed,
  sign
} from './setup.ts'

const idOf = (byte: number): Buffer => Buffer.alloc(16, byte)
const [D, E, F, G] = [idOf(0xd0), idOf(0xe0), idOf(0xf0), idOf(0x10)]
const LATE = { epoch: lateEpoch.id }
const INCARNATION = Buffer.alloc(8, 2)

type Step = Signed | 'key'

/** A member for which the steps have happened one by one. The entries that waited for the key have been opened. */
async function after(steps: readonly Step[]): Promise<Setup> {
  const { keys, addLate } = ringWithout()
  const setup = await Setup.open({ keys })
  for (const step of steps) {
    if (step === 'key') {
      addLate()
      await setup.sealed.open()
    } else await setup.add(step)
  }
  return setup
}

/** Checks that some records and the key lead to the same rows in every order as they do if the key is there first. */
async function assertSame(records: readonly Signed[]): Promise<Setup> {
  const first = await Setup.open({ keys: ringWithBoth() })
  for (const record of records) await first.add(record)
  const expected = await first.rows()
  for (const order of permutations<Step>([...records, 'key'])) {
    const setup = await after(order)
    assert.deepEqual(await setup.rows(), expected)
  }
  return first
}

test('records, a delete, a move and the key end in the same rows of the index in any order', async () => {
  const dir = sign({ entry: D, ...directoryAt('dir'), ...LATE })
  const file = sign({ entry: F, ...fileWith('x', { parent: D, name: 'file' }), ...LATE })
  const moved = sign({ ...carrying(file), ...fileWith('x', { parent: E, name: 'moved' }), ...LATE })
  const removed = sign({ entry: D, seen: pastOf(dir.record), op: 'delete', body: directoryAt('dir').body, ...LATE })
  const other = sign({ entry: E, ...directoryAt('other') })
  const setup = await assertSame([dir, file, moved, removed, other])
  assert.deepEqual(await setup.paths(), ['/other', '/other/moved'])
})

test('a deleted directory that opens late shows again exactly if a live entry is below it', async () => {
  const dir = sign({ entry: D, ...directoryAt('dir') })
  const removed = sign({ entry: D, seen: pastOf(dir.record), op: 'delete', body: directoryAt('dir').body, ...LATE })
  const inner = sign({ entry: E, ...directoryAt('inner', D), ...LATE })
  const gone = sign({ entry: E, seen: pastOf(inner.record), op: 'delete', body: directoryAt('inner', D).body, ...LATE })
  assert.deepEqual(await (await assertSame([dir, removed, inner, gone])).paths(), [])
  const file = sign({ entry: F, ...fileWith('x', { parent: E, name: 'file' }) })
  assert.deepEqual(await (await assertSame([dir, removed, inner, file])).paths(), [
    '/dir',
    '/dir/inner',
    '/dir/inner/file'
  ])
})

test('entries that were readable, and then written in an epoch that is not, end in the same rows in any order', async () => {
  const one = sign({ entry: F, ...fileWith('1', { name: 'one' }), hlc: hlcAt(1_000) })
  const two = sign({
    entry: F,
    ...fileWith('2', { name: 'two' }),
    ...LATE,
    hlc: hlcAt(2_000),
    incarnation: INCARNATION
  })
  const three = sign({ ...carrying(two), ...fileWith('2', { name: 'three' }), hlc: hlcAt(3_000) })
  const gone = sign({ entry: F, seen: pastOf(three.record), op: 'delete', hlc: hlcAt(4_000) })
  assert.equal((await (await assertSame([one, two])).paths())[0], '/two')
  await assertSame([one, two, three, gone])
})

test('directories that were moved into each other show as a cycle once the key is there, in any order', async () => {
  const one = sign({ entry: D, ...directoryAt('one', E), ...LATE })
  const two = sign({ entry: E, ...directoryAt('two', D) })
  const child = sign({ entry: G, ...directoryAt('child', D), ...LATE })
  assert.equal((await (await assertSame([one, two, child])).paths()).length, 3)
})

test('a member without the key has an empty tree, no damaged entry and no file to count', async () => {
  const dir = sign({ entry: D, ...directoryAt('dir'), ...LATE })
  const file = sign({ entry: F, ...fileWith('x', { parent: D, name: 'file' }), ...LATE })
  const removed = sign({ entry: G, op: 'delete', ...LATE })
  const setup = await after([file, dir, removed])
  setup.clock.advance(2 * ORPHAN_MS)
  assert.deepEqual([await setup.paths(), await setup.tree.countFiles()], [[], 0])
  const tables = new Set((await setup.rows()).map(row => row[0]))
  for (const table of [TABLES.children, TABLES.names, TABLES.deletedDirectories, TABLES.waiting])
    assert.equal(tables.has(table), false, table)
  const sealed = (await setup.rows()).filter(row => row[0] === TABLES.sealedEntries)
  assert.equal(sealed.length, 2, 'a delete without a body has nothing to open')
})

test('entries below a directory whose key is not here wait for it as for one that has not arrived', async () => {
  const dir = sign({ entry: D, ...directoryAt('dir'), ...LATE })
  const file = sign({ entry: F, ...fileWith('x', { parent: D, name: 'file' }) })
  const { keys, addLate } = ringWithout()
  const setup = await Setup.open({ keys })
  await setup.add(dir, file)
  assert.deepEqual(await setup.paths(), [])
  setup.clock.advance(2 * ORPHAN_MS)
  assert.deepEqual(await setup.paths(), [`/file (conflict ${toHex(F)})`])
  addLate()
  assert.deepEqual(await setup.paths(), [], 'once the key is here, the directory is about to open')
  await setup.sealed.open()
  assert.deepEqual(await setup.paths(), ['/dir', '/dir/file'])
})

test('a record that is being projected while the key arrives is opened too', async () => {
  const { keys, addLate } = ringWithout()
  const setup = await Setup.open({ keys })
  let opening: Promise<void> | undefined
  const stateOf = setup.bodies.stateOfStatement.bind(setup.bodies)
  setup.bodies.stateOfStatement = statement => {
    const state = stateOf(statement)
    if (state === 'sealed') {
      addLate()
      opening = setup.sealed.open()
    }
    return state
  }
  await setup.add(sign({ entry: F, ...fileWith('x', { name: 'file' }), ...LATE }))
  await opening
  assert.deepEqual(await setup.paths(), ['/file'])
})

test('an index that has lost the row of a sealed entry does not hold the record that places it', async () => {
  const dir = sign({ entry: D, ...directoryAt('dir'), ...LATE })
  const setup = await after([dir])
  const item = { statement: dir.statement, author: dir.record.stamp.author, role: 'admin' as const }
  const accepted = { ...item, sequence: 1, arrivedAtMs: 0, place: { segment: 1, offset: 0, length: 0 } }
  assert.equal(await setup.projection.isIndexed(accepted), true)
  const rows = setup.index.range(Buffer.from(TABLES.sealedEntries))
  for await (const { key } of rows) await setup.index.batch([{ type: 'del', key }])
  assert.equal(await setup.projection.isIndexed(accepted), false)
})

test('a key is taken for that of an epoch if it opens one entry, however many a writer has forged', async () => {
  const { keys } = ringWithout()
  const setup = await Setup.open({ keys })
  const [right, wrong] = [Buffer.alloc(32, 8), Buffer.alloc(32, 7)]
  assert.equal(await setup.sealed.opensAny(lateEpoch.id, wrong), true, 'without records nothing speaks against a key')
  const forged = Array.from({ length: PROBES_MAX }, (_, i) => idOf(i + 1))
  for (const entry of forged) await setup.add(sign({ entry, ...directoryAt(`${entry[0]}`), isForged: true, ...LATE }))
  assert.equal(await setup.sealed.opensAny(lateEpoch.id, right), false)
  await setup.add(sign({ entry: F, ...directoryAt('f'), ...LATE }))
  const isRight = async (key: Uint8Array): Promise<boolean> => setup.sealed.opensAny(lateEpoch.id, key)
  assert.equal(await isRight(wrong), false)
  // The forged entries have the smallest ids, and the entry that opens is drawn nevertheless.
  assert.equal(await isRight(right), true)
})

test('entries that a writer forges right before those of others do not hide them from the draw', async () => {
  const { keys } = ringWithout()
  const setup = await Setup.open({ keys })
  for (let i = 0; i < 3; i++) {
    const entry = Buffer.concat([Buffer.alloc(15, 0x40 + i), Buffer.of(9)])
    const before = Buffer.concat([entry.subarray(0, 15), Buffer.of(8)])
    await setup.add(sign({ entry, ...directoryAt(`real${i}`), ...LATE }))
    await setup.add(sign({ entry: before, ...directoryAt(`forged${i}`), isForged: true, ...LATE }))
  }
  assert.equal(await setup.sealed.opensAny(lateEpoch.id, Buffer.alloc(32, 8)), true)
  assert.equal(await setup.sealed.opensAny(lateEpoch.id, Buffer.alloc(32, 7)), false)
})

test('many entries are opened some at a time, and changes meanwhile do not wait for all of them', async () => {
  const { keys, addLate } = ringWithout()
  const setup = await Setup.open({ keys })
  const count = 3 * OPEN_AT_ONCE + 1
  const entries = Array.from({ length: count }, (_, i) => {
    return sign({ entry: Buffer.from(`${1e15 + i}`), ...directoryAt(`${i}`), ...LATE, hlc: hlcAt(1_000 + i) })
  })
  await setup.add(...entries)
  addLate()
  const batches: number[] = []
  setup.onProjected = items => batches.push(items.length)
  const opening = setup.sealed.open()
  const change = setup.catalog.mkdir(parsePath('/mine'), 1)
  await Promise.all([opening, change])
  assert.deepEqual([Math.max(...batches), batches.reduce((a, b) => a + b)], [OPEN_AT_ONCE, count + 1])
  assert.ok(batches.indexOf(1) < batches.length - 1, 'the change came in between')
  assert.equal((await setup.paths()).length, count + 1)
})
