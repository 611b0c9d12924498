import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { BlockCorruptError, BlockUnreachableError, BlockUnreadableError } from '../../../../src/blocks/errors.ts'
import { Fetcher } from '../../../../src/blocks/fetch/fetcher.ts'
import { PeerHealth } from '../../../../src/blocks/fetch/peer-health.ts'
import type { LocalBlocks } from '../../../../src/blocks/hold/local-blocks.ts'
import { Ranking } from '../../../../src/blocks/rank.ts'
import { nameBlock } from '../../../../src/format/cid.ts'
import { makeView } from '../../../../src/members/view.ts'
import { Budget } from '../../../../src/util/budget.ts'
import { DeadlineError } from '../../../../src/util/errors.ts'
import { DisconnectedError, ProtocolError, RefusedError } from '../../../../src/wire/errors.ts'
import { ManualClock } from '../../../fixtures/clock.ts'
import { RecordingLogger } from '../../../fixtures/logger.ts'
import { settle, whileTimePasses } from '../../../fixtures/pass-time.ts'

const bytes = Buffer.from('the bytes that were asked for')
const cid = nameBlock(bytes)

type Answer = (signal: AbortSignal, admit: (bytes: number) => boolean) => Promise<Uint8Array>
const gives: Answer = async () => bytes
const hasNone: Answer = async () => {
  throw new RefusedError('not-found')
}
const silent: Answer = signal =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))

function setup(
  _: TestContext,
  answers: Record<string, Answer>,
  disk: () => Promise<Uint8Array | undefined> = async () => undefined
) {
  const clock = new ManualClock()
  const asked: string[] = []
  const aborted: string[] = []
  const replaced: Uint8Array[] = []
  const given: Uint8Array[] = []
  const health = new PeerHealth(clock)
  const hedges = new Budget({ bytesMax: 2 * bytes.byteLength })
  const logger = new RecordingLogger()
  const state = { admitted: Object.keys(answers), answers }
  const view = makeView(
    Object.keys(answers).map((peer, i) => ({
      peer,
      key: Buffer.alloc(32, i + 1),
      hlc: 0n,
      role: 'writer' as const,
      weight: 10 ** 12,
      zone: null,
      state: 'in' as const,
      outAfterMs: 1
    })),
    new Set()
  )
  const ranking = new Ranking(view)
  const fetcher = new Fetcher({
    self: 'self',
    clock,
    logger,
    local: {
      get: disk,
      replace: async (_: unknown, bytes: Uint8Array) => replaced.push(bytes),
      returnBuffer: (bytes: Uint8Array) => given.push(bytes)
    } as unknown as LocalBlocks,
    health,
    ranking: () => ranking,
    admitted: () => state.admitted,
    ask: async (peer, _, { signal, admit = () => true }) => {
      asked.push(peer)
      signal?.addEventListener('abort', () => aborted.push(peer))
      return (state.answers[peer] as Answer)(signal as AbortSignal, admit)
    },
    hedges
  })
  const order = ranking.readers(cid.multihash.digest)
  return { clock, fetcher, hedges, health, logger, asked, aborted, replaced, given, state, order }
}

test('a block that is on our disk is not asked for', async t => {
  const { fetcher, asked } = setup(t, { a: gives }, async () => bytes)
  const { bytes: found, from } = await fetcher.fetch(cid)
  assert.deepEqual([found, from], [bytes, 'self'])
  assert.deepEqual(asked, [])
})

test('members are asked down the ranking, and those that have no such block are not blamed', async t => {
  const { fetcher, asked, order, health, state } = setup(t, { a: hasNone, b: hasNone, c: hasNone, d: hasNone })
  state.answers = { ...state.answers, [order[3] as string]: gives }
  const { from } = await fetcher.fetch(cid)
  assert.equal(from, order[3])
  assert.deepEqual(asked, order)
  for (const peer of order) assert.equal(health.faults(peer), 0)
})

