import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LIST_BATCH, ORPHAN_MS } from '../../../src/catalog/constants.ts'
import { Entries } from '../../../src/catalog/entries.ts'
import { pastOfAll } from '../../../src/catalog/heads.ts'
import { Listing } from '../../../src/catalog/listing/listing.ts'
import { NameGroups } from '../../../src/catalog/listing/name-groups.ts'
import { NodeBuilder } from '../../../src/catalog/listing/node-builder.ts'
import { SortedNames } from '../../../src/catalog/listing/sorted-names.ts'
import { Unreachable } from '../../../src/catalog/listing/unreachable.ts'
import { conflictName } from '../../../src/catalog/names.ts'
import { entryKey } from '../../../src/catalog/rows/keys.ts'
import { rootNode } from '../../../src/catalog/tree.ts'
import type { DirectoryNode, TreeNode } from '../../../src/catalog/tree-node.ts'
import { openBody, ROOT_ENTRY } from '../../../src/format/entry.ts'
import { hlcAt } from '../../../src/format/stamp.ts'
import { toHex } from '../../../src/util/bytes.ts'
import { plainTree } from '../../fixtures/plain-tree.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'
import { admin, directoryAt, epoch, fileWith, names, Setup, type Signed, sign, writer } from './setup.ts'

/** Ids, some of which begin with the same eight or sixteen digits. */
const idOf = (tail: number): Buffer =>
  Buffer.concat([Buffer.alloc(tail % 3 === 0 ? 8 : 4, 0xab), Buffer.alloc(16, tail)]).subarray(0, 16)

async function nodesOf(nodes: AsyncGenerator<TreeNode>): Promise<TreeNode[]> {
  const all: TreeNode[] = []
  for await (const node of nodes) all.push(node)
  return all
}

function listingOf({ index, bodies, clock }: Setup, namesMax: number): Listing {
  const entries = new Entries({ index, bodies, depthOf: () => 0 })
  const groups = new NameGroups({ index, names })
  const builder = new NodeBuilder({ entries, bodies, groups })
  const unreachable = new Unreachable({ index, clock, entries, bodies, groups, builder })
  return new Listing({ groups, builder, unreachable, namesMax })
}

test('a listing that holds few names at once yields every node once, in the order of the bytes of the names', async () => {
  const setup = await Setup.open()
  const chance = seededChance(3)
  const both = [Buffer.alloc(16, 0xd1), Buffer.alloc(16, 0xd2)]
  await setup.add(...both.map(entry => sign({ entry, ...directoryAt('d') })))
  const files = Array.from({ length: 100 }, (_, i) => {
    // Some names occur twice. Then the other entries show under the names of conflicts, which come elsewhere in the
    // order.
    const name =
      ['', 'é', '\u{10000}', '\uffff', ' '][i % 5] + String(Math.floor(i / 1.2) * 7919).slice(-4) + (i % 2 ? '.x' : '')
    return sign({
      entry: Buffer.from(chance.bytes(16)),
      ...fileWith(`${i}`, { parent: both[i % 2]!, name: `f${name}` })
    })
  })
  for (let i = 0; i < files.length; i += 50) await setup.add(...files.slice(i, i + 50))
  const directory = (await setup.at('/d')) as DirectoryNode
  assert.equal(directory.ids.length, 2)
  const whole = (await nodesOf(setup.tree.list(directory))).map(node => node.path.at(-1) as string)
  assert.equal(new Set(whole).size, files.length)
  assert.deepEqual(
    whole,
    whole.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  )
  for (const namesMax of [7, 64, 99, 100])
    assert.deepEqual(
      (await nodesOf(listingOf(setup, namesMax).nodes(directory))).map(node => node.path.at(-1)),
      whole
    )
})

test('the first node of a listing comes before the entries of the later ones have been read', async () => {
  const setup = await Setup.open()
  const count = 5 * LIST_BATCH
  const chance = seededChance(4)
  const files = Array.from({ length: count }, (_, i) =>
    sign({ entry: Buffer.from(chance.bytes(16)), ...fileWith('x', { name: `f${i}` }) })
  )
  await setup.add(...files)
  let read = 0
  const get = setup.index.get.bind(setup.index)
  setup.index.get = key => {
    if (key[0] === entryKey(ROOT_ENTRY)[0]) read++
    return get(key)
  }
  let yielded = 0
  for await (const _ of setup.tree.list(rootNode())) {
    assert.ok(read - yielded <= 2 * LIST_BATCH, `${read} entries are read for ${yielded} nodes`)
    yielded++
  }
  assert.equal(yielded, count)
})

