import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Bodies } from '../../../src/catalog/bodies.ts'
import { addRecord, emptyState, type Shown, showEntry } from '../../../src/catalog/heads.ts'
import { conflictName, damagedName, isConflictName, Names } from '../../../src/catalog/names.ts'
import { CatalogProjection } from '../../../src/catalog/projection.ts'
import { Tree } from '../../../src/catalog/tree.ts'
import { IndexDb } from '../../../src/disk/index-db.ts'
import { IndexOps } from '../../../src/disk/index-sink.ts'
import { type EntryRecord, ROOT_ENTRY, readRecord, signRecord } from '../../../src/format/entry.ts'
import { privateKey, rawPublicKey } from '../../../src/format/network-key.ts'
import type { Stamp } from '../../../src/format/stamp.ts'
import { idOf, type Statement, signStatement } from '../../../src/format/statement.ts'
import type { AcceptedStatement } from '../../../src/log/projection.ts'
import { KeyRing } from '../../../src/members/key-ring.ts'
import { acceptedBy } from '../../fixtures/accepted.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { network, recordSubkey } from '../../fixtures/keys.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { MemoryDatabase } from '../../fixtures/memory-database.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'

/** A stamp is written `hlc/author/incarnation`: a number, a name, and in hex the byte that fills all eight. */
interface PlainRecord {
  name: string
  /** The id of the record's statement. */
  id: string
  stamp: string
  seen: string[]
  op: 'put' | 'delete'
  /** Missing if it is the record's own stamp. */
  placed?: string
  written?: string
  /** In hex, the byte that fills all 32 of the root. */
  root: string | null
  /** The place of the root's epoch in the chain of epochs. */
  depth: number
  replicas: number
  kind: 'file' | 'directory' | null
}
interface PlainSet {
  name: string
  records: PlainRecord[]
  stands: {
    heads: string[]
    isDeleted: boolean
    content: string | null
    place: string
    conflicts: string[]
    replicas: number
    writes: number
  }
}
interface Vectors {
  authors: Record<string, { seed: string; key: string; role: 'admin' | 'writer' }>
  sets: PlainSet[]
  names: Array<{ name: string; id: string; conflict: string; damaged: string; key: string; hash: string }>
}
const vectors: Vectors = JSON.parse(readFileSync(join(import.meta.dirname, '../../vectors/heads.json'), 'utf8'))

const hex = (text: string): Buffer => Buffer.from(text, 'hex')
const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const ENTRY = Buffer.alloc(16, 0x5e)
const depthOf = (epoch: Uint8Array): number => epoch[0] as number
const authors = new Map(
  Object.entries(vectors.authors).map(([name, { seed, role }]) => {
    const key = privateKey('ed25519', hex(seed))
    const publicKey = rawPublicKey(key)
    const fields = { subject: publicKey, x25519: Buffer.alloc(32), role, epoch: network.network, name }
    const grant = signStatement('grant', fields, { network: network.network, key: network.root, hlc: 0n })
    return [name, { key, publicKey, grant, role }] as const
  })
)

function stampOf(text: string): Stamp {
  const [hlc, author, incarnation] = text.split('/') as [string, string, string]
  return {
    hlc: BigInt(hlc),
    author: authors.get(author)!.publicKey,
    incarnation: Buffer.alloc(8, Number(`0x${incarnation}`))
  }
}

const fill = (byte: string): Buffer => Buffer.alloc(32, Number(`0x${byte}`))

/** The statement of a plain record, signed and sealed by keys that are no secret. */
function signed(plain: PlainRecord): Statement<'entry'> {
  const { name, stamp, seen, op, placed, written, root, depth, replicas, kind } = plain
  const own = stampOf(stamp)
  const { key, grant } = authors.get(stamp.split('/')[1]!)!
  const place = { parent: ROOT_ENTRY, name, mtime: 0 }
  const body =
    kind === null
      ? null
      : kind === 'directory'
        ? { ...place, kind, size: 0 }
        : { ...place, kind, size: 1, content: Buffer.of(1) }
  return signRecord(
    {
      entry: ENTRY,
      incarnation: own.incarnation,
      epoch: network.network,
      seen: seen.map(stampOf),
      op,
      placed: placed === undefined ? null : stampOf(placed),
      written: written === undefined ? null : stampOf(written),
      root: root === null ? null : fill(root),
      rootEpoch: root === null ? null : Buffer.alloc(32, depth),
      replicas,
      body
    },
    { network: network.network, key, grant: grant.id, hlc: own.hlc, author: own.author, subkey: recordSubkey }
  )
}

