import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compactor } from '../../../src/disk/compactor.ts'
import {
  COMPACT_BELOW,
  COMPACT_BELOW_IF_SHORT,
  COMPACT_INTERVAL_MS,
  COMPACT_PAUSE_MS,
  COMPACT_REST
} from '../../../src/disk/constants.ts'
import { NoSpaceError } from '../../../src/disk/errors.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { settle } from '../../fixtures/pass-time.ts'

function setup(candidates: number[], compact: (segment: number, signal?: AbortSignal) => Promise<void>) {
  const clock = new ManualClock()
  const errors: unknown[] = []
  const state = { isShort: false, forgotten: 0 }
  const asked: number[] = []
  const store = {
    compactable: (below: number) => {
      asked.push(below)
      return [...candidates]
    },
    compact,
    endWasteful: async () => {},
    forgetCompacted: () => {
      state.forgotten++
    }
  }
  const worker = compactor({
    store,
    isShort: () => state.isShort,
    clock,
    logger: silentLogger,
    onError: error => errors.push(error)
  })
  worker.start()
  const pass = async (ms: number): Promise<void> => {
    clock.advance(ms)
    await settle(3)
  }
  return { worker, pass, errors, asked, clock, state }
}

test('the compactor compacts one segment per round, the emptiest', async () => {
  const candidates = [7, 3, 5]
  const compacted: number[] = []
  const { worker, pass, asked } = setup(candidates, async segment => {
    compacted.push(segment)
    candidates.splice(candidates.indexOf(segment), 1)
  })
  await pass(COMPACT_INTERVAL_MS - 1)
  assert.deepEqual(compacted, [])
  await pass(1)
  assert.deepEqual(compacted, [7])
  for (let i = 0; i < 4; i++) await pass(COMPACT_INTERVAL_MS)
  assert.deepEqual(compacted, [7, 3, 5])
  assert.deepEqual(asked, [COMPACT_BELOW, COMPACT_BELOW, COMPACT_BELOW, COMPACT_BELOW, COMPACT_BELOW])
  assert.deepEqual([worker.status.name, worker.status.lastError], ['compaction', null])
  await worker.stop()
})

test('after a compaction the next round comes soon, and the space of what was compacted returns with it', async () => {
  const candidates = [7, 3]
  const compacted: number[] = []
  const { worker, pass, clock, state } = setup(candidates, async segment => {
    clock.advance(COMPACT_PAUSE_MS)
    compacted.push(candidates.splice(candidates.indexOf(segment), 1)[0] as number)
  })
  await pass(COMPACT_INTERVAL_MS)
  assert.deepEqual([compacted, state.forgotten], [[7], 1])
  await pass(COMPACT_REST * COMPACT_PAUSE_MS - 1)
  assert.deepEqual([compacted, state.forgotten], [[7], 1])
  await pass(1)
  assert.deepEqual([compacted, state.forgotten], [[7, 3], 2])
  await pass(COMPACT_REST * COMPACT_PAUSE_MS)
  assert.equal(state.forgotten, 3)
  await pass(COMPACT_REST * COMPACT_PAUSE_MS)
  assert.equal(state.forgotten, 3)
  await worker.stop()
})

test('the compactor takes segments of which less is dead if space is short', async () => {
  const { worker, pass, asked, state } = setup([], async () => {})
  await pass(COMPACT_INTERVAL_MS)
  state.isShort = true
  await pass(COMPACT_INTERVAL_MS)
  assert.deepEqual(asked, [COMPACT_BELOW, COMPACT_BELOW_IF_SHORT])
  await worker.stop()
})

test('the compactor reports an error and tries again in the next round', async () => {
  let attempts = 0
  const { worker, pass, errors } = setup([1], async () => {
    if (++attempts === 1) throw new NoSpaceError('the disk is full')
  })
  await pass(COMPACT_INTERVAL_MS)
  assert.deepEqual([attempts, errors.length, worker.status.lastError], [1, 1, 'no-space'])
  await pass(COMPACT_INTERVAL_MS)
  assert.deepEqual([attempts, errors.length, worker.status.lastError], [2, 1, null])
  await worker.stop()
})

test('the compactor aborts the compaction under way when it is stopped', async () => {
  const { worker, pass, errors } = setup([1], async (_segment, signal) => {
    await new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)))
  })
  await pass(COMPACT_INTERVAL_MS)
  assert.equal(worker.status.state, 'working')
  await worker.stop()
  assert.deepEqual([worker.status.state, errors], ['stopped', []])
})
