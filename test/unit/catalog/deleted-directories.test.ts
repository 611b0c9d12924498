import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pastOfAll } from '../../../src/catalog/heads.ts'
import type { EntryRow } from '../../../src/catalog/rows/entry-row.ts'
import { ROOT_ENTRY } from '../../../src/format/entry.ts'
import { compareStamps } from '../../../src/format/stamp.ts'
import { compareBytes, equalBytes, toHex } from '../../../src/util/bytes.ts'
import { seededChance, shuffled } from '../../fixtures/seeded-chance.ts'
import { carrying, directoryAt, fileWith, Setup, type Signed, sign } from './setup.ts'

const idOf = (byte: number): Buffer => Buffer.alloc(16, byte)
const DIRECTORIES = [1, 2, 3, 4, 5].map(idOf)
const FILES = [0xf1, 0xf2].map(idOf)

test('a path is found with as many reads of the index beside a thousand deleted directories as beside one', async () => {
  const reads = async (count: number): Promise<number> => {
    const setup = await Setup.open()
    const top = sign({ entry: idOf(0xaa), ...directoryAt('top') })
    const made = Array.from({ length: count }, (_, i) => {
      const entry = Buffer.alloc(16, `e${i}`.padStart(8, '0'), 'hex')
      return sign({ entry, ...directoryAt(`d${i}`, top.record.entry) })
    })
    const deleted = [...made, top].map(({ record }) =>
      sign({ entry: record.entry, op: 'delete', seen: pastOfAll([record]), ...directoryAt('top') })
    )
    await setup.add(top, ...made)
    await setup.add(...deleted)
    await setup.add(sign({ entry: idOf(0xab), ...directoryAt('top') }))
    let rows = 0
    const { index } = setup
    const [get, range] = [index.get.bind(index), index.range.bind(index)]
    index.get = key => {
      rows++
      return get(key)
    }
    index.range = async function* (prefix, options) {
      rows++
      for await (const row of range(prefix, options)) {
        rows++
        yield row
      }
    }
    const node = await setup.at('/top')
    assert.ok(node?.kind === 'directory' && node.ids.length === 1)
    assert.equal(await setup.at('/top/d0'), undefined)
    assert.equal(await setup.at('/top/new'), undefined)
    return rows
  }
  assert.equal(await reads(1_000), await reads(1))
})

test('twice as many new levels of directories take about twice as many reads of the index, in any order', async () => {
  const readsOf = async (levels: number, order: 'down' | 'up' | 'random', batch: number): Promise<number> => {
    const setup = await Setup.open()
    const chance = seededChance(levels)
    let parent = ROOT_ENTRY
    const made = Array.from({ length: levels }, () => {
      const entry = Buffer.from(chance.bytes(16))
      const record = sign({ entry, ...directoryAt('d', parent) })
      parent = entry
      return record
    })
    const records = order === 'down' ? made : order === 'up' ? made.toReversed() : shuffled(made, chance)
    let reads = 0
    const { index } = setup
    const [get, getMany, range] = [index.get.bind(index), index.getMany.bind(index), index.range.bind(index)]
    index.get = key => {
      reads++
      return get(key)
    }
    index.getMany = wanted => {
      reads += wanted.length
      return getMany(wanted)
    }
    index.range = (prefix, options) => {
      reads++
      return range(prefix, options)
    }
    for (let i = 0; i < levels; i += batch) await setup.add(...records.slice(i, i + batch))
    return reads
  }
  for (const order of ['down', 'up', 'random'] as const)
    for (const batch of [1, 32]) {
      const [some, more] = [await readsOf(100, order, batch), await readsOf(200, order, batch)]
      assert.ok(more < 2.5 * some, `${order}, ${batch} at once: ${some} reads for 100 levels, ${more} for 200`)
    }
})

test('a deleted directory shows exactly while something below it shows, whatever the moves, cycles and orders', {
  timeout: 300_000
}, async () => {
  for (let seed = 1; seed <= 60; seed++) {
    const chance = seededChance(seed)
    const records = drawRecords(chance)
    for (let order = 0; order < 2; order++) {
      const setup = await Setup.open()
      for (const record of order === 0 ? records : shuffled(records, chance)) await setup.add(record)
      const rows = await rowsOf(setup)
      const shown = shownOf(rows)
      for (const [key, row] of rows)
        if (row.kind === 'directory' && row.isDeleted)
          assert.equal(!row.isHidden, shown.has(key), `seed ${seed}, order ${order}, directory ${key}`)
    }
  }
})

