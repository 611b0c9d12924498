import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Secrets } from '../../../src/disk/keystore.ts'
import { peerIdOf } from '../../../src/format/peer-id.ts'
import { hlcAt } from '../../../src/format/stamp.ts'
import {
  JOIN_TIMEOUT_MS,
  JOINING_MAX,
  JOINING_PER_ADDRESS_MAX,
  PROOFS_MAX,
  STRANGER_MS
} from '../../../src/members/constants.ts'
import { Join } from '../../../src/members/join.ts'
import { LocalMember } from '../../../src/members/local-member.ts'
import { Callers, serveCalls } from '../../../src/wire/calls.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { RecordingLogger } from '../../fixtures/logger.ts'
import { adminSecrets, forgedGrant, grantedSecrets } from '../../fixtures/member.ts'
import { type MemoryHost, MemoryNetwork } from '../../fixtures/memory-host.ts'
import { settle, timePassesUntil } from '../../fixtures/pass-time.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'
import { until } from '../../fixtures/until.ts'

const PROTOCOL = '/dfs/join/1.0.0'
const bounds = { protocol: PROTOCOL, requestBytesMax: 1 << 20, responseBytesMax: 1 << 20 }
const KEY = Buffer.alloc(32, 7)
const OTHER_KEY = Buffer.alloc(32, 8)

interface Joiner {
  host: MemoryHost
  join: Join
  self: LocalMember
  events: string[]
  errors: unknown[]
  faults: string[]
}

class Setup {
  readonly clock = new ManualClock()
  readonly network = new MemoryNetwork({ clock: this.clock })
  readonly chance = seededChance(11)
  readonly logger = new RecordingLogger()
  readonly admin = adminSecrets(KEY, this.clock, this.chance)
  readonly known = new Set<string>()
  readonly #t: TestContext
  #count = 0

  constructor(t: TestContext) {
    this.#t = t
  }

  granted(...options: Parameters<typeof grantedSecrets> extends [unknown, unknown, unknown, ...infer R] ? R : never) {
    return grantedSecrets(this.admin, this.clock, this.chance, ...options)
  }

  admins(key: Uint8Array = KEY): Secrets {
    return adminSecrets(key, this.clock, this.chance)
  }

  async joiner(secrets: Secrets, clock = this.clock): Promise<Joiner> {
    const self = new LocalMember(secrets, clock, this.chance)
    const host = this.network.host(`h${this.#count++}`, self.peerId)
    const joiner: Joiner = { host, self, events: [], errors: [], faults: [], join: undefined as unknown as Join }
    joiner.join = new Join({
      host,
      self,
      clock,
      chance: this.chance,
      logger: this.logger,
      isKnown: peer => this.known.has(peer),
      onAdmitted: ({ peer }) => joiner.events.push(`+${this.nameOf(peer)}`),
      onDeparted: peer => joiner.events.push(`-${this.nameOf(peer)}`),
      onRejected: (peer, error) => {
        joiner.events.push(`!${this.nameOf(peer)}`)
        joiner.errors.push(error)
        void host.hangUp(peer)
      },
      onFault: peer => joiner.faults.push(peer)
    })
    await host.start()
    this.#t.after(() => host.stop())
    return joiner
  }

  /** A program with a host that is not a member. */
  async stranger(id = peerIdOf(this.chance.bytes(32)), name = `h${this.#count++}`): Promise<MemoryHost> {
    const host = this.network.host(name, id)
    await host.start()
    this.#t.after(() => host.stop())
    return host
  }

  nameOf(peer: string): string {
    return peer.slice(-4)
  }
}

/** Connects. If the dialler is a member that is not admitted yet, its attempt to join has ended when this resolves. */
async function dial(from: Joiner | MemoryHost, to: Joiner): Promise<void> {
  const host = 'host' in from ? from.host : from
  const isIn = 'join' in from && from.join.admitted.includes(to.host.peerId)
  const before = 'join' in from ? from.events.length : 0
  await host.dial([to.host.address], { signal: AbortSignal.timeout(5_000), peer: to.host.peerId })
  if ('join' in from && !isIn) await until('met', () => from.events.length > before)
  await settle()
}