test('the quickest of the likely owners is asked first, and one with a fault last', async t => {
  const { clock, fetcher, asked, order, health } = setup(t, { a: gives, b: gives, c: gives, d: gives })
  for (const [i, ms] of [100, 80, 3].entries()) {
    const end = health.begin(order[i] as string)
    clock.advance(ms)
    end('delivered')
  }
  assert.equal((await fetcher.fetch(cid)).from, order[2])
  health.fault(order[2] as string)
  asked.length = 0
  assert.notEqual((await fetcher.fetch(cid)).from, order[2])
})

for (const [what, error, blames] of [
  ['a wrong block', undefined, true],
  ['silence until the deadline', new DeadlineError('no answer'), true],
  ['broken frames, which the wire counts', new ProtocolError('broken'), false],
  ['a stream that ends', new DisconnectedError('gone'), false],
  ['a refusal', new RefusedError('busy'), false]
] as const) {
  test(`${what}: the next source is used${blames ? ', and the fault counted' : ''}`, async t => {
    const bad: Answer = async () => {
      if (error !== undefined) throw error
      return Buffer.from('another block')
    }
    const { fetcher, health } = setup(t, { bad, good: gives })
    const { from } = await fetcher.fetch(cid, { prefer: ['bad'] })
    assert.equal(from, 'good')
    assert.equal(health.faults('bad'), blames ? 1 : 0)
  })
}

test('a fetch fails as corrupt if every copy that arrived was damaged', async t => {
  const bad: Answer = async () => Buffer.from('another block')
  const { clock, fetcher } = setup(t, { bad, none: hasNone })
  await assert.rejects(whileTimePasses(clock, fetcher.fetch(cid)), error => {
    assert.ok(error instanceof BlockCorruptError)
    return error.peer === 'bad'
  })
})

test('a slow source makes the fetcher ask the next too, and the one that loses is aborted', async t => {
  const { clock, fetcher, asked, aborted } = setup(t, { slow: silent, good: gives })
  const fetching = fetcher.fetch(cid, { prefer: ['slow'] })
  await settle()
  assert.deepEqual(asked, ['slow'])
  clock.advance(1_500)
  assert.equal((await fetching).from, 'good')
  assert.deepEqual(asked, ['slow', 'good'])
  await settle()
  assert.ok(aborted.includes('slow'))
})

test('over a slow link the next source is asked only after three times the usual time of the previous one', async t => {
  const { clock, fetcher, asked, health } = setup(t, { slow: silent, good: gives })
  const end = health.begin('slow')
  clock.advance(4_000)
  end('delivered')
  const fetching = fetcher.fetch(cid, { prefer: ['slow'] })
  for (let ms = 0; ms < 11_500; ms += 500) {
    clock.advance(500)
    await settle(3)
  }
  assert.deepEqual(asked, ['slow'])
  assert.equal((await whileTimePasses(clock, fetching)).from, 'good')
})

test('at most sixteen members are asked at once, however silent they are', async t => {
  const answers = Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`m${n}`, silent]))
  const { clock, fetcher, asked } = setup(t, answers)
  const cut = new AbortController()
  const fetching = fetcher.fetch(cid, { signal: cut.signal })
  for (let i = 0; i < 50; i++) {
    clock.advance(500)
    await settle(3)
  }
  assert.equal(asked.length, 16)
  cut.abort()
  await assert.rejects(fetching, { name: 'AbortError' })
})

test('a keeper pulls from the one that asked it and from nobody else', async t => {
  const { clock, fetcher, asked } = setup(t, { asker: hasNone, other: gives })
  await assert.rejects(
    whileTimePasses(clock, fetcher.fetch(cid, { prefer: ['asker'], only: true })),
    BlockUnreachableError
  )
  assert.deepEqual(asked, ['asker'])
})

test('a keeper pulls from the member that its asker named, and first from the asker if that member was at fault', async t => {
  const { fetcher, asked, health } = setup(t, { asker: gives, named: gives })
  const options = { prefer: ['named', 'asker'], only: true }
  assert.equal((await fetcher.fetch(cid, options)).from, 'named')
  health.fault('named')
  assert.equal((await fetcher.fetch(cid, options)).from, 'asker')
  assert.deepEqual(asked, ['named', 'asker'])
})

