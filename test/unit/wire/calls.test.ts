import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { peerIdOf } from '../../../src/format/peer-id.ts'
import { Callers, type Response, type ServeOptions, serveCalls } from '../../../src/wire/calls.ts'
import {
  ASKING_STREAMS_MAX,
  CALL_TIMEOUT_MS,
  IN_FLIGHT_MAX,
  LEAST_BYTES_PER_S,
  OPEN_TIMEOUT_MS,
  RATE_WINDOW_MS,
  STALL_MS
} from '../../../src/wire/constants.ts'
import { RefusedError } from '../../../src/wire/errors.ts'
import { encodeFrame } from '../../../src/wire/frames.ts'
import type { ByteStream } from '../../../src/wire/host.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { type MemoryHost, MemoryNetwork } from '../../fixtures/memory-host.ts'
import { settle } from '../../fixtures/pass-time.ts'

const PROTOCOL = '/test/1'
const bounds = { protocol: PROTOCOL, requestBytesMax: 1 << 20, responseBytesMax: 1 << 20 }

interface Setup {
  clock: ManualClock
  network: MemoryNetwork
  a: MemoryHost
  b: MemoryHost
  callers: Callers
  faults: string[]
}

/** `a` may ask `b`, which behaves as `prepare` sets it up. */
async function setup(
  t: TestContext,
  prepare: (b: MemoryHost, faults: string[], clock: ManualClock) => void
): Promise<Setup> {
  const clock = new ManualClock()
  const network = new MemoryNetwork({ clock })
  const [a, b] = ['a', 'b'].map(name => network.host(name, peerIdOf(randomBytes(32)))) as [MemoryHost, MemoryHost]
  const faults: string[] = []
  prepare(b, faults, clock)
  const callers = new Callers(a, clock, { ...bounds, onFault: peer => faults.push(peer) })
  for (const host of [a, b]) {
    await host.start()
    t.after(() => host.stop())
  }
  await a.dial([b.address], { signal: AbortSignal.timeout(5_000) })
  return { clock, network, a, b, callers, faults }
}

function serving(answer: ServeOptions['answer'], more: Partial<ServeOptions> = {}) {
  return (b: MemoryHost, faults: string[], clock: ManualClock) =>
    serveCalls(b, { ...bounds, clock, mayAsk: () => true, onFault: peer => faults.push(peer), answer, ...more })
}

/** A peer that handles the stream as a test tells it. */
function raw(behave: (stream: ByteStream) => void) {
  return (b: MemoryHost) => b.handle(PROTOCOL, behave)
}

/** Answers that a test releases one by one, in any order. */
function held() {
  const asked: Array<{ fields: Record<string, unknown>; signal: AbortSignal; give: (response: Response) => void }> = []
  const answer: ServeOptions['answer'] = ({ fields, signal }) => {
    const { promise, resolve } = Promise.withResolvers<Response>()
    asked.push({ fields, signal, give: resolve })
    return promise
  }
  return { asked, answer }
}

async function nameOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'resolved',
    error => (error as Error).name
  )
}

test('each caller gets its own answer, whatever order they come in', async t => {
  const { asked, answer } = held()
  const { callers, b } = await setup(t, serving(answer))
  const calls = [1, 2, 3].map(n => callers.call(b.peerId, { n }, { body: [Buffer.from(`q${n}`)] }))
  await settle()
  assert.deepEqual(
    asked.map(({ fields }) => fields),
    [{ n: 1 }, { n: 2 }, { n: 3 }]
  )
  for (const { fields, give } of asked.toReversed())
    give({ status: 'ok', fields: { to: fields['n'] }, body: [Buffer.from('a'), Buffer.from(`${fields['n']}`)] })
  const replies = await Promise.all(calls)
  for (const [i, { fields, body }] of replies.entries()) {
    assert.deepEqual(fields, { to: i + 1 })
    assert.equal(Buffer.from(body).toString(), `a${i + 1}`)
  }
})

