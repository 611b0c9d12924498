import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { PULL_BYTES_MAX } from '../../../../src/blocks/constants.ts'
import { BlockUnreachableError } from '../../../../src/blocks/errors.ts'
import type { Fetched, FetchOptions } from '../../../../src/blocks/fetch/fetcher.ts'
import { BlockPuller } from '../../../../src/blocks/fetch/puller.ts'
import { NoSpaceError } from '../../../../src/disk/errors.ts'
import { type BlockCid, nameBlock } from '../../../../src/format/cid.ts'
import { CHUNK_BYTES } from '../../../../src/format/constants.ts'
import { settle } from '../../../fixtures/pass-time.ts'

const bytes = Buffer.from('a block')
const cid = nameBlock(bytes)

function setup(_: TestContext) {
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
  return { puller: new BlockPuller(fetcher, local), events, asked, state }
}

test('a pulled block is kept under its claim, and only then released', async t => {
  const { puller, events, asked } = setup(t)
  const claim = async (): Promise<void> => void events.push('claimed')
  await puller.pull(cid, { claim, prefer: ['a'], only: true })
  assert.deepEqual(events, ['claimed', 'kept 7 bytes', 'released'])
  assert.deepEqual(asked, [{ prefer: ['a'], only: true }])
})

test('pulls for all reasons share one limit on bytes', async t => {
  const { puller, asked, state } = setup(t)
  const gate = Promise.withResolvers<Fetched>()
  state.fetch = () => gate.promise
  const atOnce = PULL_BYTES_MAX / CHUNK_BYTES
  const pulls = Array.from({ length: atOnce + 5 }, () => puller.pull(cid, {}))
  await settle(2)
  assert.equal(asked.length, atOnce)
  gate.resolve({ bytes, from: 'a', release: () => {} })
  await Promise.all(pulls)
  assert.equal(asked.length, atOnce + 5)
})

test('a pull that fails says why, and makes room for the next', async t => {
  const { puller, events, state } = setup(t)
  for (let i = 0; i < PULL_BYTES_MAX / CHUNK_BYTES; i++) {
    state.fetch = async () => {
      throw new BlockUnreachableError(cid)
    }
    await assert.rejects(puller.pull(cid, {}), BlockUnreachableError)
    state.fetch = async () => ({ bytes, from: 'a', release: () => events.push('released') })
    state.put = async () => {
      throw new NoSpaceError('the disk is full')
    }
    await assert.rejects(puller.pull(cid, {}), NoSpaceError)
  }
  state.put = async () => {}
  await puller.pull(cid, {})
  assert.deepEqual(events, ['kept 7 bytes', 'released'])
})

test('a pull that waits for room ends when it is aborted', async t => {
  const { puller, state } = setup(t)
  const gate = Promise.withResolvers<Fetched>()
  state.fetch = () => gate.promise
  const pulls = Array.from({ length: PULL_BYTES_MAX / CHUNK_BYTES }, () => puller.pull(cid, {}))
  const controller = new AbortController()
  const waiting = puller.pull(cid, { signal: controller.signal })
  controller.abort()
  await assert.rejects(waiting, { name: 'AbortError' })
  gate.resolve({ bytes, from: 'a', release: () => {} })
  await Promise.all(pulls)
})
