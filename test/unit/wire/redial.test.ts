import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { peerIdOf } from '../../../src/format/peer-id.ts'
import {
  ADDRESSES_MAX,
  DIAL_TIMEOUT_MS,
  DISCOVERED_DIALS_MAX,
  DISCOVERED_MAX,
  REDIAL_MS_MAX,
  REDIAL_MS_MIN
} from '../../../src/wire/constants.ts'
import { Redialler, type Unreachable } from '../../../src/wire/redial.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { type MemoryHost, MemoryNetwork } from '../../fixtures/memory-host.ts'
import { settle, timePassesUntil } from '../../fixtures/pass-time.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'

interface Setup {
  clock: ManualClock
  network: MemoryNetwork
  a: MemoryHost
  b: MemoryHost
  redialler: Redialler
  /** The times at which `a` dialled, in milliseconds since the start, and the addresses. */
  dials: Array<{ ms: number; addresses: readonly string[]; peer: string | undefined }>
  /** The reports of the redialler about addresses. */
  unreachable: Unreachable[]
}

async function setup(t: TestContext): Promise<Setup> {
  const clock = new ManualClock()
  const network = new MemoryNetwork({ clock })
  const chance = seededChance(3)
  const [a, b] = ['a', 'b'].map(name => network.host(name, peerIdOf(chance.bytes(32)))) as [MemoryHost, MemoryHost]
  const dials: Setup['dials'] = []
  const started = clock.now()
  const dial = a.dial.bind(a)
  a.dial = (addresses, options) => {
    dials.push({ ms: clock.now() - started, addresses: [...addresses], peer: options.peer })
    return dial(addresses, options)
  }
  const unreachable: Unreachable[] = []
  const onUnreachable = (found: Unreachable): void => {
    unreachable.push(found)
  }
  const redialler = new Redialler({ host: a, clock, chance, logger: silentLogger, onUnreachable })
  for (const host of [a, b]) {
    await host.start()
    t.after(() => host.stop())
  }
  t.after(() => redialler.stop())
  return { clock, network, a, b, redialler, dials, unreachable }
}

async function pass(clock: ManualClock, ms: number, stepMs = 250): Promise<void> {
  for (let passed = 0; passed < ms; passed += stepMs) {
    await settle(10)
    clock.advance(stepMs)
  }
  await settle(10)
}

function gaps(dials: Setup['dials']): number[] {
  return dials.slice(1).map(({ ms }, i) => ms - (dials[i]?.ms ?? 0))
}

test('the redialler dials no peer before its start or after its stop', async t => {
  const { redialler, dials, clock, a, b } = await setup(t)
  redialler.addAddress(b.address, { isGiven: true })
  redialler.addPeer(b.peerId, [b.address])
  await pass(clock, 5_000)
  assert.equal(dials.length, 0)
  redialler.start()
  await settle()
  assert.ok(a.isConnected(b.peerId))
  const before = dials.length
  redialler.stop()
  await a.hangUp(b.peerId)
  await pass(clock, 5 * 60_000, 5_000)
  assert.equal(dials.length, before)
})

test('the pauses between dials grow, vary, and have a limit', async t => {
  const { redialler, dials, clock, b } = await setup(t)
  await b.stop()
  redialler.start()
  redialler.addAddress(b.address, { isGiven: true })
  await pass(clock, 15 * 60_000)
  const waits = gaps(dials)
  assert.ok((waits[0] as number) <= 1.5 * REDIAL_MS_MIN + 250)
  assert.ok(waits.length < 30, `${waits.length} dials in 15 minutes`)
  for (const wait of waits) assert.ok(wait <= 1.5 * REDIAL_MS_MAX + 250)
  const late = waits.slice(8)
  for (const wait of late) assert.ok(wait >= 0.5 * REDIAL_MS_MAX)
  assert.ok(new Set(late).size > 1, 'all members would come back at once')
})

test('the redialler soon restores a connection that was lost', async t => {
  const { redialler, dials, clock, a, b } = await setup(t)
  redialler.start()
  redialler.addPeer(b.peerId, [b.address])
  await settle()
  redialler.settle(b.peerId)
  await pass(clock, 10 * 60_000, 10_000)
  assert.equal(dials.length, 1, 'a connected peer is not dialled')
  await a.hangUp(b.peerId)
  await pass(clock, 2 * REDIAL_MS_MIN)
  assert.ok(a.isConnected(b.peerId))
})

