import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  PROJECT_ROWS_MAX,
  ROW_BLOCK,
  ROW_CLAIM,
  ROW_EARLY,
  ROW_FREED,
  ROW_STATEMENT
} from '../../../src/disk/constants.ts'
import { DiskError, IndexCorruptError, NoSpaceError, RowCorruptError } from '../../../src/disk/errors.ts'
import { IndexDb, indexKey } from '../../../src/disk/index-db.ts'
import { endDoubtOps, isInDoubt } from '../../../src/disk/index-marks.ts'
import { decodePlace, encodePlace, type Place } from '../../../src/disk/place.ts'
import type { RowProjection, StoredRow } from '../../../src/disk/row-projection.ts'
import type { Store } from '../../../src/disk/store.ts'
import { u32be } from '../../../src/util/bytes.ts'
import { StoppedError } from '../../../src/util/errors.ts'
import { openStore, storeOf } from '../../fixtures/disk-store.ts'
import { FakeFiles } from '../../fixtures/fake-files.ts'
import { levelDatabase } from '../../fixtures/level.ts'
import { RecordingLogger, silentLogger } from '../../fixtures/logger.ts'
import { MemoryDatabase } from '../../fixtures/memory-database.ts'
import { gather } from '../../fixtures/streams.ts'

const FIRST = 'segments/00000001.seg'
const small = { segmentBytes: 600 }
const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

async function filled(files = new FakeFiles(), database = new MemoryDatabase(), count = 30) {
  const open = await openStore(files, { ...small, database })
  for (let i = 0; i < count; i++) await open.facts.set(`k${i % 10}`, `value ${i}`)
  return open
}

async function expectFacts(open: Awaited<ReturnType<typeof openStore>>, count = 30): Promise<void> {
  for (let k = 0; k < 10; k++) assert.equal(await open.facts.get(`k${k}`), `value ${count - 10 + k}`)
}

test('a row is read at the place that write returned', async () => {
  const { store } = await openStore(new FakeFiles())
  const [a, b] = (await store.write(ROW_STATEMENT, [Buffer.from('a=1'), Buffer.from('b=2')])) as [Place, Place]
  assert.equal(Buffer.from(await store.read(b)).toString(), 'b=2')
  assert.equal(Buffer.from(await store.readUnchecked(a)).toString(), 'a=1')
  const place = { segment: 1, offset: 2 ** 31, length: 2 ** 17 }
  assert.deepEqual(decodePlace(encodePlace(place)), place)
})

test('a start replays nothing after a proper end, and only the tail after a crash', async () => {
  const files = new FakeFiles()
  const first = await filled(files)
  assert.deepEqual(first.report, { rebuilt: true, wasClean: false, replayedRows: 0, damagedStretches: 0 })
  await first.store.close()
  const second = await openStore(files.reopen(), { ...small, database: first.database.after(first.database.batches) })
  assert.deepEqual(second.report, { rebuilt: false, wasClean: true, replayedRows: 0, damagedStretches: 0 })
  await expectFacts(second)
  const indexed = second.database.batches
  for (let i = 0; i < 4; i++) await second.facts.set('later', `${i}`)
  const third = await openStore((second.files as FakeFiles).crash(), {
    ...small,
    database: second.database.after(indexed)
  })
  assert.deepEqual(third.report, { rebuilt: false, wasClean: false, replayedRows: 4, damagedStretches: 0 })
  assert.equal(await third.facts.get('later'), '3')
  await expectFacts(third)
})

test('a power cut right after a start does not count as a proper end', async () => {
  const files = new FakeFiles()
  const first = await filled(files)
  await first.store.close()
  const second = await openStore(files.reopen(), { ...small, database: first.database.after(first.database.batches) })
  // Only what the second start synced to the index must have reached the disk.
  const third = await openStore((second.files as FakeFiles).crash(), { ...small, database: second.database.after(0) })
  assert.equal(third.report.wasClean, false)
})

test('a missing index is rebuilt from the segments', async () => {
  const files = new FakeFiles()
  const { database } = await filled(files)
  assert.ok(database.batches > 30)
  const again = await openStore(files.crash(), small)
  assert.equal(again.report.rebuilt, true)
  assert.equal(again.report.replayedRows, 30)
  await expectFacts(again)
})