test('sources that went away are tried again, unless the caller asked for one round, and those that have none are not', async t => {
  const gone: Answer = async () => {
    throw new DisconnectedError('gone')
  }
  const { clock, fetcher, asked } = setup(t, { gone, none: hasNone })
  await assert.rejects(whileTimePasses(clock, fetcher.fetch(cid)), BlockUnreachableError)
  assert.equal(asked.filter(peer => peer === 'gone').length, 3)
  asked.length = 0
  const started = clock.now()
  await assert.rejects(whileTimePasses(clock, fetcher.fetch(cid, { once: true })), BlockUnreachableError)
  assert.equal(asked.length, 2)
  assert.equal(clock.now(), started)
})

test('callers that want the same block share a search, and only the last to give up ends it', async t => {
  const { promise, resolve } = Promise.withResolvers<Uint8Array>()
  const { clock, fetcher, asked, aborted } = setup(t, { a: () => promise })
  const [one, two] = [new AbortController(), new AbortController()]
  const first = fetcher.fetch(cid, { signal: one.signal })
  const second = fetcher.fetch(cid, { signal: two.signal })
  await settle()
  one.abort()
  await assert.rejects(first, { name: 'AbortError' })
  assert.deepEqual([asked, aborted], [['a'], []])
  resolve(bytes)
  assert.equal((await second).from, 'a')
  // It ends when no caller is left, and the next search is a new one.
  const third = new AbortController()
  const search = fetcher.fetch(cid, { signal: third.signal })
  await settle()
  assert.equal((await search).from, 'a')
  assert.equal(asked.length, 2)
  void clock
})

test("a block that rotted on our disk is replaced by another member's copy, and is corrupt if there is none", async t => {
  const rotten = async (): Promise<never> => {
    throw new BlockCorruptError(cid, null)
  }
  const { clock, fetcher, replaced, state } = setup(t, { a: gives }, rotten)
  assert.equal((await fetcher.fetch(cid)).from, 'a')
  assert.deepEqual(replaced, [bytes])
  state.answers = { a: hasNone }
  await assert.rejects(
    whileTimePasses(clock, fetcher.fetch(cid)),
    error => error instanceof BlockCorruptError && error.peer === null
  )
})

test('a block that our disk cannot read comes from another member, and is unreadable if none has it', async t => {
  const fault = new BlockUnreadableError(cid, { cause: new Error('the disk reported EIO') })
  const { clock, fetcher, replaced, state } = setup(t, { a: gives }, () => Promise.reject(fault))
  assert.equal((await fetcher.fetch(cid)).from, 'a')
  assert.deepEqual(replaced, [])
  state.answers = { a: hasNone }
  await assert.rejects(whileTimePasses(clock, fetcher.fetch(cid)), error => error === fault)
})

test('a fetch with nobody to ask waits a little for a member to connect', async t => {
  const { clock, fetcher, state } = setup(t, { a: gives })
  state.admitted = []
  const fetching = fetcher.fetch(cid)
  await settle()
  state.admitted = ['a']
  assert.equal((await whileTimePasses(clock, fetching)).from, 'a')
  state.admitted = []
  await assert.rejects(whileTimePasses(clock, fetcher.fetch(cid)), BlockUnreachableError)
})

test('the buffer returns to the pool once every caller that got it has released it', async t => {
  const { promise, resolve } = Promise.withResolvers<Uint8Array>()
  const { fetcher, given } = setup(t, { a: () => promise })
  const both = [fetcher.fetch(cid), fetcher.fetch(cid)]
  await settle()
  resolve(bytes)
  const [first, second] = await Promise.all(both)
  first?.release()
  first?.release()
  assert.deepEqual(given, [])
  second?.release()
  assert.deepEqual(given, [bytes])
})

