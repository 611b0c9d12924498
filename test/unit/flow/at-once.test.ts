import assert from 'node:assert/strict'
import { test } from 'node:test'
import { forEachAtOnce } from '../../../src/flow/at-once.ts'

test('works on a bounded number of items at once, and leaves none running after a failure', async () => {
  let running = 0
  let most = 0
  const started: number[] = []
  async function* numbers(): AsyncGenerator<number> {
    for (let i = 0; i < 50; i++) yield i
  }
  const work = async (i: number): Promise<void> => {
    started.push(i)
    most = Math.max(most, ++running)
    await new Promise(resolve => setImmediate(resolve))
    running--
    if (i === 20) throw new Error('twenty')
  }
  await assert.rejects(forEachAtOnce(numbers(), 4, work), /twenty/)
  assert.deepEqual([running, most], [0, 4])
  assert.ok(started.length < 30)
  async function* broken(): AsyncGenerator<number> {
    yield 1
    throw new Error('source')
  }
  await assert.rejects(forEachAtOnce(broken(), 4, work), /source/)
  assert.equal(running, 0)
})

test('reads no further item while all slots are taken', async () => {
  let read = 0
  async function* numbers(): AsyncGenerator<number> {
    while (read < 10) yield read++
  }
  const gate = Promise.withResolvers<void>()
  const all = forEachAtOnce(numbers(), 3, () => gate.promise)
  await new Promise(resolve => setImmediate(resolve))
  assert.equal(read, 3)
  gate.resolve()
  await all
  assert.equal(read, 10)
})

test('an item that counts several times waits for as many slots, and the items after it wait behind it', async () => {
  let slots = 0
  let most = 0
  const started: number[] = []
  const work = async (count: number): Promise<void> => {
    started.push(count)
    slots += count
    most = Math.max(most, slots)
    await new Promise(resolve => setImmediate(resolve))
    slots -= count
  }
  const counts = [1, 2, 3, 4, 9, 1, 0, 2, 4]
  await forEachAtOnce(
    (async function* () {
      yield* counts
    })(),
    4,
    count => work(Math.min(count, 4)),
    count => count
  )
  assert.deepEqual([started, most], [counts.map(count => Math.min(count, 4)), 4])
})

test('if the stream fails after the work, the failure of the work is the one that is thrown', async () => {
  const failed = Promise.withResolvers<void>()
  async function* source(): AsyncGenerator<number> {
    yield 1
    await failed.promise
    throw new Error('the stream was cut')
  }
  const work = async (): Promise<void> => {
    await null
    failed.resolve()
    throw new Error('the work failed')
  }
  await assert.rejects(forEachAtOnce(source(), 4, work), /the work failed/)
})
