import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KeyedLocks } from '../../../src/util/locks.ts'

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

test('a key has one holder at a time, in the order of the calls, and holders of other keys do not wait', async () => {
  const locks = new KeyedLocks()
  const events: string[] = []
  const work = (key: string, name: string): Promise<void> =>
    locks.run(key, async () => {
      events.push(`${name} begins`)
      await turn()
      events.push(`${name} ends`)
    })
  await Promise.all([work('a', '1'), work('a', '2'), work('b', '3')])
  assert.deepEqual(
    events.filter(event => !event.startsWith('3')),
    ['1 begins', '1 ends', '2 begins', '2 ends']
  )
  assert.ok(events.indexOf('3 begins') < events.indexOf('1 ends'))
})

test('work that fails lets the next holder go on, and no key is left behind', async () => {
  const locks = new KeyedLocks()
  const failing = locks.run('a', async () => {
    throw new Error('no')
  })
  const next = locks.run('a', async () => 'went on')
  assert.equal(locks.held, 1)
  await assert.rejects(failing, /no/)
  assert.equal(await next, 'went on')
  assert.equal(locks.held, 0)
})

test('work that holds several keys waits for all of them, and two such works do not wait for each other for ever', async () => {
  const locks = new KeyedLocks()
  const events: string[] = []
  const work = (name: string) => async (): Promise<void> => {
    events.push(`${name} begins`)
    await turn()
    events.push(`${name} ends`)
  }
  const before = locks.run('b', work('1'))
  await Promise.all([before, locks.runAll(['a', 'b', 'a'], work('2')), locks.runAll(['b', 'a'], work('3'))])
  assert.deepEqual(events, ['1 begins', '1 ends', '2 begins', '2 ends', '3 begins', '3 ends'])
  assert.equal(locks.held, 0)
})
