import assert from 'node:assert/strict'
import { test } from 'node:test'
import { batchesOf } from '../../../src/util/batches.ts'

async function* upTo(count: number, onRead: (i: number) => void = () => {}): AsyncGenerator<number> {
  for (let i = 0; i < count; i++) {
    onRead(i)
    yield i
  }
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const item of items) list.push(item)
  return list
}

test('a stream is grouped into full batches, and the last one has the rest', async () => {
  assert.deepEqual(await all(batchesOf(upTo(5), 2)), [[0, 1], [2, 3], [4]])
  assert.deepEqual(await all(batchesOf(upTo(4), 2)), [
    [0, 1],
    [2, 3]
  ])
  assert.deepEqual(await all(batchesOf(upTo(0), 2)), [])
})

test('no further item is read before the caller asks for the next batch', async () => {
  let read = 0
  const batches = batchesOf(
    upTo(6, () => read++),
    2
  )
  await batches.next()
  assert.equal(read, 2)
  await batches.return(undefined)
  assert.equal(read, 2)
})

test('a stream that fails drops the batch that was being filled', async () => {
  const failing = upTo(3, i => {
    if (i === 2) throw new Error('broken')
  })
  const seen: number[][] = []
  await assert.rejects(async () => {
    for await (const batch of batchesOf(failing, 2)) seen.push(batch)
  }, /broken/)
  assert.deepEqual(seen, [[0, 1]])
})