function short({ host }: Joiner): string {
  return host.peerId.slice(-4)
}

function proofOf(self: LocalMember, more: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    do: 'prove',
    network: self.network,
    instance: self.instance,
    lengths: self.chain.map(({ bytes }) => bytes.byteLength),
    now: 0,
    ...more
  }
}

async function statusOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'ok',
    error => (error as { status?: string }).status ?? (error as Error).name
  )
}

test('members of one network admit each other, whichever dials and whatever their roles', async t => {
  const setup = new Setup(t)
  const a = await setup.joiner(setup.admin)
  for (const role of ['admin', 'writer', 'reader', 'storage'] as const) {
    const b = await setup.joiner(setup.granted({ role }))
    const [from, to] = role === 'writer' ? [a, b] : [b, a]
    await dial(from, to)
    assert.deepEqual(b.events, [`+${short(a)}`], role)
    assert.ok(a.join.admitted.includes(b.host.peerId) && b.join.isAdmitted(a.host.peerId))
    assert.equal(a.events.at(-1), `+${short(b)}`)
  }
})

test('the log shows each step of a join, and names no address', async t => {
  const setup = new Setup(t)
  const a = await setup.joiner(setup.admin)
  const b = await setup.joiner(setup.granted())
  await dial(b, a)
  const story = setup.logger.lines.filter(line => line.startsWith('dfs:members:join '))
  assert.deepEqual(
    story.map(line =>
      line.slice('dfs:members:join '.length).replaceAll(a.host.peerId, 'A').replaceAll(b.host.peerId, 'B')
    ),
    [
      'answering B: it says hello',
      'dialling A: it is of our network, showing our grant',
      'answering B: its grant is valid, showing ours',
      'B is admitted, its clock is 0 ms ahead of ours',
      'A is admitted, its clock is 0 ms ahead of ours'
    ]
  )
  await dial(await setup.joiner(setup.admins(OTHER_KEY)), a)
  await dial(await setup.joiner(setup.granted({ notAfter: hlcAt(setup.clock.now() - 1) })), a)
  const reasons = setup.logger.lines.slice(story.length).join('\n')
  assert.match(reasons, /WrongNetworkError/)
  assert.match(reasons, /answering \S+: turned it away: GrantError: the grant has expired/)
  assert.match(reasons, /dialling \S+: it did not admit us.*RefusedError: the peer answered: forbidden/)
  assert.ok(!setup.logger.lines.some(line => line.includes('/memory/')))
})

test('an admission ends with the last connection, and not before', async t => {
  const setup = new Setup(t)
  const a = await setup.joiner(setup.admin)
  const b = await setup.joiner(setup.granted())
  await dial(a, b)
  await b.host.dial([a.host.address], { signal: AbortSignal.timeout(5_000) })
  await settle()
  const [first] = a.host.linksTo(b.host.peerId)
  first?.end(undefined)
  await settle()
  assert.deepEqual([a.join.admitted, b.join.admitted], [[b.host.peerId], [a.host.peerId]])
  await a.host.hangUp(b.host.peerId)
  await settle()
  assert.deepEqual([a.join.admitted, b.join.admitted], [[], []])
  assert.equal(a.join.isAdmitted(b.host.peerId), false)
  assert.deepEqual(a.events, [`+${short(b)}`, `-${short(b)}`])
  assert.deepEqual(b.events, [`+${short(a)}`, `-${short(a)}`])
})

