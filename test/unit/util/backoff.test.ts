import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Backoff } from '../../../src/util/backoff.ts'

test('each pause is twice the last, up to the limit, and a success starts over', () => {
  const backoff = new Backoff({ minMs: 100, maxMs: 350 })
  assert.deepEqual([backoff.nextMs(), backoff.nextMs(), backoff.nextMs(), backoff.nextMs()], [100, 200, 350, 350])
  backoff.reset()
  assert.equal(backoff.nextMs(), 100)
})

test('jitter spreads a pause between half and one and a half of itself, and does not add up', () => {
  const draws = [0, 0.999, 0.5]
  const jitter = { fraction: () => draws.shift() as number }
  const backoff = new Backoff({ minMs: 100, maxMs: 1_000, jitter })
  assert.deepEqual([backoff.nextMs(), Math.round(backoff.nextMs()), backoff.nextMs()], [50, 300, 400])
})
