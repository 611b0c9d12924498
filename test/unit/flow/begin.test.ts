import assert from 'node:assert/strict'
import { test } from 'node:test'
import { begin } from '../../../src/flow/begin.ts'

async function* numbers(count: number, onEnd = () => {}): AsyncGenerator<number> {
  try {
    for (let i = 0; i < count; i++) yield i
  } finally {
    onEnd()
  }
}

test('a stream that has begun still has all of its items', async () => {
  for (const count of [0, 1, 3]) {
    const seen: number[] = []
    for await (const item of await begin(numbers(count))) seen.push(item)
    assert.equal(seen.length, count)
  }
})

test('a failure before the first item is thrown by begin itself', async () => {
  async function* broken(): AsyncGenerator<number> {
    yield* []
    throw new Error('there is no first item')
  }
  await assert.rejects(begin(broken()), /there is no first item/)
})

test('a reader that stops at the first item ends the stream', async () => {
  let isEnded = false
  const items = await begin(
    numbers(3, () => {
      isEnded = true
    })
  )
  await assert.rejects(async () => {
    for await (const item of items) throw new Error(`cannot write item ${item}`)
  }, /cannot write item 0/)
  assert.ok(isEnded)
})
