import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SERVE_WAIT_MS, UPLINK_SAMPLE_MS } from '../../../../src/blocks/constants.ts'
import { ServedBlocks } from '../../../../src/blocks/keep/served-blocks.ts'
import { Uplink } from '../../../../src/blocks/uplink.ts'
import { nameBlock } from '../../../../src/format/cid.ts'
import { BLOCK_BYTES_MAX } from '../../../../src/format/constants.ts'
import { Budget } from '../../../../src/util/budget.ts'
import { RefusedError } from '../../../../src/wire/errors.ts'
import { ManualClock } from '../../../fixtures/clock.ts'
import { settle } from '../../../fixtures/pass-time.ts'

const bytes = Buffer.from('a block')
const cid = nameBlock(bytes)
const never = new AbortController().signal

/** Memory for three of the largest blocks. One peer may have at most two of them. */
function setup() {
  const clock = new ManualClock()
  const memory = new Budget({
    bytesMax: 3 * BLOCK_BYTES_MAX,
    ownerBytesMax: 2 * BLOCK_BYTES_MAX,
    reservedBytes: BLOCK_BYTES_MAX
  })
  const state: { disk: () => Promise<Uint8Array | undefined>; window: Uint8Array | undefined } = {
    disk: async () => bytes,
    window: undefined
  }
  const local = { get: () => state.disk() }
  const uplink = new Uplink(clock)
  const served = new ServedBlocks({ clock, memory, uplink, local, window: { get: () => state.window } })
  return { clock, memory, uplink, state, served }
}

test('a block takes memory until its answer has been sent', async () => {
  const { memory, served } = setup()
  const block = await served.read(cid, never, 'a')
  assert.deepEqual([block?.bytes, memory.taken], [bytes, bytes.byteLength])
  block?.release()
  block?.release()
  assert.equal(memory.taken, 0)
})

test('a block counts as sent once, when its answer has been sent', async () => {
  const { clock, served, uplink } = setup()
  for (let i = 0; i < 3; i++) {
    const block = await served.read(cid, never, 'a')
    clock.advance(UPLINK_SAMPLE_MS)
    block?.release()
    block?.release()
  }
  assert.equal(Math.round(uplink.bytesPerS), Math.round((2 * bytes.byteLength * 1000) / (3 * UPLINK_SAMPLE_MS)))
})

test('memory is taken before the disk is read, and released if the block is not here or cannot be read', async () => {
  const { memory, served, state } = setup()
  state.disk = async () => {
    assert.equal(memory.taken, BLOCK_BYTES_MAX)
    return undefined
  }
  assert.equal(await served.read(cid, never, 'a'), undefined)
  assert.equal(memory.taken, 0)
  state.disk = async () => {
    throw new Error('the disk')
  }
  await assert.rejects(served.read(cid, never, 'a'), /the disk/)
  assert.equal(memory.taken, 0)
})

test('a block of a put under way comes from its window, and takes memory too', async () => {
  const { memory, served, state } = setup()
  state.window = bytes
  state.disk = () => assert.fail('the disk was read')
  const block = await served.read(cid, never, 'a')
  assert.deepEqual([block?.bytes, memory.taken], [bytes, bytes.byteLength])
})

test('a member that does not read its answers does not keep others from theirs', async () => {
  const { clock, served, memory, state } = setup()
  state.disk = () => new Promise(() => {})
  for (let i = 0; i < 10; i++) void served.read(cid, never, 'deaf').catch(() => {})
  await settle(2)
  assert.equal(memory.taken, 2 * BLOCK_BYTES_MAX)
  state.disk = async () => bytes
  const block = await served.read(cid, never, 'honest')
  assert.equal(block?.bytes, bytes)
  block?.release()
  clock.advance(SERVE_WAIT_MS)
})

test('an asker is told to ask others if there is no memory for it for long', async () => {
  const { clock, served, state, memory } = setup()
  state.disk = () => new Promise(() => {})
  for (const deaf of ['b', 'c', 'd']) void served.read(cid, never, deaf)
  const waiting = served.read(cid, never, 'a')
  await settle(2)
  clock.advance(SERVE_WAIT_MS - 1)
  assert.equal(memory.waiting, 1)
  clock.advance(1)
  await assert.rejects(waiting, (error: unknown) => error instanceof RefusedError && error.status === 'busy')
  assert.equal(memory.waiting, 0)
})

test('an asker that has gone does not wait for memory any more', async () => {
  const { served, state, memory } = setup()
  state.disk = () => new Promise(() => {})
  for (let i = 0; i < 2; i++) void served.read(cid, never, 'a')
  const gone = new AbortController()
  const waiting = served.read(cid, gone.signal, 'a')
  await settle(2)
  gone.abort(new Error('gone'))
  await assert.rejects(waiting, /gone/)
  assert.equal(memory.waiting, 0)
})

test('an asker to which something is being sent waits for its own answers, and is not refused', async () => {
  const { clock, served, memory } = setup()
  const underWay = await memory.acquire(2 * BLOCK_BYTES_MAX, { owner: 'slow' })
  const waiting = served.read(cid, never, 'slow')
  await settle(2)
  for (let i = 0; i < 10; i++) {
    clock.advance(SERVE_WAIT_MS)
    await settle(2)
  }
  assert.equal(memory.waiting, 1)
  underWay.release()
  assert.equal((await waiting)?.bytes, bytes)
})