test('a buffer does not return to the pool if a caller gave the search up, since it may still be read', async t => {
  const { promise, resolve } = Promise.withResolvers<Uint8Array>()
  const { fetcher, given } = setup(t, { a: () => promise })
  const leaving = new AbortController()
  const left = fetcher.fetch(cid, { signal: leaving.signal })
  const stayed = fetcher.fetch(cid)
  await settle()
  leaving.abort()
  await assert.rejects(left)
  resolve(bytes)
  ;(await stayed).release()
  assert.deepEqual(given, [])
})

test('the log says which members were asked, why each did not deliver, which was slow and which delivered', async t => {
  const broken: Answer = async () => {
    throw new DisconnectedError('the peer disconnected')
  }
  const { clock, fetcher, logger, state, order } = setup(t, { a: hasNone, b: hasNone, c: hasNone, d: hasNone })
  const [first, second, third, fourth] = order as [string, string, string, string]
  state.answers = { [first]: silent, [second]: broken, [third]: hasNone, [fourth]: gives }
  await whileTimePasses(clock, fetcher.fetch(cid))
  const name = Buffer.from(cid.multihash.digest).toString('hex').slice(0, 8)
  const scope = 'dfs:blocks:fetch'
  assert.deepEqual(logger.lines.slice(0, 8), [
    `${scope}:trace asking ${first} for block ${name}`,
    `${scope} ${first} is slow to deliver block ${name}, asking the next member too`,
    `${scope}:trace asking ${second} for block ${name}`,
    `${scope} ${second} did not deliver block ${name}: DisconnectedError: the peer disconnected`,
    `${scope}:trace asking ${third} for block ${name}`,
    `${scope}:trace ${third} did not deliver block ${name}: RefusedError: ${new RefusedError('not-found').message}`,
    `${scope}:trace asking ${fourth} for block ${name}`,
    `${scope}:trace ${fourth} delivered block ${name}`
  ])
})

test('a block that one of a hundred members has is found in few rounds', async t => {
  const names = Array.from({ length: 100 }, (_, n) => `m${n}`)
  const { fetcher, asked, order, state, clock } = setup(t, Object.fromEntries(names.map(peer => [peer, hasNone])))
  let rounds = 0
  let isCounting = false
  // The members that are asked together answer one after another without a pause, as over links of equal length.
  const answering =
    (answer: Answer): Answer =>
    async (signal, admit) => {
      if (!isCounting) rounds++
      isCounting = true
      await clock.sleep(100, signal)
      isCounting = false
      return answer(signal, admit)
    }
  state.answers = Object.fromEntries(names.map(peer => [peer, answering(hasNone)]))
  state.answers[order[99] as string] = answering(gives)
  const { from } = await whileTimePasses(clock, fetcher.fetch(cid), { stepMs: 100 })
  assert.equal(from, order[99])
  assert.deepEqual(asked, order)
  assert.ok(rounds <= 12, `${rounds} rounds`)
})

test('of several members that begin to deliver a block, only one is received', async t => {
  const names = Array.from({ length: 8 }, (_, n) => `m${n}`)
  const { fetcher, state, order, clock } = setup(t, Object.fromEntries(names.map(peer => [peer, hasNone])))
  const admitted: string[] = []
  const delivering =
    (peer: string): Answer =>
    async (signal, admit) => {
      await clock.sleep(100, signal)
      if (!admit(bytes.byteLength)) throw new RefusedError('over-limit')
      admitted.push(peer)
      await clock.sleep(100, signal)
      return bytes
    }
  for (const peer of order.slice(3)) state.answers[peer] = delivering(peer)
  const { from } = await whileTimePasses(clock, fetcher.fetch(cid), { stepMs: 100 })
  assert.deepEqual(admitted, [from])
})

