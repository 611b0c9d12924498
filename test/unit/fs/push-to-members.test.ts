import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SILENCE_MS } from '../../../src/blocks/constants.ts'
import { SilenceWatch } from '../../../src/blocks/put/silence.ts'
import type { Statement } from '../../../src/format/statement.ts'
import { PUSH_WAIT_MS } from '../../../src/fs/constants.ts'
import { beginPushToMembers, pushToMembers } from '../../../src/fs/push-to-members.ts'
import type { Verdict } from '../../../src/log/projection.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { settle } from '../../fixtures/pass-time.ts'

type Context = Parameters<typeof pushToMembers>[0]

test('a push does not wait for a frozen member longer than until it is silent, and a later one not at all', async () => {
  const clock = new ManualClock()
  const silence = new SilenceWatch({ clock, isThere: async () => false, pulledBytes: () => 0 })
  const push = async (peer: string): Promise<Verdict> => (peer === 'frozen' ? new Promise(() => {}) : 'ok')
  const context = {
    blocks: { untilSilent: silence.waitFor.bind(silence) },
    members: { admitted: ['frozen', 'well'] },
    sync: { push },
    clock,
    logger: silentLogger
  } as unknown as Context
  const statements = [{} as Statement]
  const first = pushToMembers(context, statements)
  let passedMs = 0
  let isOver = false
  void first.then(() => {
    isOver = true
  })
  for (; !isOver && passedMs < PUSH_WAIT_MS; passedMs += 100) {
    clock.advance(100)
    await settle(1)
  }
  assert.deepEqual(await first, ['well'])
  assert.ok(passedMs <= SILENCE_MS + 200, `it waited for ${passedMs} ms`)
  assert.deepEqual(await pushToMembers(context, statements), ['well'])
})

test('a put waits for the directories only where its file is, and not for a member that is frozen', async () => {
  const asked: string[] = []
  const context = {
    blocks: { untilSilent: (_: string, push: () => Promise<unknown>) => push() },
    members: { admitted: ['frozen', 'well'] },
    sync: {
      push: async (peer: string): Promise<Verdict> => {
        asked.push(peer)
        return peer === 'frozen' ? new Promise(() => {}) : 'ok'
      }
    },
    clock: new ManualClock(),
    logger: silentLogger
  } as unknown as Context
  const arrived = beginPushToMembers(context, [{} as Statement])
  await arrived(['self', 'well'])
  assert.deepEqual(asked, ['frozen', 'well'])
})