test('open refuses an index that is incomplete, of another store, or ahead of the segments', async () => {
  const files = new FakeFiles()
  const { database, index, store, segments } = await filled(files)
  await store.close()
  const openWith = async (database: MemoryDatabase, files: FakeFiles, storeId: Uint8Array): Promise<void> => {
    const index = new IndexDb(database.asDatabase, silentLogger)
    await index.open()
    const { segments, store } = storeOf({ files, storeId, index, ...small })
    await segments.open()
    await store.open()
  }
  void index
  void segments
  const format = JSON.parse((files.contents().get('format.json') as Buffer).toString()) as { storeId: string }
  const storeId = Buffer.from(format.storeId, 'hex')
  const whole = (): MemoryDatabase => database.after(database.batches)
  await openWith(whole(), files.crash(), storeId)
  const unfinished = whole()
  await unfinished.open()
  await unfinished.batch([{ type: 'del', key: indexKey('m', Buffer.from('built')) }])
  const disk = (): FakeFiles => files.crash()
  await assert.rejects(openWith(unfinished, disk(), storeId), IndexCorruptError)
  const other = Buffer.alloc(16, 9)
  await assert.rejects(openWith(whole(), new FakeFiles(), other), /another store/)
  await assert.rejects(openWith(whole(), new FakeFiles(), storeId), /ahead of the segments/)
  const cut = disk()
  cut.corrupt(FIRST, bytes => bytes.subarray(0, 300))
  for (const name of (await cut.list('segments')).slice(1)) await cut.remove(`segments/${name}`)
  await assert.rejects(openWith(whole(), cut, storeId), /ahead of the segments/)
})

test('an index of another layout is rebuilt', async () => {
  const files = new FakeFiles()
  const { database, index, store } = await filled(files)
  await index.batch([{ type: 'put', key: indexKey('m', Buffer.from('built')), value: Uint8Array.of(0) }])
  await store.close()
  const again = await openStore(files.crash(), { ...small, database: database.after(database.batches) })
  assert.equal(again.report.rebuilt, true)
  await expectFacts(again)
})

