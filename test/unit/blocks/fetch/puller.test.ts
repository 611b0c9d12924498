import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { BlockUnreachableError } from '../../../../src/blocks/errors.ts'
import type { Fetched, FetchOptions } from '../../../../src/blocks/fetch/fetcher.ts'
import { BlockPuller } from '../../../../src/blocks/fetch/puller.ts'
import { NoSpaceError } from '../../../../src/disk/errors.ts'
import { type BlockCid, DAG_CBOR, nameBlock } from '../../../../src/format/cid.ts'
import { BLOCK_BYTES_MAX, NODE_BYTES_MAX } from '../../../../src/format/constants.ts'
import { Budget } from '../../../../src/util/budget.ts'
import { DeadlineError } from '../../../../src/util/errors.ts'
import { settle } from '../../../fixtures/pass-time.ts'

const bytes = Buffer.from('a block')
const cid = nameBlock(bytes)

/** There is memory for this many of the largest blocks. One peer may have two of them. */
const AT_ONCE = 3

function setup(_: TestContext) {
  const memory = new Budget({
    bytesMax: AT_ONCE * BLOCK_BYTES_MAX,
    ownerBytesMax: (AT_ONCE - 1) * BLOCK_BYTES_MAX,
    reservedBytes: BLOCK_BYTES_MAX
  })
  const events: string[] = []
  const asked: FetchOptions[] = []
  const state = {
    fetch: async (): Promise<Fetched> => ({ bytes, from: 'a', release: () => events.push('released') }),
    put: async (): Promise<void> => {}
  }
  const fetcher = {
    fetch: async (_: BlockCid, options: FetchOptions = {}): Promise<Fetched> => {
      asked.push(options)
      return state.fetch()
    }
  }
  const local = {
    keep: async (_: BlockCid, kept: Uint8Array, claim?: () => Promise<void>): Promise<void> => {
      await claim?.()
      await state.put()
      events.push(`kept ${kept.byteLength} bytes`)
    }
  }
  return {
    puller: new BlockPuller({
      fetcher,
      local,
      keeps: { expect: () => () => {}, keep: (cid, bytes) => local.keep(cid, bytes) },
      memory
    }),
    memory,
    events,
    asked,
    state
  }
}

test('a pulled block is kept under its claim, and only then released', async t => {
  const { puller, events, asked } = setup(t)
  const claim = async (): Promise<void> => void events.push('claimed')
  await puller.pull(cid, { claim, prefer: ['a'], only: true })
  assert.deepEqual(events, ['claimed', 'kept 7 bytes', 'released'])
  assert.deepEqual(
    asked.map(({ prefer, only }) => ({ prefer, only })),
    [{ prefer: ['a'], only: true }]
  )
})

test('pulls for all reasons share one budget, and no peer has all of it', async t => {
  const { puller, asked, state, memory } = setup(t)
  const gate = Promise.withResolvers<Fetched>()
  state.fetch = () => gate.promise
  const pulls = Array.from({ length: AT_ONCE + 2 }, () => puller.pull(cid, { askedBy: 'a', prefer: ['a'] }))
  await settle(2)
  assert.deepEqual([asked.length, memory.waiting], [AT_ONCE - 1, 3])
  // Another gets its turn although the first waits for more.
  pulls.push(puller.pull(cid, { prefer: ['own walk'] }), puller.pull(cid, { prefer: ['own walk'] }))
  await settle(2)
  assert.deepEqual(asked.map(({ prefer }) => prefer?.[0]).at(-1), 'own walk')
  assert.equal(memory.taken, AT_ONCE * BLOCK_BYTES_MAX)
  gate.resolve({ bytes, from: 'a', release: () => {} })
  await Promise.all(pulls)
  assert.equal(memory.taken, 0)
})

test('a pull reserves memory for the largest block, and only for the length of the block once it is known', async t => {
  const { puller, asked, state, memory } = setup(t)
  const gate = Promise.withResolvers<Fetched>()
  state.fetch = () => gate.promise
  const pull = puller.pull(cid, {})
  const stated = puller.pull(cid, { sizeBytes: 1_000 })
  const node = puller.pull(nameBlock(bytes, DAG_CBOR), { askedBy: 'b' })
  await settle(2)
  assert.equal(memory.taken, BLOCK_BYTES_MAX + 1_000 + NODE_BYTES_MAX)
  assert.deepEqual(
    asked.map(({ bytesMax }) => bytesMax),
    [BLOCK_BYTES_MAX, 1_000, NODE_BYTES_MAX]
  )
  asked[0]?.onLength?.(500)
  assert.equal(memory.taken, 500 + 1_000 + NODE_BYTES_MAX)
  gate.resolve({ bytes, from: 'a', release: () => {} })
  await Promise.all([pull, stated, node])
})

test('if a peer is cut because it serves its own blocks too slowly, the pulls that wait for it fail at once', async t => {
  const { puller, state, asked } = setup(t)
  const gate = Promise.withResolvers<Fetched>()
  state.fetch = () => gate.promise
  const options = { askedBy: 'slow', prefer: ['slow'], only: true }
  const slow = Array.from({ length: 100 }, () => puller.pull(cid, options))
  const other = puller.pull(cid, { askedBy: 'other', prefer: ['other'], only: true })
  const all = Promise.allSettled([...slow, other])
  await settle(2)
  state.fetch = async () => ({ bytes, from: 'other', release: () => {} })
  gate.reject(new BlockUnreachableError(cid, { cause: new DeadlineError('too slow') }))
  for (const { status } of await all) assert.equal(status, 'rejected')
  // The two pulls that were under way, and the pull of the other peer.
  assert.equal(asked.length, AT_ONCE)
  // The peer is not refused for ever.
  await puller.pull(cid, options)
})

test('a pull that fails says why, and makes room for the next', async t => {
  const { puller, events, state, memory } = setup(t)
  state.fetch = async () => {
    throw new BlockUnreachableError(cid)
  }
  await assert.rejects(puller.pull(cid, {}), BlockUnreachableError)
  state.fetch = async () => ({ bytes, from: 'a', release: () => events.push('released') })
  state.put = async () => {
    throw new NoSpaceError('the disk is full')
  }
  await assert.rejects(puller.pull(cid, {}), NoSpaceError)
  assert.equal(memory.taken, 0)
  state.put = async () => {}
  await puller.pull(cid, {})
  assert.deepEqual(events, ['kept 7 bytes', 'released'])
})

test('a pull that waits for room ends when it is aborted', async t => {
  const { puller, state } = setup(t)
  const gate = Promise.withResolvers<Fetched>()
  state.fetch = () => gate.promise
  const pulls = Array.from({ length: AT_ONCE }, () => puller.pull(cid, {}))
  const controller = new AbortController()
  const waiting = puller.pull(cid, { signal: controller.signal })
  controller.abort()
  await assert.rejects(waiting, { name: 'AbortError' })
  gate.resolve({ bytes, from: 'a', release: () => {} })
  await Promise.all(pulls)
})
