import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Capacity } from '../../../src/disk/capacity.ts'
import { NoSpaceError } from '../../../src/disk/errors.ts'
import type { Files } from '../../../src/disk/files.ts'
import { ManualClock } from '../../fixtures/clock.ts'

/** Room on a disk of 1,000 bytes of which some are free. */
async function capacityOf(freeBytes: number): Promise<Capacity> {
  const files = { space: async () => ({ totalBytes: 1000, freeBytes }) } as unknown as Files
  const capacity = new Capacity({ files, clock: new ManualClock() })
  await capacity.measure()
  return capacity
}

test('what was here when the disk was looked at does not take its room twice', async () => {
  const capacity = await capacityOf(400)
  capacity.countExisting(600)
  assert.equal(capacity.isFull, false)
  assert.equal(capacity.usedBytes, 600)
  await capacity.take(300)
  await assert.rejects(capacity.take(100), NoSpaceError)
  assert.equal(capacity.isFull, true)
})

test('what is written after the look takes its room, and what is freed gives it back', async () => {
  const capacity = await capacityOf(1000)
  await capacity.take(920)
  assert.equal(capacity.isFull, true)
  capacity.add(-500)
  assert.equal(capacity.isFull, false)
  await capacity.take(400)
})
