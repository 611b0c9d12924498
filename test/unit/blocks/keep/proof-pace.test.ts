import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ProofPace } from '../../../../src/blocks/keep/proof-pace.ts'
import { ManualClock } from '../../../fixtures/clock.ts'
import { settle } from '../../../fixtures/pass-time.ts'

const never = new AbortController().signal

test('a peer has its own rate and burst, and others do not wait for it', async () => {
  const clock = new ManualClock()
  const pace = new ProofPace({ clock, bytesPerS: 1_000, burstBytes: 2_000 })
  for (let i = 0; i < 3; i++) await pace.take('greedy', 1_000, never)
  let isOver = false
  const fourth = pace.take('greedy', 1_000, never).then(() => {
    isOver = true
  })
  await pace.take('other', 1_000, never)
  await settle(2)
  assert.equal(isOver, false)
  clock.advance(999)
  await settle(2)
  assert.equal(isOver, false)
  clock.advance(1)
  await fourth
})

test('a peer that has not asked for long is treated like a new one', async () => {
  const clock = new ManualClock()
  const pace = new ProofPace({ clock, bytesPerS: 1_000, burstBytes: 1_000 })
  await pace.take('a', 1_000, never)
  await pace.take('a', 1_000, never)
  clock.advance(10_000)
  await pace.take('a', 1_000, never)
  await pace.take('a', 1_000, never)
  const gone = new AbortController()
  const waiting = pace.take('a', 1_000, gone.signal)
  gone.abort(new Error('gone'))
  await assert.rejects(waiting, /gone/)
})
