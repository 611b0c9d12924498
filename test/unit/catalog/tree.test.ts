import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CYCLE_MAX, ORPHAN_MS } from '../../../src/catalog/constants.ts'
import { pastOfAll } from '../../../src/catalog/heads.ts'
import { findCycle } from '../../../src/catalog/rows/cycles.ts'
import { ROW_WITHOUT_PLACE } from '../../../src/catalog/rows/entry-row.ts'
import { ROOT_ENTRY } from '../../../src/format/entry.ts'
import { FormatError } from '../../../src/format/errors.ts'
import { hlcAt } from '../../../src/format/stamp.ts'
import { equalBytes, toHex } from '../../../src/util/bytes.ts'
import { seededChance, shuffled } from '../../fixtures/seeded-chance.ts'
import {
  admin,
  carrying,
  directoryAt,
  epoch,
  fileWith,
  lateEpoch,
  ringWithBoth,
  ringWithout,
  Setup,
  type Signed,
  type SignInit,
  sign,
  writer
} from './setup.ts'

/** The number is far larger with `DFS_LONG=1`, which `npm run test:long` sets. */
const SEEDS = process.env['DFS_LONG'] === '1' ? 1_000 : 20
/** Seeds that have failed. */
const FOUND = [169]

const idOf = (byte: number): Buffer => Buffer.alloc(16, byte)
const [D, E, F, CHILD] = [idOf(0xd0), idOf(0xe0), idOf(0xf0), idOf(0xc0)]
const CHILD_AT_ROOT = `/child (conflict ${toHex(CHILD)})`

/** The paths that show two hours after these records have arrived one by one. */
async function pathsAfter(...records: Signed[]): Promise<string[]> {
  const setup = await Setup.open()
  for (const record of records) await setup.add(record)
  setup.clock.advance(2 * ORPHAN_MS)
  return setup.paths()
}

test('children of a directory that no longer opens show at the root, and below it again once it opens', async () => {
  const made = sign({ entry: D, ...directoryAt('dir') })
  const child = sign({ entry: CHILD, ...fileWith('x', { parent: D, name: 'child' }) })
  const bad = sign({ ...carrying(made), ...directoryAt('dir'), isForged: true })
  const good = sign({ ...carrying(bad), ...directoryAt('again') })
  for (const order of [
    [made, child, bad],
    [made, bad, child],
    [child, bad, made],
    [bad, child, made]
  ])
    assert.deepEqual(await pathsAfter(...order), [CHILD_AT_ROOT, '/damaged-d0d0d0d0'])
  for (const order of [
    [made, child, bad, good],
    [good, bad, child, made]
  ])
    assert.deepEqual(
      await pathsAfter(...order),
      ['/again/', '/again/child'].map(path => path.replace(/\/$/, ''))
    )
})

test('the children of a directory that a record without a body deleted show at the root', async () => {
  const made = sign({ entry: D, ...directoryAt('dir') })
  const child = sign({ entry: CHILD, ...fileWith('x', { parent: D, name: 'child' }) })
  const removed = sign({ entry: D, seen: carrying(made).seen, op: 'delete' })
  for (const order of [
    [made, child, removed],
    [made, removed, child],
    [removed, child, made]
  ])
    assert.deepEqual(await pathsAfter(...order), [CHILD_AT_ROOT])
})

test('a child that changes while its parent is made and deleted does not get lost', async () => {
  const child = sign({ entry: CHILD, ...fileWith('x', { parent: D, name: 'child' }) })
  const made = sign({ entry: D, ...directoryAt('dir') })
  const removed = sign({ entry: D, seen: carrying(made).seen, op: 'delete' })
  const changed = sign({ ...carrying(child), ...fileWith('x', { parent: D, name: 'child' }) })
  assert.deepEqual(await pathsAfter(child, made, removed, changed), [CHILD_AT_ROOT])
})

test('a child waits for an unknown parent, but shows at once if the known parent is no directory', async () => {
  const setup = await Setup.open()
  await setup.add(sign({ entry: CHILD, ...fileWith('x', { parent: D, name: 'child' }) }))
  assert.deepEqual(await setup.paths(), [])
  await setup.add(sign({ entry: D, ...fileWith('x', { name: 'file' }) }))
  assert.deepEqual(await setup.paths(), [CHILD_AT_ROOT, '/file'])
})

test('a cycle shows once, at the root, and its listing has an end', async () => {
  const one = sign({ entry: D, ...directoryAt('one', E) })
  const two = sign({ entry: E, ...directoryAt('two', D) })
  const child = sign({ entry: CHILD, ...fileWith('x', { parent: D, name: 'child' }) })
  const shown = [`/two (conflict ${toHex(E)})`, '/one', '/child'].map((_, i, all) => all.slice(0, i + 1).join(''))
  for (const order of [
    [one, two, child],
    [child, two, one]
  ])
    assert.deepEqual(await pathsAfter(...order), shown)
  const self = sign({ entry: F, ...directoryAt('self', F) })
  assert.deepEqual(await pathsAfter(self), [`/self (conflict ${toHex(F)})`])
})

test('a cycle of at most CYCLE_MAX directories is found from each of them', async () => {
  const idAt = (i: number): Buffer => Buffer.alloc(16, `f${i}`.padStart(8, '0'), 'hex')
  for (const length of [1, 2, CYCLE_MAX, CYCLE_MAX + 1]) {
    const rows = new Map(
      Array.from({ length }, (_, i) => [
        toHex(idAt(i)),
        { ...ROW_WITHOUT_PLACE, kind: 'directory' as const, parent: idAt((i + 1) % length) }
      ])
    )
    for (const at of [0, length >> 1, length - 1]) {
      const cycle = await findCycle(idAt(at), async entry => rows.get(toHex(entry)), new Set())
      assert.equal(cycle?.length, length > CYCLE_MAX ? undefined : length)
    }
  }
})

