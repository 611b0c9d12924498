import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UPLINK_GAP_MS_MAX, UPLINK_SAMPLE_MS, WIDE_BYTES_PER_S } from '../../../src/blocks/constants.ts'
import { Uplink } from '../../../src/blocks/uplink.ts'
import { STREAM_WINDOW_BYTES } from '../../../src/wire/constants.ts'
import { ManualClock } from '../../fixtures/clock.ts'

const BLOCK = 1 << 20

function measuring() {
  const clock = new ManualClock()
  const uplink = new Uplink(clock)
  /** Sends blocks, one after another, each of which takes so long. */
  const send = (blocks: number, eachMs: number, peer = 'a'): void => {
    for (let block = 0; block < blocks; block++) {
      const end = uplink.begin(peer, BLOCK)
      clock.advance(eachMs)
      end()
    }
  }
  return { clock, uplink, send }
}

test('an uplink is unknown until it was busy for a while, and thin if little has left by then', () => {
  const { uplink, send } = measuring()
  assert.deepEqual([uplink.width, uplink.bytesPerS], ['unknown', Number.POSITIVE_INFINITY])
  send(2, UPLINK_SAMPLE_MS / 2 - 1)
  assert.equal(uplink.width, 'unknown')
  send(40, 100)
  assert.equal(uplink.width, 'thin')
  assert.ok(Math.abs(uplink.bytesPerS / (10 * BLOCK) - 1) < 0.01, `${uplink.bytesPerS}`)
})

test('an uplink is wide as soon as much has left, whatever time it took', () => {
  const { uplink, send } = measuring()
  const sample = (WIDE_BYTES_PER_S * UPLINK_SAMPLE_MS) / 1000
  send((sample + STREAM_WINDOW_BYTES) / BLOCK - 1, 1)
  assert.equal(uplink.width, 'unknown')
  send(1, 1)
  assert.equal(uplink.width, 'wide')
})

test('bytes that only filled the windows of streams do not make a thin uplink look wide', () => {
  const { clock, uplink, send } = measuring()
  for (const peer of ['a', 'b', 'c', 'd', 'e', 'f']) send(STREAM_WINDOW_BYTES / BLOCK, 0, peer)
  assert.equal(uplink.width, 'unknown')
  const end = uplink.begin('a', BLOCK)
  clock.advance(UPLINK_SAMPLE_MS)
  end()
  assert.equal(uplink.width, 'thin')
})

test('time in which nothing is sent does not count', () => {
  const { clock, uplink, send } = measuring()
  for (let block = 0; block < 20; block++) {
    send(1, 5)
    clock.advance(10_000)
  }
  assert.equal(uplink.width, 'wide')
})

test('blocks that are sent at the same time share the time', () => {
  const { clock, uplink } = measuring()
  for (let i = 0; i < 10; i++) {
    const ends = ['a', 'b', 'c', 'd'].map(peer => uplink.begin(peer, BLOCK))
    clock.advance(100)
    for (const end of ends) end()
  }
  assert.equal(uplink.width, 'wide')
})

test('an uplink that changes is noticed within a few seconds, both ways', () => {
  const { uplink, send } = measuring()
  send(100, 100)
  assert.equal(uplink.width, 'thin')
  send(300, 5)
  assert.equal(uplink.width, 'wide')
  send(30, 100)
  assert.equal(uplink.width, 'thin')
})

test('a member that has frozen while it was sent a block does not make a wide uplink look thin', () => {
  const { clock, uplink, send } = measuring()
  const end = uplink.begin('frozen', BLOCK)
  send(300, 5)
  clock.advance(60_000)
  end()
  send(10, 5)
  assert.equal(uplink.width, 'wide')
  assert.ok(uplink.bytesPerS > BLOCK / UPLINK_GAP_MS_MAX)
})