test('the least of many names are collected without holding the others', () => {
  const chance = seededChance(5)
  const all = Array.from({ length: 30_000 }, () => `${Math.floor(chance.fraction() * 20_000)}`)
  const sorted = [...new Set(all)].sort()
  for (const max of [1, 10, 5_000, sorted.length - 1, sorted.length]) {
    const least = new SortedNames(max)
    for (const text of all) least.add(text)
    assert.deepEqual(least.take(), sorted.slice(0, max))
    assert.equal(least.isCut, max < sorted.length)
  }
})

test('every node that is listed has a path of its own, and that path leads to it, whatever names and ids there are', {
  timeout: 300_000
}, async () => {
  let conflicts = 0
  for (let seed = 1; seed <= 60; seed++) {
    const setup = await Setup.open()
    const records = drawRecords(seededChance(seed))
    for (const record of records) await setup.add(record)
    setup.clock.advance(2 * ORPHAN_MS)
    const shown = new Set<string>()
    const paths = new Set<string>()
    const below = async (directory: DirectoryNode): Promise<void> => {
      for await (const node of setup.tree.list(directory)) {
        const path = `/${node.path.join('/')}`
        assert.ok(!paths.has(path), `seed ${seed}: two nodes at ${path}`)
        paths.add(path)
        assert.deepEqual(keyOf(await setup.tree.resolve(node.path)), keyOf(node), `seed ${seed}: ${path}`)
        if (node.path.at(-1)?.includes('(conflict') === true) conflicts++
        if (node.kind === 'directory') await below(node)
        else shown.add(toHex(node.record.id))
      }
    }
    await below(rootNode())
    // A file whose name has a whole id takes the last name that the conflict with this id could have.
    const named = records.map(({ statement }) => setup.bodies.openStatement(statement)?.name ?? '').join()
    for (const entry of new Set(records.map(({ record }) => toHex(record.entry)))) {
      const found = await setup.tree.entry(Buffer.from(entry, 'hex'))
      if (found?.row.kind !== 'file' || found.shown.content === undefined) continue
      for (const { id } of [found.shown.content, ...found.shown.conflicts])
        if (!named.includes(toHex(id)) && !named.includes(entry))
          assert.ok(shown.has(toHex(id)), `seed ${seed}: a version of ${entry} shows nowhere`)
    }
  }
  assert.ok(conflicts > 200)
})

test('a file that has the name of a conflict keeps it, and the conflict shows beside it with more digits', async () => {
  const [one, other] = [Buffer.alloc(16, 0x11), Buffer.alloc(16, 0x22)]
  const base = [
    sign({ entry: one, ...fileWith('1', { name: 'a.txt' }) }),
    sign({ entry: other, ...fileWith('2', { name: 'a.txt' }) })
  ]
  const setup = await Setup.open()
  await setup.add(...base)
  assert.deepEqual(await setup.paths(), ['/a (conflict 11111111).txt', '/a.txt'])
  const named = sign({ entry: Buffer.alloc(16, 0x33), ...fileWith('3', { name: 'a (conflict 11111111).txt' }) })
  await setup.add(named)
  assert.deepEqual(await setup.paths(), ['/a (conflict 11111111).txt', '/a (conflict 1111111111111111).txt', '/a.txt'])
  const idAt = async (path: string): Promise<string | undefined> => {
    const node = await setup.at(path)
    return node?.kind === 'file' ? toHex(node.id.subarray(0, 1)) : undefined
  }
  assert.equal(await idAt('/a (conflict 11111111).txt'), '33')
  assert.equal(await idAt('/a (conflict 1111111111111111).txt'), '11')
  assert.equal(await idAt('/a (conflict 22222222).txt'), undefined)
})

test('a directory that no directory shows has its whole id in its name, whatever else `/` has', async () => {
  const [own, lost] = [Buffer.alloc(16, 0x11), Buffer.alloc(16, 0x22)]
  const signed = [
    sign({ entry: lost, ...directoryAt('b', lost) }),
    sign({ entry: Buffer.alloc(16, 0x33), ...fileWith('f', { name: 'f', parent: lost }) })
  ]
  const setup = await Setup.open()
  const check = async (...expected: string[]): Promise<void> => {
    assert.deepEqual(await setup.paths(), expected)
    // The model that judges the verbs (`../../simulation/verbs.test.ts`) has the same rule.
    const records = signed.map(({ statement, record }) => ({
      record,
      body: openBody(epoch.record, statement),
      isByAdmin: true
    }))
    assert.deepEqual(
      plainTree(records)
        .nodes.map(({ path }) => path)
        .sort(),
      expected
    )
  }
  await setup.add(...signed)
  const whole = `/b (conflict ${toHex(lost)})`
  await check(whole, `${whole}/f`)
  assert.equal(await setup.at('/b (conflict 22222222)'), undefined)
  signed.push(sign({ entry: own, ...directoryAt('b') }))
  await setup.add(...signed.slice(-1))
  await check('/b', whole, `${whole}/f`)
})