const authorOf = ({ stamp }: PlainRecord): Uint8Array => authors.get(stamp.split('/')[1]!)!.publicKey

/** A catalog over a database in memory, and the log that it looks statements up in. */
async function catalog() {
  const index = new IndexDb(new MemoryDatabase().asDatabase, silentLogger)
  await index.open()
  const accepted = new Map<string, AcceptedStatement>()
  for (const { grant } of authors.values()) accepted.set(idOf(grant), acceptedBy(network.network, grant, 'root'))
  const log = { get: async (id: Uint8Array) => accepted.get(toHex(id)) }
  const bodies = new Bodies(log, new KeyRing([{ id: network.network, key: network.epochKey }]), silentLogger)
  const [names, clock] = [new Names(Buffer.alloc(32)), new ManualClock()]
  const rest = { bodies, names, clock, depthOf }
  const projection = new CatalogProjection({
    index,
    log,
    logger: silentLogger,
    ...rest,
    nodeCodecs: [],
    onRecords: () => {}
  })
  const tree = new Tree({ index, ...rest, hasDeleted: () => true })
  return {
    tree,
    async add(batch: PlainRecord[]): Promise<void> {
      const items = batch.map(plain => acceptedBy(authorOf(plain), signed(plain)))
      const ops = new IndexOps()
      await projection.project({ added: items, removed: [] }, ops)
      await index.batch(ops.all)
      for (const item of items) accepted.set(idOf(item.statement), item)
    }
  }
}

/** The state of the entry and what shows of it, by the names of the records. */
function namesIn(set: PlainSet, heads: readonly EntryRecord[], shown: Shown, writes: number): PlainSet['stands'] {
  const name = ({ id }: EntryRecord): string => set.records.find(record => record.id === toHex(id))!.name
  return {
    heads: heads.map(name),
    isDeleted: shown.isDeleted,
    content: shown.content === undefined ? null : name(shown.content),
    place: name(shown.place),
    conflicts: shown.conflicts.map(name),
    replicas: shown.replicas,
    writes
  }
}

/** Some orders of a list; all orders of a short one. */
function* ordersOf<T>(list: readonly T[]): Generator<T[]> {
  if (list.length <= 4) {
    yield* permutationsOf(list)
    return
  }
  const chance = seededChance(list.length)
  yield [...list]
  yield list.toReversed()
  for (let i = 0; i < 24; i++) yield shuffled(list, chance.fraction)
}

function* permutationsOf<T>(list: readonly T[]): Generator<T[]> {
  if (list.length === 0) yield []
  for (const [i, first] of list.entries())
    for (const rest of permutationsOf(list.toSpliced(i, 1))) yield [first, ...rest]
}

