import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TreeLocks } from '../../../src/catalog/changes/locks.ts'

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))
const done = async (): Promise<string> => 'done'

test('a change may hold as many locks as others have made files of one name', async () => {
  const keys = Array.from({ length: 20_000 }, (_, i) => `key ${i}`)
  assert.equal(await new TreeLocks().hold(keys, done), 'done')
})

test('two changes that want the same locks in different orders get them one after the other', async () => {
  const locks = new TreeLocks()
  const events: string[] = []
  const change = (keys: string[], name: string): Promise<void> =>
    locks.hold(keys, async () => {
      events.push(name)
      await turn()
      events.push(name)
    })
  await Promise.all([change(['a', 'b', 'c'], '1'), change(['c', 'a'], '2'), change(['b'], '3')])
  const ofTwo = events.filter(name => name !== '3')
  assert.deepEqual(ofTwo, ['1', '1', '2', '2'])
})

test('a lock counts as free since a given moment unless somebody holds it now or has released it since then', async () => {
  const locks = new TreeLocks()
  const before = locks.now
  const { promise: end, resolve } = Promise.withResolvers<void>()
  const held = locks.hold(['a'], () => end)
  assert.deepEqual([locks.wereFree(['a'], before), locks.wereFree(['b'], before)], [false, true])
  resolve()
  await held
  assert.deepEqual([locks.wereFree(['a', 'b'], before), locks.wereFree(['a'], locks.now)], [false, true])
  const failed = locks.hold(['b'], async () => {
    throw new Error('no')
  })
  await assert.rejects(failed, /no/)
  assert.equal(locks.wereFree(['b'], locks.now), true)
})