test('two members that dial each other at once admit each other once', async t => {
  for (let round = 0; round < 50; round++) {
    const setup = new Setup(t)
    setup.network.delayMs = 3
    const a = await setup.joiner(setup.admin)
    const b = await setup.joiner(setup.granted())
    const lead = round % 7
    void a.host.dial([b.host.address], { signal: AbortSignal.timeout(5_000), peer: b.host.peerId }).catch(() => {})
    for (let i = 0; i < lead; i++) setup.clock.advance(1)
    void b.host.dial([a.host.address], { signal: AbortSignal.timeout(5_000), peer: a.host.peerId }).catch(() => {})
    const isMet = (): boolean => a.events.length > 0 && b.events.length > 0
    for (let after = 0; after < 30; after += isMet() ? 1 : 0) {
      await settle(3)
      setup.clock.advance(1)
    }
    assert.deepEqual([a.events, b.events], [[`+${short(b)}`], [`+${short(a)}`]], `round ${round}`)
  }
})

test('nodes of two networks notice it, whichever dials, and tell each other nothing', async t => {
  const setup = new Setup(t)
  const a = await setup.joiner(setup.admin)
  const b = await setup.joiner(setup.admins(OTHER_KEY))
  await dial(a, b)
  await dial(b, a)
  for (const [one, other] of [
    [a, b],
    [b, a]
  ] as const) {
    assert.deepEqual(one.events, [`!${short(other)}`])
    assert.equal((one.errors[0] as Error).name, 'WrongNetworkError')
    assert.deepEqual(one.join.admitted, [])
  }
})

test('an invalid grant is refused', async t => {
  const setup = new Setup(t)
  const a = await setup.joiner(setup.admin)
  const chain = [setup.admin]
  for (let depth = 0; depth < 4; depth++)
    chain.push(grantedSecrets(chain[depth] as Secrets, setup.clock, setup.chance, { role: 'admin' }))
  const writer = setup.granted()
  const foreign = setup.admins(OTHER_KEY)
  const bad: Record<string, Secrets> = {
    'for another peer': { ...setup.granted(), device: setup.chance.bytes(32) },
    expired: setup.granted({ notAfter: hlcAt(setup.clock.now() - 1) }),
    'under an expired grant': grantedSecrets(
      setup.granted({ role: 'admin', notAfter: hlcAt(setup.clock.now() - 1) }),
      setup.clock,
      setup.chance
    ),
    'signed by a stranger': forgedGrant(setup.granted(), setup.clock, setup.chance),
    'issued by a member that may not grant': grantedSecrets(writer, setup.clock, setup.chance),
    'on a chain that is too long': chain[4] as Secrets,
    'of another network under our id': { ...foreign, network: setup.admin.network }
  }
  for (const [name, secrets] of Object.entries(bad)) {
    const b = await setup.joiner(secrets)
    await dial(b, a)
    assert.deepEqual(b.events, [`!${short(a)}`], name)
    assert.equal((b.errors[0] as { status?: string }).status, 'forbidden', name)
    await dial(a, b)
    assert.equal(a.events.at(-1), `!${short(b)}`, `${name}, dialled`)
    assert.deepEqual([a.join.admitted, b.join.admitted], [[], []], name)
  }
  const longest = await setup.joiner(chain[3] as Secrets)
  await dial(longest, a)
  assert.deepEqual(a.join.admitted, [longest.host.peerId])
})

