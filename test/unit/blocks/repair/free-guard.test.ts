import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EvictRefusedError } from '../../../../src/blocks/errors.ts'
import { FreeGuard } from '../../../../src/blocks/repair/free-guard.ts'
import { ManualClock } from '../../../fixtures/clock.ts'
import { silentLogger } from '../../../fixtures/logger.ts'
import { settle } from '../../../fixtures/pass-time.ts'

const HOUR = 3_600_000

function setup() {
  const clock = new ManualClock()
  const state = { mayFree: true, caughtUp: Promise.resolve() }
  const guard = new FreeGuard({
    clock,
    logger: silentLogger,
    caughtUp: () => state.caughtUp,
    mayFree: () => state.mayFree
  })
  return { clock, guard, state }
}

test('a member may evict while it is certain which blocks are needed', async () => {
  const { guard, state } = setup()
  await guard.assertMayEvict(undefined)
  state.mayFree = false
  await assert.rejects(guard.assertMayEvict(undefined), EvictRefusedError)
})

test('a member may not evict for an hour after an unclean stop', async () => {
  const { clock, guard } = setup()
  guard.notePromised(HOUR)
  clock.advance(HOUR - 1)
  await assert.rejects(guard.assertMayEvict(undefined), EvictRefusedError)
  clock.advance(1)
  await guard.assertMayEvict(undefined)
})

test('an evict waits for records that have just arrived, and goes on after ten seconds', async () => {
  const { clock, guard, state } = setup()
  state.caughtUp = new Promise(() => {})
  let isOver = false
  const asserted = guard.assertMayEvict(undefined).then(() => {
    isOver = true
  })
  await settle(2)
  clock.advance(9_999)
  await settle(2)
  assert.ok(!isOver)
  clock.advance(1)
  await asserted
})

test('an error of the wait, and an abort, are no reason to go on', async () => {
  const { guard, state } = setup()
  state.caughtUp = Promise.reject(new Error('the index cannot be read'))
  await assert.rejects(guard.assertMayEvict(undefined), /index cannot be read/)
  state.caughtUp = new Promise(() => {})
  const controller = new AbortController()
  const asserted = guard.assertMayEvict(controller.signal)
  controller.abort()
  await assert.rejects(asserted, { name: 'AbortError' })
})
