import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ROW_STATEMENT } from '../../../src/disk/constants.ts'
import { DiskError, IndexCorruptError, NoSpaceError } from '../../../src/disk/errors.ts'
import { ROW_HEADER_BYTES } from '../../../src/disk/row.ts'
import { type OpenStore, openStore } from '../../fixtures/disk-store.ts'
import { FakeFiles, KEEPS_ALL, type Operation } from '../../fixtures/fake-files.ts'
import { MemoryDatabase } from '../../fixtures/memory-database.ts'
import { settle } from '../../fixtures/pass-time.ts'
import { gather } from '../../fixtures/streams.ts'

const small = { segmentBytes: 600 }
const START = { segment: 1, offset: 0 }

function noSpace(): Error {
  return Object.assign(new Error('IO error: No space left on device'), { code: 'LEVEL_IO_ERROR' })
}

/**
 * A database that refuses batches while `isFull`. With `appliesLate`, the refused batches are there nevertheless once
 * it is opened again.
 */
class FullDatabase extends MemoryDatabase {
  isFull = false
  appliesLate = false
  readonly #late: Array<Parameters<MemoryDatabase['batch']>[0]> = []

  override async batch(...[ops, options]: Parameters<MemoryDatabase['batch']>): Promise<void> {
    if (!this.isFull) return super.batch(ops, options)
    if (this.appliesLate) this.#late.push(ops)
    throw noSpace()
  }

