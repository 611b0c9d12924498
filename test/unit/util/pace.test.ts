import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Pace } from '../../../src/util/pace.ts'
import { ManualClock } from '../../fixtures/clock.ts'

test('a pace rests in proportion to the last round, and for long when nothing is left or a round fails', async () => {
  const clock = new ManualClock()
  const pace = new Pace({ clock, pauseMs: 100, rest: 3, idleMs: 10_000 })
  const round = (tookMs: number, hasMore: boolean): Promise<void> =>
    pace.round(async () => {
      clock.advance(tookMs)
      return hasMore
    })
  assert.equal(pace.nextMs, 10_000)
  await round(10, true)
  assert.equal(pace.nextMs, 100)
  await round(50, true)
  assert.equal(pace.nextMs, 150)
  await round(50, false)
  assert.equal(pace.nextMs, 10_000)
  await round(50, true)
  await assert.rejects(pace.round(() => Promise.reject(new Error('the disk failed'))))
  assert.equal(pace.nextMs, 10_000)
})
