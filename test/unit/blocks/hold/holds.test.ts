import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HOLDS_PEER_MAX } from '../../../../src/blocks/constants.ts'
import { Holds } from '../../../../src/blocks/hold/holds.ts'
import { nameBlock } from '../../../../src/format/cid.ts'
import { ManualClock } from '../../../fixtures/clock.ts'

const cid = nameBlock(Buffer.from('a block'))
const HOUR = 3_600_000

test('a block is held until the last of its promises has expired', () => {
  const clock = new ManualClock()
  const holds = new Holds(clock)
  assert.ok(!holds.isHeld(cid))
  holds.grant(cid, 'a', HOUR)
  clock.advance(HOUR / 2)
  holds.grant(cid, 'b', HOUR)
  clock.advance(HOUR / 2 + 1)
  holds.sweep()
  assert.ok(holds.isHeld(cid))
  clock.advance(HOUR / 2)
  assert.ok(!holds.isHeld(cid))
  holds.sweep()
  assert.ok(!holds.isHeld(cid))
})

test('a promise holds for the same block under another codec', () => {
  const holds = new Holds(new ManualClock())
  holds.grant(cid, 'a', HOUR)
  assert.ok(holds.isHeld(nameBlock(Buffer.from('a block'), 0x71)))
})

test('a wall clock that is set ahead ends no promise', () => {
  const clock = new ManualClock()
  let aheadMs = 0
  const holds = new Holds({
    now: () => clock.now() + aheadMs,
    monotonic: () => clock.monotonic(),
    sleep: (ms, signal) => clock.sleep(ms, signal),
    after: (ms, callback) => clock.after(ms, callback)
  })
  holds.grant(cid, 'a', HOUR)
  aheadMs = 100 * HOUR
  holds.sweep()
  assert.ok(holds.isHeld(cid))
})

test('a promise does not bind against a member that was asked after the promise and proved its own copy', () => {
  const holds = new Holds(new ManualClock())
  const askedBefore = holds.order
  holds.grant(cid, 'a', HOUR)
  assert.ok(holds.isHeld(cid, new Map([['a', askedBefore]])), 'its answer may be about a copy that it frees now')
  const askedAfter = holds.order
  assert.ok(!holds.isHeld(cid, new Map([['a', askedAfter]])))
  assert.ok(holds.isHeld(cid, new Map([['b', askedAfter]])), 'another member proved nothing about that of this one')
  holds.grant(cid, 'a', HOUR)
  assert.ok(holds.isHeld(cid, new Map([['a', askedAfter]])), 'it got a new promise since')
})

test('one peer gets a limited number of promises, and others still get theirs', () => {
  const clock = new ManualClock()
  const holds = new Holds(clock)
  const blocks = Array.from({ length: HOLDS_PEER_MAX + 1 }, (_, i) => nameBlock(Buffer.from(`${i}`)))
  const last = blocks.pop() as (typeof blocks)[0]
  for (const block of blocks) assert.ok(holds.grant(block, 'greedy', HOUR))
  assert.ok(!holds.grant(last, 'greedy', HOUR))
  // The peer may renew a promise that it has.
  assert.ok(holds.grant(blocks[0] as typeof last, 'greedy', HOUR))
  assert.ok(holds.grant(last, 'honest', HOUR))
  clock.advance(HOUR + 1)
  holds.sweep()
  assert.ok(holds.grant(last, 'greedy', HOUR))
})
