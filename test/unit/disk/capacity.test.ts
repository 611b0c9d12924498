import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Capacity } from '../../../src/disk/capacity.ts'
import { NoSpaceError } from '../../../src/disk/errors.ts'
import type { Files } from '../../../src/disk/files.ts'
import { ManualClock } from '../../fixtures/clock.ts'

/** The capacity of a disk of 1,000 bytes, some of them free. */
async function capacityOf(freeBytes: number): Promise<Capacity> {
  const files = { space: async () => ({ totalBytes: 1000, freeBytes }) } as unknown as Files
  const capacity = new Capacity({ files, clock: new ManualClock() })
  await capacity.measure()
  return capacity
}

test('existing bytes do not count twice against the room', async () => {
  const capacity = await capacityOf(400)
  capacity.countExisting(600)
  assert.equal(capacity.isFull, false)
  assert.equal(capacity.usedBytes, 600)
  await capacity.take(300)
  await assert.rejects(capacity.take(100), NoSpaceError)
  assert.equal(capacity.isFull, true)
})

test('a write after the measurement takes room, and a removal returns it', async () => {
  const capacity = await capacityOf(1000)
  await capacity.take(920)
  assert.equal(capacity.isFull, true)
  capacity.add(-500)
  assert.equal(capacity.isFull, false)
  await capacity.take(400)
})
