import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { HEDGE_BYTES_MAX } from '../../src/blocks/constants.ts'
import { BlockCorruptError, BlockUnreachableError } from '../../src/blocks/errors.ts'
import { Fetcher } from '../../src/blocks/fetch/fetcher.ts'
import { PeerHealth } from '../../src/blocks/fetch/peer-health.ts'
import type { LocalBlocks } from '../../src/blocks/hold/local-blocks.ts'
import { GetClient } from '../../src/blocks/protocol/get-client.ts'
import { GetServer } from '../../src/blocks/protocol/get-server.ts'
import { Ranking } from '../../src/blocks/rank.ts'
import { nameBlock } from '../../src/format/cid.ts'
import { makeView } from '../../src/members/view.ts'
import { Budget } from '../../src/util/budget.ts'
import { encodeFrame } from '../../src/wire/frames.ts'
import type { ByteStream } from '../../src/wire/host.ts'
import { Libp2pHost } from '../../src/wire/libp2p-host.ts'
import { fastClock } from '../fixtures/clock.ts'
import { silentLogger } from '../fixtures/logger.ts'

const GET = '/dfs/get/1.0.0'
const bytes = randomBytes(50_000)
const cid = nameBlock(bytes)

type Behaviour = (stream: ByteStream) => void

/** Answers each request by a frame that may be wrong. */
const answering =
  (header: (id: number) => unknown, body: Uint8Array): Behaviour =>
  stream => {
    let id = 1
    stream.onData(() => void stream.write(encodeFrame(header(id++), [body])).catch(() => {}))
  }

const BEHAVIOURS: Record<string, Behaviour> = {
  'a wrong block': answering(id => ({ id, status: 'ok' }), randomBytes(50_000)),
  'a short block': answering(id => ({ id, status: 'ok' }), bytes.subarray(0, 49_999)),
  'a block over the limit': answering(id => ({ id, status: 'ok' }), randomBytes(5 << 20)),
  'an answer to no question': answering(id => ({ id: id + 77, status: 'ok' }), bytes),
  'a status of its own': answering(id => ({ id, status: 'come and see' }), bytes),
  garbage: stream => stream.onData(() => void stream.write([randomBytes(4096)]).catch(() => {})),
  'half a frame and then nothing': stream =>
    stream.onData(
      () =>
        void stream
          .write([Buffer.concat(encodeFrame({ id: 1, status: 'ok' }, [bytes])).subarray(0, 900)])
          .catch(() => {})
    ),
  'nothing at all': stream => stream.onData(() => {}),
  'the end': stream => stream.onData(() => stream.abort(new Error('gone')))
}

/** A reader, a member that behaves as told and ranks first, and an honest one. */
async function setup(t: TestContext, behaviour: Behaviour) {
  const clock = fastClock(10)
  const make = () =>
    Libp2pHost.create({ deviceSeed: randomBytes(32), listen: ['/ip4/127.0.0.1/tcp/0'], logger: silentLogger })
  const [reader, bad, honest] = (await Promise.all([make(), make(), make()])) as [Libp2pHost, Libp2pHost, Libp2pHost]
  bad.handle(GET, behaviour)
  const onFault = (peer: string): void => health.fault(peer)
  const options = { clock, isAdmitted: () => true, nodeCodecs: [0x71], onFault }
  new GetServer({
    ...options,
    host: honest,
    read: async asked => (asked.equals(cid) ? { bytes, release: () => {} } : undefined)
  })
  const gets = new GetClient({ ...options, host: reader })
  const health = new PeerHealth(clock)
  const ranking = new Ranking(makeView([], new Set()))
  const admitted = [bad.peerId, honest.peerId]
  const local = { get: async () => undefined } as unknown as LocalBlocks
  const fetcher = new Fetcher({
    self: reader.peerId,
    clock,
    logger: silentLogger,
    local,
    health,
    ranking: () => ranking,
    admitted: () => admitted,
    ask: (peer, asked, options) => gets.get(peer, asked, options),
    hedges: new Budget({ bytesMax: HEDGE_BYTES_MAX })
  })
  for (const host of [reader, bad, honest]) {
    await host.start()
    t.after(() => host.stop())
  }
  for (const host of [bad, honest])
    await reader.dial(host.addresses(), { signal: AbortSignal.timeout(10_000), peer: host.peerId })
  return { fetcher, health, admitted, bad: bad.peerId, honest: honest.peerId }
}

for (const [name, behaviour] of Object.entries(BEHAVIOURS)) {
  test(`a reader uses the next source, and does not hang, if a member sends ${name}`, async t => {
    const { fetcher, health, admitted, bad, honest } = await setup(t, behaviour)
    const { bytes: got, from } = await fetcher.fetch(cid, { prefer: [bad] })
    assert.ok(Buffer.from(got).equals(bytes))
    assert.equal(from, honest)
    // If it is the only source, the read fails instead of waiting forever.
    admitted.pop()
    await assert.rejects(
      fetcher.fetch(cid, { prefer: [bad] }),
      error => error instanceof BlockUnreachableError || error instanceof BlockCorruptError
    )
    if (name !== 'the end') assert.ok(health.faults(bad) > 0, 'the fault was not counted')
    assert.equal(health.faults(honest), 0)
  })
}

test('a member that has no such block is not blamed', async t => {
  const { fetcher, health, honest } = await setup(t, BEHAVIOURS['the end'] as Behaviour)
  await assert.rejects(
    fetcher.fetch(nameBlock(randomBytes(10)), { prefer: [honest], only: true }),
    BlockUnreachableError
  )
  assert.equal(health.faults(honest), 0)
})
