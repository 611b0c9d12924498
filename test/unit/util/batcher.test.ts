import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Batcher, type BatcherOptions } from '../../../src/util/batcher.ts'
import { StoppedError } from '../../../src/util/errors.ts'

/** A batcher whose work ends when the test says so. */
function controlled(options: BatcherOptions<number>) {
  const started: Array<{ items: number[]; end: (error?: Error) => void }> = []
  const batcher = new Batcher<number, string>(items => {
    const { promise, resolve, reject } = Promise.withResolvers<string[]>()
    const end = (error?: Error): void => (error === undefined ? resolve(items.map(String)) : reject(error))
    started.push({ items, end })
    return promise
  }, options)
  return { batcher, started, batches: () => started.map(({ items }) => items) }
}

/** Resolves once the batch of everything added in this turn of the loop has begun. */
const turn = async (): Promise<void> => {
  for (let i = 0; i < 2; i++) await new Promise(resolve => setImmediate(resolve))
}

test('items added in one turn share a batch, and items that arrive meanwhile share the next', async () => {
  const { batcher, started, batches } = controlled({ itemsMax: 10 })
  const first = [1, 2].map(item => batcher.add(item))
  await turn()
  const second = [3, 4, 5].map(item => batcher.add(item))
  await turn()
  assert.deepEqual(batches(), [[1, 2]])
  assert.equal(batcher.pending, 3)
  started[0]?.end()
  assert.deepEqual(await Promise.all(first), ['1', '2'])
  await turn()
  assert.deepEqual(batches(), [
    [1, 2],
    [3, 4, 5]
  ])
  started[1]?.end()
  assert.deepEqual(await Promise.all(second), ['3', '4', '5'])
})

test('a batch takes no more items and bytes than allowed, but always one item', async () => {
  const { batcher, started, batches } = controlled({ itemsMax: 3, bytesMax: 10, sizeOf: item => item })
  const all = [1, 1, 1, 1, 9, 20, 5, 5, 1].map(item => batcher.add(item))
  for (let i = 0; i < 10; i++) {
    await turn()
    started.at(-1)?.end()
  }
  await Promise.all(all)
  assert.deepEqual(batches(), [[1, 1, 1], [1, 9], [20], [5, 5], [1]])
})

test('as many batches run at once as the option allows', async () => {
  const { batcher, started } = controlled({ itemsMax: 1, parallel: 2 })
  const all = [1, 2, 3].map(item => batcher.add(item))
  await turn()
  assert.equal(started.length, 2)
  started[1]?.end()
  await turn()
  assert.equal(started.length, 3)
  started[0]?.end()
  started[2]?.end()
  assert.deepEqual(await Promise.all(all), ['1', '2', '3'])
})

test('work that fails rejects its own batch and no other', async () => {
  const { batcher, started } = controlled({ itemsMax: 2 })
  const [a, b, c] = [1, 2, 3].map(item => batcher.add(item)) as [Promise<string>, Promise<string>, Promise<string>]
  await turn()
  started[0]?.end(new Error('no'))
  await assert.rejects(a, /no/)
  await assert.rejects(b, /no/)
  await turn()
  started[1]?.end()
  assert.equal(await c, '3')
})

test('work that throws synchronously rejects its batch too', async () => {
  const batcher = new Batcher<number, string>(
    () => {
      throw new Error('at once')
    },
    { itemsMax: 1 }
  )
  await assert.rejects(batcher.add(1), /at once/)
})

test('close ends what is under way, rejects what waits, and later items are refused', async () => {
  const { batcher, started } = controlled({ itemsMax: 1 })
  const underWay = batcher.add(1)
  await turn()
  const waiting = batcher.add(2)
  let isClosed = false
  const closing = batcher.close().then(() => {
    isClosed = true
  })
  await assert.rejects(waiting, StoppedError)
  await assert.rejects(batcher.add(3), StoppedError)
  await turn()
  assert.equal(isClosed, false)
  started[0]?.end()
  assert.equal(await underWay, '1')
  await closing
  assert.equal(started.length, 1)
})

test('settled waits for all added items, and resolves at once if there are none', async () => {
  const { batcher, started } = controlled({ itemsMax: 1 })
  await batcher.settled()
  const all = [1, 2].map(item => batcher.add(item))
  let isSettled = false
  const settling = batcher.settled().then(() => {
    isSettled = true
  })
  await turn()
  started[0]?.end()
  await turn()
  assert.equal(isSettled, false)
  started[1]?.end()
  await settling
  await Promise.all(all)
})