test('a record may carry only the content of the record under the stamp it names, whichever comes first', async () => {
  const wrote = sign({ entry: D, ...fileWith('wrote', { name: 'f' }) })
  const moved = sign({
    ...carrying(wrote),
    ...fileWith('wrote', { name: 'moved' }),
    hlc: wrote.record.stamp.hlc + 1n,
    incarnation: idOf(2).subarray(8),
    by: writer
  })
  const { root, rootEpoch, body } = fileWith('forged', { name: 'forged' })
  const seen = carrying(moved).seen
  const forged = sign({
    entry: D,
    seen,
    written: wrote.record.written,
    root,
    rootEpoch,
    body,
    by: writer,
    hlc: wrote.record.stamp.hlc + 2n,
    incarnation: idOf(3).subarray(8)
  })
  for (const order of [
    [wrote, moved, forged],
    [wrote, forged, moved],
    [forged, moved, wrote]
  ])
    assert.deepEqual(await pathsAfter(...order), ['/moved'])
})

test('any records add up to the same tree and the same rows of the index, in any order and any batches, if they arrive twice, and whenever the key arrives', async () => {
  for (const seed of [...Array.from({ length: SEEDS }, (_, i) => i + 1), ...FOUND]) {
    const chance = seededChance(seed)
    const records = drawRecords(chance)
    let expected: string[] | undefined
    for (let order = 0; order < 4; order++) {
      const { keys, addLate } = ringWithout()
      const setup = await Setup.open({ keys: order < 2 ? ringWithBoth() : keys })
      const arriving = order === 1 ? [...records, ...records] : records
      const batches = batchesOf(order === 0 ? records : shuffled(arriving, chance), chance)
      const keyAt = Math.floor(chance.fraction() * (batches.length + 1))
      for (const [i, batch] of [...batches, []].entries()) {
        if (i === keyAt) {
          addLate()
          await setup.sealed.open()
        }
        if (batch.length > 0) await setup.add(...batch)
      }
      // All records arrive once more, as after a crash.
      if (order === 2) for (const batch of batchesOf(shuffled(records, chance), chance)) await setup.add(...batch)
      const rows = await setup.rows()
      setup.clock.advance(2 * ORPHAN_MS)
      const found = [...(await setup.listing()), ...(await headsOf(setup)), ...rows]
      expected ??= found
      assert.deepEqual(found, expected, `seed ${seed}, order ${order}`)
    }
  }
})

/** The state of each entry, whether it shows or not. */
async function headsOf(setup: Setup): Promise<string[]> {
  const found = await Promise.all([D, E, CHILD].map(id => setup.tree.entry(id)))
  return found.map(entry =>
    entry === undefined
      ? 'none'
      : [entry.row.state.writes, entry.shown.isDeleted, ...entry.row.state.heads.map(({ id }) => toHex(id))].join()
  )
}

type Chance = ReturnType<typeof seededChance>

/** Random records of a few entries: anything that the format accepts, even what no honest member writes. */
function drawRecords(chance: Chance): Signed[] {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(chance.fraction() * list.length)] as T
  const entries = [D, E, CHILD]
  const parents = [ROOT_ENTRY, D, E, idOf(0xbb)]
  const all: Signed[] = []
  const count = 3 + chance.fraction() * 20
  while (all.length < count) {
    const entry = pick(entries)
    const own = all.filter(({ record }) => equalBytes(record.entry, entry)).map(({ record }) => record)
    const known = own.filter(() => chance.fraction() < 0.6)
    const past = pastOfAll(known)
    const stamps = [null, null, ...past.filter(() => chance.fraction() < 0.7), ...known.map(record => record.stamp)]
    const by = pick([admin, writer])
    const incarnation = Buffer.alloc(8, pick([1, 2]))
    const twin = pick([
      undefined,
      undefined,
      undefined,
      own.find(({ stamp }) => equalBytes(stamp.author, by.publicKey))
    ])
    const hlc = twin?.stamp.hlc ?? hlcAt(1_000_000 + all.length)
    const [parent, name] = [pick(parents), pick(['a', 'b'])]
    const isDirectory = chance.fraction() < (entry === CHILD ? 0.1 : 0.7)
    const carried = pick([undefined, ...known.filter(({ op }) => op === 'put')])
    const file = { ...fileWith(pick(['x', 'y']), { parent, name }) }
    const what = isDirectory ? directoryAt(name, parent) : file
    const init: SignInit =
      chance.fraction() < 0.25
        ? { entry, op: 'delete', body: chance.fraction() < 0.5 ? directoryAt(name, parent).body : null }
        : {
            entry,
            ...what,
            written: carried?.written ?? null,
            isForged: chance.fraction() < 0.15,
            epoch: (chance.fraction() < 0.3 ? lateEpoch : epoch).id
          }
    const rest = { seen: past, placed: pick(stamps), incarnation: twin?.stamp.incarnation ?? incarnation, by, hlc }
    try {
      all.push(sign({ ...init, ...rest }))
    } catch (error) {
      if (!(error instanceof FormatError)) throw error
    }
  }
  return all
}

function batchesOf<T>(list: readonly T[], chance: Chance): T[][] {
  const batches: T[][] = []
  for (const item of list) {
    const last = batches.at(-1)
    if (last === undefined || chance.fraction() < 0.7) batches.push([item])
    else last.push(item)
  }
  return batches
}
