import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KEEP_SILENCE_MS, SILENCE_GAPS, SILENCE_MS, SILENT_AGAIN_MS } from '../../../../src/blocks/constants.ts'
import { SilenceWatch } from '../../../../src/blocks/put/silence.ts'
import { ManualClock } from '../../../fixtures/clock.ts'
import { settle } from '../../../fixtures/pass-time.ts'

function watching() {
  const clock = new ManualClock()
  const there = { answers: async () => true }
  const watch = new SilenceWatch(clock, () => there.answers())
  let changes = 0
  const stop = watch.listen(() => changes++)
  /** Lets time pass in small steps, as timers see it. */
  const pass = (ms: number): void => {
    for (let passed = 0; passed < ms; passed += 100) clock.advance(100)
  }
  return { watch, there, pass, stop, changes: () => changes }
}

test('a member is silent once it is waited for two seconds without a sign of life, and heard again at the next sign', () => {
  const { watch, pass, changes } = watching()
  const end = watch.begin('a')
  pass(SILENCE_MS - 100)
  assert.equal(watch.isSilent('a'), false)
  pass(200)
  assert.deepEqual([watch.isSilent('a'), changes()], [true, 1])
  watch.noteAnswer('a')
  assert.deepEqual([watch.isSilent('a'), changes()], [false, 2])
  pass(SILENCE_MS + 100)
  assert.equal(watch.isSilent('a'), true)
  end()
})

test('a member that nobody waits for is not silent', () => {
  const { watch, pass } = watching()
  watch.begin('a')()
  pass(10 * SILENCE_MS)
  assert.equal(watch.isSilent('a'), false)
})

test('a second caller does not make a silent member look alive', () => {
  const { watch, pass } = watching()
  watch.begin('a')
  pass(SILENCE_MS - 500)
  watch.begin('a')
  pass(600)
  assert.equal(watch.isSilent('a'), true)
})

test('a member that pulls slowly is not silent, and later may be quiet for a few times as long', () => {
  const { watch, pass } = watching()
  watch.begin('a')
  watch.notePull('a')
  // The first block takes the member a long time, during which nothing is heard from it.
  pass(6_000)
  assert.equal(watch.isSilent('a'), false)
  watch.noteAnswer('a')
  for (let block = 0; block < 20; block++) {
    watch.notePull('a')
    pass(6_000)
    assert.equal(watch.isSilent('a'), false)
    watch.noteAnswer('a')
  }
  pass(Math.min(KEEP_SILENCE_MS, 6_000 * SILENCE_GAPS) + 100)
  assert.equal(watch.isSilent('a'), true)
})

test('a member that is quick is silent after two seconds, even while it pulls', () => {
  const { watch, pass } = watching()
  watch.begin('a')
  for (let block = 0; block < 5; block++) {
    watch.notePull('a')
    pass(100)
    watch.noteAnswer('a')
  }
  watch.notePull('a')
  pass(SILENCE_MS + 100)
  assert.equal(watch.isSilent('a'), true)
})

test('a member may be quiet for longer if it has much to look up', () => {
  const { watch, pass } = watching()
  watch.begin('a', 5_000)
  pass(SILENCE_MS + 4_900)
  assert.equal(watch.isSilent('a'), false)
  pass(200)
  assert.equal(watch.isSilent('a'), true)
})

test('a member that was silent is given another chance after a while, and a listener that has left is told nothing', () => {
  const { watch, pass, stop, changes } = watching()
  const end = watch.begin('a')
  pass(SILENCE_MS + 100)
  end()
  stop()
  assert.equal(watch.isSilent('a'), true)
  pass(SILENT_AGAIN_MS)
  assert.equal(watch.isSilent('a'), false)
  watch.begin('a')
  pass(SILENCE_MS + 100)
  assert.deepEqual([watch.isSilent('a'), changes()], [true, 1])
})

test('nothing is held against a member that was disconnected, and an old wait for it changes nothing', () => {
  const { watch, pass } = watching()
  const end = watch.begin('a')
  pass(SILENCE_MS + 100)
  watch.forget('a')
  assert.equal(watch.isSilent('a'), false)
  end()
  pass(2 * SILENCE_MS)
  assert.equal(watch.isSilent('a'), false)
})

test('a member that was silent long ago is waited for like any other', () => {
  const { watch, pass } = watching()
  const end = watch.begin('a')
  pass(SILENCE_MS + 100)
  end()
  pass(SILENT_AGAIN_MS)
  watch.begin('a')
  assert.equal(watch.isSilent('a'), false)
  pass(SILENCE_MS + 100)
  assert.equal(watch.isSilent('a'), true)
})

test('a member that froze while it pulled its first block soon counts as silent when it is waited for again', () => {
  const { watch, pass } = watching()
  const end = watch.begin('a')
  watch.notePull('a')
  pass(2 * SILENCE_MS)
  end()
  watch.begin('a')
  pass(SILENCE_MS + 100)
  assert.equal(watch.isSilent('a'), true)
})

test('a member that falls silent is gone once it does not say that it is there, and back at the next sign', async () => {
  const { watch, there, pass, changes } = watching()
  const { promise, resolve } = Promise.withResolvers<boolean>()
  there.answers = () => promise
  watch.begin('a')
  pass(SILENCE_MS + 100)
  assert.deepEqual([watch.isSilent('a'), watch.isGone('a')], [true, false])
  resolve(false)
  await settle(1)
  assert.deepEqual([watch.isGone('a'), changes()], [true, 2])
  watch.noteAnswer('a')
  assert.equal(watch.isGone('a'), false)
})

test('a silent member that says that it is there is busy, and not gone', async () => {
  const { watch, pass } = watching()
  watch.begin('a')
  pass(SILENCE_MS + 100)
  await settle(1)
  assert.deepEqual([watch.isSilent('a'), watch.isGone('a')], [true, false])
})
