import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LEAF_INTERVAL_MS, LEAF_PAUSE_MS, LEAF_REST, LEAF_ROWS } from '../../../src/disk/constants.ts'
import { DiskError } from '../../../src/disk/errors.ts'
import { leafCheck } from '../../../src/disk/leaf-check.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { settle } from '../../fixtures/pass-time.ts'

test('the leaf check goes on after an error, once the long pause is over', async () => {
  const clock = new ManualClock()
  const errors: unknown[] = []
  let checks = 0
  const store = {
    checkLeaf: async () => {
      if (++checks === 3) throw new DiskError('the disk reported EIO')
      return LEAF_ROWS
    }
  }
  const worker = leafCheck({ store, clock, logger: silentLogger, onError: error => errors.push(error) })
  worker.start()
  const pass = async (ms: number): Promise<void> => {
    await settle(3)
    clock.advance(ms)
    await settle(3)
  }
  for (let i = 0; i < 3; i++) await pass(100)
  assert.deepEqual([checks, errors.length], [3, 1])
  await pass(LEAF_INTERVAL_MS - 1_000)
  assert.equal(checks, 3)
  await pass(1_000)
  await pass(100)
  assert.deepEqual([checks, errors.length], [5, 1], 'and then with the short pause again')
  await worker.stop()
})

test('while all rows are checked for the first time, a longer check is followed by a longer rest', async () => {
  const clock = new ManualClock()
  let checks = 0
  const store = {
    checkLeaf: async () => {
      checks++
      await clock.sleep(200)
      return LEAF_ROWS
    }
  }
  const worker = leafCheck({ store, clock, logger: silentLogger, onError: error => assert.fail(String(error)) })
  worker.start()
  const pass = async (ms: number): Promise<void> => {
    await settle(3)
    clock.advance(ms)
    await settle(3)
  }
  await pass(LEAF_PAUSE_MS)
  await pass(200)
  await pass(LEAF_REST * 200 - 1)
  assert.equal(checks, 1)
  await pass(1)
  assert.equal(checks, 2)
  clock.advance(200)
  await worker.stop()
})