test('a cycle of deleted directories with a file shows once, without an empty directory that cannot be removed', async () => {
  const [outer, inner] = [idOf(0xd0), idOf(0xe0)]
  const [d, e] = [sign({ entry: outer, ...directoryAt('d') }), sign({ entry: inner, ...directoryAt('e') })]
  const file = sign({ entry: idOf(0xf0), ...fileWith('x', { parent: outer, name: 'file' }) })
  const movedIn = sign({ ...carrying(e), ...directoryAt('e', outer) })
  const deleted = sign({ entry: inner, op: 'delete', seen: pastOfAll([movedIn.record]), ...directoryAt('e', outer) })
  const movedBack = sign({ ...carrying(d), ...directoryAt('d', inner) })
  for (const order of [
    [d, e, file, movedIn, deleted, movedBack],
    [file, movedBack, deleted, movedIn, e, d]
  ]) {
    const setup = await Setup.open()
    for (const record of order) await setup.add(record)
    assert.deepEqual(await setup.paths(), [`/d (conflict ${toHex(outer)})`, `/d (conflict ${toHex(outer)})/file`])
  }
})

/** The rows of all entries, by id. */
async function rowsOf(setup: Setup): Promise<Map<string, EntryRow>> {
  const rows = new Map<string, EntryRow>()
  for (const id of [...DIRECTORIES, ...FILES]) {
    const found = await setup.tree.entry(id)
    if (found !== undefined) rows.set(toHex(id), found.row)
  }
  return rows
}

/** The entries that show below a directory, whether it is known or not, computed as the specification says. */
function shownOf(rows: ReadonlyMap<string, EntryRow>): Set<string> {
  const ends = new Set([...rows.keys()].map(key => endOf(key, rows)))
  const shown = new Set([...rows].filter(([, row]) => !row.isDeleted).map(([key]) => key))
  for (let before = -1; before < shown.size; ) {
    before = shown.size
    for (const key of shown) {
      const parent = toHex((rows.get(key) as EntryRow).parent)
      if (!ends.has(key) && rows.get(parent)?.kind === 'directory') shown.add(parent)
    }
  }
  return shown
}

/** Returns the directory that ends the cycle of this one, if it is in a cycle. */
function endOf(start: string, rows: ReadonlyMap<string, EntryRow>): string | undefined {
  const way: string[] = []
  for (let at = start; ; ) {
    const row = rows.get(at)
    if (row?.kind !== 'directory') return undefined
    way.push(at)
    at = toHex(row.parent)
    if (at === start) break
    if (way.includes(at)) return undefined
  }
  const placedOf = (key: string) => {
    const { heads } = (rows.get(key) as EntryRow).state
    assert.equal(heads.length, 1)
    return (heads[0] as (typeof heads)[0]).placed
  }
  return way.reduce((best, key) => {
    const order = compareStamps(placedOf(key), placedOf(best)) || compareBytes(Buffer.from(key), Buffer.from(best))
    return order > 0 ? key : best
  })
}

type Chance = ReturnType<typeof seededChance>

/** Entries that are made, moved and deleted one after another, so that each has one head. */
function drawRecords(chance: Chance): Signed[] {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(chance.fraction() * list.length)] as T
  const last = new Map<string, Signed>()
  const all: Signed[] = []
  for (let i = 0; i < 30; i++) {
    const entry = pick([...DIRECTORIES, ...FILES])
    const before = last.get(toHex(entry))
    const [parent, name] = [pick([...DIRECTORIES, ROOT_ENTRY]), pick(['a', 'b', 'c'])]
    const isFile = FILES.some(id => equalBytes(id, entry))
    const body = isFile ? fileWith('x', { parent, name }) : directoryAt(name, parent)
    const seen = before === undefined ? [] : pastOfAll([before.record])
    const isDelete = before !== undefined && chance.fraction() < 0.5
    const signed = isDelete
      ? sign({ entry, op: 'delete', seen, body: isFile ? null : body.body })
      : sign({ entry, seen, ...body })
    last.set(toHex(entry), signed)
    all.push(signed)
  }
  return all
}