test('a malformed proof is refused', async t => {
  const setup = new Setup(t)
  const a = await setup.joiner(setup.admin)
  const secrets = setup.granted()
  const self = new LocalMember(secrets, setup.clock, setup.chance)
  const chain = self.chain.map(({ bytes }) => bytes)
  const status = self.sign('status', statusFields(self), self.nextHlc())
  const cases: Array<[string, Record<string, unknown>, Uint8Array[], string]> = [
    ['without a hello', {}, chain, 'invalid'],
    ['without grants', { lengths: [] }, [], 'invalid'],
    ['with fields of its own', { more: 1 }, chain, 'invalid'],
    ['with a short instance', { instance: Buffer.alloc(15) }, chain, 'invalid'],
    ['of another network', { network: Buffer.alloc(32) }, chain, 'wrong-network'],
    ['with bytes to spare', {}, [...chain, Buffer.from([0])], 'forbidden'],
    ['with bytes missing', {}, [(chain[0] as Uint8Array).subarray(1)], 'forbidden'],
    ['with garbage', { lengths: [40] }, [Buffer.alloc(40, 1)], 'forbidden'],
    [
      'with its grants in the wrong order',
      { lengths: self.chain.map(g => g.bytes.byteLength).reverse() },
      chain.toReversed(),
      'forbidden'
    ],
    ['without the first of its grants', { lengths: [chain.at(-1)?.byteLength] }, chain.slice(-1), 'forbidden'],
    ['with more statements than a grant rests on', { lengths: Array(21).fill(1) }, [Buffer.alloc(21)], 'invalid'],
    ['with something else than a grant', { lengths: [status.bytes.byteLength] }, [status.bytes], 'forbidden']
  ]
  for (const [name, more, body, status] of cases) {
    const host = await setup.stranger(self.peerId)
    await dial(host, a)
    const callers = new Callers(host, setup.clock, bounds)
    if (name !== 'without a hello') await callers.call(a.host.peerId, { do: 'hello' })
    assert.equal(await statusOf(callers.call(a.host.peerId, proofOf(self, more), { body })), status, name)
    assert.equal(a.join.isAdmitted(self.peerId), false, name)
    await host.stop()
    await settle()
  }
})

function statusFields(self: LocalMember) {
  return {
    instance: self.instance,
    addresses: [],
    weight: 1,
    state: 'in' as const,
    outAfter: 600_000,
    head: Buffer.alloc(8)
  }
}

test('a stranger learns the network id and a nonce, and nothing else', async t => {
  const setup = new Setup(t)
  const a = await setup.joiner(setup.admin)
  const host = await setup.stranger()
  await dial(host, a)
  const callers = new Callers(host, setup.clock, bounds)
  const { fields, body } = await callers.call(a.host.peerId, { do: 'hello' })
  assert.deepEqual(Object.keys(fields).sort(), ['network', 'nonce'])
  assert.equal(body.byteLength, 0)
  assert.ok(Buffer.from(fields['network'] as Uint8Array).equals(Buffer.from(setup.admin.network)))
  const again = await callers.call(a.host.peerId, { do: 'hello' })
  assert.notDeepEqual(again.fields['nonce'], fields['nonce'])
  assert.equal(await statusOf(callers.call(a.host.peerId, { do: 'alive' })), 'not-admitted')
  assert.equal(await statusOf(callers.call(a.host.peerId, { do: 'admitted' })), 'not-admitted')
  for (const nonsense of [{}, { do: 'x' }, { do: 'hello', more: 1 }, { do: 'prove' }])
    assert.equal(await statusOf(callers.call(a.host.peerId, nonsense)), 'invalid')
})

test('a peer that has proven itself but not accepted our proof may ask, and is not asked', async t => {
  const setup = new Setup(t)
  const a = await setup.joiner(setup.admin)
  const self = new LocalMember(setup.granted(), setup.clock, setup.chance)
  const host = await setup.stranger(self.peerId)
  await dial(host, a)
  const callers = new Callers(host, setup.clock, bounds)
  await callers.call(a.host.peerId, { do: 'hello' })
  const body = self.chain.map(({ bytes }) => bytes)
  const { fields } = await callers.call(a.host.peerId, proofOf(self), { body })
  assert.deepEqual(Object.keys(fields).sort(), ['instance', 'lengths', 'network', 'now'])
  assert.deepEqual([a.join.isAdmitted(self.peerId), a.join.admitted, a.events], [true, [], []])
  await callers.call(a.host.peerId, { do: 'admitted' })
  assert.deepEqual([a.join.admitted, a.events.length], [[self.peerId], 1])
  await callers.call(a.host.peerId, { do: 'admitted' }).catch(() => {})
  assert.equal(a.events.length, 1)
})

