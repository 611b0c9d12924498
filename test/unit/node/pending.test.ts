import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DiskError } from '../../../src/disk/errors.ts'
import { DeniedError } from '../../../src/members/entering/errors.ts'
import { Node } from '../../../src/node/node.ts'
import type { Pending } from '../../../src/node/pending-status.ts'
import type { Stack } from '../../../src/node/stack.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { FakeFiles } from '../../fixtures/fake-files.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { codeOfRejection } from '../../fixtures/nodes.ts'

const NETWORK = Buffer.alloc(32, 5)

interface Setup {
  node: Node
  pending: Pending
  letIn: () => void
  turnAway: (error: Error) => void
  signal: () => AbortSignal
  unlocks: () => number
}

/** A node that waits to be let in. No stack of it can start. */
async function setup(settled = Promise.resolve()): Promise<Setup> {
  const decided = Promise.withResolvers<Uint8Array>()
  const pending: Pending = {
    code: null,
    network: null,
    words: null,
    role: 'reader',
    expiresAtMs: null,
    trouble: null
  }
  let unlocks = 0
  let signal: AbortSignal | undefined
  const node = new Node({
    files: Object.assign(new FakeFiles(), { state: 'ok' as const }),
    clock: new ManualClock(),
    logger: silentLogger,
    onEvent: () => {},
    makeRoom: async () => false,
    unlock: async () => {
      unlocks++
    },
    network: undefined,
    entry: {
      waiting: { peerId: 'me', name: 'laptop', role: 'reader', pending, settled },
      run: inner => {
        signal = inner
        inner.addEventListener('abort', () => decided.reject(inner.reason))
        return decided.promise
      }
    },
    startStack: async (): Promise<Stack> => {
      throw new DiskError('no stack can start here')
    }
  })
  await node.start()
  return {
    node,
    pending,
    letIn: () => decided.resolve(NETWORK),
    turnAway: error => decided.reject(error),
    signal: () => signal as AbortSignal,
    unlocks: () => unlocks
  }
}

test('a node that waits to be let in tells its state and the command, and does nothing else', async () => {
  const { node, pending } = await setup()
  assert.deepEqual([node.peerId, node.name, node.role, node.network], ['me', 'laptop', 'reader', ''])
  assert.deepEqual([node.multiaddrs, node.peers()], [[], []])
  assert.equal(await codeOfRejection(node.stat('/')), 'not-allowed')
  assert.deepEqual((await node.status()).warnings, [
    'this machine waits to be let in: no member that can let it in has answered yet'
  ])
  Object.assign(pending, { code: 'K7Q2ZD', network: 'aa', words: 'six words' })
  const { state, code, words, network, warnings, peersConnected } = await node.status()
  assert.deepEqual([state, code, words, network, peersConnected], ['pending', 'K7Q2ZD', 'six words', 'aa', 0])
  assert.match(warnings[0] ?? '', /run dfs members approve K7Q2ZD --role reader$/)
  await assert.rejects(node.put('/f', []), { name: 'PendingError', message: /approve K7Q2ZD --role reader/ })
  await assert.rejects(node.members(), { name: 'PendingError' })
  await node.stop()
})

test('a node that is turned away says why to every caller, and to those that wait for it', async () => {
  const { node, turnAway } = await setup()
  const ready = node.ready()
  turnAway(new DeniedError())
  await assert.rejects(ready, DeniedError)
  await assert.rejects(node.ready(), DeniedError)
  await assert.rejects(node.stat('/'), DeniedError)
  await node.stop()
})

test('a node whose rooms do not start after it was let in says so', async () => {
  const { node, letIn } = await setup()
  letIn()
  await assert.rejects(node.ready(), DiskError)
  await assert.rejects(node.stat('/'), DiskError)
  await node.stop()
})

test('a node that is stopped while it waits ends its entry first, and then unlocks its directory', async () => {
  const { node, signal, unlocks } = await setup()
  const ready = node.ready()
  ready.catch(() => {})
  await node.stop()
  assert.deepEqual([signal().aborted, unlocks()], [true, 1])
  await assert.rejects(ready, { name: 'StoppedError' })
  await assert.rejects(node.status(), { name: 'StoppedError' })
})

test('a caller may stop waiting for a node to be let in, and the node goes on', async () => {
  const { node, signal } = await setup()
  await assert.rejects(node.ready({ signal: AbortSignal.abort() }), { name: 'AbortError' })
  assert.equal(signal().aborted, false)
  await node.stop()
})
