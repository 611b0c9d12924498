import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Budget, type Lease } from '../../../src/util/budget.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { settle } from '../../fixtures/pass-time.ts'

/** Notes when a request is granted. */
function request(budget: Budget, bytes: number, owner: string, log: string[] = []) {
  const state: { lease?: Lease; log: string[] } = { log }
  const granted = budget.acquire(bytes, { owner }).then(lease => {
    state.lease = lease
    log.push(owner)
  })
  return Object.assign(state, { granted })
}

test('a lease is granted while there is room, and a request waits until there is', async () => {
  const budget = new Budget({ bytesMax: 10 })
  const first = await budget.acquire(6, { owner: 'a' })
  const second = request(budget, 6, 'b')
  await settle(2)
  assert.deepEqual([budget.taken, budget.waiting, second.lease], [6, 1, undefined])
  first.release()
  await second.granted
  assert.equal(budget.taken, 6)
  second.lease?.release()
  assert.deepEqual([budget.taken, budget.waiting], [0, 0])
})

test('a lease that is passed on is released once, by its last owner', async () => {
  const budget = new Budget({ bytesMax: 10 })
  const first = await budget.acquire(6, { owner: 'a' })
  const second = first.take()
  first.release()
  assert.deepEqual([budget.taken, first.bytes, second.bytes], [6, 0, 6])
  assert.throws(() => first.take(), TypeError)
  second.shrink(2)
  second.shrink(5)
  assert.equal(budget.taken, 2)
  second.release()
  second.release()
  assert.equal(budget.taken, 0)
})

test('a request for more than there is takes all of it', async () => {
  const budget = new Budget({ bytesMax: 10 })
  const all = await budget.acquire(1_000, { owner: 'a' })
  assert.equal(all.bytes, 10)
})

test('owners take turns, and the requests of one owner keep their order', async () => {
  const budget = new Budget({ bytesMax: 1 })
  const log: string[] = []
  const held = await budget.acquire(1, { owner: 'z' })
  const requests = ['a', 'a', 'a', 'b', 'c'].map(owner => request(budget, 1, owner, log))
  held.release()
  for (let i = 0; i < 5; i++) {
    await settle(2)
    requests.find(({ lease }) => (lease?.bytes ?? 0) > 0)?.lease?.release()
  }
  assert.deepEqual(log, ['a', 'b', 'c', 'a', 'a'])
})

test('an owner that has used up its share waits for its own leases, and others go first', async () => {
  const budget = new Budget({ bytesMax: 10, ownerBytesMax: 4 })
  const held = await budget.acquire(4, { owner: 'a' })
  const greedy = request(budget, 1, 'a')
  const other = request(budget, 4, 'b')
  await settle(2)
  assert.deepEqual([greedy.lease, other.lease?.bytes], [undefined, 4])
  held.release()
  await greedy.granted
})

test('owners that keep their leases do not keep another owner from its first lease', async () => {
  const budget = new Budget({ bytesMax: 10, ownerBytesMax: 8, reservedBytes: 4 })
  for (const owner of ['a', 'b', 'c', 'a', 'b', 'c', 'a']) request(budget, 2, owner)
  await settle(2)
  assert.equal(budget.taken, 6)
  assert.equal((await budget.acquire(2, { owner: 'd' })).bytes, 2)
  assert.equal((await budget.acquire(2, { owner: 'e' })).bytes, 2)
  assert.equal(budget.taken, 10)
})

test('a large first request is not starved by small ones', async () => {
  const budget = new Budget({ bytesMax: 10 })
  const held = await budget.acquire(5, { owner: 'a' })
  const large = request(budget, 8, 'b')
  const small = request(budget, 1, 'c')
  await settle(2)
  assert.deepEqual([large.lease, small.lease], [undefined, undefined])
  held.release()
  await large.granted
  await small.granted
})

test('a request that is aborted leaves the line, and the next one is granted', async () => {
  const budget = new Budget({ bytesMax: 10 })
  await budget.acquire(5, { owner: 'a' })
  const controller = new AbortController()
  const large = budget.acquire(8, { owner: 'b', signal: controller.signal })
  const small = request(budget, 1, 'c')
  controller.abort()
  await assert.rejects(large, { name: 'AbortError' })
  await small.granted
  await assert.rejects(budget.acquire(1, { owner: 'b', signal: controller.signal }), { name: 'AbortError' })
})

test('the requests of one owner can be failed, and the others keep theirs', async () => {
  const budget = new Budget({ bytesMax: 1 })
  const held = await budget.acquire(1, { owner: 'a' })
  const failing = [budget.acquire(1, { owner: 'slow' }), budget.acquire(1, { owner: 'slow' })]
  const other = request(budget, 1, 'b')
  budget.fail('slow', new Error('cut'))
  for (const request of failing) await assert.rejects(request, /cut/)
  held.release()
  await other.granted
})

