import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { DurableBlockstore } from '../../../src/disk/blockstore.ts'
import { Capacity } from '../../../src/disk/capacity.ts'
import { PAGE_BYTES, SMALL_BLOCK_BYTES_MAX } from '../../../src/disk/constants.ts'
import { NoSpaceError } from '../../../src/disk/errors.ts'
import type { Files } from '../../../src/disk/files.ts'
import { ROW_HEADER_BYTES } from '../../../src/disk/row.ts'
import { nameBlock } from '../../../src/format/cid.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { openStore } from '../../fixtures/disk-store.ts'
import { FakeFiles } from '../../fixtures/fake-files.ts'
import { silentLogger } from '../../fixtures/logger.ts'

/** The capacity of a disk of 1,000 bytes, some of them free. */
async function capacityOf(freeBytes: number, rowBytes = 0): Promise<Capacity> {
  const files = { space: async () => ({ totalBytes: 1000, freeBytes }) } as unknown as Files
  const capacity = new Capacity({ files, clock: new ManualClock(), rowBytes: () => rowBytes })
  await capacity.measure()
  return capacity
}

test('existing bytes do not count twice against the room', async () => {
  const capacity = await capacityOf(400, 600)
  assert.equal(capacity.isFull, false)
  assert.equal(capacity.usedBytes, 600)
  await capacity.take(300)
  await assert.rejects(capacity.take(100), NoSpaceError)
  assert.equal(capacity.isFull, true)
})

/** The capacity of a node that may hold 1,000 bytes, with a clock that makes every measurement old. */
async function capacityWith({ rows, index }: { rows: () => number; index: () => number }) {
  const files = { space: async () => ({ totalBytes: 1e6, freeBytes: 1e6 }) } as unknown as Files
  const clock = new ManualClock()
  const capacity = new Capacity({ files, clock, capacityBytes: 1000, rowBytes: rows, indexBytes: async () => index() })
  await capacity.measureAll()
  return { capacity, pass: () => clock.advance(1_001) }
}

test('rows and the index count, each once', async () => {
  let rows = 100
  let index = 10
  const { capacity, pass } = await capacityWith({ rows: () => rows, index: () => index })
  assert.equal(capacity.usedBytes, 110)
  // A block is counted when it is taken, and afterwards with the rows of the segment.
  await capacity.take(50)
  assert.equal(capacity.usedBytes, 160)
  rows = 150
  pass()
  await capacity.take(40)
  assert.equal(capacity.usedBytes, 200)
  index = 30
  await capacity.measureAll()
  assert.equal(capacity.usedBytes, 180)
})

test('a block without which nothing can be freed may take a hundredth of the capacity without room, until there is room again', async () => {
  let rows = 2_000
  const { capacity, pass } = await capacityWith({ rows: () => rows, index: () => 0 })
  const take = (bytes: number): Promise<void> => capacity.take(bytes, { mayTakeLast: true })
  await assert.rejects(capacity.take(1), NoSpaceError)
  await take(4)
  await take(6)
  await assert.rejects(take(1), NoSpaceError)
  pass()
  await assert.rejects(take(1), NoSpaceError)
  rows = 990
  pass()
  await take(8)
  await assert.rejects(take(11), NoSpaceError)
  await take(10)
})

test('a block counts once, before and after the next measurement', async () => {
  const { store, facts, files, clock } = await openStore(new FakeFiles())
  await facts.set('a', '1')
  const capacity = new Capacity({ files, clock, rowBytes: () => store.rowBytes })
  await capacity.measure()
  const before = capacity.usedBytes
  const blocks = new DurableBlockstore(store, capacity, silentLogger)
  const [small, large] = [randomBytes(1000), randomBytes(SMALL_BLOCK_BYTES_MAX)]
  for (const bytes of [small, large]) await blocks.put(nameBlock(bytes), bytes)
  assert.equal(capacity.usedBytes, before + small.byteLength + large.byteLength)
  await capacity.measure()
  const smallRow = small.byteLength + ROW_HEADER_BYTES + 34
  const pages = large.byteLength + PAGE_BYTES
  const largeHeader = PAGE_BYTES
  assert.equal(capacity.usedBytes, before + smallRow + pages + largeHeader)
  for (const bytes of [small, large]) await blocks.delete(nameBlock(bytes))
  await capacity.measure()
  // The row that says that the block was freed is dead itself.
  assert.equal(capacity.usedBytes, before + largeHeader)
})

test('bytes that have to stay free do not count as room', async () => {
  const files = { space: async () => ({ totalBytes: 1000, freeBytes: 400 }) } as unknown as Files
  let keepFreeBytes = 300
  const capacity = new Capacity({ files, clock: new ManualClock(), keepFreeBytes: () => keepFreeBytes })
  await capacity.measure()
  await assert.rejects(capacity.take(100), NoSpaceError)
  keepFreeBytes = 0
  await capacity.take(100)
})

test('a node that is filled by statements alone is full until enough rows are dead', async () => {
  let rows = 900
  const { capacity, pass } = await capacityWith({ rows: () => rows, index: () => 0 })
  await capacity.assertRoom()
  rows = 960
  pass()
  await assert.rejects(capacity.assertRoom(), NoSpaceError)
  assert.equal(capacity.isFull, true)
  rows = 920
  pass()
  await assert.rejects(capacity.assertRoom(), NoSpaceError)
  rows = 800
  pass()
  await capacity.assertRoom()
})

test('a write after the measurement takes room, and a removal returns it', async () => {
  const capacity = await capacityOf(1000)
  await capacity.take(920)
  assert.equal(capacity.isFull, true)
  capacity.add(-500)
  assert.equal(capacity.isFull, false)
  await capacity.take(400)
})

test('a node is full when its disk is, although it holds less than it may, and not once there is room again', async () => {
  let freeBytes = 600
  const files = { space: async () => ({ totalBytes: 1_000, freeBytes }) } as unknown as Files
  const clock = new ManualClock()
  const capacity = new Capacity({ files, clock, capacityBytes: 500 })
  await capacity.measure()
  assert.deepEqual([capacity.capacityBytes, capacity.isFull], [500, false])
  freeBytes = 60
  clock.advance(1_001)
  await assert.rejects(capacity.take(20), NoSpaceError)
  assert.deepEqual([capacity.capacityBytes, capacity.usedBytes, capacity.isFull], [500, 0, true])
  freeBytes = 600
  clock.advance(1_001)
  await capacity.take(20)
  assert.equal(capacity.isFull, false)
})
