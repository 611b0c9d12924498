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

test('every item is worked on, never more at once than allowed', async () => {
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

test('the first failure ends it: it is thrown, no other item is begun, and the stream is closed', async () => {
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

test('a failure while the stream makes its reader wait is thrown once the next item comes, and is never unhandled', async () => {
  const { promise: next, resolve } = Promise.withResolvers<void>()
  async function* slow(): AsyncGenerator<number> {
    yield 0
    await next
    yield 1
  }
  const done = forEachUntilFailure(slow(), { atOnce: 2 }, async () => {
    throw new Error('it failed')
  })
  await settle()
  resolve()
  await assert.rejects(done, /it failed/)
})

test('an abort ends the waiting for work that is under way', async () => {
  const cut = new AbortController()
  const never = new Promise<void>(() => {})
  const done = forEachUntilFailure(numbers(2), { atOnce: 2, signal: cut.signal }, () => never)
  await settle()
  cut.abort()
  await assert.rejects(done, { name: 'AbortError' })
})