test('spare leases are released when somebody has to wait, the oldest first', async () => {
  const budget = new Budget({ bytesMax: 10 })
  const reclaimed: string[] = []
  const spare = (name: string): Lease | undefined => {
    const lease = budget.trySpare(3, 'reader', () => {
      reclaimed.push(name)
      lease?.release()
    })
    return lease
  }
  const [first, second, third] = [spare('first'), spare('second'), spare('third')]
  assert.equal(spare('fourth'), undefined)
  const kept = second?.take()
  await budget.acquire(4, { owner: 'other' })
  assert.deepEqual(reclaimed, ['first'])
  const waiting = request(budget, 8, 'third')
  await settle(2)
  assert.deepEqual(reclaimed, ['first', 'third'])
  assert.equal(waiting.lease, undefined)
  assert.deepEqual([first?.bytes, kept?.bytes, third?.bytes], [0, 3, 0])
})

test('a lease that was lent for too long is taken back if others wait, and only then', async () => {
  const clock = new ManualClock()
  const budget = new Budget({ bytesMax: 10, lending: { clock, msMax: 1_000 } })
  const lent = await budget.acquire(10, { owner: 'paused' })
  let takenBack = 0
  lent.lend(() => takenBack++)
  clock.advance(5_000)
  assert.equal(takenBack, 0)
  const waiting = request(budget, 5, 'other')
  clock.advance(1)
  await waiting.granted
  assert.deepEqual([takenBack, lent.bytes], [1, 0])
  // A second call has no effect.
  lent.endLoan()
  lent.release()
  assert.equal(budget.taken, 5)
})

test('a lease whose loan ended in time is not taken back', async () => {
  const clock = new ManualClock()
  const budget = new Budget({ bytesMax: 10, lending: { clock, msMax: 1_000 } })
  const lease = await budget.acquire(10, { owner: 'a' })
  lease.lend(() => assert.fail('taken back'))
  const waiting = request(budget, 5, 'other')
  clock.advance(900)
  lease.endLoan()
  clock.advance(5_000)
  await settle(2)
  assert.equal(waiting.lease, undefined)
})

test('a lease that was lent and then taken is not taken back', async () => {
  const clock = new ManualClock()
  const budget = new Budget({ bytesMax: 10, lending: { clock, msMax: 1_000 } })
  const lent = await budget.acquire(10, { owner: 'a' })
  lent.lend(() => assert.fail('taken back'))
  const taken = lent.take()
  const waiting = request(budget, 5, 'other')
  clock.advance(5_000)
  await settle(2)
  assert.deepEqual([taken.bytes, waiting.lease], [10, undefined])
})

test('an owner that does not release its spare lease is asked once, and others wait', async () => {
  const budget = new Budget({ bytesMax: 10 })
  let asked = 0
  const spare = budget.trySpare(6, 'reader', () => asked++)
  const waiting = request(budget, 8, 'other')
  assert.equal(asked, 1)
  spare?.release()
  await waiting.granted
  assert.equal(budget.taken, 8)
})

test('the bounds hold and everything is granted, whatever is requested in whatever order', async () => {
  const step = fc.record({
    owner: fc.constantFrom('a', 'b', 'c', 'd'),
    bytes: fc.integer({ min: 1, max: 12 }),
    isSpare: fc.boolean(),
    // The lease, among those held so far, that is released before the next step.
    release: fc.option(fc.nat())
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async steps => {
      const budget = new Budget({ bytesMax: 10, ownerBytesMax: 6, reservedBytes: 3 })
      const held: Lease[] = []
      const granted: Array<Promise<void>> = []
      const check = (): void => assert.ok(budget.taken <= 10)
      for (const { owner, bytes, isSpare, release } of steps) {
        if (release !== null && held.length > 0) held.splice(release % held.length, 1)[0]?.release()
        if (isSpare) {
          const lease = budget.trySpare(bytes, owner, () => lease?.release())
          if (lease !== undefined) held.push(lease)
        } else granted.push(budget.acquire(bytes, { owner }).then(lease => void held.push(lease)))
        check()
        await Promise.resolve()
      }
      let isDone = false
      const all = Promise.all(granted).then(() => {
        isDone = true
      })
      for (let i = 0; i < 1_000 && !(isDone && held.length === 0); i++) {
        held.shift()?.release()
        check()
        await settle(1)
      }
      await all
      for (const lease of held) lease.release()
      assert.deepEqual([budget.taken, budget.waiting], [0, 0])
    }),
    { numRuns: 60 }
  )
})
