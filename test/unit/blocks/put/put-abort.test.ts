import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pipe } from 'it-pipe'
import { Bitmap } from '../../../../src/blocks/bitmap.ts'
import { acknowledge } from '../../../../src/blocks/put/acknowledgement.ts'
import { putLogs } from '../../../../src/blocks/put/logs.ts'
import { Put } from '../../../../src/blocks/put/put.ts'
import { SilenceWatch } from '../../../../src/blocks/put/silence.ts'
import { PutWindow } from '../../../../src/blocks/put/window.ts'
import { Ranking } from '../../../../src/blocks/rank.ts'
import { Uplink } from '../../../../src/blocks/uplink.ts'
import { fixedChunker } from '../../../../src/format/chunker.ts'
import type { BlockCid } from '../../../../src/format/cid.ts'
import { defaultNodeCodec } from '../../../../src/format/manifest.ts'
import { sealFile } from '../../../../src/format/seal-file.ts'
import type { Statement } from '../../../../src/format/statement.ts'
import { makeView } from '../../../../src/members/view.ts'
import { Budget } from '../../../../src/util/budget.ts'
import { ManualClock } from '../../../fixtures/clock.ts'
import { contentSubkey } from '../../../fixtures/keys.ts'
import { silentLogger } from '../../../fixtures/logger.ts'
import { settle } from '../../../fixtures/pass-time.ts'

const CHUNK = 70_000
const CHUNKS = 4

/** A clock that knows how many timers run. */
class CountingClock extends ManualClock {
  timers = 0

  override after(ms: number, callback: () => void): () => void {
    let isOver = false
    const end = (): void => {
      if (!isOver) this.timers--
      isOver = true
    }
    this.timers++
    const cancel = super.after(ms, () => {
      end()
      callback()
    })
    return () => {
      end()
      cancel()
    }
  }
}

/**
 * Runs a whole put over parts that each take a few steps, and aborts it at one of these steps. Returns what the put
 * left behind, and true if it ended before that step.
 */
async function abortAt(aborted: number) {
  const clock = new CountingClock()
  const controller = new AbortController()
  let steps = 0
  const step = async (): Promise<void> => {
    await null
    if (++steps === aborted) controller.abort(new Error('the caller has gone'))
    await null
  }
  const after =
    <T>(result: T) =>
    async (): Promise<T> => {
      await step()
      return result
    }
  const peers = ['self', 'a', 'b']
  const ranking = new Ranking(
    makeView(
      peers.map((peer, i) => ({
        peer,
        key: new Uint8Array(32).fill(i),
        hlc: 1n,
        role: 'writer',
        weight: 10 ** 9,
        zone: null,
        state: 'in',
        outAfterMs: 600_000
      })),
      new Set()
    )
  )
  const memory = new Budget({ bytesMax: 3 * CHUNK, ownerBytesMax: 3 * CHUNK, lending: { clock, msMax: 60_000 } })
  const window = new PutWindow()
  const silence = new SilenceWatch({ clock, isThere: async () => true, pulledBytes: () => 0 })
  const listeners = new Set<() => void>()
  const listen = silence.listen.bind(silence)
  silence.listen = listener => {
    const stop = listen(listener)
    listeners.add(listener)
    return () => {
      listeners.delete(listener)
      stop()
    }
  }
  const cids: BlockCid[] = []
  const deps = {
    self: 'self',
    clock,
    logs: putLogs(silentLogger),
    codec: defaultNodeCodec,
    local: { returnBuffer: () => {} },
    keeps: {
      expect: () => () => {},
      keep: async (cid: BlockCid) => {
        cids.push(cid)
        await step()
      }
    },
    window,
    memory,
    silence,
    uplink: new Uplink(clock),
    storeClient: {
      keepBlock: after('kept' as const),
      keepRoot: after(new Bitmap())
    },
    ranking: () => ranking,
    admitted: () => ['a', 'b'],
    isAvoided: () => false,
    endWithRecord: () => {},
    push: after('ok' as const),
    announce: () => {},
    hasAll: after(true),
    restoreOwn: after(undefined)
  }
  // Only these methods of the classes are used.
  const options = { replicas: 3, ack: 3, signal: controller.signal }
  const init = { options, putNumber: new Uint8Array(16), putId: new Uint8Array(32), onClose: () => {} }
  const put = new Put(deps as unknown as ConstructorParameters<typeof Put>[0], init)
  async function* source() {
    for (let chunk = 0; chunk < CHUNKS; chunk++) {
      await step()
      yield new Uint8Array(CHUNK).fill(chunk)
    }
  }
  let isWhole = false
  const work = async (): Promise<void> => {
    try {
      const seal = sealFile({ subkey: contentSubkey, codec: defaultNodeCodec })
      const root = await pipe(source(), fixedChunker(CHUNK, put.lease), seal, put.keep)
      assert.ok(root)
      const kept = await put.keepRoot(root.cid)
      const record = { id: new Uint8Array(32) } as unknown as Statement<'entry'>
      await acknowledge(deps as unknown as Parameters<typeof acknowledge>[0], options, record, kept)
      isWhole = true
    } finally {
      put.close()
    }
  }
  const failed = await work().then(
    () => undefined,
    (error: unknown) => error
  )
  const inWindowAtEnd = cids.filter(cid => window.get(cid, 'a') !== undefined).length
  await settle(2)
  return { isWhole, failed, inWindowAtEnd, memory, timers: clock.timers, listening: listeners.size }
}

test('a put that is aborted at any of its steps leaves no lease, no block in its window, no timer and no listener', async () => {
  let aborted = 1
  for (; ; aborted++) {
    const { isWhole, failed, inWindowAtEnd, memory, timers, listening } = await abortAt(aborted)
    const left = { leases: memory.taken, waiting: memory.waiting, inWindowAtEnd, timers, listening }
    const nothing = { leases: 0, waiting: 0, inWindowAtEnd: 0, timers: 0, listening: 0 }
    assert.deepEqual(left, nothing, `aborted at step ${aborted}`)
    if (isWhole) break
    assert.match(String(failed), /the caller has gone/, `aborted at step ${aborted}`)
  }
  assert.ok(aborted > 20, `${aborted} steps`)
})
