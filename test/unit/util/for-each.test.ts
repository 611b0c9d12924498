import assert from 'node:assert/strict'
import { test } from 'node:test'
import { forEachUntilFailure } from '../../../src/util/for-each.ts'
import { settle } from '../../fixtures/pass-time.ts'

async function* numbers(count: number, onEnd = () => {}): AsyncGenerator<number> {
  try {
    for (let i = 0; i < count; i++) yield i
  } finally {
    onEnd()
  }
}

/** Yields one number, and then makes its reader wait for ever. */
async function* stalled(): AsyncGenerator<number> {
  yield 0
  await new Promise(() => {})
}

test('every item is processed, never more at once than allowed', async () => {
  const seen: number[] = []
  let underWay = 0
  let most = 0
  await forEachUntilFailure(numbers(10), { atOnce: 3 }, async item => {
    most = Math.max(most, ++underWay)
    await settle(1)
    underWay--
    seen.push(item)
  })
  assert.deepEqual(seen, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  assert.equal(most, 3)
})

test('a list is processed like a stream', async () => {
  const seen: number[] = []
  await forEachUntilFailure([1, 2, 3], { atOnce: 2 }, async item => seen.push(item))
  assert.deepEqual(seen, [1, 2, 3])
})

test('the first failure ends the loop: it is thrown, no other item is begun, and the stream is closed', async () => {
  const begun: number[] = []
  let isClosed = false
  const items = numbers(100, () => {
    isClosed = true
  })
  const work = async (item: number): Promise<void> => {
    begun.push(item)
    await settle(1)
    if (item === 1) throw new Error('the second item failed')
  }
  await assert.rejects(forEachUntilFailure(items, { atOnce: 2 }, work), /the second item failed/)
  assert.ok(begun.length < 5, `${begun.length} begun`)
  assert.ok(isClosed)
})

test('a failure is thrown at once, although the stream makes its reader wait for the next item', async () => {
  const work = async (): Promise<void> => {
    await settle(1)
    throw new Error('it failed')
  }
  await assert.rejects(forEachUntilFailure(stalled(), { atOnce: 2 }, work), /it failed/)
})

test('an abort is thrown at once, although the stream makes its reader wait for the next item', async () => {
  const cut = new AbortController()
  const done = forEachUntilFailure(stalled(), { atOnce: 2, signal: cut.signal }, async () => {})
  await settle()
  cut.abort()
  await assert.rejects(done, { name: 'AbortError' })
})

test('after a failure, the work under way is told to stop, and all of it has ended once the failure is thrown', async () => {
  let underWay = 0
  const work = async (item: number, signal: AbortSignal): Promise<void> => {
    underWay++
    if (item === 2) throw new Error('the third item failed')
    await new Promise(resolve => signal.addEventListener('abort', resolve, { once: true }))
    await settle()
    underWay--
    throw new Error('stopped')
  }
  await assert.rejects(forEachUntilFailure(numbers(5), { atOnce: 3 }, work), /the third item failed/)
  assert.equal(underWay, 1)
})

test('a failure of the stream stops the work that is under way, and waits for it', async () => {
  async function* broken(): AsyncGenerator<number> {
    yield 0
    throw new Error('the stream broke off')
  }
  let isStopped = false
  const work = async (_: number, signal: AbortSignal): Promise<void> => {
    await new Promise(resolve => signal.addEventListener('abort', resolve, { once: true }))
    await settle()
    isStopped = true
  }
  await assert.rejects(forEachUntilFailure(broken(), { atOnce: 2 }, work), /the stream broke off/)
  assert.ok(isStopped)
})

test('an abort by the caller stops the work that is under way', async () => {
  const cut = new AbortController()
  const work = (_: number, signal: AbortSignal): Promise<void> =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
  const done = forEachUntilFailure(numbers(2), { atOnce: 2, signal: cut.signal }, work)
  await settle()
  cut.abort()
  await assert.rejects(done, { name: 'AbortError' })
})

test('many failures at once are one rejection, and none of them is unhandled', async t => {
  const unhandled: unknown[] = []
  const note = (error: unknown): unknown => unhandled.push(error)
  process.on('unhandledRejection', note)
  t.after(() => process.off('unhandledRejection', note))
  const work = async (item: number): Promise<void> => {
    await settle(1)
    throw new Error(`item ${item} failed`)
  }
  await assert.rejects(forEachUntilFailure(numbers(20), { atOnce: 8 }, work), /item 0 failed/)
  await settle()
  assert.deepEqual(unhandled, [])
})

test('a stream that cannot be closed does not hide the failure', async () => {
  const items: AsyncIterable<number> = {
    [Symbol.asyncIterator]: () => ({
      next: async () => ({ done: false, value: 1 }),
      return: () => {
        throw new Error('it cannot be closed')
      }
    })
  }
  const work = async (): Promise<void> => {
    throw new Error('the work failed')
  }
  await assert.rejects(forEachUntilFailure(items, { atOnce: 1 }, work), /the work failed/)
})