test('one stream carries all calls to a peer, with at most sixteen under way', async t => {
  const { asked, answer } = held()
  let streams = 0
  const { callers, b, faults } = await setup(t, (host, list, clock) => {
    serving(answer)(host, list, clock)
    const handler = host.handlerOf(PROTOCOL) as (stream: ByteStream) => void
    host.handle(PROTOCOL, stream => {
      streams++
      handler(stream)
    })
  })
  const calls = Array.from({ length: 40 }, (_, n) => callers.call(b.peerId, { n }))
  await settle()
  assert.equal(asked.length, IN_FLIGHT_MAX)
  for (let given = 0; given < 40; given++) {
    asked[given]?.give({ status: 'ok' })
    await settle(5)
    assert.ok(asked.length <= given + 1 + IN_FLIGHT_MAX)
  }
  await Promise.all(calls)
  assert.deepEqual([streams, faults], [1, []])
})

test('a stream that was prepared serves the first call, and one that cannot be opened is no error', async t => {
  const opened: string[] = []
  const { callers, b } = await setup(t, (host, list, clock) => {
    serving(async () => ({ status: 'ok' }))(host, list, clock)
    const handler = host.handlerOf(PROTOCOL) as (stream: ByteStream) => void
    host.handle(PROTOCOL, stream => {
      opened.push('stream')
      handler(stream)
    })
  })
  callers.prepare(b.peerId)
  callers.prepare(b.peerId)
  callers.prepare(peerIdOf(randomBytes(32)))
  await settle()
  assert.deepEqual(opened, ['stream'])
  opened.push('call')
  await callers.call(b.peerId, {})
  assert.deepEqual(opened, ['stream', 'call'])
})

test('every status but ok is a RefusedError, and no fault of the peer', async t => {
  const { callers, b, faults } = await setup(
    t,
    serving(async ({ fields }) => ({ status: fields['status'] as Response['status'] }))
  )
  for (const status of ['busy', 'not-found', 'lacking', 'wrong-network'])
    await assert.rejects(callers.call(b.peerId, { status }), { name: 'RefusedError', status })
  assert.deepEqual(faults, [])
})

test('a failed answer is sent as `internal`, a refusal as its status, a stop as `busy`, and no error text is sent', async t => {
  const { callers, b } = await setup(
    t,
    serving(async ({ fields }) => {
      if (fields['how'] === 'refuse') throw new RefusedError('full')
      if (fields['how'] === 'abort') throw new DOMException('stopped', 'AbortError')
      throw new Error('/home/someone/secret')
    })
  )
  for (const [how, status] of [
    ['refuse', 'full'],
    ['abort', 'busy'],
    ['fail', 'internal']
  ]) {
    const error = await callers.call(b.peerId, { how }).catch(thrown => thrown as Error)
    assert.equal((error as RefusedError).status, status)
    assert.ok(!(error as Error).message.includes('secret'))
  }
})

test('a peer that may not ask has its stream reset, and later requests refused', async t => {
  let may = false
  const { callers, b } = await setup(
    t,
    serving(async () => ({ status: 'ok' }), { mayAsk: () => may })
  )
  assert.equal(await nameOf(callers.call(b.peerId, {})), 'DisconnectedError')
  may = true
  await callers.call(b.peerId, {})
  may = false
  await assert.rejects(callers.call(b.peerId, {}), { status: 'not-admitted' })
})

test('calls to a silent peer fail at their deadline, and the next call opens a new stream', async t => {
  let isSilent = true
  const { callers, b, clock, faults } = await setup(
    t,
    raw(stream => {
      if (isSilent) stream.onData(() => {})
      else stream.onData(() => void stream.write(encodeFrame({ id: 1, status: 'ok' })))
    })
  )
  const calls = [callers.call(b.peerId, {}), callers.call(b.peerId, {}, { timeoutMs: 60_000 })].map(nameOf)
  await settle()
  clock.advance(STALL_MS - 1_000)
  await settle()
  clock.advance(2_000)
  assert.deepEqual(await Promise.all(calls), ['DeadlineError', 'DeadlineError'])
  assert.deepEqual(faults, [b.peerId])
  isSilent = false
  await callers.call(b.peerId, {})
})