test('too many joining strangers keep each other out, but not the members', async t => {
  const setup = new Setup(t)
  const a = await setup.joiner(setup.admin)
  const ask = async (host: MemoryHost): Promise<string> => {
    await dial(host, a)
    return statusOf(new Callers(host, setup.clock, bounds).call(a.host.peerId, { do: 'hello' }))
  }
  for (let i = 0; i < JOINING_MAX; i++) assert.equal(await ask(await setup.stranger()), 'ok')
  assert.equal(await ask(await setup.stranger()), 'busy')
  const member = await setup.stranger()
  setup.known.add(member.peerId)
  assert.equal(await ask(member), 'ok')
  setup.clock.advance(JOIN_TIMEOUT_MS + 1)
  assert.equal(await ask(await setup.stranger()), 'ok')
})

test('a repeated hello does not extend the time, and a place is free when its time is over', async t => {
  const setup = new Setup(t)
  const a = await setup.joiner(setup.admin)
  const hosts: MemoryHost[] = []
  for (let i = 0; i < JOINING_MAX; i++) {
    const host = await setup.stranger()
    hosts.push(host)
    await dial(host, a)
    await new Callers(host, setup.clock, bounds).call(a.host.peerId, { do: 'hello' })
  }
  const [first, second] = hosts as [MemoryHost, MemoryHost]
  setup.clock.advance(JOIN_TIMEOUT_MS - 1_000)
  await new Callers(first, setup.clock, bounds).call(a.host.peerId, { do: 'hello' })
  setup.clock.advance(2_000)
  const self = new LocalMember(setup.granted(), setup.clock, setup.chance)
  const prove = (host: MemoryHost) =>
    statusOf(new Callers(host, setup.clock, bounds).call(a.host.peerId, proofOf(self), { body: [Buffer.alloc(1)] }))
  assert.equal(await prove(first), 'invalid', 'the time of its first hello is over')
  await new Callers(second, setup.clock, bounds).call(a.host.peerId, { do: 'hello' })
  assert.equal(await prove(second), 'forbidden', 'its new hello counts')
})

test('strangers from one address leave room for others, and a member can join beside them', async t => {
  const setup = new Setup(t)
  const a = await setup.joiner(setup.admin)
  const hello = async (host: MemoryHost): Promise<string> => {
    await dial(host, a)
    return statusOf(new Callers(host, setup.clock, bounds).call(a.host.peerId, { do: 'hello' }))
  }
  const crowd: MemoryHost[] = []
  for (let i = 0; i < JOINING_PER_ADDRESS_MAX; i++) {
    crowd.push(await setup.stranger(undefined, 'crowded'))
    assert.equal(await hello(crowd[i] as MemoryHost), 'ok')
  }
  const late = await setup.stranger(undefined, 'crowded')
  assert.equal(await hello(late), 'busy')
  assert.equal(await hello(await setup.stranger()), 'ok', 'elsewhere there is room')
  await crowd[0]?.hangUp(a.host.peerId)
  await settle()
  assert.equal(await hello(late), 'ok', 'a place that is left is free')
  const member = await setup.stranger(undefined, 'crowded')
  setup.known.add(member.peerId)
  assert.equal(await hello(member), 'ok')
})

