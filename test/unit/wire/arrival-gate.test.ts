import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ArrivalGate } from '../../../src/wire/arrival-gate.ts'
import {
  ARRIVAL_PAUSE_MS_MAX,
  ARRIVAL_PAUSE_MS_MIN,
  MEMBER_ADDRESS_MS,
  ORIGINS_MAX,
  STRANGER_ARRIVALS_BURST,
  STRANGER_ARRIVALS_PER_S
} from '../../../src/wire/constants.ts'
import { ManualClock } from '../../fixtures/clock.ts'

const at = (host: number): string => `/ip4/192.0.2.${host}/tcp/${40_000 + host}`

function arrivals(gate: ArrivalGate, count: number, address: (i: number) => string): number {
  return Array.from({ length: count }, (_, i) => gate.mayArrive(address(i))).filter(Boolean).length
}

test('strangers share a small rate, however many addresses they have', () => {
  const clock = new ManualClock()
  const gate = new ArrivalGate(clock)
  assert.equal(arrivals(gate, 100, at), STRANGER_ARRIVALS_BURST)
  let arrived = 0
  for (let i = 0; i < 100; i++) {
    clock.advance(100)
    arrived += arrivals(gate, 50, at)
  }
  assert.ok(Math.abs(arrived - 10 * STRANGER_ARRIVALS_PER_S) <= 1, `${arrived}`)
})

test('an address of a member is let through while strangers flood, and for a while after the member has left', () => {
  const clock = new ManualClock()
  const gate = new ArrivalGate(clock)
  gate.welcome(at(1), 'member')
  arrivals(gate, 100, i => at(i + 2))
  assert.equal(
    arrivals(gate, 100, () => at(1)),
    100
  )
  gate.ended(at(1))
  clock.advance(MEMBER_ADDRESS_MS - 1)
  arrivals(gate, 100, i => at(i + 2))
  assert.equal(gate.mayArrive(at(1)), true)
  clock.advance(2)
  arrivals(gate, 100, i => at(i + 2))
  assert.equal(gate.mayArrive(at(1)), false)
})

test('an address whose connections lead to nothing pauses, longer each time, and does not take the rate of others', () => {
  const clock = new ManualClock()
  const gate = new ArrivalGate(clock)
  assert.ok(gate.mayArrive(at(1)))
  gate.ended(at(1))
  let pauseMs = ARRIVAL_PAUSE_MS_MIN
  for (let i = 0; i < 10; i++) {
    assert.ok(gate.mayArrive(at(1)), `try ${i}`)
    gate.ended(at(1))
    clock.advance(pauseMs - 1)
    assert.equal(
      arrivals(gate, 1000, () => at(1)),
      0
    )
    clock.advance(1)
    pauseMs = Math.min(2 * pauseMs, ARRIVAL_PAUSE_MS_MAX)
  }
  assert.ok(gate.mayArrive(at(2)))
})

test('addresses that keep coming back leave room for new ones', () => {
  const clock = new ManualClock()
  const gate = new ArrivalGate(clock)
  for (let host = 100; host < 150; host++) for (let i = 0; i < 2; i++) gate.ended(at(host))
  clock.advance(ARRIVAL_PAUSE_MS_MIN)
  assert.equal(
    arrivals(gate, 50, i => at(100 + i)),
    STRANGER_ARRIVALS_BURST / 2
  )
  assert.equal(arrivals(gate, 50, at), STRANGER_ARRIVALS_BURST / 2)
})

test('a machine that waits for a person may connect again at once, but shares the rate of strangers', () => {
  const clock = new ManualClock()
  const gate = new ArrivalGate(clock)
  for (let i = 0; i < 5; i++) gate.ended(at(1))
  assert.equal(gate.mayArrive(at(1)), false)
  gate.welcome(at(1), 'waiting')
  assert.equal(gate.mayArrive(at(1)), true)
  gate.ended(at(1))
  assert.equal(gate.mayArrive(at(1)), true)
  assert.ok(arrivals(gate, 100, () => at(1)) < STRANGER_ARRIVALS_BURST)
})

test('one host with a network of IPv6 addresses counts as one', () => {
  const gate = new ArrivalGate(new ManualClock())
  for (let i = 0; i < 2; i++) gate.ended(`/ip6/2001:db8::${i}/tcp/1`)
  assert.equal(gate.mayArrive('/ip6/2001:db8::abcd/tcp/1'), false)
  assert.equal(gate.mayArrive('/ip6/2001:db8:0:1::1/tcp/1'), true)
})

test('the gate remembers a bounded number of addresses', () => {
  const clock = new ManualClock()
  const gate = new ArrivalGate(clock)
  for (let i = 0; i < 2; i++) gate.ended('/ip4/198.51.100.1/tcp/1')
  for (let i = 0; i < ORIGINS_MAX; i++) gate.ended(`/ip4/10.0.${i >> 8}.${i & 255}/tcp/1`)
  assert.equal(gate.mayArrive('/ip4/198.51.100.1/tcp/1'), true)
})

test('a machine that fails behind a router does not keep out a member that was seen there in the last days', () => {
  const clock = new ManualClock()
  const gate = new ArrivalGate(clock)
  gate.welcome(at(1), 'member')
  gate.ended(at(1))
  clock.advance(3 * 24 * 60 * 60_000)
  for (let i = 0; i < 100; i++) {
    assert.equal(gate.mayArrive(at(1)), true)
    gate.ended(at(1))
  }
  // Strangers do not make the gate forget this address, however many addresses they have.
  for (let i = 0; i < 2 * ORIGINS_MAX; i++) gate.ended(`/ip4/10.0.${i >> 8}.${i & 255}/tcp/1`)
  assert.equal(gate.mayArrive(at(1)), true)
})

test('a new member behind the router of a machine that fails all the time waits for two pauses at most', () => {
  const clock = new ManualClock()
  const gate = new ArrivalGate(clock)
  // The machine that fails redials as our own nodes do, at most once a minute.
  let failMs = 500
  const nextFailures: number[] = []
  for (let atMs = 0; atMs < 3_600_000; atMs += failMs, failMs = Math.min(2 * failMs, 60_000)) nextFailures.push(atMs)
  let waitedMs = 0
  let longestMs = 0
  for (let nowMs = 0; nowMs < 3_600_000; nowMs += 1_000) {
    while ((nextFailures[0] ?? Number.POSITIVE_INFINITY) <= nowMs) {
      nextFailures.shift()
      if (gate.mayArrive(at(1))) gate.ended(at(1))
    }
    waitedMs = gate.mayArrive(at(1)) ? 0 : waitedMs + 1_000
    longestMs = Math.max(longestMs, waitedMs)
    clock.advance(1_000)
  }
  assert.ok(longestMs <= 2 * ARRIVAL_PAUSE_MS_MAX, `${longestMs} ms`)
})