test('a peer that turns us away at once is dialled again after growing pauses', async t => {
  const { redialler, dials, clock, a, b } = await setup(t)
  a.onPeer((event, peer) => {
    if (event === 'connected') queueMicrotask(() => void a.hangUp(peer))
  })
  redialler.start()
  redialler.addAddress(b.address, { isGiven: true })
  await pass(clock, 10 * 60_000)
  assert.ok(dials.length < 25, `${dials.length} dials in 10 minutes`)
  assert.ok(dials.length > 5)
})

test('a peer that turns us away later is dialled after growing pauses too, until it admits us', async t => {
  const { redialler, dials, clock, a, b } = await setup(t)
  redialler.start()
  redialler.addPeer(b.peerId, [b.address])
  for (let i = 0; i < 8; i++) {
    await timePassesUntil(clock, 'connected', () => a.isConnected(b.peerId))
    await pass(clock, 5_000)
    await a.hangUp(b.peerId)
  }
  assert.ok((gaps(dials).at(-1) as number) > 20_000)
  await timePassesUntil(clock, 'connected', () => a.isConnected(b.peerId))
  redialler.settle(b.peerId)
  await a.hangUp(b.peerId)
  await pass(clock, 2 * REDIAL_MS_MIN)
  assert.ok(a.isConnected(b.peerId))
})

test('an address accepts any peer that answers there, and a peer only itself', async t => {
  const { redialler, dials, clock, network, a, b } = await setup(t)
  redialler.start()
  redialler.addAddress(b.address, { isGiven: true })
  await settle()
  assert.ok(a.isConnected(b.peerId))
  await b.stop()
  const other = network.host('b', peerIdOf(Buffer.alloc(32, 9)))
  await other.start()
  await pass(clock, 2_000)
  assert.ok(a.isConnected(other.peerId))
  assert.ok(dials.every(({ peer }) => peer === undefined))
  redialler.addPeer(b.peerId, [b.address])
  await pass(clock, 2_000)
  assert.equal(dials.at(-1)?.peer, b.peerId)
  assert.ok(!a.isConnected(b.peerId))
})

test('new addresses are tried at once, before the old ones', async t => {
  const { redialler, dials, clock, a, b } = await setup(t)
  redialler.start()
  redialler.addPeer(b.peerId, ['/memory/old'])
  await pass(clock, 5 * 60_000, 1_000)
  const before = dials.length
  redialler.addPeer(b.peerId, ['/memory/old'])
  await settle()
  assert.equal(dials.length, before, 'known addresses change nothing')
  redialler.addPeer(b.peerId, [b.address])
  await settle()
  assert.ok(a.isConnected(b.peerId))
  assert.deepEqual(dials.at(-1)?.addresses, [b.address, '/memory/old'])
})

test('a dial that hangs is ended', async t => {
  const { redialler, dials, clock, network, a, b } = await setup(t)
  network.silence(a, b)
  redialler.start()
  redialler.addPeer(b.peerId, [b.address])
  await pass(clock, DIAL_TIMEOUT_MS - 1_000)
  assert.equal(dials.length, 1)
  await pass(clock, 5_000)
  assert.equal(dials.length, 2)
})

test('the first dial to a peer may be delayed, and is skipped if the peer dials first', async t => {
  const { redialler, dials, clock, a, b } = await setup(t)
  redialler.start()
  redialler.addPeer(b.peerId, [b.address], { delayMs: 1_500 })
  await pass(clock, 1_000)
  assert.equal(dials.length, 0)
  await b.dial([a.address], { signal: AbortSignal.timeout(5_000) })
  await pass(clock, 60_000, 1_000)
  assert.equal(dials.length, 0)
})

test('the redialler does not dial a peer that was dropped', async t => {
  const { redialler, dials, clock, b } = await setup(t)
  await b.stop()
  redialler.start()
  redialler.addPeer(b.peerId, [b.address])
  await pass(clock, 2_000)
  redialler.dropPeer(b.peerId)
  const before = dials.length
  await pass(clock, 5 * 60_000, 1_000)
  assert.equal(dials.length, before)
  redialler.addPeer(b.peerId, [b.address])
  await settle()
  assert.equal(dials.length, before + 1)
})