test('a segment of another store is an error, not a reason to rebuild', async () => {
  const files = new FakeFiles()
  await filled(files)
  files.corrupt('format.json', bytes => Buffer.from(bytes.toString().replace(/"storeId":"../, '"storeId":"00')))
  await assert.rejects(openStore(files.reopen(), small), { name: 'UnknownLayoutError' })
})

test('a write under way holds the cursor back, whatever else is indexed meanwhile', async () => {
  const database = new MemoryDatabase()
  const files = new FakeFiles()
  const slow = Promise.withResolvers<void>()
  const index = new IndexDb(database.asDatabase, silentLogger)
  await index.open()
  const storeId = Buffer.alloc(16, 1)
  const seen: string[] = []
  const projection = (wait: Promise<void>): RowProjection => ({
    project: async rows => {
      await wait
      for (const row of rows) seen.push(Buffer.from(row.payload).toString())
    },
    isLive: async () => true,
    isIndexed: async () => true
  })
  const openWith = async (files: FakeFiles, database: MemoryDatabase, wait: Promise<void>): Promise<Store> => {
    const index = new IndexDb(database.asDatabase, silentLogger)
    await index.open()
    const { segments, store } = storeOf({ files, storeId, index })
    store.register(1, projection(wait))
    store.register(2, projection(Promise.resolve()))
    await segments.open()
    await store.open()
    return store
  }
  const store = await openWith(files, database, slow.promise)
  const first = store.write(1, [Buffer.from('slow')])
  for (let i = 0; i < 5; i++) await store.write(2, [Buffer.from(`quick ${i}`)])
  assert.ok(!seen.includes('slow'))
  const after = database.after(database.batches)
  slow.resolve()
  await first
  // The power is cut now: `slow` was acknowledged, and the index on the disk knows only of the other rows.
  seen.length = 0
  await openWith(files.crash(), after, Promise.resolve())
  assert.ok(seen.includes('slow'))
})

test('a durable row that waits for the next segment holds the cursor back too', async () => {
  const database = new MemoryDatabase()
  let gate: Promise<void> | undefined
  const files = new FakeFiles()
  const openAppend = files.openAppend.bind(files)
  files.openAppend = async path => {
    await gate
    return openAppend(path)
  }
  const open = await openStore(files, { ...small, database })
  // Two rows in one write: the first fills the segment, and the second needs the next one, which takes a while to begin.
  const held = Promise.withResolvers<void>()
  await open.facts.set('a', 'x'.repeat(500))
  gate = held.promise
  const both = open.store.write(ROW_STATEMENT, [Buffer.from(`b=${'x'.repeat(100)}`), Buffer.from('c=1')])
  while ((files.contents().get(FIRST) as Buffer).byteLength < 660) await turn()
  // Meanwhile other writes save the cursor: it must stay before the rows that are not indexed yet.
  await open.store.compact(99).catch(() => {})
  await open.index.batch([])
  const indexed = database.after(database.batches)
  held.resolve()
  await both
  const again = await openStore(files.crash(), { ...small, database: indexed })
  assert.equal(await again.facts.get('c'), '1')
  assert.equal((await again.facts.get('b'))?.length, 100)
})

test('a flipped byte in a row is an error when the row is read, the other rows are there, and the report counts the damage', async () => {
  const files = new FakeFiles()
  const open = await filled(files)
  const place = decodePlace((await open.index.get(indexKey('f', Buffer.from('k3')))) as Uint8Array)
  files.corrupt(`segments/0000000${place.segment}.seg`, bytes => {
    bytes[place.offset + 15]! ^= 1
    return undefined
  })
  await assert.rejects(open.facts.get('k3'), RowCorruptError)
  assert.equal(await open.facts.get('k4'), 'value 24')
  const again = await openStore(files.crash(), small)
  assert.equal(again.report.damagedStretches, 1)
  assert.equal(again.report.replayedRows, 29)
  // An older row of the same key counts again, since no newer one is left.
  assert.equal(await again.facts.get('k3'), 'value 13')
})

test('the leaf check finds and reports a row that the index has lost', async () => {
  const files = new FakeFiles()
  const { store, database, corruptions } = await filled(files)
  let rows = 0
  for (let leaf = await store.checkLeaf(7); leaf === 7; leaf = await store.checkLeaf(7)) rows += leaf
  assert.ok(rows >= 21)
  database.corrupt(indexKey('f', Buffer.from('k5')))
  await assert.rejects(async () => {
    for (let i = 0; i < 10; i++) await store.checkLeaf(7)
  }, IndexCorruptError)
  assert.equal(corruptions.length, 1)
  const again = await openStore(files.crash(), small)
  await expectFacts(again)
})

test('a flipped byte of the index is reported when it is read, and a rebuild loses nothing', async () => {
  const files = new FakeFiles()
  const { facts, database, corruptions } = await filled(files)
  database.corrupt(indexKey('f', Buffer.from('k5')), value => {
    value[6]! ^= 1
  })
  await assert.rejects(facts.get('k5'), IndexCorruptError)
  assert.equal(corruptions.length, 1)
  await expectFacts(await openStore(files.crash(), small))
})

test('a flipped byte in the marks of the index makes the start rebuild it', async () => {
  for (const name of ['store', 'built', 'cursor', 'large-cursor', 'clean']) {
    const files = new FakeFiles()
    const { store, database } = await filled(files)
    await store.close()
    const indexed = database.after(database.batches)
    indexed.corrupt(indexKey('m', Buffer.from(name)), value => {
      value[0]! ^= 1
    })
    const again = await openStore(files.reopen(), { ...small, database: indexed })
    assert.equal(again.report.rebuilt, true, name)
    await expectFacts(again)
  }
})

test('a missing segment is reported, and a rebuild recovers the rows of the others', async () => {
  const files = new FakeFiles()
  const open = await filled(files)
  const place = decodePlace((await open.index.get(indexKey('f', Buffer.from('k3')))) as Uint8Array)
  await open.store.close()
  const after = files.crash()
  await after.remove(`segments/0000000${place.segment}.seg`)
  const again = await openStore(after, { ...small, database: open.database.after(open.database.batches) })
  if (again.report.rebuilt) return
  await assert.rejects(again.facts.get('k3'), IndexCorruptError)
  assert.equal(again.corruptions.length, 1)
})

test('a segment that is gone, or has no header, counts as damage, and the index is rebuilt', async () => {
  const whole = new FakeFiles()
  const { store, database } = await filled(whole, new MemoryDatabase(), 100)
  await store.compact(store.compactable(0.5)[0] as number)
  const [victim] = store.segments.closedSegments()
  await store.close()
  const path = `segments/${String(victim?.segment).padStart(8, '0')}.seg`
  const left = (): MemoryDatabase => database.after(database.batches)
  assert.equal((await openStore(whole.reopen(), { ...small, database: left() })).report.damagedStretches, 0)
  for (const harm of ['removed', 'cut']) {
    const files = whole.reopen().crash()
    if (harm === 'removed') await files.remove(path)
    else files.corrupt(path, bytes => bytes.subarray(0, 23))
    const { report } = await openStore(files, { ...small, database: left() })
    assert.deepEqual([report.rebuilt, report.damagedStretches], [true, 1], harm)
  }
})

test('a last segment that is shorter than the index knows counts as damage', async () => {
  const files = new FakeFiles()
  const { store, segments, database } = await filled(files)
  await store.close()
  const path = `segments/${String(segments.end.segment).padStart(8, '0')}.seg`
  for (const cut of [24, 40]) {
    const after = files.crash().reopen()
    after.corrupt(path, bytes => bytes.subarray(0, cut))
    const again = await openStore(after, { ...small, database: database.after(database.batches) })
    assert.equal(again.report.rebuilt, true)
    assert.ok(again.report.damagedStretches > 0)
  }
})

test('a damaged header loses no rows and is counted in the report', async () => {
  const files = new FakeFiles()
  const { store, database } = await filled(files)
  await store.close()
  files.corrupt(FIRST, bytes => bytes.fill('X', 3, 4))
  const again = await openStore(files.reopen(), { ...small, database: database.after(database.batches) })
  assert.deepEqual(again.report, { rebuilt: false, wasClean: true, replayedRows: 0, damagedStretches: 1 })
  await expectFacts(again)
})

test('the leaf check reports damage that it skips once per segment', async () => {
  const files = new FakeFiles()
  const { store, segments, damage } = await filled(files, new MemoryDatabase(), 100)
  const [first, second] = segments.closedSegments() as Array<{ segment: number }>
  for (const { segment } of [first, second] as Array<{ segment: number }>)
    files.corrupt(`segments/0000000${segment}.seg`, bytes => {
      bytes[40]! ^= 1
      bytes[150]! ^= 1
      return undefined
    })
  for (let i = 0; i < 20; i++) await store.checkLeaf(7)
  assert.deepEqual(
    damage.map(({ segment }) => segment),
    [first?.segment, second?.segment]
  )
})

test('a compaction reports a row that the index has lost, and keeps the segment', async () => {
  const files = new FakeFiles()
  const open = await filled(files, new MemoryDatabase(), 100)
  const place = decodePlace((await open.index.get(indexKey('f', Buffer.from('k5')))) as Uint8Array)
  for (let i = 0; i < 30; i++) await open.facts.set('later', `${i}`)
  open.database.corrupt(indexKey('f', Buffer.from('k5')))
  await assert.rejects(open.store.compact(place.segment), IndexCorruptError)
  assert.equal(open.corruptions.length, 1)
  assert.ok(open.segments.has(place.segment))
  await expectFacts(await openStore(files.crash(), small), 100)
})

test('a stop after a failed write is clean only if the write could be undone', async () => {
  for (const isMended of [true, false]) {
    let isBroken = false
    const files = new FakeFiles({
      before: ({ name }) => {
        if (isBroken && name === 'sync') throw new DiskError('the disk reported EIO')
      }
    })
    const { store, facts, database } = await openStore(files)
    await facts.set('a', '1')
    isBroken = true
    await assert.rejects(facts.set('a', '2'), DiskError)
    isBroken = !isMended
    await store.close()
    const again = await openStore(files.reopen(), { database: database.after(database.batches) })
    assert.deepEqual([again.report.wasClean, again.report.rebuilt], [isMended, false])
    await again.store.close()
  }
})

test('compaction removes segments with only dead rows, however small they are', async () => {
  let isBroken = false
  const files = new FakeFiles({
    before: ({ name, bytes = 0 }) => {
      if (isBroken && name === 'append' && bytes > 24) throw new DiskError('the disk reported EIO')
    }
  })
  const { store, segments, facts } = await openStore(files)
  for (let i = 0; i < 10; i++) {
    await facts.set('k', `${i}`)
    isBroken = true
    await assert.rejects(facts.set('k', 'no'.padEnd(30)), DiskError)
    isBroken = false
  }
  await facts.set('k', 'last')
  for (const segment of store.compactable(0.5)) await store.compact(segment)
  assert.deepEqual(segments.closedSegments(), [])
  assert.equal(await facts.get('k'), 'last')
})

test('compaction keeps live rows, drops the others, and frees the space', async () => {
  const files = new FakeFiles()
  const open = await filled(files, new MemoryDatabase(), 100)
  const before = open.segments.bytes
  const rounds: number[] = []
  for (let candidates = open.store.compactable(0.5); candidates.length > 0; candidates = open.store.compactable(0.5)) {
    const [emptiest] = candidates as [number]
    rounds.push(emptiest)
    await open.store.compact(emptiest)
    assert.ok(!open.segments.has(emptiest))
    await expectFacts(open, 100)
    assert.ok(rounds.length < 50)
  }
  assert.ok(rounds.length > 3)
  assert.ok(open.segments.bytes < before / 2)
  await expectFacts(await openStore(files.crash(), small), 100)
})

test('a last segment that is mostly dead ends at once, and its space comes back', async () => {
  const [files, database] = [new FakeFiles(), new MemoryDatabase()]
  const { store, facts, segments } = await openStore(files, { database, segmentBytes: 64 << 20 })
  await facts.set('kept', 'k')
  for (let i = 0; i < 70; i++) await facts.set('large', 'x'.repeat(70_000))
  assert.deepEqual(store.compactable(0.5), [])
  const before = segments.bytes
  await facts.set('large', 'small')
  await store.endWasteful(0.5)
  assert.equal(store.compactable(0.5).length, 1)
  for (const segment of store.compactable(0.5)) await store.compact(segment)
  assert.ok(segments.bytes < before / 4)
  assert.deepEqual([await facts.get('kept'), await facts.get('large')], ['k', 'small'])
  await store.close()
  const again = await openStore(files, { database, segmentBytes: 64 << 20 })
  assert.deepEqual([await again.facts.get('kept'), await again.facts.get('large')], ['k', 'small'])
  // A segment that is mostly live, or small, goes on.
  await again.store.endWasteful(0.5)
  await again.facts.set('more', '1')
  assert.deepEqual(again.store.compactable(1), [])
})

test('the segment with the least live share is compacted first, and the one being written never', async () => {
  const { store, segments } = await filled(new FakeFiles(), new MemoryDatabase(), 100)
  const candidates = store.compactable(1)
  const closed = segments.closedSegments().map(({ segment }) => segment)
  assert.ok(candidates.every(segment => closed.includes(segment)))
  assert.ok(!candidates.includes(segments.end.segment))
})

test('the dead bytes of a segment are known after a restart too', async () => {
  const files = new FakeFiles()
  const first = await filled(files, new MemoryDatabase(), 100)
  const candidates = first.store.compactable(0.5)
  assert.ok(candidates.length > 0)
  await first.store.close()
  const again = await openStore(files.reopen(), { ...small, database: first.database.after(first.database.batches) })
  assert.deepEqual(again.store.compactable(0.5), candidates)
})

test('rows of a type that this version does not know survive a compaction', async () => {
  const files = new FakeFiles()
  const { segments, store, facts } = await openStore(files, small)
  await segments.append([{ type: 77, payload: Buffer.from('from the future') }])
  for (let i = 0; i < 40; i++) await facts.set('k', `${i} `.padEnd(30, '.'))
  assert.deepEqual(store.compactable(0.5)[0] !== undefined, true)
  await store.compact(1)
  const rows = await gather(segments.scan({ segment: 1, offset: 0 }))
  assert.ok(rows.some(({ type, payload }) => type === 77 && Buffer.from(payload).toString() === 'from the future'))
  assert.equal((await openStore(files.crash(), small)).report.damagedStretches, 0)
})

test('compaction keeps a segment with damage in it', async () => {
  const files = new FakeFiles()
  const open = await filled(files, new MemoryDatabase(), 100)
  const [segment] = open.store.compactable(0.5) as [number]
  const path = `segments/${String(segment).padStart(8, '0')}.seg`
  files.corrupt(path, bytes => {
    bytes[40]! ^= 1
    return undefined
  })
  await open.store.compact(segment)
  assert.ok(open.segments.has(segment))
  assert.ok((await files.size(path)) !== undefined)
  assert.ok(!open.store.compactable(0.5).includes(segment))
  await expectFacts(open, 100)
})

test('a write waits while rows are moved, so that no older row is moved after it', async () => {
  const files = new FakeFiles()
  const storeId = Buffer.alloc(16, 1)
  const index = new IndexDb(new MemoryDatabase().asDatabase, silentLogger)
  await index.open()
  const { segments, store } = storeOf({ files, storeId, index, segmentBytes: 100 })
  const asked = Promise.withResolvers<void>()
  const answer = Promise.withResolvers<void>()
  let latest = ''
  store.register(1, {
    project: async rows => {
      latest = Buffer.from((rows.at(-1) as StoredRow).payload).toString()
    },
    isLive: async ({ payload }) => {
      if (Buffer.from(payload).toString() !== 'old') return false
      asked.resolve()
      await answer.promise
      return true
    },
    isIndexed: async () => true
  })
  await segments.open()
  await store.open()
  await store.write(1, [Buffer.from('old')])
  for (let i = 0; i < 10; i++) await store.write(1, [Buffer.from(`filler ${i} `.padEnd(30, '.'))])
  const compacting = store.compact(1)
  await asked.promise
  const renewing = store.write(1, [Buffer.from('new')])
  for (let i = 0; i < 10; i++) await turn()
  answer.resolve()
  await Promise.all([compacting, renewing])
  assert.equal(latest, 'new')
  const last = (await gather(segments.scan({ segment: 1, offset: 0 }))).at(-1)
  assert.equal(Buffer.from(last?.payload as Uint8Array).toString(), 'new')
})

test('an aborted compaction leaves both copies and does no harm', async () => {
  const files = new FakeFiles()
  const open = await filled(files, new MemoryDatabase(), 100)
  const [segment] = open.store.compactable(0.5) as [number]
  await assert.rejects(open.store.compact(segment, AbortSignal.abort()), { name: 'AbortError' })
  assert.ok(open.segments.has(segment))
  await expectFacts(open, 100)
})

type Write = [type: number, payloads: Uint8Array[]]

/**
 * Opens a store whose index is lost, with projections that record each batch of rows, and writes to it. The files that
 * it returns are those of a crash after that.
 */
async function recorded(
  writes: readonly Write[],
  { files = new FakeFiles(), batches = [] }: { files?: FakeFiles; batches?: StoredRow[][] } = {}
): Promise<{ files: FakeFiles }> {
  const storeId = Buffer.alloc(16, 1)
  const index = new IndexDb(new MemoryDatabase().asDatabase, silentLogger)
  await index.open()
  const { segments, store } = storeOf({ files, storeId, index })
  for (const type of [ROW_STATEMENT, ROW_BLOCK, ROW_FREED, ROW_CLAIM, ROW_EARLY])
    store.register(type, {
      project: async rows => {
        batches.push([...rows])
      },
      isLive: async () => true,
      isIndexed: async () => true
    })
  await segments.open()
  await store.open()
  for (const [type, payloads] of writes) await store.write(type, payloads)
  return { files: files.crash() }
}

test('a replay of large rows is done in steps of bounded size', async () => {
  const { files } = await recorded(
    Array.from({ length: 10 }, () => [ROW_STATEMENT, Array.from({ length: 64 }, () => Buffer.alloc(60_000))])
  )
  const rows: StoredRow[][] = []
  await recorded([], { files, batches: rows })
  const batches = rows.map(some => some.reduce((sum, { payload }) => sum + payload.byteLength, 0))
  assert.ok(batches.length > 1 && Math.max(...batches) < 2 << 20, `${batches}`)
  assert.equal(
    batches.reduce((a, b) => a + b),
    640 * 60_000
  )
})

test('a replay gives a projection no more rows at a time than one batch of the index may hold', async () => {
  const batches: StoredRow[][] = []
  const count = 3 * PROJECT_ROWS_MAX
  const payloads = Array.from({ length: count }, (_, i) => u32be(i))
  const { files } = await recorded([[ROW_STATEMENT, payloads]])
  await recorded([], { files, batches })
  assert.deepEqual(
    batches.map(rows => rows.length),
    [PROJECT_ROWS_MAX, PROJECT_ROWS_MAX, PROJECT_ROWS_MAX]
  )
  assert.deepEqual(
    batches.flat().map(({ payload }) => Buffer.from(payload)),
    payloads
  )
})

test('a replay applies the rows of many small puts in one batch for each type, although they lie in turn', async () => {
  const batches: StoredRow[][] = []
  const writes = Array.from({ length: 50 }, (_, i) =>
    [ROW_CLAIM, ROW_BLOCK, ROW_STATEMENT].map((type): Write => [type, [Buffer.from([type, i])]])
  ).flat()
  const { files } = await recorded(writes)
  await recorded([], { files, batches })
  assert.deepEqual(
    batches.map(rows => rows.map(({ payload }) => payload[0])),
    [ROW_CLAIM, ROW_BLOCK, ROW_STATEMENT].map(type => Array.from({ length: 50 }, () => type))
  )
})

test('a replay applies a freed row after the rows before it and before those behind it', async () => {
  const batches: StoredRow[][] = []
  const types = [ROW_BLOCK, ROW_STATEMENT, ROW_FREED, ROW_FREED, ROW_BLOCK, ROW_STATEMENT, ROW_EARLY, ROW_STATEMENT]
  const { files } = await recorded(types.map(type => [type, [Buffer.from([type])]]))
  await recorded([], { files, batches })
  assert.deepEqual(
    batches.flatMap(rows => rows.map(({ payload }) => payload[0])),
    types
  )
  assert.deepEqual(
    batches.map(rows => rows.length),
    [1, 1, 2, 1, 1, 1, 1]
  )
})

test('a full disk refuses writes, and accepts them again once there is room', async () => {
  const options = { totalBytes: 3000 }
  const files = new FakeFiles(options)
  const open = await openStore(files, small)
  let kept = 0
  await assert.rejects(async () => {
    for (let i = 0; ; i++) {
      await open.facts.set(`k${i}`, 'x'.repeat(100))
      kept++
    }
  }, NoSpaceError)
  assert.ok(kept > 10)
  for (let i = 0; i < 3; i++) await assert.rejects(open.facts.set('more', 'x'.repeat(600)), NoSpaceError)
  options.totalBytes = 6000
  await open.facts.set('more', 'at last')
  const again = await openStore(files.crash({ kept: 0, fraction: () => 0.5 }, options), small)
  for (let i = 0; i < kept; i++) assert.equal((await again.facts.get(`k${i}`))?.length, 100)
  assert.equal(await again.facts.get('more'), 'at last')
  assert.equal(again.report.damagedStretches, 0)
})

test('close ends what is under way, and later calls are refused', async () => {
  const files = new FakeFiles()
  const { store, facts, database } = await openStore(files, small)
  const underWay = Promise.allSettled(Array.from({ length: 20 }, (_, i) => facts.set(`k${i}`, 'x')))
  await turn()
  await store.close()
  const results = await underWay
  await assert.rejects(facts.set('late', 'x'), StoppedError)
  const again = await openStore(files.crash(), { ...small, database: database.after(database.batches) })
  assert.ok(again.report.wasClean)
  for (const [i, { status }] of results.entries())
    if (status === 'fulfilled') assert.equal(await again.facts.get(`k${i}`), 'x')
})

test('LevelDB: the store is written, closed, opened, and rebuilt after the index is lost', async t => {
  const files = new FakeFiles()
  const storeId = Buffer.alloc(16, 1)
  const folder = await (await import('../../fixtures/temporary-folder.ts')).temporaryFolder(t)
  const openWith = async (files: FakeFiles, folder?: string) => {
    const index = new IndexDb(await levelDatabase(t, folder), silentLogger)
    await index.open()
    const { segments, store } = storeOf({ files, storeId, index, segmentBytes: 600 })
    const { Facts } = await import('../../fixtures/disk-store.ts')
    const facts = new Facts(store)
    await segments.open()
    return { store, facts, report: await store.open() }
  }
  const first = await openWith(files, folder)
  for (let i = 0; i < 50; i++) await first.facts.set(`k${i % 5}`, `${i}`)
  for (const segment of first.store.compactable(0.5)) await first.store.compact(segment)
  await first.store.close()
  const second = await openWith(files.reopen(), folder)
  assert.deepEqual(second.report, { rebuilt: false, wasClean: true, replayedRows: 0, damagedStretches: 0 })
  assert.equal(await second.facts.get('k3'), '48')
  await second.store.close()
  const third = await openWith(files.crash())
  assert.equal(third.report.rebuilt, true)
  for (let k = 0; k < 5; k++) assert.equal(await third.facts.get(`k${k}`), `${45 + k}`)
  await third.store.close()
})

test('the log tells how the store was opened, what a write met and what was compacted', async () => {
  let isBroken = false
  const files = new FakeFiles({
    before: ({ name, bytes = 0 }) => {
      if (isBroken && name === 'append' && bytes > 24) throw new DiskError('the disk reported EIO')
    }
  })
  const logger = new RecordingLogger()
  const storeId = Buffer.alloc(16, 1)
  const index = new IndexDb(new MemoryDatabase().asDatabase, logger)
  await index.open()
  const { segments, store } = storeOf({ files, storeId, index, logger, segmentBytes: 100 })
  store.register(1, { project: async () => {}, isLive: async () => false, isIndexed: async () => true })
  await segments.open()
  await store.open()
  await store.write(1, [Buffer.alloc(100)])
  isBroken = true
  await assert.rejects(store.write(1, [Buffer.alloc(100)]), DiskError)
  isBroken = false
  await store.write(1, [Buffer.alloc(100)])
  await store.compact(1)
  await store.close()
  assert.deepEqual(
    logger.lines.filter(line => !line.includes('trace')),
    [
      'dfs:disk:index opened the index',
      'dfs:disk:store opened an empty store; rows replayed: 0, damaged stretches: 0',
      'dfs:disk:segments began segment 1',
      'dfs:disk:segments began segment 2',
      'dfs:disk:segments abandoned segment 2 after a failed write; durable rows: 0',
      'dfs:disk:store could not write rows of type 1 (1): DiskError: the disk reported EIO',
      'dfs:disk:segments began segment 3',
      'dfs:disk:compaction compacted segment 1; rows moved: 0',
      'dfs:disk:store closed'
    ]
  )
})

test('damage in a row that the index does not have yet puts the index in doubt, and damage in other rows does not', async () => {
  for (const isIndexed of [true, false]) {
    const files = new FakeFiles()
    const first = await filled(files)
    await first.index.batch(await endDoubtOps(first.index))
    const batches = first.database.batches
    const [place] = await first.store.write(ROW_STATEMENT, [Buffer.from('x=y'), Buffer.from('last=1')])
    // The cursor is saved a moment later.
    for (let i = 0; i < 10; i++) await turn()
    const { segment, offset } = place as Place
    files.corrupt(`segments/${String(segment).padStart(8, '0')}.seg`, bytes => {
      bytes[offset + 15]! ^= 1
      return bytes
    })
    const database = first.database.after(isIndexed ? first.database.batches : batches)
    const { index, report } = await openStore(files.crash(), { ...small, database })
    assert.deepEqual([report.damagedStretches, await isInDoubt(index)], isIndexed ? [0, false] : [1, true])
  }
})

test('all rows count as verified once every leaf was compared, and not before', async () => {
  const { store } = await filled(new FakeFiles())
  assert.ok(!store.isVerified)
  await store.checkLeaf(1)
  assert.ok(!store.isVerified)
  for (let rows = 1; rows < 31; rows++) await store.checkLeaf(1)
  assert.ok(store.isVerified)
})