test('a missing path that looks like a conflict is reported missing without listing its directory', async () => {
  const setup = await Setup.open()
  const chance = seededChance(6)
  await setup.add(
    ...Array.from({ length: 500 }, (_, i) =>
      sign({ entry: Buffer.from(chance.bytes(16)), ...fileWith('x', { name: i === 0 ? 'x' : `f${i}` }) })
    )
  )
  let rows = 0
  const { index } = setup
  const [get, range] = [index.get.bind(index), index.range.bind(index)]
  index.get = key => {
    rows++
    return get(key)
  }
  index.range = async function* (prefix, options) {
    for await (const row of range(prefix, options)) {
      rows++
      yield row
    }
  }
  for (const name of [
    'x (conflict 1a2b3c4d)',
    'y (conflict 1a2b3c4d).txt',
    `${'x'.repeat(200)} (conflict ${'ab'.repeat(16)})`
  ])
    assert.equal(await setup.at(`/${name}`), undefined)
  assert.ok(rows < 30, `${rows} rows of the index were read`)
})

test('twice as many files of one name take about twice as many reads of the index to list', async () => {
  const readsOf = async (count: number): Promise<number> => {
    const setup = await Setup.open()
    const chance = seededChance(count)
    await setup.add(
      ...Array.from({ length: count }, (_, i) =>
        sign({ entry: Buffer.from(chance.bytes(16)), ...fileWith(`${i}`, { name: 'same' }) })
      )
    )
    let reads = 0
    const get = setup.index.get.bind(setup.index)
    setup.index.get = key => {
      reads++
      return get(key)
    }
    assert.equal((await nodesOf(setup.tree.list(rootNode()))).length, count)
    return reads
  }
  const [some, more] = [await readsOf(100), await readsOf(200)]
  assert.ok(more < 2.5 * some, `${some} reads for 100 files, ${more} for 200`)
})

function keyOf(node: TreeNode | undefined): unknown {
  if (node === undefined) return undefined
  const { path, kind, isConflict } = node
  return node.kind === 'file'
    ? { path, kind, isConflict, id: toHex(node.id), record: toHex(node.record.id), rivals: node.rivals.map(toHex) }
    : { path, kind, isConflict, ids: node.ids.map(toHex) }
}

type Chance = ReturnType<typeof seededChance>

/** Files and directories whose names are often those of conflicts, and whose ids often begin with the same digits. */
function drawRecords(chance: Chance): Signed[] {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(chance.fraction() * list.length)] as T
  const ids = Array.from({ length: 14 }, (_, i) => (i % 2 === 0 ? idOf(i + 1) : Buffer.alloc(16, i + 1)))
  const [directories, files] = [ids.slice(0, 4), ids.slice(4)]
  const long = 'é'.repeat(127)
  const all: Signed[] = []
  for (let i = 0; i < 24; i++) {
    const base = pick(['a', 'a', 'a', 'a', 'a.txt', long, `${'y'.repeat(225)}.txt`])
    const of = all.length === 0 ? undefined : pick(all).record
    const taken = of === undefined ? ids[0]! : pick([of.entry, of.id])
    const name = chance.fraction() < 0.3 ? conflictName(base, taken, pick([8, 16, 32])) : base
    const parent = pick([
      ROOT_ENTRY,
      ROOT_ENTRY,
      ROOT_ENTRY,
      directories[0]!,
      pick(directories),
      Buffer.alloc(16, 0x77)
    ])
    const isDirectory = chance.fraction() < 0.3
    const entry = pick(isDirectory ? directories : files)
    const known = all.filter(({ record }) => toHex(record.entry) === toHex(entry) && chance.fraction() < 0.5)
    const init = {
      entry,
      seen: pastOfAll(known.map(({ record }) => record)),
      by: pick([admin, writer]),
      hlc: hlcAt(1_000_000 + i),
      incarnation: Buffer.from(chance.bytes(8)),
      isForged: chance.fraction() < 0.1
    }
    all.push(sign({ ...init, ...(isDirectory ? directoryAt(name, parent) : fileWith(`${i}`, { parent, name })) }))
  }
  return all
}
