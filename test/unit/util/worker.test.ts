import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NoSpaceError } from '../../../src/disk/errors.ts'
import { Backoff } from '../../../src/util/backoff.ts'
import { Worker, type WorkerOptions } from '../../../src/util/worker.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { RecordingLogger, silentLogger } from '../../fixtures/logger.ts'
import { settle } from '../../fixtures/pass-time.ts'

function setup(options: Partial<WorkerOptions> & Pick<WorkerOptions, 'work'>) {
  const clock = new ManualClock()
  const log = silentLogger.forComponent('test')
  const worker = new Worker({ name: 'test work', clock, log, everyMs: 1_000, ...options })
  const pass = async (ms: number): Promise<void> => {
    clock.advance(ms)
    await settle(3)
  }
  return { clock, worker, pass }
}

test('a worker goes on after a round that failed, and reports the error', async () => {
  const errors: unknown[] = []
  let rounds = 0
  const { worker, pass } = setup({
    work: async () => {
      if (++rounds === 2) throw new NoSpaceError('the disk is full')
    },
    onError: error => errors.push(error)
  })
  worker.start()
  for (let i = 0; i < 2; i++) await pass(1_000)
  assert.deepEqual(worker.status, { name: 'test work', state: 'waiting', lastError: 'no-space', nextInMs: 1_000 })
  await pass(1_000)
  assert.deepEqual([rounds, errors.map(error => (error as Error).name)], [3, ['NoSpaceError']])
  assert.equal(worker.status.lastError, null, 'the last round succeeded')
  await worker.stop()
})

test('the pause before the next round may differ each time', async () => {
  const pauses = [100, 5_000, Number.POSITIVE_INFINITY]
  let rounds = 0
  const { worker, pass } = setup({
    firstMs: 10,
    everyMs: () => pauses[rounds - 1] as number,
    work: async () => {
      rounds++
    }
  })
  worker.start()
  await pass(10)
  await pass(100)
  await pass(4_999)
  assert.equal(rounds, 2)
  await pass(1)
  await pass(60 * 60_000)
  assert.equal(rounds, 3, 'only a wake starts another round')
  assert.deepEqual([worker.status.state, worker.status.nextInMs], ['waiting', null])
  await worker.stop()
})

test('a wake starts a round at once, and one that comes during a round is not lost', async () => {
  let rounds = 0
  const first = Promise.withResolvers<void>()
  const { worker, pass } = setup({
    work: async () => {
      if (++rounds === 1) await first.promise
    }
  })
  worker.start()
  worker.wake()
  await pass(0)
  assert.deepEqual([rounds, worker.status.state], [1, 'working'])
  worker.wake()
  await pass(0)
  assert.equal(rounds, 1, 'rounds do not overlap')
  first.resolve()
  await pass(0)
  assert.equal(rounds, 2)
  await worker.stop()
})

test('a worker that only waits to be woken pauses as usual again when there is work', async () => {
  let hasWork = false
  let rounds = 0
  const { worker, pass } = setup({
    everyMs: () => (hasWork ? 100 : Number.POSITIVE_INFINITY),
    work: async () => {
      rounds++
    }
  })
  worker.start()
  await pass(1_000)
  hasWork = true
  worker.schedule()
  await pass(99)
  worker.schedule()
  assert.deepEqual([rounds, worker.status.nextInMs], [0, 1], 'a pause that is under way is not begun again')
  await pass(1)
  assert.equal(rounds, 1)
  await worker.stop()
})

test('a wake does not use up a pause', async () => {
  const backoff = new Backoff({ minMs: 100, maxMs: 400 })
  let rounds = 0
  const { worker, pass } = setup({
    everyMs: () => backoff.nextMs(),
    work: async () => {
      if (++rounds === 1) worker.wake()
    }
  })
  worker.wake()
  worker.start()
  await pass(0)
  assert.deepEqual([rounds, worker.status.nextInMs], [2, 100])
  await worker.stop()
})

test('rounds that fail are repeated at longer and longer intervals', async () => {
  let rounds = 0
  const { worker, pass } = setup({
    firstMs: 0,
    backoff: new Backoff({ minMs: 100, maxMs: 400 }),
    work: async () => {
      if (++rounds < 4) throw new Error('not yet')
    }
  })
  worker.start()
  await pass(0)
  for (const pauseMs of [100, 200, 400]) {
    await pass(pauseMs - 1)
    const before = rounds
    await pass(1)
    assert.equal(rounds, before + 1, `after ${pauseMs} ms`)
  }
  assert.equal(worker.status.nextInMs, 1_000, 'the pause after success is the usual one')
  await worker.stop()
})

test('stop aborts the round under way and waits for it', async () => {
  let isEnded = false
  const { worker, pass } = setup({
    firstMs: 0,
    work: async signal => {
      await new Promise(resolve => signal.addEventListener('abort', resolve))
      isEnded = true
      signal.throwIfAborted()
    }
  })
  assert.equal(worker.status.state, 'stopped', 'it has not started')
  worker.start()
  await pass(0)
  await worker.stop()
  assert.ok(isEnded)
  assert.deepEqual(worker.status, { name: 'test work', state: 'stopped', lastError: null, nextInMs: null })
  await worker.stop()
})

test('a worker goes on after its listener has thrown an error', async () => {
  let rounds = 0
  const { worker, pass } = setup({
    work: async () => {
      rounds++
      throw new NoSpaceError('the disk is full')
    },
    onError: () => {
      throw new Error('the listener is broken')
    }
  })
  worker.start()
  for (let i = 0; i < 4; i++) await pass(1_000)
  assert.ok(rounds > 2)
  await worker.stop()
})

test('an error of the round that is stopped is logged and not reported', async () => {
  const logger = new RecordingLogger()
  const errors: unknown[] = []
  const { worker, pass } = setup({
    log: logger.forComponent('test'),
    work: signal =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(new NoSpaceError('the disk is full')))),
    onError: error => errors.push(error)
  })
  worker.start()
  for (let i = 0; i < 2; i++) await pass(1_000)
  await worker.stop()
  assert.deepEqual(errors, [])
  assert.deepEqual(logger.lines, ['test test work was stopped: NoSpaceError: the disk is full'])
})
