import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import { Limiter } from '../../../src/util/limiter.ts'

test('the limiter never grants more than its slots, first come, first served', async () => {
  const limiter = new Limiter(2)
  let running = 0
  let most = 0
  const order: number[] = []
  await Promise.all(
    Array.from({ length: 10 }, (_, i) =>
      limiter.run(async () => {
        order.push(i)
        most = Math.max(most, ++running)
        await new Promise(resolve => setImmediate(resolve))
        running--
      })
    )
  )
  assert.equal(most, 2)
  assert.deepEqual(
    order,
    Array.from({ length: 10 }, (_, i) => i)
  )
  assert.equal(limiter.taken, 0)
})

test('a large request waits for room, and small ones behind it do not overtake it', async () => {
  const limiter = new Limiter(4)
  const release = await limiter.acquire(3)
  const order: string[] = []
  const large = limiter.acquire(4).then(done => {
    order.push('large')
    return done
  })
  const small = limiter.acquire(1).then(done => {
    order.push('small')
    return done
  })
  assert.equal(limiter.waiting, 2)
  release()
  ;(await large)()
  ;(await small)()
  assert.deepEqual(order, ['large', 'small'])
  assert.equal(limiter.taken, 0)
})

test('a request for more slots than there are gets all of them', async () => {
  const limiter = new Limiter(2)
  const release = await limiter.acquire(100)
  assert.equal(limiter.taken, 2)
  release()
  assert.equal(limiter.taken, 0)
})

test('a second release has no effect', async () => {
  const limiter = new Limiter(2)
  const release = await limiter.acquire()
  await limiter.acquire()
  release()
  release()
  assert.equal(limiter.taken, 1)
})

test('an abort while waiting lets the next one in the queue go on', async () => {
  const limiter = new Limiter(2)
  const release = await limiter.acquire(1)
  const controller = new AbortController()
  const large = limiter.acquire(2, controller.signal)
  const small = limiter.acquire(1)
  controller.abort()
  await assert.rejects(large, { name: 'AbortError' })
  ;(await small)()
  release()
  assert.equal(limiter.taken, 0)
  assert.equal(limiter.waiting, 0)
  await assert.rejects(limiter.acquire(1, controller.signal), { name: 'AbortError' })
})

test('an abort after the grant revokes nothing and leaves no listener', async () => {
  const limiter = new Limiter(1)
  const release = await limiter.acquire()
  const controller = new AbortController()
  const next = limiter.acquire(1, controller.signal)
  release()
  controller.abort()
  const done = await next
  assert.equal(limiter.taken, 1)
  assert.equal(getEventListeners(controller.signal, 'abort').length, 0)
  done()
})

test('work that fails releases its slot', async () => {
  const limiter = new Limiter(1)
  const failing = limiter.run(async () => {
    throw new Error('no')
  })
  await assert.rejects(failing, /no/)
  assert.equal(limiter.taken, 0)
})
