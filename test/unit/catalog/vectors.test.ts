import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Bodies } from '../../../src/catalog/bodies.ts'
import { conflictName, damagedName, isSubstituteName, Names } from '../../../src/catalog/names.ts'
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
import { seededChance, shuffled } from '../../fixtures/seeded-chance.ts'

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
  /** Null if all of them wait. */
  stands: {
    heads: string[]
    isDeleted: boolean
    content: string | null
    place: string
    conflicts: string[]
    replicas: number
    writes: number
  } | null
}
interface Vectors {
  authors: Record<string, { seed: string; key: string; role: 'admin' | 'writer' }>
  sets: PlainSet[]
  names: Array<{
    name: string
    id: string
    conflict: string
    damaged: string
    key: string
    hash: string
    sealed: string
  }>
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

const authorOf = ({ stamp }: PlainRecord) => authors.get(stamp.split('/')[1]!)!

/** A catalog over a database in memory, and the log that it looks statements up in. */
async function catalog() {
  const index = new IndexDb(new MemoryDatabase().asDatabase, silentLogger)
  await index.open()
  const accepted = new Map<string, AcceptedStatement>()
  for (const { grant } of authors.values()) accepted.set(idOf(grant), acceptedBy(network.network, grant, 'root'))
  const log = { get: async (id: Uint8Array) => accepted.get(toHex(id)) }
  const bodies = new Bodies(log, new KeyRing([{ id: network.network, key: network.epochKey }]), silentLogger)
  const [names, clock] = [new Names(Buffer.alloc(32)), new ManualClock()]
  const rest = { bodies, names, depthOf }
  const projection = new CatalogProjection({
    index,
    logger: silentLogger,
    ...rest,
    nodeCodecs: [],
    onRecords: () => {},
    onVersionNews: () => {}
  })
  const tree = new Tree({ index, ...rest, clock })
  return {
    tree,
    async add(batch: PlainRecord[]): Promise<void> {
      const items = batch.map(plain => acceptedBy(authorOf(plain).publicKey, signed(plain), authorOf(plain).role))
      const ops = new IndexOps()
      await projection.project({ added: items, removed: [] }, ops)
      await index.batch(ops.all)
      for (const item of items) accepted.set(idOf(item.statement), item)
    }
  }
}

/**
 * Returns what the code computes from records that arrive in these batches. The result uses the names of the records.
 */
async function stateAfter(batches: PlainRecord[][]): Promise<PlainSet['stands']> {
  const { tree, add } = await catalog()
  for (const batch of batches) await add(batch)
  const found = await tree.entry(ENTRY)
  if (found === undefined) return null
  const { heads, writes } = found.row.state
  const { shown } = found
  const records = batches.flat()
  const name = ({ id }: EntryRecord): string => records.find(record => record.id === toHex(id))!.name
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
  for (let i = 0; i < 24; i++) yield shuffled(list, chance)
}

function* permutationsOf<T>(list: readonly T[]): Generator<T[]> {
  if (list.length === 0) yield []
  for (const [i, first] of list.entries())
    for (const rest of permutationsOf(list.toSpliced(i, 1))) yield [first, ...rest]
}

test('frozen records become the frozen statements when they are signed, and are read from them', () => {
  for (const { name, records } of vectors.sets) {
    for (const plain of records) {
      const statement = signed(plain)
      assert.equal(toHex(statement.id), plain.id, `${name}: ${plain.name}`)
      const record = readRecord(statement, authorOf(plain).publicKey)
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
      const order = batches.map(batch => batch.map(({ name }) => name).join('+')).join(' ')
      assert.deepEqual(await stateAfter(batches), set.stands, `${set.name}: ${order}`)
    }
    for (const order of ordersOf(set.records)) await check(order.map(record => [record]))
    await check([set.records])
    await check([set.records.toReversed(), set.records])
  }
})

test('a second implementation, written from SPEC.md, computes the same state', () => {
  for (const set of vectors.sets) assert.deepEqual(stateBySpec(set.records), set.stands, set.name)
})

test('the second implementation agrees with the code on random records, honest or not', async () => {
  const chance = seededChance(4)
  for (let round = 0; round < 500; round++) {
    const records = drawRecords(chance)
    const batches: PlainRecord[][] = [[]]
    for (const record of shuffled(records, chance)) {
      if (chance.fraction() < 0.6) batches.push([])
      batches.at(-1)!.push(record)
    }
    assert.deepEqual(await stateAfter(batches), stateBySpec(records), JSON.stringify(batches))
  }
})

/**
 * Random records: twins, records that carry content that they may not carry, and records whose content has not arrived.
 */
function drawRecords(chance: ReturnType<typeof seededChance>): PlainRecord[] {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(chance.fraction() * list.length)] as T
  const records: PlainRecord[] = []
  const count = 1 + chance.fraction() * 7
  for (let i = 0; i < count; i++) {
    const past = records.filter(() => chance.fraction() < 0.6).map(({ stamp }) => stamp)
    const twin = chance.fraction() < 0.2 ? records.at(-1) : undefined
    const stamp = twin?.stamp ?? `${10 * (i + 1)}/${pick([...authors.keys()])}/${pick(['01', '02'])}`
    if (chance.fraction() < 0.3) past.push(`5/${pick([...authors.keys()])}/01`)
    const before = past.filter(item => Number(item.split('/')[0]) < Number(stamp.split('/')[0]))
    // The last stamp of each author and incarnation, as `seen` requires.
    const seen = [...new Map(before.map(item => [item.slice(item.indexOf('/')), item])).values()]
    const op = pick(['put', 'put', 'put', 'delete'] as const)
    const old = (): string => pick([stamp, ...seen])
    const [placed, written] = [old(), op === 'delete' ? stamp : old()]
    const isDirectory = op === 'put' && chance.fraction() < 0.2
    const root = op === 'delete' || isDirectory ? null : pick(['0a', '0b'])
    const kind = op === 'delete' ? null : isDirectory ? ('directory' as const) : ('file' as const)
    const rest = { seen, op, placed, written, root, depth: pick([0, 0, 1]), replicas: pick([0, 1, 3]), kind }
    const plain = { name: `r${i}`, id: '', stamp, ...rest }
    records.push({ ...plain, id: toHex(signed(plain).id) })
  }
  return records
}