test('we check a few proofs of a stranger, and no more', async t => {
  const setup = new Setup(t)
  const a = await setup.joiner(setup.admin)
  const host = await setup.stranger()
  await dial(host, a)
  const callers = new Callers(host, setup.clock, bounds)
  const self = new LocalMember(setup.granted(), setup.clock, setup.chance)
  const prove = (): Promise<string> => {
    const proof = callers.call(a.host.peerId, proofOf(self), { body: self.chain.map(({ bytes }) => bytes) })
    return statusOf(proof)
  }
  const answers: string[] = []
  for (let i = 0; i < PROOFS_MAX + 2; i++) {
    await callers.call(a.host.peerId, { do: 'hello' })
    answers.push(await prove())
  }
  assert.deepEqual(answers, [...new Array(PROOFS_MAX).fill('forbidden'), 'busy', 'busy'])
  setup.clock.advance(JOIN_TIMEOUT_MS + 1)
  await callers.call(a.host.peerId, { do: 'hello' })
  assert.equal(await prove(), 'forbidden')
})

test('we hang up on a peer that stays a stranger, and not on a member', async t => {
  const setup = new Setup(t)
  const a = await setup.joiner(setup.admin)
  const b = await setup.joiner(setup.granted())
  await dial(b, a)
  const host = await setup.stranger()
  await dial(host, a)
  setup.clock.advance(STRANGER_MS - 1)
  await settle()
  assert.ok(host.isConnected(a.host.peerId))
  setup.clock.advance(2)
  await settle()
  assert.ok(!host.isConnected(a.host.peerId))
  assert.ok(b.host.isConnected(a.host.peerId))
  a.join.expel(b.host.peerId)
  assert.deepEqual(a.events, [`+${short(b)}`, `-${short(b)}`])
  assert.equal(a.join.isAdmitted(b.host.peerId), false)
  setup.clock.advance(STRANGER_MS + 1)
  await settle()
  assert.ok(!b.host.isConnected(a.host.peerId))
})

test('an exchange with a silent peer ends', async t => {
  const setup = new Setup(t)
  const a = await setup.joiner(setup.admin)
  const host = await setup.stranger()
  serveCalls(host, { ...bounds, clock: setup.clock, mayAsk: () => true, answer: () => new Promise(() => {}) })
  await a.host.dial([host.address], { signal: AbortSignal.timeout(5_000) })
  await settle()
  assert.deepEqual(a.events, [])
  setup.clock.advance(JOIN_TIMEOUT_MS + 1)
  await settle()
  assert.deepEqual(a.events, [`!${host.peerId.slice(-4)}`])
})

test('a peer whose answers make no sense is not admitted', async t => {
  const setup = new Setup(t)
  const a = await setup.joiner(setup.admin)
  const self = new LocalMember(setup.granted(), setup.clock, setup.chance)
  const hello = { network: self.network, nonce: Buffer.alloc(32) }
  const good = { ...proofOf(self) }
  delete good['do']
  const scripts: Record<
    string,
    { hello?: Record<string, unknown>; prove?: Record<string, unknown>; isRefused?: boolean }
  > = {
    'no nonce': { hello: { network: self.network } },
    'no network': { hello: { nonce: Buffer.alloc(32) } },
    'no proof': { prove: {} },
    'a proof of another network': { prove: { ...good, network: Buffer.alloc(32) } },
    'a proof without lengths': { prove: { ...good, lengths: [] } },
    'no last word': { isRefused: true }
  }
  for (const [name, script] of Object.entries(scripts)) {
    const host = await setup.stranger(self.peerId)
    serveCalls(host, {
      ...bounds,
      clock: setup.clock,
      mayAsk: () => true,
      answer: async ({ fields }) => {
        if (fields['do'] === 'hello') return { status: 'ok', fields: script.hello ?? hello }
        if (fields['do'] === 'prove')
          return { status: 'ok', fields: script.prove ?? good, body: self.chain.map(({ bytes }) => bytes) }
        return { status: script.isRefused === true ? 'busy' : 'ok' }
      }
    })
    const before = a.events.length
    await a.host.dial([host.address], { signal: AbortSignal.timeout(5_000) })
    await until('an end', () => a.events.length > before)
    assert.deepEqual([a.events.at(-1), a.join.admitted], [`!${self.peerId.slice(-4)}`, []], name)
    assert.equal(a.join.isAdmitted(self.peerId), false, name)
    await host.stop()
    await settle()
  }
  assert.ok(!a.events.some(event => event.startsWith('+') || event.startsWith('-')))
})