test('an answer that trickles in keeps a call alive up to its limit and no longer', async t => {
  const frame = Buffer.concat(encodeFrame({ id: 1, status: 'ok' }, [Buffer.alloc(1000)]))
  const { promise: opened, resolve } = Promise.withResolvers<ByteStream>()
  const { callers, b, clock } = await setup(t, raw(resolve))
  const call = nameOf(callers.call(b.peerId, {}))
  const stream = await opened
  let sent = 0
  for (let passed = 0; passed < CALL_TIMEOUT_MS - STALL_MS; passed += STALL_MS - 1_000) {
    clock.advance(STALL_MS - 1_000)
    await stream.write([frame.subarray(sent, ++sent)])
    await settle(5)
  }
  let outcome = ''
  void call.then(name => {
    outcome = name
  })
  await settle(5)
  assert.equal(outcome, '')
  for (let i = 0; i < 3; i++) {
    clock.advance(STALL_MS - 1_000)
    await stream.write([frame.subarray(sent, ++sent)]).catch(() => {})
    await settle(5)
  }
  assert.equal(outcome, 'DeadlineError')
})

test('the time limit of a call grows with its bytes and with those requested before it', async t => {
  const { promise: opened, resolve } = Promise.withResolvers<ByteStream>()
  const { callers, b, clock } = await setup(t, raw(resolve))
  const expectBytes = 1 << 20
  const outcomes: string[] = []
  for (let i = 0; i < 3; i++)
    void nameOf(callers.call(b.peerId, { i }, { expectBytes })).then(name => outcomes.push(name))
  const stream = await opened
  await settle()
  // A slow link: each answer alone takes 63 s, and one alone may take 94 s.
  for (let id = 1; id <= 3; id++) {
    const frame = Buffer.concat(encodeFrame({ id, status: 'ok' }, [Buffer.alloc(1 << 20)]))
    for (let part = 0; part < 7; part++) {
      clock.advance(9_000)
      await stream.write([frame.subarray(part * 150_000, part === 6 ? undefined : (part + 1) * 150_000)])
      await settle(10)
    }
    assert.deepEqual(outcomes, Array(id).fill('resolved'))
  }
})

test('a request whose caller leaves before it was sent is never sent', async t => {
  const { asked, answer } = held()
  const { callers, b, network, clock } = await setup(t, serving(answer))
  const first = callers.call(b.peerId, { n: 0 })
  await settle()
  asked[0]?.give({ status: 'ok' })
  await first
  network.delayMs = 100
  const controller = new AbortController()
  void callers.call(b.peerId, { n: 1 }, { body: [Buffer.alloc(1 << 20)] }).catch(() => {})
  await settle()
  const given = nameOf(callers.call(b.peerId, { n: 2 }, { signal: controller.signal }))
  void callers.call(b.peerId, { n: 3 }).catch(() => {})
  await settle()
  controller.abort()
  assert.equal(await given, 'AbortError')
  for (let i = 0; i < 20; i++) {
    clock.advance(100)
    await settle(5)
  }
  assert.deepEqual(
    asked.map(({ fields }) => fields['n']),
    [0, 1, 3]
  )
})

test('an abort ends a call at once, and the late answer is dropped', async t => {
  const { asked, answer } = held()
  const { callers, b, faults } = await setup(t, serving(answer))
  const controller = new AbortController()
  const call = callers.call(b.peerId, { n: 1 }, { signal: controller.signal })
  const other = callers.call(b.peerId, { n: 2 })
  await settle()
  controller.abort(new Error('enough'))
  await assert.rejects(call, /enough/)
  for (const { fields, give } of asked) give({ status: 'ok', fields })
  assert.deepEqual((await other).fields, { n: 2 })
  await assert.rejects(callers.call(b.peerId, {}, { signal: AbortSignal.abort(new Error('before')) }), /before/)
  assert.deepEqual(faults, [])
})