  override async open(): Promise<void> {
    await super.open()
    for (const ops of this.#late.splice(0)) await super.batch(ops)
  }

  /** Returns the rows that a restart finds after a kill. */
  async restarted(): Promise<MemoryDatabase> {
    await this.open()
    return this.after(this.batches)
  }
}

interface FullNode extends OpenStore {
  files: FakeFiles
  database: FullDatabase
}

async function open(before: (operation: Operation) => void = () => {}): Promise<FullNode> {
  const files = new FakeFiles({ before })
  const database = new FullDatabase()
  return { ...(await openStore(files, { ...small, database })), files, database }
}

/** Kills the node and starts it again. */
async function restart({ files }: { files: FakeFiles }, database: FullDatabase): Promise<OpenStore> {
  return openStore(files.reopen(), { ...small, database: await database.restarted() })
}

/**
 * Waits for the batches that nobody else awaits, such as that of the cursor. From then on the database refuses all
 * batches.
 */
async function fill(database: FullDatabase): Promise<void> {
  await settle(5)
  database.isFull = true
}

async function countVoid({ segments }: Pick<OpenStore, 'segments'>): Promise<number> {
  return (await gather(segments.scan(START))).filter(({ isVoid }) => isVoid).length
}

test('a write that the index refuses leaves nothing behind, before and after a restart', async () => {
  const { files, database, ...node } = await open()
  await node.facts.set('a', '1')
  await fill(database)
  const writes = ['2', '3', '4'].map(value => node.facts.set('a', value))
  for (const { status } of await Promise.allSettled([...writes, node.facts.set('b', '1')]))
    assert.equal(status, 'rejected')
  assert.equal(await node.facts.get('a'), '1')
  assert.equal(await countVoid(node), 4)
  const again = await restart({ files }, database)
  assert.equal(again.report.rebuilt, false)
  assert.equal(await again.facts.get('a'), '1')
  assert.equal(await again.facts.get('b'), undefined)
  // A rebuild reads all rows, and skips those too.
  const rebuilt = await openStore((again.files as FakeFiles).crash(), small)
  assert.equal(await rebuilt.facts.get('a'), '1')
  assert.equal(await rebuilt.facts.get('b'), undefined)
  assert.equal(rebuilt.report.damagedStretches, 0)
})

test('the rows of a refused write are void before the caller gets the error', async () => {
  const { files, database, facts } = await open()
  await fill(database)
  await assert.rejects(facts.set('a', '1'), NoSpaceError)
  // The power is cut at once: the undo is synced.
  const again = await openStore(files.crash(), { ...small, database: await database.restarted() })
  assert.equal(await again.facts.get('a'), undefined)
})

test('once the index has failed, a write is refused before any row is made durable', async () => {
  const { database, segments, facts } = await open()
  await fill(database)
  await assert.rejects(facts.set('a', '1'), NoSpaceError)
  const { end } = segments
  for (let i = 0; i < 3; i++) await assert.rejects(facts.set('a', `${i}`), NoSpaceError)
  assert.deepEqual(segments.end, end)
})

test('the footer of a segment still matches when rows in it are void, and compaction drops them', async () => {
  const { files, database, ...node } = await open()
  await node.facts.set('a', '1')
  await fill(database)
  const writes = [node.facts.set('a', '2'), node.facts.set('b', 'x'.repeat(100))]
  for (const { status } of await Promise.allSettled(writes)) assert.equal(status, 'rejected')
  database.isFull = false
  await node.store.reopenIndex()
  // The row that `a` would have replaced is not dead.
  const deadBytes = 2 * ROW_HEADER_BYTES + 'a=2'.length + 'b='.length + 100
  assert.equal(node.segments.bytes - node.store.rowBytes, deadBytes)
  for (let i = 0; i < 40; i++) await node.facts.set('c', `${i}`.padEnd(50, '.'))
  const damage: unknown[] = []
  await gather(node.segments.scan(START, at => damage.push(at)))
  assert.deepEqual(damage, [])
  for (let i = 0; i < 3; i++) await node.store.checkLeaf()
  await node.store.compact(1)
  assert.equal(await countVoid(node), 0)
  assert.equal(await node.facts.get('a'), '1')
  assert.equal(await node.facts.get('b'), undefined)
  assert.deepEqual(node.corruptions, [])
})

test('a start that reads void rows counts them as dead', async () => {
  const { files, database, ...node } = await open()
  await fill(database)
  await assert.rejects(node.facts.set('b', 'x'.repeat(100)), NoSpaceError)
  const again = await restart({ files }, database)
  assert.equal(again.segments.bytes - again.store.rowBytes, ROW_HEADER_BYTES + 'b='.length + 100)
})

test('rows that fill one segment are void if the write fails in the next one', async () => {
  const node = await open(({ name, path }) => {
    if (name === 'openAppend' && path.includes('00000002')) throw new NoSpaceError('the disk is full')
  })
  const payloads = Array.from({ length: 20 }, (_, i) => Buffer.from(`k${i}=${'x'.repeat(60)}`))
  await assert.rejects(node.store.write(ROW_STATEMENT, payloads), NoSpaceError)
  const again = await restart(node, node.database)
  for (let i = 0; i < 20; i++) assert.equal(await again.facts.get(`k${i}`), undefined, `k${i}`)
  assert.equal(again.report.damagedStretches, 0)
})

test('no row of an append that failed comes back, however much of it has reached the disk', async () => {
  let isBroken = false
  const node = await open(({ name, path }) => {
    // The bytes are written, and only the sync fails. Then the file can be cut, which is another sync.
    if (!isBroken || name !== 'sync' || !path.startsWith('segments/')) return
    isBroken = false
    throw new DiskError('the disk reported EIO')
  })
  await node.facts.set('a', '1')
  isBroken = true
  await assert.rejects(node.facts.set('a', '2'), DiskError)
  for (const files of [node.files.crash(KEEPS_ALL)]) {
    const again = await openStore(files, { ...small, database: await node.database.restarted() })
    assert.equal(await again.facts.get('a'), '1')
  }
})

test('no row is written as long as a failed append cannot be cut off, and it is cut off later', async () => {
  let broken: string[] = []
  const node = await open(({ name }) => {
    if (broken.includes(name)) throw new DiskError('the disk reported EIO')
  })
  await node.facts.set('a', '1')
  broken = ['sync', 'truncate']
  await assert.rejects(node.facts.set('a', '2'), DiskError)
  broken = ['truncate']
  await assert.rejects(node.facts.set('b', '1'), DiskError)
  assert.equal(node.segments.isUndone, false)
  broken = []
  await node.facts.set('b', '2')
  assert.equal(node.segments.isUndone, true)
  const again = await restart(node, node.database)
  assert.equal(await again.facts.get('a'), '1')
  assert.equal(await again.facts.get('b'), '2')
})

test('an undo that the disk refuses is tried again before the index reopens, and at the end', async () => {
  for (const atEnd of [true, false]) {
    let isBroken = true
    const node = await open(({ name }) => {
      if (isBroken && name === 'overwrite') throw new DiskError('the disk reported EIO')
    })
    await node.facts.set('a', '1')
    await fill(node.database)
    await assert.rejects(node.facts.set('a', '2'), NoSpaceError)
    node.database.isFull = false
    await assert.rejects(node.store.reopenIndex(), DiskError)
    await assert.rejects(node.facts.set('b', '1'), NoSpaceError)
    isBroken = false
    if (atEnd) await node.store.close()
    else await node.store.reopenIndex()
    const again = await restart(node, node.database)
    assert.equal(await again.facts.get('a'), '1')
    assert.equal(again.report.damagedStretches, 0)
  }
})

test('an index that holds a refused row after all is corrupt, when it is reopened and at a start', async () => {
  for (const isReopened of [true, false]) {
    const node = await open()
    await node.facts.set('a', '1')
    node.database.appliesLate = true
    await fill(node.database)
    await assert.rejects(node.facts.set('a', '2'), NoSpaceError)
    node.database.isFull = false
    if (isReopened) {
      await assert.rejects(node.store.reopenIndex(), IndexCorruptError)
      assert.equal(node.corruptions.length, 1)
    }
    const again = await restart(node, node.database)
    assert.equal(again.report.rebuilt, true)
    assert.equal(await again.facts.get('a'), '1')
  }
})

test('a write that fails after the index accepted it stays, since readers can see it', async () => {
  const node = await open()
  const { batch } = node.database
  node.database.batch = async (ops, options) => {
    await batch.call(node.database, ops, options)
    throw noSpace()
  }
  await assert.rejects(node.facts.set('a', '1'), NoSpaceError)
  node.database.batch = batch
  assert.equal(await node.facts.get('a'), '1')
  await node.store.reopenIndex()
  const again = await restart(node, node.database)
  assert.equal(await again.facts.get('a'), '1')
  assert.equal(again.report.rebuilt, false)
})

test('rows that could not be made void at once are void before the next row is written', async () => {
  let isBroken = true
  const node = await open(({ name, path }) => {
    if (!isBroken) return
    if (name === 'overwrite') throw new DiskError('the disk reported EIO')
    if (name === 'openAppend' && path.includes('00000002')) throw new NoSpaceError('the disk is full')
  })
  const payloads = Array.from({ length: 20 }, (_, i) => Buffer.from(`k${i}=${'x'.repeat(60)}`))
  await assert.rejects(node.store.write(ROW_STATEMENT, payloads), NoSpaceError)
  assert.equal(node.segments.isUndone, false)
  isBroken = false
  await node.facts.set('a', '1')
  assert.equal(node.segments.isUndone, true)
  await node.store.compact(1)
  assert.ok(!node.segments.has(1))
  const again = await restart(node, node.database)
  assert.equal(await again.facts.get('k0'), undefined)
  assert.equal(await again.facts.get('a'), '1')
})

test('a segment whose listing was lost with a failed batch is listed when the index is reopened', async () => {
  const node = await open()
  for (let i = 0; i < 8; i++) await node.facts.set(`k${i}`, 'x'.repeat(50))
  await settle(5)
  const { batch } = node.database
  node.database.batch = async (ops, options) => {
    if (ops.some(({ key }) => Buffer.from(key).includes('segment'))) throw noSpace()
    return batch.call(node.database, ops, options)
  }
  while (node.segments.end.segment === 1) await node.facts.set('more', 'x'.repeat(50))
  await settle(5)
  assert.equal(node.index.state, 'failed')
  node.database.batch = batch
  await node.store.reopenIndex()
  while (node.segments.end.segment === 2) await node.facts.set('more', 'x'.repeat(50))
  await settle(5)
  // The segment disappears. The index knows that it is missing, so the loss is noticed.
  const files = node.files.reopen()
  await files.remove('segments/00000002.seg')
  const again = await openStore(files, { ...small, database: await node.database.restarted() })
  assert.equal(again.report.rebuilt, true)
  assert.equal(again.report.damagedStretches, 1)
})

test('a write that comes while the index is reopened is refused at once', async () => {
  const node = await open()
  await fill(node.database)
  await assert.rejects(node.facts.set('a', '1'), NoSpaceError)
  node.database.isFull = false
  const held = Promise.withResolvers<void>()
  const openDatabase = node.database.open.bind(node.database)
  node.database.open = async () => {
    await held.promise
    await openDatabase()
  }
  const reopening = node.store.reopenIndex()
  await settle(3)
  await assert.rejects(node.facts.set('a', '2'), NoSpaceError)
  held.resolve()
  await reopening
  await node.facts.set('a', '3')
  assert.equal(await node.facts.get('a'), '3')
})

test('a full disk gets another attempt once the reserve has made room', async () => {
  let isFull = false
  const node = await open(({ name }) => {
    if (isFull && name === 'append') throw new NoSpaceError('the disk is full')
  })
  await node.store.close()
  const attempts: boolean[] = []
  const again = await openStore(
    node.files.reopen({
      before: ({ name }) => {
        if (isFull && name === 'append') throw new NoSpaceError('the disk is full')
      }
    }),
    {
      ...small,
      database: await node.database.restarted(),
      makeRoom: async () => {
        const hadRoom = attempts.length === 0
        attempts.push(hadRoom)
        if (hadRoom) isFull = false
        return hadRoom
      }
    }
  )
  isFull = true
  await again.facts.set('a', '1')
  assert.deepEqual(attempts, [true])
  isFull = true
  await assert.rejects(again.facts.set('a', '2'), NoSpaceError)
  assert.deepEqual(attempts, [true, false])
})

test('a compaction writes no rows while the index is failed', async () => {
  const { database, segments, ...node } = await open()
  for (let i = 0; i < 40; i++) await node.facts.set(i % 2 === 0 ? `k${i}` : 'c', `${i}`.padEnd(50, '.'))
  await fill(database)
  await assert.rejects(node.facts.set('a', '1'), NoSpaceError)
  const { end } = segments
  for (let i = 0; i < 3; i++) await assert.rejects(node.store.compact(1), NoSpaceError)
  assert.deepEqual(segments.end, end)
})

test('the leaf check does not take a row for lost if its write is refused during the check', async () => {
  const { database, ...node } = await open()
  await fill(database)
  const held = Promise.withResolvers<void>()
  const refuse = database.batch.bind(database)
  database.batch = async (...parameters) => {
    await held.promise
    return refuse(...parameters)
  }
  const writing = assert.rejects(node.facts.set('a', '1'), NoSpaceError)
  await settle(5)
  const { scan } = node.segments
  node.segments.scan = async function* (from, onDamage) {
    for await (const row of scan.call(this, from, onDamage)) {
      held.resolve()
      await writing
      yield row
    }
  }
  assert.equal(await node.store.checkLeaf(), 1)
  assert.deepEqual(node.corruptions, [])
})
