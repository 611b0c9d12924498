import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readAhead } from '../../../src/fs/read-ahead.ts'
import { Budget } from '../../../src/util/budget.ts'
import { settle } from '../../fixtures/pass-time.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'

async function* numbers(count: number): AsyncGenerator<number> {
  for (let i = 0; i < count; i++) yield i
}

/** Each result takes one unit of memory. */
function setup(unitsMax: number, { signal }: { signal?: AbortSignal } = {}) {
  const memory = new Budget({ bytesMax: unitsMax })
  const begun: number[] = []
  const aborted: number[] = []
  const discarded: number[] = []
  const state = { work: async (n: number, _onComing: () => void): Promise<number> => n }
  const read = (count: number, owner = 'reader') =>
    readAhead<number, number>({
      window: 4,
      memory,
      owner,
      bytesOf: () => 1,
      work: (n, cut, onComing) => {
        begun.push(n)
        cut.addEventListener('abort', () => aborted.push(n))
        return state.work(n, onComing)
      },
      discard: n => discarded.push(n),
      signal
    })(numbers(count))
  return { memory, begun, aborted, discarded, state, read }
}

test('results come in order, and no more than a window of them is begun', async () => {
  const { memory, begun, read } = setup(100)
  const results: number[] = []
  for await (const { result } of read(10)) {
    results.push(result)
    assert.ok(begun.length <= results.length - 1 + 4)
    assert.ok(memory.taken <= 4)
  }
  assert.deepEqual(results, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  assert.equal(memory.taken, 0)
})

test('with memory for one result only, work on each begins when the reader asks for it', async () => {
  const { memory, begun, read } = setup(1)
  const results: number[] = []
  for await (const { result } of read(5)) {
    results.push(result)
    assert.deepEqual(begun, results)
    assert.equal(memory.taken, 1)
  }
  assert.equal(results.length, 5)
})

test('results that were read ahead are dropped when another reader has to wait, and are read again later', async () => {
  const { memory, begun, aborted, discarded, read } = setup(4)
  const paused = read(6)
  assert.equal((await paused.next()).value.result, 0)
  await settle(2)
  assert.deepEqual([begun, memory.taken], [[0, 1, 2, 3], 4])
  const other = read(1, 'other')
  assert.equal((await other.next()).value.result, 0)
  await settle(2)
  assert.equal(aborted.length, 1)
  assert.deepEqual(discarded, aborted)
  await other.return(undefined)
  const rest: number[] = []
  for await (const { result } of paused) rest.push(result)
  assert.deepEqual(rest, [1, 2, 3, 4, 5])
  assert.equal(memory.taken, 0)
})

test('readers that pause while they hold all they may have do not keep another reader from its first result', async () => {
  const { memory, read } = setup(8)
  const paused = Array.from({ length: 7 }, (_, n) => read(10, `paused ${n}`))
  for (const reader of paused) await reader.next()
  await settle(2)
  assert.equal(memory.taken, 8)
  assert.equal((await read(3, 'another').next()).value.result, 0)
})

test('the reader gets the error of the result that it asked for, not of a later one', async () => {
  const { state, read, memory } = setup(4)
  state.work = async n => {
    if (n === 2) throw new Error('broken')
    return n
  }
  const results: number[] = []
  await assert.rejects(async () => {
    for await (const { result } of read(6)) results.push(result)
  }, /broken/)
  assert.deepEqual([results, memory.taken], [[0, 1], 0])
})

test('a reader that stops, and one that is aborted, end the work under way', async () => {
  const { memory, aborted, read } = setup(4)
  for await (const _ of read(6)) break
  assert.deepEqual([aborted.length, memory.taken], [3, 0])
  const cut = new AbortController()
  const other = setup(4, { signal: cut.signal })
  other.state.work = (_n, onComing) => {
    onComing()
    return new Promise(() => {})
  }
  void other
    .read(6)
    .next()
    .catch(() => {})
  await settle(2)
  cut.abort()
  assert.deepEqual(other.aborted.toSorted(), [0, 1, 2, 3])
})

test('however readers come, pause and go, the memory bound holds and each gets its results', async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const chance = seededChance(seed)
    const below = (n: number): number => (chance.bytes(1)[0] as number) % n
    const { memory, read } = setup(3 + below(4))
    const readers = Array.from({ length: 1 + below(10) }, async (_, n) => {
      const wanted = below(12)
      const results: number[] = []
      for await (const { result } of read(12, `reader ${n}`)) {
        assert.ok(memory.taken <= 7)
        results.push(result)
        for (let turns = below(4); turns > 0; turns--) await new Promise(resolve => setImmediate(resolve))
        if (results.length === wanted) break
      }
      assert.deepEqual(
        results,
        Array.from({ length: wanted === 0 ? 12 : wanted }, (_, i) => i)
      )
    })
    await Promise.all(readers)
    assert.deepEqual([memory.taken, memory.waiting], [0, 0], `seed ${seed}`)
  }
})

test('the first result is asked for alone, and the others once it is on its way', async () => {
  const { begun, state, read } = setup(100)
  const first = Promise.withResolvers<void>()
  let isComing = (): void => {}
  state.work = async (n, onComing) => {
    if (n > 0) return n
    isComing = onComing
    await first.promise
    return n
  }
  const reader = read(10)
  const result = reader.next()
  await settle(2)
  assert.deepEqual(begun, [0])
  isComing()
  await settle(2)
  assert.deepEqual(begun, [0, 1, 2, 3])
  first.resolve()
  assert.equal((await result).value.result, 0)
  await reader.return(undefined)
})