test('an abort ends the wait for a slot, for a stream, and for room to write', async t => {
  const { answer } = held()
  const { callers, b, network, a } = await setup(t, serving(answer))
  for (let i = 0; i < IN_FLIGHT_MAX; i++) void callers.call(b.peerId, {}).catch(() => {})
  await settle()
  const controller = new AbortController()
  const waiting = callers.call(b.peerId, {}, { signal: controller.signal })
  await settle()
  controller.abort(new Error('no slot'))
  await assert.rejects(waiting, /no slot/)
  network.silence(a, b)
  const opening = new Callers(a, new ManualClock(), { ...bounds, protocol: '/other/1' })
  const second = new AbortController()
  const opened = opening.call(b.peerId, {}, { signal: second.signal })
  await settle()
  second.abort(new Error('no stream'))
  await assert.rejects(opened, /no stream/)
  network.heal(a, b)
  const writing = new Callers(a, new ManualClock(), bounds)
  await settle()
  const third = new AbortController()
  const first = writing.call(b.peerId, {}).catch(() => {})
  await settle()
  network.silence(a, b)
  const written = writing.call(b.peerId, {}, { body: [Buffer.alloc(1 << 20)], signal: third.signal })
  await settle()
  third.abort(new Error('no room'))
  await assert.rejects(written, /no room/)
  void first
})

test('aborted calls do not keep a silent stream open for ever', async t => {
  const { callers, b, clock } = await setup(
    t,
    raw(stream => stream.onData(() => {}))
  )
  const controller = new AbortController()
  const all = Array.from({ length: IN_FLIGHT_MAX }, () =>
    nameOf(callers.call(b.peerId, {}, { signal: controller.signal }))
  )
  await settle()
  controller.abort()
  await Promise.all(all)
  const next = nameOf(callers.call(b.peerId, {}))
  await settle()
  clock.advance(STALL_MS + 2_000)
  await settle()
  assert.equal(await next, 'DeadlineError')
})

test('a stream that cannot be opened in time fails the call, and the next call opens another', async t => {
  const { callers, b, network, a, clock } = await setup(
    t,
    serving(async () => ({ status: 'ok' }))
  )
  network.silence(a, b)
  const call = nameOf(callers.call(b.peerId, {}))
  await settle()
  clock.advance(OPEN_TIMEOUT_MS + 1)
  assert.equal(await call, 'DisconnectedError')
  network.heal(a, b)
  await callers.call(b.peerId, {})
})

test('the end of a connection fails the calls that wait, and none after it', async t => {
  const { asked, answer } = held()
  const { callers, b, a } = await setup(t, serving(answer))
  const call = nameOf(callers.call(b.peerId, {}))
  await settle()
  await a.hangUp(b.peerId)
  assert.equal(await call, 'DisconnectedError')
  assert.equal(asked[0]?.signal.aborted, true)
  assert.equal(await nameOf(callers.call(b.peerId, {})), 'DisconnectedError')
  await a.dial([b.address], { signal: AbortSignal.timeout(5_000) })
  const again = callers.call(b.peerId, {})
  await settle()
  asked[1]?.give({ status: 'ok' })
  await again
})

test('a malformed answer ends the stream and is a fault of the peer', async t => {
  const nonsense: Record<string, Uint8Array[]> = {
    garbage: [randomBytes(500)],
    'a wrong id': encodeFrame({ id: 77, status: 'ok' }),
    'an unknown status': encodeFrame({ id: 1, status: 'come and see' }),
    'no status': encodeFrame({ id: 1 }),
    'no map': encodeFrame([1, 2]),
    'a body over the limit': encodeFrame({ id: 1, status: 'ok' }, [Buffer.alloc((1 << 20) + 1)])
  }
  for (const [name, bytes] of Object.entries(nonsense)) {
    const { callers, b, faults } = await setup(
      t,
      raw(stream => stream.onData(() => void stream.write(bytes).catch(() => {})))
    )
    assert.equal(await nameOf(callers.call(b.peerId, {})), 'ProtocolError', name)
    assert.deepEqual(faults, [b.peerId], name)
  }
})

