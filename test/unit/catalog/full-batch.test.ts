import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HEADS_MAX } from '../../../src/catalog/constants.ts'
import type { IndexSink } from '../../../src/disk/index-sink.ts'
import { TABLES } from '../../../src/disk/tables.ts'
import { nameBlock } from '../../../src/format/cid.ts'
import { FILE_BYTES_MAX, MODE_MAX, SEEN_MAX, SEEN_OF_DELETE_MAX, TIME_MS_MAX } from '../../../src/format/constants.ts'
import { ROOT_ENTRY } from '../../../src/format/entry.ts'
import { encodeHlc } from '../../../src/format/stamp.ts'
import type { Statement } from '../../../src/format/statement.ts'
import { acceptedBy } from '../../fixtures/accepted.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'
import { admin, directoryAt, epoch, fileWith, Setup, sign } from './setup.ts'

const ENTRY = Buffer.alloc(16, 1)
const ROWS = 4_096
const AUTHORS = Array.from({ length: SEEN_OF_DELETE_MAX }, (_, i) => Buffer.alloc(32, i))
const SEEN = encodeHlc(5n)

/** Counts the changes of each table, and keeps none of them. */
class CountingSink implements IndexSink {
  readonly puts = new Map<string, number>()

  put(key: Uint8Array): void {
    const table = String.fromCharCode(key[0] as number)
    this.puts.set(table, (this.puts.get(table) ?? 0) + 1)
  }

  del(): void {}
}

/** A record that nobody signed, as the projection takes it from the log: it checks no signature. */
function unsigned(
  entry: Uint8Array,
  op: 'put' | 'delete',
  seen: number,
  chance = seededChance(seen)
): Statement<'entry'> {
  const hlc = 1_000n
  const incarnation = chance.bytes(8)
  const past = AUTHORS.slice(0, seen).map((author): [Uint8Array, Uint8Array, Uint8Array] => [author, incarnation, SEEN])
  const own: [Uint8Array, Uint8Array, Uint8Array] = [encodeHlc(hlc), admin.publicKey, incarnation]
  const body = op === 'put' ? { siv: chance.bytes(32), body: Buffer.alloc(304) } : {}
  const fields = { id: entry, incarnation, epoch: epoch.id, seen: past, op, placed: own, written: own, root: null }
  return {
    id: chance.bytes(32),
    bytes: new Uint8Array(0),
    kind: 'entry',
    hlc,
    grant: null,
    fields: { ...fields, rootEpoch: null, replicas: 1, ...body },
    sig: new Uint8Array(64)
  }
}

test('a full batch of a replay, each record with all that it may have seen, is projected', async () => {
  const setup = await Setup.open()
  const chance = seededChance(11)
  const added = Array.from({ length: ROWS }, (_, i) => {
    const [op, seen] = i % 2 === 0 ? (['put', SEEN_MAX] as const) : (['delete', SEEN_OF_DELETE_MAX] as const)
    return acceptedBy(admin.publicKey, unsigned(chance.bytes(16), op, seen, chance))
  })
  const sink = new CountingSink()
  await setup.projection.project({ added, removed: [] }, sink)
  assert.equal(sink.puts.get(TABLES.seen), (ROWS / 2) * (SEEN_MAX + SEEN_OF_DELETE_MAX))
  assert.equal(sink.puts.get(TABLES.entries), ROWS)
  assert.equal(sink.puts.get(TABLES.records), ROWS)
})

test('a full batch of one entry is projected, and only rows for newly seen records are written', async () => {
  const setup = await Setup.open()
  const chance = seededChance(12)
  const batch = (length: number) =>
    Array.from({ length }, () => acceptedBy(admin.publicKey, unsigned(ENTRY, 'delete', SEEN_OF_DELETE_MAX, chance)))
  await setup.project(batch(512))
  assert.equal((await setup.tree.entry(ENTRY))?.row.state.heads.length, HEADS_MAX)
  const sink = new CountingSink()
  await setup.projection.project({ added: batch(16), removed: [] }, sink)
  assert.equal(sink.puts.get(TABLES.seen), 16 * SEEN_OF_DELETE_MAX)
  const { seen } = (await setup.tree.entry(ENTRY))!.row.state.heads[0]!
  const known = sign({ entry: ENTRY, seen, op: 'delete', hlc: 2_000n })
  const again = new CountingSink()
  const item = acceptedBy(known.record.stamp.author, known.statement)
  await setup.projection.project({ added: [item], removed: [] }, again)
  assert.equal(again.puts.get(TABLES.seen), undefined)
})

test('extreme values go through the projection and show', async () => {
  const setup = await Setup.open()
  const root = nameBlock(Buffer.from('x')).bytes
  const file = (name: string, more: object = {}) => ({
    root,
    rootEpoch: epoch.id,
    body: { parent: ROOT_ENTRY, name, kind: 'file' as const, size: 1, mtime: 0, key: Buffer.alloc(32), ...more }
  })
  const id = (byte: number): Buffer => Buffer.alloc(16, byte)
  await setup.add(
    sign({ entry: id(1), ...file('all'), replicas: 0 }),
    sign({ entry: id(2), ...file('most'), replicas: 255 }),
    sign({ entry: id(3), ...file('last', { mtime: TIME_MS_MAX, mode: MODE_MAX }), hlc: 2n ** 64n - 1n }),
    sign({ entry: id(4), ...file('first', { mtime: -TIME_MS_MAX, size: FILE_BYTES_MAX }), hlc: 1n }),
    sign({ entry: id(5), ...file('n'.repeat(255)) }),
    sign({ entry: id(6), ...file('n'.repeat(8_000)) }),
    sign({ entry: id(7), ...file('a/b') }),
    sign({ entry: id(8), ...file('\u0000') }),
    sign({ entry: id(0xff), ...directoryAt('') })
  )
  assert.deepEqual(await setup.paths(), [
    '/all',
    '/damaged-06060606',
    '/damaged-07070707',
    '/damaged-08080808',
    '/damaged-ffffffff',
    '/first',
    '/last',
    '/most',
    `/${'n'.repeat(255)}`
  ])
  assert.equal((await setup.tree.entry(id(1)))?.shown.replicas, 0)
  assert.equal((await setup.tree.entry(id(2)))?.shown.replicas, 255)
  // A later record of the entry with the greatest hlc has the same one.
  const { stamp } = (await setup.tree.entry(id(3)))!.row.state.heads[0]!
  await setup.add(sign({ entry: id(3), ...file('other'), hlc: stamp.hlc, incarnation: Buffer.alloc(8, 9) }))
  assert.equal((await setup.tree.entry(id(3)))?.row.state.heads.length, 2)
})

test('a tree as deep as records make it can be listed and left again', async () => {
  const setup = await Setup.open()
  const id = (i: number): Buffer => Buffer.from(`${i + 1}`.padStart(32, '0'), 'hex')
  const records = Array.from({ length: 300 }, (_, i) =>
    sign({ entry: id(i), ...directoryAt('d', i === 0 ? ROOT_ENTRY : id(i - 1)) })
  )
  await setup.add(...records.toReversed(), sign({ entry: ENTRY, ...fileWith('x', { parent: id(299), name: 'f' }) }))
  assert.equal((await setup.at(`${'/d'.repeat(300)}/f`))?.kind, 'file')
})