test('the redialler does not dial its own host', async t => {
  const { redialler, dials, clock, a } = await setup(t)
  redialler.start()
  redialler.addPeer(a.peerId, [a.address])
  await pass(clock, 5_000)
  assert.equal(dials.length, 0)
})

test('a peer that has only announced itself gets a few dials, and the number of such peers is bounded', async t => {
  const { redialler, dials, clock, b } = await setup(t)
  await b.stop()
  redialler.start()
  redialler.addPeer(b.peerId, [b.address], { isTransient: true })
  await pass(clock, 5 * 60_000, 1_000)
  assert.equal(dials.length, DISCOVERED_DIALS_MAX)
  const others = Array.from({ length: DISCOVERED_MAX + 50 }, (_, i) =>
    peerIdOf(Buffer.alloc(32, i + 1).fill(i >> 8, 1, 2))
  )
  for (const peer of others) redialler.addPeer(peer, ['/memory/nowhere'], { isTransient: true })
  await pass(clock, 5 * 60_000, 1_000)
  assert.equal(dials.length, DISCOVERED_DIALS_MAX * (DISCOVERED_MAX + 1))
  redialler.addPeer(b.peerId, [b.address], { isTransient: true })
  redialler.addPeer(b.peerId, [b.address])
  const before = dials.length
  await pass(clock, 20 * 60_000, 1_000)
  assert.ok(dials.length > before + 2 * DISCOVERED_DIALS_MAX, 'a member is dialled for ever')
})

test('hints are tried after the known addresses, and never in their place', async t => {
  const { redialler, dials, clock, network, a, b } = await setup(t)
  network.cut(a, b)
  redialler.start()
  redialler.addPeer(b.peerId, [b.address])
  await pass(clock, 10 * 60_000, 1_000)
  const waitsBefore = gaps(dials).slice(-3)
  for (let i = 0; i < 60; i++) {
    redialler.addPeer(
      b.peerId,
      Array.from({ length: ADDRESSES_MAX }, (_, j) => `/memory/bogus${i}-${j}`),
      { isHint: true }
    )
    await pass(clock, 10_000, 1_000)
  }
  const known = dials.filter(({ addresses }) => addresses.includes(b.address))
  assert.ok(known.every(({ addresses }) => addresses.length === 1))
  const during = known.filter(({ ms }) => ms > 10 * 60_000)
  assert.ok(during.length >= 5, 'it is still dialled')
  assert.ok(during.length <= 22, `${during.length} dials in 10 minutes: the pauses have not changed`)
  assert.ok(waitsBefore.every(wait => wait >= 0.5 * REDIAL_MS_MAX))
  network.heal(a, b)
  await timePassesUntil(clock, 'connected', () => a.isConnected(b.peerId), { msMax: 2 * REDIAL_MS_MAX })
})

test('a hint soon reaches a peer that no known address leads to', async t => {
  const { redialler, dials, clock, a, b } = await setup(t)
  redialler.start()
  redialler.addPeer(b.peerId, ['/memory/old'])
  await pass(clock, 10 * 60_000, 1_000)
  redialler.addPeer(b.peerId, [b.address], { isHint: true })
  await settle()
  assert.ok(a.isConnected(b.peerId))
  assert.deepEqual(
    dials.slice(-2).map(({ addresses }) => addresses),
    [['/memory/old'], [b.address]]
  )
})

test('an address that the user gave is reported once if nobody answers there, and stays unreachable until somebody does', async t => {
  const { clock, b, redialler, unreachable } = await setup(t)
  await b.stop()
  redialler.addAddress(b.address, { isGiven: true })
  redialler.addAddress('/memory/of-the-invite', { isGiven: false })
  redialler.start()
  await pass(clock, 30_000)
  const expected = [{ address: b.address, reason: 'no answer' }]
  assert.deepEqual([unreachable, redialler.unreachable], [expected, expected])
  await b.start()
  await timePassesUntil(clock, 'reached', () => redialler.unreachable.length === 0)
  assert.equal(unreachable.length, 1)
})