test('a second answer to one request is a fault', async t => {
  const frame = encodeFrame({ id: 1, status: 'ok' })
  const { callers, b, faults } = await setup(
    t,
    raw(stream => stream.onData(() => void stream.write([...frame, ...frame]).catch(() => {})))
  )
  await callers.call(b.peerId, {})
  await settle()
  assert.deepEqual(faults, [b.peerId])
})

test('half an answer followed by silence fails at the deadline', async t => {
  const frame = Buffer.concat(encodeFrame({ id: 1, status: 'ok' }, [Buffer.alloc(1000)]))
  const { callers, b, clock } = await setup(
    t,
    raw(stream => stream.onData(() => void stream.write([frame.subarray(0, 500)])))
  )
  const call = nameOf(callers.call(b.peerId, {}))
  await settle()
  clock.advance(STALL_MS + 2_000)
  assert.equal(await call, 'DeadlineError')
})

test('a peer that closes the stream after the request is unreachable, and not blamed', async t => {
  const { callers, b, faults } = await setup(
    t,
    raw(stream => stream.onData(() => void stream.close()))
  )
  assert.equal(await nameOf(callers.call(b.peerId, {})), 'DisconnectedError')
  assert.deepEqual(faults, [])
})

test('fields that do not fit a header fail that call and no other', async t => {
  const { callers, b } = await setup(
    t,
    serving(async () => ({ status: 'ok' }))
  )
  const other = callers.call(b.peerId, {})
  await assert.rejects(callers.call(b.peerId, { text: 'x'.repeat(1 << 17) }), RangeError)
  await other
})

test('a peer that breaks the protocol in a request is cut off and blamed', async t => {
  const attacks: Record<string, Uint8Array[]> = {
    garbage: [randomBytes(400)],
    'no id': encodeFrame({ do: 'x' }),
    'no map': encodeFrame('x'),
    'a body over the limit': encodeFrame({ id: 1 }, [Buffer.alloc((1 << 20) + 1)])
  }
  for (const [name, bytes] of Object.entries(attacks)) {
    const { a, b, faults } = await setup(
      t,
      serving(async () => ({ status: 'ok' }))
    )
    const stream = await a.open(b.peerId, PROTOCOL, { signal: AbortSignal.timeout(5_000) })
    const { promise: ended, resolve } = Promise.withResolvers<void>()
    stream.onEnd(() => resolve())
    await stream.write(bytes).catch(() => {})
    await ended
    assert.deepEqual(faults, [a.peerId], name)
  }
})

test('an asker with too many requests under way is cut off', async t => {
  const { asked, answer } = held()
  const { a, b, faults } = await setup(t, serving(answer))
  const stream = await a.open(b.peerId, PROTOCOL, { signal: AbortSignal.timeout(5_000) })
  const { promise: ended, resolve } = Promise.withResolvers<void>()
  stream.onEnd(() => resolve())
  for (let id = 0; id < IN_FLIGHT_MAX + 2; id++) await stream.write(encodeFrame({ id }))
  await ended
  assert.deepEqual(faults, [a.peerId])
  assert.ok(asked.every(({ signal }) => signal.aborted))
})

test('answers to an asker that never reads are held for a bounded time', async t => {
  const { asked, answer } = held()
  const { a, b, network, clock } = await setup(t, serving(answer))
  const stream = await a.open(b.peerId, PROTOCOL, { signal: AbortSignal.timeout(5_000) })
  for (let id = 0; id < IN_FLIGHT_MAX; id++) await stream.write(encodeFrame({ id }))
  await settle()
  network.silence(a, b)
  for (const { give } of asked) give({ status: 'ok', body: [Buffer.alloc(1 << 20)] })
  await settle()
  const isOver = (): boolean => asked.every(({ signal }) => signal.aborted)
  assert.equal(asked.length, IN_FLIGHT_MAX)
  clock.advance(CALL_TIMEOUT_MS)
  await settle()
  assert.equal(isOver(), false)
  // The time of 1 MiB at the slowest rate that we allow for.
  clock.advance(70_000)
  await settle()
  assert.equal(isOver(), true)
})

