import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  ASK_MS,
  FEW_BYTES,
  KEEP_SILENCE_MS,
  SILENCE_GAPS,
  SILENCE_MS,
  SILENT_AGAIN_MS
} from '../../../../src/blocks/constants.ts'
import { SilenceWatch } from '../../../../src/blocks/put/silence.ts'
import { ManualClock } from '../../../fixtures/clock.ts'
import { settle } from '../../../fixtures/pass-time.ts'

function watching() {
  const clock = new ManualClock()
  const there = { answers: async () => true }
  const pulled = { bytes: 0 }
  const watch = new SilenceWatch({ clock, isThere: () => there.answers(), pulledBytes: () => pulled.bytes })
  let changes = 0
  const stop = watch.listen(() => changes++)
  /** Lets time pass in small steps, as timers see it. */
  const pass = (ms: number): void => {
    for (let passed = 0; passed < ms; passed += 100) clock.advance(100)
  }
  return { watch, there, pulled, pass, stop, changes: () => changes }
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
  const { watch, pulled, pass } = watching()
  pulled.bytes = 1 << 20
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

test('a member may be quiet for longer if it has much to look up, and says that it is there', async () => {
  const { watch, pass } = watching()
  watch.begin('a', { extraMs: 5_000 })
  for (let passed = 0; passed < SILENCE_MS + 4_900; passed += 100) {
    pass(100)
    await settle(1)
  }
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

test('a member that does not say that it is there is silent after two seconds, however slow it usually is', async () => {
  const { watch, there, pass } = watching()
  const end = watch.begin('a')
  pass(SILENCE_MS - 200)
  watch.noteAnswer('a')
  end()
  const isQuiet = async (): Promise<boolean> => {
    const end = watch.begin('a')
    pass(ASK_MS)
    await settle(1)
    pass(SILENCE_MS - ASK_MS + 100)
    const isSilent = watch.isSilent('a')
    end()
    return isSilent
  }
  assert.equal(await isQuiet(), false, 'it says that it is there, so it is slow')
  there.answers = () => new Promise(() => {})
  assert.equal(await isQuiet(), true, 'it does not, so it is frozen')
})

test('a member is not asked whether it is there while much is being sent to it', async () => {
  const { watch, there, pulled, pass } = watching()
  let asked = 0
  there.answers = async () => {
    asked++
    return false
  }
  pulled.bytes = FEW_BYTES + 1
  const end = watch.begin('a')
  watch.notePull('a')
  pass(SILENCE_MS * SILENCE_GAPS)
  await settle(1)
  assert.deepEqual([watch.isSilent('a'), asked], [false, 0])
  end()
  pulled.bytes = 0
  const endSent = watch.begin('a', { extraMs: 10_000, sentBytes: FEW_BYTES + 1 })
  pass(SILENCE_MS * SILENCE_GAPS)
  await settle(1)
  assert.deepEqual([watch.isSilent('a'), asked], [false, 0])
  endSent()
})

test('a caller waits for a member until it answers or is frozen, and not at all while it is frozen', async () => {
  const { watch, there, pass } = watching()
  assert.equal(await watch.waitFor('a', async () => 'answer'), 'answer')
  await assert.rejects(
    watch.waitFor('a', async () => {
      throw new Error('it refuses')
    }),
    /it refuses/
  )
  const slow = Promise.withResolvers<string>()
  const waitingForSlow = watch.waitFor('a', () => slow.promise)
  for (let passed = 0; passed < SILENCE_MS + 500; passed += 100) {
    pass(100)
    await settle(1)
  }
  assert.equal(watch.isSilent('a'), true)
  slow.resolve('slow')
  assert.equal(await waitingForSlow, 'slow', 'a member that says that it is there is waited for')

  there.answers = async () => false
  const work = Promise.withResolvers<string>()
  const waiting = watch.waitFor('a', () => work.promise)
  pass(SILENCE_MS + 100)
  assert.equal(await waiting, undefined)
  assert.equal(await watch.waitFor('a', () => new Promise(() => {})), undefined)
  work.resolve('late')
  await settle(1)
  assert.equal(watch.isSilent('a'), false, 'its answer is a sign of life')
})