test('a copy of a member is refused while the first process lives, and admitted once it does not', async t => {
  const setup = new Setup(t)
  const a = await setup.joiner(setup.admin)
  const secrets = setup.granted()
  const original = await setup.joiner(secrets)
  const copy = await setup.joiner(secrets)
  await dial(original, a)
  await dial(copy, a)
  assert.deepEqual(copy.events, [`!${short(a)}`])
  assert.deepEqual(a.events, [`+${short(original)}`])
  // The machine loses power: its connection stays, with nobody behind it.
  setup.network.silence(original.host, a.host)
  await copy.host.dial([a.host.address], { signal: AbortSignal.timeout(5_000), peer: a.host.peerId })
  await timePassesUntil(setup.clock, 'asked whether it lives', () => copy.events.length === 2 && a.events.length === 2)
  assert.deepEqual(a.events, [`+${short(original)}`, `-${short(original)}`])
  await dial(copy, a)
  assert.deepEqual(a.events.at(-1), `+${short(copy)}`)
  assert.deepEqual(copy.join.admitted, [a.host.peerId])
  assert.ok(Buffer.from(copy.self.instance).equals(a.join.admissions[0]?.instance as Uint8Array))
})

test('a restarted member is admitted at once when its old connection has ended', async t => {
  const setup = new Setup(t)
  const a = await setup.joiner(setup.admin)
  const secrets = setup.granted()
  const before = await setup.joiner(secrets)
  await dial(before, a)
  await before.host.stop()
  const after = await setup.joiner(secrets)
  await dial(after, a)
  assert.deepEqual(a.events, [`+${short(after)}`, `-${short(after)}`, `+${short(after)}`])
})

test('an admission ends when its grant expires', async t => {
  const setup = new Setup(t)
  const a = await setup.joiner(setup.admin)
  const b = await setup.joiner(setup.granted({ notAfter: hlcAt(setup.clock.now() + 60_000) }))
  await dial(b, a)
  setup.clock.advance(59_000)
  await settle()
  assert.ok(a.join.isAdmitted(b.host.peerId))
  setup.clock.advance(1_500)
  await settle()
  assert.equal(a.join.isAdmitted(b.host.peerId), false)
  await a.host.hangUp(b.host.peerId)
  await settle()
  await dial(b, a)
  assert.equal(a.join.isAdmitted(b.host.peerId), false)
})

test('we measure how far the clocks of others are off, and can measure it again', async t => {
  const setup = new Setup(t)
  const a = await setup.joiner(setup.admin)
  const fast = new ManualClock(setup.clock.now() + 7 * 60_000)
  const b = await setup.joiner(setup.granted(), fast)
  await dial(a, b)
  assert.equal(a.join.admissions[0]?.aheadMs, 7 * 60_000)
  assert.equal(b.join.admissions[0]?.aheadMs, -7 * 60_000)
  setup.clock.advance(7 * 60_000)
  await Promise.all([a.join.measureClocks(), b.join.measureClocks()])
  assert.deepEqual([a.join.admissions[0]?.aheadMs, b.join.admissions[0]?.aheadMs], [0, 0])
})

test('a member that has forgotten us is joined again', async t => {
  const setup = new Setup(t)
  const a = await setup.joiner(setup.admin)
  const b = await setup.joiner(setup.granted())
  await dial(a, b)
  b.join.expel(a.host.peerId)
  await a.join.measureClocks()
  await settle()
  assert.deepEqual(a.events, [`+${short(b)}`, `-${short(b)}`])
  assert.ok(!a.host.isConnected(b.host.peerId))
  await dial(a, b)
  assert.equal(a.events.at(-1), `+${short(b)}`)
})
