import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { BEHIND_BYTES, STORE_PROTOCOL } from '../../../../src/blocks/constants.ts'
import { StoreClient } from '../../../../src/blocks/protocol/store-client.ts'
import { nameBlock, RAW } from '../../../../src/format/cid.ts'
import { peerIdOf } from '../../../../src/format/peer-id.ts'
import { serveCalls } from '../../../../src/wire/calls.ts'
import { ManualClock } from '../../../fixtures/clock.ts'
import { silentLogger } from '../../../fixtures/logger.ts'
import { type MemoryHost, MemoryNetwork } from '../../../fixtures/memory-host.ts'
import { until } from '../../../fixtures/until.ts'

test('a member is behind while the small blocks that wait for it take much memory', async t => {
  const clock = new ManualClock()
  const network = new MemoryNetwork({ clock })
  const [a, b] = ['a', 'b'].map(name => network.host(name, peerIdOf(randomBytes(32)))) as [MemoryHost, MemoryHost]
  const gate = Promise.withResolvers<void>()
  serveCalls(b, {
    protocol: STORE_PROTOCOL,
    requestBytesMax: 1 << 20,
    responseBytesMax: 1 << 20,
    clock,
    mayAsk: () => true,
    onFault: () => {},
    answer: async ({ fields }) => {
      await gate.promise
      return { status: 'ok', fields: { states: new Uint8Array((fields.cids as unknown[]).length) } }
    }
  })
  const client = new StoreClient({ host: a, clock, logger: silentLogger, onFault: () => {} })
  for (const host of [a, b]) {
    await host.start()
    t.after(() => host.stop())
  }
  await a.dial([b.address], { signal: AbortSignal.timeout(5_000) })
  const put = randomBytes(16)
  const asked: Array<Promise<unknown>> = []
  const ask = (length: number): void => {
    const bytes = randomBytes(length)
    asked.push(client.keepBlock(b.peerId, { put, cid: nameBlock(bytes, RAW), bytes, sizeBytes: length }))
  }
  const each = 128 << 10
  for (let sum = 0; sum < BEHIND_BYTES; sum += each) ask(each)
  assert.equal(client.isBehind(b.peerId), false)
  assert.equal(client.isBehind(a.peerId), false)
  ask(each)
  assert.equal(client.isBehind(b.peerId), true)
  gate.resolve()
  assert.deepEqual(new Set(await Promise.all(asked)), new Set(['kept']))
  await until('nothing waits for it', async () => !client.isBehind(b.peerId))
})
