import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Chance } from '../../../src/util/chance.ts'
import { ADDRESSES_MAX, REDIAL_MS_MAX, REDIAL_MS_MIN } from '../../../src/wire/constants.ts'
import { DialTarget } from '../../../src/wire/dial-target.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { settle } from '../../fixtures/pass-time.ts'

function setup(fraction: number, isHint = false) {
  const clock = new ManualClock()
  const chance: Chance = { bytes: length => new Uint8Array(length), fraction: () => fraction }
  const target = new DialTarget({
    peer: 'p',
    addresses: ['/a'],
    isHint,
    isTransient: false,
    isGiven: false,
    clock,
    chance
  })
  return { clock, target }
}

test('the pause after dial n is the first doubled n-1 times, up to a limit, times a half to one and a half', () => {
  for (const [fraction, factor] of [
    [0, 0.5],
    [0.5, 1],
    [0.75, 1.25]
  ] as const) {
    const { target } = setup(fraction)
    for (let n = 1; n <= 12; n++) {
      target.countDial()
      assert.equal(target.pauseMs, factor * Math.min(REDIAL_MS_MAX, REDIAL_MS_MIN * 2 ** (n - 1)), `dial ${n}`)
      assert.equal(target.failures, n)
    }
    target.reset()
    assert.equal(target.pauseMs, fraction * REDIAL_MS_MIN, 'a connection that led to an admission has ended')
    target.countDial()
    assert.equal(target.pauseMs, factor * REDIAL_MS_MIN, 'the first dial after it')
  }
})

test('new addresses reset the pauses, known addresses and hints do not', () => {
  const { target } = setup(0.5)
  target.countDial()
  target.countDial()
  target.addAddresses(['/a'])
  target.addHints(['/hint', '/a'])
  assert.deepEqual([target.failures, target.addresses, target.hints], [2, ['/a'], ['/hint']])
  target.addAddresses(['/b'])
  assert.deepEqual([target.failures, target.addresses], [0, ['/b', '/a']])
  target.addAddresses(Array.from({ length: ADDRESSES_MAX }, (_, i) => `/new${i}`))
  assert.equal(target.addresses.length, ADDRESSES_MAX)
  assert.ok(!target.addresses.includes('/a'), 'the oldest address makes room')
})

test('a pause ends by time, by news, or by the end of the target', async () => {
  const { clock, target } = setup(0.5)
  const ended: string[] = []
  const pause = async (name: string): Promise<void> => {
    await target.pause(10_000)
    ended.push(name)
  }
  void pause('time')
  clock.advance(10_000)
  await settle()
  void pause('address')
  target.addAddresses(['/b'])
  await settle()
  void pause('hint')
  target.addHints(['/hint'])
  await settle()
  assert.deepEqual(ended, ['time', 'address', 'hint'])
  void pause('stop')
  target.addHints(['/hint that comes too soon after the last'])
  await settle()
  assert.deepEqual(ended, ['time', 'address', 'hint'])
  target.stop()
  await settle()
  assert.deepEqual(ended, ['time', 'address', 'hint', 'stop'])
})

test('a peer that announces itself again ends a pause once a minute, and does not delay a new address', async () => {
  const { clock, target } = setup(0.5, true)
  let pauses = 0
  const announce = async (...addresses: string[]): Promise<number> => {
    void target.pause(Number.POSITIVE_INFINITY).then(() => pauses++)
    target.addHints(addresses)
    await settle()
    return pauses
  }
  assert.equal(await announce('/a'), 0, 'it was announced a moment ago')
  clock.advance(REDIAL_MS_MAX)
  assert.equal(await announce('/a'), 1)
  assert.equal(await announce('/a'), 1, 'too soon')
  assert.equal(await announce('/b'), 2, 'a new address')
  assert.equal(await announce('/c'), 2, 'too soon after the last new address')
})

test('addresses that were only announced are hints from the start', () => {
  const { target } = setup(0.5, true)
  assert.deepEqual([target.addresses, target.hints], [[], ['/a']])
})