test('a member whose block was dropped is asked again if the one that delivered it fails', async t => {
  const names = ['a', 'b', 'c', 'd']
  const { fetcher, state, order, asked, clock, health } = setup(
    t,
    Object.fromEntries(names.map(peer => [peer, hasNone]))
  )
  const [, second, third] = order as [string, string, string]
  const delivering =
    (delivered: Uint8Array): Answer =>
    async (signal, admit) => {
      await clock.sleep(100, signal)
      if (!admit(delivered.byteLength)) throw new RefusedError('over-limit')
      await clock.sleep(100, signal)
      return delivered
    }
  state.answers[second] = delivering(Buffer.from('the bytes of another block...'))
  state.answers[third] = delivering(bytes)
  assert.equal((await whileTimePasses(clock, fetcher.fetch(cid), { stepMs: 100 })).from, third)
  assert.equal(asked.filter(peer => peer === third).length, 2)
  assert.deepEqual([health.faults(second), health.faults(third)], [1, 0])
})

test('a second source of a slow block is received only while there is memory for it', async t => {
  const trickling: Answer = async (signal, admit) => {
    admit(bytes.byteLength)
    return silent(signal, admit)
  }
  const good: Answer = async (_, admit) => {
    if (!admit(bytes.byteLength)) throw new RefusedError('over-limit')
    return bytes
  }
  const { fetcher, hedges, clock } = setup(t, { slow: trickling, good })
  const others = await hedges.acquire(2 * bytes.byteLength, { owner: 'other fetches' })
  let from: string | undefined
  const fetching = fetcher.fetch(cid, { prefer: ['slow'] }).then(fetched => {
    from = fetched.from
  })
  await settle()
  clock.advance(1_500)
  await settle()
  assert.equal(from, undefined)
  others.release()
  await whileTimePasses(clock, fetching)
  assert.equal(from, 'good')
  assert.equal(hedges.taken, 0)
})

test('a block that is longer than its reader has memory for is not received, and nobody is blamed', async t => {
  const good: Answer = async (_, admit) => {
    if (!admit(bytes.byteLength)) throw new RefusedError('over-limit')
    return bytes
  }
  const { fetcher, clock, health } = setup(t, { good })
  await assert.rejects(
    whileTimePasses(clock, fetcher.fetch(cid, { bytesMax: bytes.byteLength - 1 })),
    BlockUnreachableError
  )
  assert.equal(health.faults('good'), 0)
  const lengths: number[] = []
  await fetcher.fetch(cid, { bytesMax: bytes.byteLength, onLength: length => lengths.push(length) })
  assert.deepEqual(lengths, [bytes.byteLength])
})

test('a source that states a wrong length and delivers slowly does not keep the others from delivering', async t => {
  for (const wrong of [1, bytes.byteLength + 1]) {
    const lying: Answer = async (signal, admit) => {
      admit(wrong)
      return silent(signal, admit)
    }
    const good: Answer = async (_, admit) => {
      if (!admit(bytes.byteLength)) throw new RefusedError('over-limit')
      return bytes
    }
    const { fetcher, hedges, clock } = setup(t, { lying, good })
    const { from } = await whileTimePasses(clock, fetcher.fetch(cid, { prefer: ['lying'] }), { msMax: 20_000 })
    assert.equal(from, 'good')
    assert.equal(hedges.taken, 0)
  }
})

test('a block that is longer than a source stated takes memory of its own, since its caller has reserved too little', async t => {
  const lying: Answer = async (_, admit) => {
    admit(1)
    throw new DisconnectedError('gone')
  }
  const { fetcher, hedges, clock, state } = setup(t, { lying })
  let taken: number | undefined
  const good: Answer = async (_, admit) => {
    if (!admit(bytes.byteLength)) throw new RefusedError('over-limit')
    taken = hedges.taken
    return bytes
  }
  const lengths: number[] = []
  const fetching = fetcher.fetch(cid, { onLength: length => lengths.push(length) })
  await settle()
  // This happens in the next round.
  state.answers = { lying: good }
  assert.equal((await whileTimePasses(clock, fetching)).bytes, bytes)
  assert.deepEqual([lengths, taken, hedges.taken], [[1], bytes.byteLength, 0])
})