test('frozen names give the frozen names of conflicts and of damaged entries, and the frozen hashes', () => {
  for (const { name, id, conflict, damaged, key, hash, sealed } of vectors.names) {
    assert.equal(conflictName(name, hex(id)), conflict)
    assert.ok(isSubstituteName(conflict) && Buffer.byteLength(conflict) <= 255)
    assert.equal(damagedName(hex(id)), damaged)
    const names = new Names(hex(key))
    assert.equal(toHex(names.hash(name)), hash)
    assert.equal(toHex(names.seal(name, hex(hash))), sealed)
    assert.equal(names.open(hex(sealed), hex(hash)), name)
  }
})

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
  const hasSeen = ({ seen }: PlainRecord, at: string): boolean => {
    const [hlc, ...who] = at.split('/')
    return seen.some(item => {
      const [seenHlc, ...seenWho] = item.split('/')
      return seenWho.join() === who.join() && Number(seenHlc) >= Number(hlc)
    })
  }
  const written = (record: PlainRecord): string => record.written ?? record.stamp
  const placed = (record: PlainRecord): string => record.placed ?? record.stamp

  const isSameContent = (a: PlainRecord, b: PlainRecord): boolean =>
    a.root === b.root && (a.root === null || a.depth === b.depth)
  const authorIn = (stamp: string): string => stamp.split('/')[1]!
  const shows = (record: PlainRecord): boolean =>
    record.op === 'put' &&
    (authorIn(record.stamp) === authorIn(written(record)) || vectors.authors[authorIn(record.stamp)]!.role === 'admin')
  const arrived = records.filter(
    record =>
      record.op === 'delete' ||
      records.some(other => shows(other) && written(other) === written(record) && isSameContent(other, record))
  )
  if (arrived.length === 0) return null
  const counted = arrived.filter(record => !arrived.some(({ stamp, id }) => stamp === record.stamp && id < record.id))
  const heads = counted.filter(({ stamp }) => !arrived.some(other => hasSeen(other, stamp)))
  heads.sort((a, b) => compare(a.stamp, b.stamp))
  const isBeaten = (record: PlainRecord): boolean =>
    arrived.some(other => other.op === 'delete' && hasSeen(other, written(record))) ||
    counted.some(({ op, stamp }) => op === 'delete' && stamp === written(record))
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
        return written(other) === written(record)
          ? isBetter(other, record)
          : other.stamp === written(record) || hasSeen(other, written(record))
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
