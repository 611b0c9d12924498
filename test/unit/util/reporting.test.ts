import assert from 'node:assert/strict'
import { test } from 'node:test'
import { reporting } from '../../../src/util/reporting.ts'

const CLOCK = { sleep: () => new Promise<void>(resolve => setImmediate(resolve)) }

test('work is reported while it goes on, each report once, and the result comes last', async () => {
  const next = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const
  const reports = reporting<number>({ clock: CLOCK, everyMs: 1, signal: undefined }, async report => {
    report(1)
    report(2)
    await next[0].promise
    report(3)
    await next[1].promise
    return 4
  })
  assert.deepEqual(await reports.next(), { done: false, value: 2 })
  next[0].resolve()
  assert.deepEqual(await reports.next(), { done: false, value: 3 })
  next[1].resolve()
  assert.deepEqual(await reports.next(), { done: false, value: 4 })
  assert.deepEqual(await reports.next(), { done: true, value: undefined })
})

test('a caller that takes no more aborts the work, and waits for its end', async () => {
  let isOver = false
  const reports = reporting<number>({ clock: CLOCK, everyMs: 1, signal: undefined }, async (report, signal) => {
    report(1)
    await new Promise(resolve => signal.addEventListener('abort', resolve))
    await CLOCK.sleep()
    isOver = true
    throw signal.reason
  })
  for await (const report of reports) {
    assert.equal(report, 1)
    break
  }
  assert.ok(isOver)
})

test('an abort by the caller reaches the work, and its failure reaches the caller', async () => {
  const caller = new AbortController()
  const reports = reporting<number>({ clock: CLOCK, everyMs: 1, signal: caller.signal }, async (_, signal) => {
    await new Promise(resolve => signal.addEventListener('abort', resolve))
    throw new Error('given up')
  })
  const next = reports.next()
  caller.abort()
  await assert.rejects(next, /given up/)
})
