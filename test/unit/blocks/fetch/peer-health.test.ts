import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PeerHealth } from '../../../../src/blocks/fetch/peer-health.ts'
import { ManualClock } from '../../../fixtures/clock.ts'

function health() {
  const clock = new ManualClock()
  const peers = new PeerHealth(clock)
  const ask = (peer: string, ms: number, outcome: 'delivered' | 'missing' | 'failed'): void => {
    const end = peers.begin(peer)
    clock.advance(ms)
    end(outcome)
  }
  return { clock, peers, ask }
}

test('a quicker peer costs less, and a busier one more', () => {
  const { peers, ask } = health()
  ask('quick', 5, 'delivered')
  ask('slow', 500, 'delivered')
  assert.ok(peers.costMs('quick') < peers.costMs('unknown'))
  assert.ok(peers.costMs('unknown') < peers.costMs('slow'))
  const before = peers.costMs('quick')
  const ends = [peers.begin('quick'), peers.begin('quick')]
  assert.equal(peers.costMs('quick'), 3 * before)
  for (const end of ends) end('failed')
  assert.equal(peers.costMs('quick'), before)
})

test('a peer that often has nothing is asked later, until it has something again', () => {
  const { peers, ask } = health()
  ask('empty', 1, 'delivered')
  ask('full', 10, 'delivered')
  assert.ok(peers.costMs('empty') < peers.costMs('full'))
  for (let i = 0; i < 20; i++) ask('empty', 1, 'missing')
  assert.ok(peers.costMs('empty') > peers.costMs('full'))
  for (let i = 0; i < 20; i++) ask('empty', 1, 'delivered')
  assert.ok(peers.costMs('empty') < peers.costMs('full'))
})

test('a peer with a fault is avoided for a minute', () => {
  const { clock, peers } = health()
  assert.ok(!peers.isAvoided('bad'))
  peers.fault('bad')
  peers.fault('bad')
  assert.equal(peers.faults('bad'), 2)
  assert.ok(peers.isAvoided('bad') && !peers.isAvoided('good'))
  clock.advance(60_000)
  assert.ok(!peers.isAvoided('bad'))
  assert.equal(peers.faults('bad'), 2)
})
