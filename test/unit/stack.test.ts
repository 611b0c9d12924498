import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LEAF_INTERVAL_MS, LEAF_ROWS } from '../../src/disk/constants.ts'
import { DiskError, NoSpaceError } from '../../src/disk/errors.ts'
import { checkLeaves, closeAll, every } from '../../src/stack.ts'
import { ManualClock } from '../fixtures/clock.ts'
import { settle } from '../fixtures/pass-time.ts'

test('work that is done from time to time goes on after a failure, which is reported', async () => {
  const clock = new ManualClock()
  const ending = new AbortController()
  const errors: unknown[] = []
  let times = 0
  const running = every(
    clock,
    1_000,
    ending.signal,
    error => errors.push(error),
    async () => {
      if (++times === 2) throw new NoSpaceError('the disk is full')
    }
  )
  for (let i = 0; i < 5; i++) {
    await settle(3)
    clock.advance(1_000)
  }
  await settle(3)
  assert.deepEqual([times, errors.map(error => (error as Error).name)], [5, ['NoSpaceError']])
  ending.abort()
  await running
})

test('the check of leaves goes on after an error, at its leisure', async () => {
  const clock = new ManualClock()
  const ending = new AbortController()
  const errors: unknown[] = []
  let checks = 0
  const store = {
    checkLeaf: async () => {
      if (++checks === 3) throw new DiskError('the disk reported EIO')
      return LEAF_ROWS
    }
  }
  const running = checkLeaves(store, clock, ending.signal, error => errors.push(error))
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
  assert.deepEqual([checks, errors.length], [5, 1], 'and then as before')
  ending.abort()
  await running
})

test('whatever one part meets at its end, the others end too', async () => {
  const ended: string[] = []
  const parts = ['members', 'host', 'store', 'index'].map(name => async () => {
    ended.push(name)
    if (name === 'host' || name === 'store') throw new DiskError(name)
  })
  await assert.rejects(closeAll(parts), { message: 'host' })
  assert.deepEqual(ended, ['members', 'host', 'store', 'index'])
  await closeAll([])
})