function shuffled<T>(list: readonly T[], fraction: () => number): T[] {
  return list
    .map(item => ({ item, key: fraction() }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item)
}

test('frozen records are signed to the frozen statements and read from them', () => {
  for (const { name, records } of vectors.sets) {
    for (const plain of records) {
      const statement = signed(plain)
      assert.equal(toHex(statement.id), plain.id, `${name}: ${plain.name}`)
      const record = readRecord(statement, authorOf(plain))
      const { stamp, seen, op, placed = stamp, written = stamp, root, replicas } = plain
      assert.deepEqual(
        [record.stamp, record.placed, record.written, record.op, record.replicas].map(String),
        [stampOf(stamp), stampOf(placed), stampOf(written), op, replicas].map(String)
      )
      assert.equal(record.seen.length, seen.length)
      assert.equal(record.root === null ? null : toHex(record.root), root === null ? null : toHex(fill(root)))
    }
  }
})

test('frozen sets of records give the frozen state, in any order and in any batches', async () => {
  for (const set of vectors.sets) {
    const check = async (batches: PlainRecord[][]): Promise<void> => {
      const { tree, add } = await catalog()
      for (const batch of batches) await add(batch)
      const { row, shown } = (await tree.entry(ENTRY))!
      const { heads, writes } = row.state
      const order = batches.map(batch => batch.map(({ name }) => name).join('+')).join(' ')
      assert.deepEqual(namesIn(set, heads, shown, writes), set.stands, `${set.name}: ${order}`)
    }
    for (const order of ordersOf(set.records)) await check(order.map(record => [record]))
    await check([set.records])
    await check([set.records.toReversed(), set.records])
  }
})

test('a second implementation, written from SPEC.md, computes the same state', () => {
  for (const set of vectors.sets) assert.deepEqual(stateBySpec(set.records), set.stands, set.name)
})

test('the second implementation agrees with the code on random records, honest or not', () => {
  const chance = seededChance(4)
  const pick = <T>(list: readonly T[]): T => list[Math.floor(chance.fraction() * list.length)] as T
  for (let round = 0; round < 400; round++) {
    const records: PlainRecord[] = []
    const stamps: string[] = []
    for (let i = 0; i < 1 + chance.fraction() * 7; i++) {
      const stamp = `${10 * (i + 1)}/${pick([...authors.keys()])}/${pick(['01', '02'])}`
      const latest = new Map(shuffled(stamps, chance.fraction).map(item => [item.slice(item.indexOf('/')), item]))
      const seen = [...latest.values()].filter(() => chance.fraction() < 0.5)
      const op = pick(['put', 'put', 'put', 'delete'] as const)
      const old = (): string => pick([stamp, ...seen])
      const [placed, written] = [old(), op === 'delete' ? stamp : old()]
      // It carries exactly what the origin wrote, so that the rule about carrying does not matter here.
      const carried = records.find(record => record.stamp === written)
      if (carried !== undefined && carried.written !== carried.stamp) continue
      const root = op === 'delete' ? null : (carried?.root ?? pick(['0a', '0b', '0c']))
      if (carried?.op === 'delete') continue
      const rest = {
        depth: carried?.depth ?? pick([0, 1]),
        replicas: pick([0, 1, 3]),
        kind: op === 'put' ? ('file' as const) : null
      }
      records.push({ name: `r${i}`, id: toHex(Buffer.alloc(32, i)), stamp, seen, op, placed, written, root, ...rest })
      stamps.push(stamp)
    }
    if (records.length === 0) continue
    const state = emptyState()
    for (const plain of shuffled(records, chance.fraction)) addRecord(state, clear(plain))
    const set = { name: '', records, stands: stateBySpec(records) }
    assert.deepEqual(
      namesIn(set, state.heads, showEntry(state, depthOf), state.writes),
      set.stands,
      JSON.stringify(records)
    )
  }
})

test('frozen names give the frozen names of conflicts and of damaged entries, and the frozen hashes', () => {
  for (const { name, id, conflict, damaged, key, hash } of vectors.names) {
    assert.equal(conflictName(name, hex(id)), conflict)
    assert.ok(isConflictName(conflict) && Buffer.byteLength(conflict) <= 255)
    assert.equal(damagedName(hex(id)), damaged)
    assert.equal(toHex(new Names(hex(key)).hash(name)), hash)
  }
})

/** A plain record as the code reads it, without a statement. */
function clear(plain: PlainRecord): EntryRecord {
  const { id, stamp, seen, op, placed = stamp, written = stamp, root, depth, replicas } = plain
  return {
    id: hex(id),
    entry: ENTRY,
    stamp: stampOf(stamp),
    seen: seen.map(stampOf),
    op,
    placed: stampOf(placed),
    written: stampOf(written),
    root: root === null ? null : fill(root),
    rootEpoch: root === null ? null : Buffer.alloc(32, depth),
    epoch: Buffer.alloc(32),
    replicas
  }
}

/**
 * SPEC.md, "Which records count" and "Heads and what shows": the rules one by one, over the whole set, on text alone.
 */
function stateBySpec(records: readonly PlainRecord[]): PlainSet['stands'] {
  const keyOf = (author: string): string => vectors.authors[author]!.key
  const compare = (a: string, b: string): number => {
    const [hlcA, authorA, incarnationA] = a.split('/') as [string, string, string]
    const [hlcB, authorB, incarnationB] = b.split('/') as [string, string, string]
    if (hlcA !== hlcB) return Number(hlcA) - Number(hlcB)
    if (authorA !== authorB) return keyOf(authorA) < keyOf(authorB) ? -1 : 1
    return incarnationA === incarnationB ? 0 : incarnationA < incarnationB ? -1 : 1
  }
  const covers = ({ stamp, seen }: PlainRecord, at: string): boolean => {
    const [hlc, ...who] = at.split('/')
    return (
      stamp === at ||
      seen.some(item => {
        const [seenHlc, ...seenWho] = item.split('/')
        return seenWho.join() === who.join() && Number(seenHlc) >= Number(hlc)
      })
    )
  }
  const written = (record: PlainRecord): string => record.written ?? record.stamp
  const placed = (record: PlainRecord): string => record.placed ?? record.stamp

  const isSameContent = (a: PlainRecord, b: PlainRecord): boolean =>
    a.root === b.root && (a.root === null || a.depth === b.depth)
  const firsts = records.filter(record => !records.some(({ stamp, id }) => stamp === record.stamp && id < record.id))
  const counted = firsts.filter(record => {
    const [, author] = record.stamp.split('/')
    const origin = firsts.find(({ stamp }) => stamp === written(record))
    return (
      record.op === 'delete' ||
      origin === undefined ||
      origin === record ||
      (origin.op === 'put' && (isSameContent(origin, record) || vectors.authors[author!]!.role === 'admin'))
    )
  })
  const heads = counted.filter(record => !counted.some(other => other !== record && covers(other, record.stamp)))
  heads.sort((a, b) => compare(a.stamp, b.stamp))
  const isBeaten = (record: PlainRecord): boolean =>
    counted.some(other => other.op === 'delete' && covers(other, written(record)))
  const live = heads.filter(record => record.op === 'put' && !isBeaten(record))
  const isBetter = (a: PlainRecord, b: PlainRecord): boolean => {
    const depth = ({ root, depth }: PlainRecord): number => (root === null ? 0 : depth)
    if (depth(a) !== depth(b)) return depth(a) > depth(b)
    if (a.root !== b.root) return (a.root ?? '') > (b.root ?? '')
    return compare(a.stamp, b.stamp) > 0
  }
  const content = live.find(record =>
    live.every(other => {
      const order = compare(written(record), written(other))
      return other === record || order > 0 || (order === 0 && isBetter(record, other))
    })
  )
  const from = live.length > 0 ? live : heads
  const place = from.find(record =>
    from.every(other => {
      const order = compare(placed(record), placed(other))
      return other === record || order > 0 || (order === 0 && compare(record.stamp, other.stamp) > 0)
    })
  )!
  const conflicts = live.filter(
    record =>
      record !== content &&
      record.root !== content?.root &&
      !live.some(other => {
        if (other === record) return false
        return written(other) === written(record) ? isBetter(other, record) : covers(other, written(record))
      })
  )
  const copies = live.map(({ replicas }) => replicas)
  return {
    heads: heads.map(({ name }) => name),
    isDeleted: live.length === 0,
    content: content?.name ?? null,
    place: place.name,
    conflicts: conflicts.map(({ name }) => name),
    replicas: live.length === 0 ? 1 : copies.includes(0) ? 0 : Math.max(...copies),
    writes: counted.filter(record => record.op === 'put' && written(record) === record.stamp).length
  }
}
