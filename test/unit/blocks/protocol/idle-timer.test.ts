import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IdleTimer } from '../../../../src/blocks/protocol/idle-timer.ts'
import { ManualClock } from '../../../fixtures/clock.ts'

function watch() {
  const clock = new ManualClock()
  let silent = 0
  const silence = new IdleTimer(clock, 30_000, () => silent++)
  return { clock, silence, silent: () => silent }
}

test('a peer that gives no sign of life while somebody waits is silent', () => {
  const { clock, silence, silent } = watch()
  clock.advance(100_000)
  silence.begin()
  clock.advance(29_999)
  assert.equal(silent(), 0)
  clock.advance(1)
  assert.equal(silent(), 1)
})

test('a sign of life gives a slow peer the whole time again', () => {
  const { clock, silence, silent } = watch()
  silence.begin()
  for (let i = 0; i < 20; i++) {
    clock.advance(20_000)
    silence.noteActivity()
  }
  assert.equal(silent(), 0)
  for (let i = 0; i < 3; i++) clock.advance(10_000)
  assert.equal(silent(), 1)
})

test('a peer that nobody waits for is not silent', () => {
  const { clock, silence, silent } = watch()
  const ends = [silence.begin(), silence.begin()]
  clock.advance(20_000)
  for (const end of ends) end()
  clock.advance(100_000)
  assert.equal(silent(), 0)
  // The next wait has the whole time.
  silence.begin()
  clock.advance(29_000)
  assert.equal(silent(), 0)
  clock.advance(2_000)
  assert.equal(silent(), 1)
})