test('an asker that does not finish a request is cut off', async t => {
  const { a, b, clock } = await setup(
    t,
    serving(async () => ({ status: 'ok' }))
  )
  const whole = Buffer.concat(encodeFrame({ id: 1 }, [Buffer.alloc(1000)]))
  const stream = await a.open(b.peerId, PROTOCOL, { signal: AbortSignal.timeout(5_000) })
  let isEnded = false
  stream.onEnd(() => {
    isEnded = true
  })
  stream.onData(() => {})
  await stream.write([whole])
  await settle()
  clock.advance(10 * STALL_MS)
  await settle()
  assert.equal(isEnded, false, 'an idle stream stays')
  await stream.write([whole.subarray(0, 20)])
  await settle()
  clock.advance(STALL_MS - 1_000)
  await settle()
  assert.equal(isEnded, false)
  clock.advance(3_000)
  await settle()
  assert.equal(isEnded, true)
})

test('an answer that its caller does not admit fails that call, and is no fault', async t => {
  const { callers, b, faults } = await setup(
    t,
    serving(async ({ fields }) => ({ status: 'ok', fields, body: [Buffer.alloc(1_000)] }))
  )
  const lengths: number[] = []
  const admit = (bodyBytes: number): boolean => {
    lengths.push(bodyBytes)
    return false
  }
  const refused = callers.call(b.peerId, { n: 1 }, { admit })
  const other = callers.call(b.peerId, { n: 2 }, { admit: () => true })
  await assert.rejects(refused, { name: 'RefusedError', status: 'over-limit' })
  assert.equal((await other).body.byteLength, 1_000)
  assert.deepEqual([lengths, faults], [[1_000], []])
})

test('a caller that leaves at the moment when its slot becomes free is not kept waiting', async t => {
  const { promise: opened, resolve } = Promise.withResolvers<ByteStream>()
  const { callers, b } = await setup(t, raw(resolve))
  const leaving = new AbortController()
  const admit = (): boolean => {
    leaving.abort(new Error('gone'))
    return true
  }
  for (let i = 0; i < IN_FLIGHT_MAX; i++) void callers.call(b.peerId, {}, { admit }).catch(() => {})
  const stream = await opened
  await settle()
  const waiting = callers.call(b.peerId, {}, { signal: leaving.signal })
  await settle()
  // Both answers arrive at once: the first frees the slot, and the caller leaves before it can use it.
  const answers = [...encodeFrame({ id: 1, status: 'ok' }), ...encodeFrame({ id: 2, status: 'ok' }, [Buffer.alloc(1)])]
  await stream.write([Buffer.concat(answers)])
  await assert.rejects(Promise.race([waiting, settle().then(() => 'still waits')]), /gone/)
})

test('the answer to a caller that has left is not admitted', async t => {
  const { asked, answer } = held()
  const { callers, b } = await setup(t, serving(answer))
  const controller = new AbortController()
  const admit = (): boolean => assert.fail('asked')
  const left = callers.call(b.peerId, {}, { signal: controller.signal, admit })
  const other = callers.call(b.peerId, {})
  await settle()
  controller.abort(new Error('enough'))
  await assert.rejects(left, /enough/)
  for (const { give } of asked) give({ status: 'ok', body: [Buffer.alloc(1_000)] })
  assert.equal((await other).body.byteLength, 1_000)
})

/** Calls a peer that delivers this many bytes of its answer per second. */
async function trickle(t: TestContext, bytesPerS: number, leastBytesPerS: number | undefined) {
  const { promise: opened, resolve } = Promise.withResolvers<ByteStream>()
  const { clock, a, b } = await setup(t, raw(resolve))
  const faults: string[] = []
  const callers = new Callers(a, clock, {
    ...bounds,
    ...(leastBytesPerS === undefined ? {} : { leastBytesPerS }),
    onFault: peer => faults.push(peer)
  })
  let outcome = ''
  void nameOf(callers.call(b.peerId, {}, { expectBytes: 1 << 20, timeoutMs: 10 * 60_000 })).then(name => {
    outcome = name
  })
  const stream = await opened
  stream.onData(() => {})
  await settle()
  const frame = Buffer.concat(encodeFrame({ id: 1, status: 'ok' }, [Buffer.alloc(1 << 20)]))
  let seconds = 0
  for (let at = 0; at < frame.byteLength && outcome === ''; at += bytesPerS) {
    await stream.write([frame.subarray(at, at + bytesPerS)]).catch(() => {})
    clock.advance(1_000)
    seconds++
    await settle(4)
  }
  return { outcome, seconds, faults, b }
}

test('a peer that serves bulk data below the least rate is cut and blamed, though it is never silent', async t => {
  const { outcome, seconds, faults, b } = await trickle(t, LEAST_BYTES_PER_S - 100, LEAST_BYTES_PER_S)
  assert.deepEqual([outcome, faults], ['DeadlineError', [b.peerId]])
  assert.ok(seconds <= RATE_WINDOW_MS / 1000 + 2, `cut after ${seconds} s`)
})

test('a slow link above the least rate is not cut, and neither is a slow peer of a protocol without a least rate', async t => {
  assert.deepEqual((await trickle(t, LEAST_BYTES_PER_S + 100, LEAST_BYTES_PER_S)).outcome, 'resolved')
  assert.deepEqual((await trickle(t, LEAST_BYTES_PER_S - 100, undefined)).outcome, 'resolved')
})

test('a peer that has nothing, and says so quickly, is above the least rate', async t => {
  const { clock, a, b, faults } = await setup(
    t,
    serving(async () => ({ status: 'not-found' }))
  )
  const callers = new Callers(a, clock, { ...bounds, leastBytesPerS: LEAST_BYTES_PER_S })
  for (let seconds = 0; seconds < 100; seconds += 5) {
    const call = nameOf(callers.call(b.peerId, {}))
    clock.advance(5_000)
    assert.equal(await call, 'RefusedError')
  }
  assert.deepEqual(faults, [])
})

test('a peer asks on few streams: when it opens another, the oldest ends', async t => {
  const { asked, answer } = held()
  const { a, b, faults } = await setup(t, serving(answer))
  const ended: number[] = []
  for (let n = 0; n < ASKING_STREAMS_MAX + 2; n++) {
    const stream = await a.open(b.peerId, PROTOCOL, { signal: AbortSignal.timeout(5_000) })
    stream.onEnd(() => ended.push(n))
    await stream.write(encodeFrame({ id: 1, n }))
    await settle()
  }
  assert.deepEqual(ended, [0, 1])
  assert.deepEqual(
    asked.map(({ signal }) => signal.aborted),
    [true, true, false, false]
  )
  assert.deepEqual(faults, [])
})

test('the answerer is told once its answer has been sent, and when it never will be', async t => {
  const done: number[] = []
  const { asked, answer } = held()
  const { callers, a, b } = await setup(t, serving(answer))
  const calls = [0, 1].map(n => nameOf(callers.call(b.peerId, { n })))
  await settle()
  asked[0]?.give({ status: 'ok', body: [Buffer.alloc(1_000)], onDone: () => done.push(0) })
  assert.equal(await calls[0], 'resolved')
  await settle()
  assert.deepEqual(done, [0])
  await a.hangUp(b.peerId)
  assert.equal(await calls[1], 'DisconnectedError')
  asked[1]?.give({ status: 'ok', body: [Buffer.alloc(1_000)], onDone: () => done.push(1) })
  await settle()
  assert.deepEqual(done, [0, 1])
})
