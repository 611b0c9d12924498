import assert from 'node:assert/strict'
import { createHash, createPrivateKey, createPublicKey, hkdfSync, type KeyObject, sign } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Secrets } from '../../../src/disk/keystore.ts'
import type { Fields, MemberState, Role } from '../../../src/format/kinds.ts'
import { deriveNetwork, privateKey, rawPublicKey } from '../../../src/format/network-key.ts'
import { peerIdOf } from '../../../src/format/peer-id.ts'
import { decodeHlc, encodeHlc, hlcAt } from '../../../src/format/stamp.ts'
import { decodeStatement, type Statement, signStatement, verifyStatement } from '../../../src/format/statement.ts'
import { JOIN_PROTOCOL } from '../../../src/members/constants.ts'
import { becomeAdmin } from '../../../src/members/founding.ts'
import { Join } from '../../../src/members/join.ts'
import { LocalMember } from '../../../src/members/local-member.ts'
import { Outs } from '../../../src/members/outs.ts'
import { chainOf, checkProof, grantProofOf, proofSchema } from '../../../src/members/proof.ts'
import { Roster } from '../../../src/members/roster.ts'
import { Statuses } from '../../../src/members/statuses.ts'
import { findOut } from '../../../src/members/view.ts'
import type { Chance } from '../../../src/util/chance.ts'
import { encodeFrame, FrameReader } from '../../../src/wire/frames.ts'
import type { ByteStream } from '../../../src/wire/host.ts'
import { acceptedBy } from '../../fixtures/accepted.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { cbor } from '../../fixtures/format-by-spec.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { type MemoryHost, MemoryNetwork } from '../../fixtures/memory-host.ts'
import { settle } from '../../fixtures/pass-time.ts'
import { until } from '../../fixtures/until.ts'

/** In fields and headers, text that starts with `0x` stands for bytes. */
interface PlainStatement {
  kind: 'root' | 'grant'
  /** The root, or a device by its name. */
  signer: string
  hlc: string
  grant: string | null
  fields: Record<string, unknown>
  /** What the signature covers. */
  signed: string
  sig: string
  bytes: string
  id: string
}
interface PlainFrame {
  header: Record<string, unknown>
  body: string[]
  bytes: string
}
interface JoinVectors {
  networkKey: string
  network: string
  recovery: string
  now: number
  devices: Record<string, { seed: string; x25519Seed: string; key: string; x25519: string; peerId: string }>
  statements: Record<string, PlainStatement>
  dialler: { device: string; chain: string[]; instance: string }
  listener: { device: string; chain: string[]; instance: string; nonce: string }
  exchanges: Array<{ name: string; request: PlainFrame; answer: PlainFrame }>
}
interface PlainMember {
  seed: string
  key: string
  role: Role
  capacityMax: number | null
  grantedZone: string | null
  status: { ms: number; counter: number; weight: number; zone: string | null; state: MemberState; outAfter: number }
}
interface PlainView {
  name: string
  outAfterMs: number
  members: PlainMember[]
  /** The words of an admin, each about the member with this index. */
  said?: Array<{ member: number; ms: number; counter: number }>
  /** The median stamp, and the members that are out: by a word that counts, or because they lag behind the median. */
  middle: string
  out: number[]
  /** The view before and after this node has seen them out for long enough. */
  before: { encoded: string; id: string }
  after: { encoded: string; id: string }
}

const read = (name: string): unknown =>
  JSON.parse(readFileSync(join(import.meta.dirname, '../../vectors', name), 'utf8'))
const vectors = read('join.json') as JoinVectors
const { now: NOW, views } = read('view.json') as { now: number; views: PlainView[] }

const hex = (text: string): Buffer => Buffer.from(text, 'hex')
const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const network = hex(vectors.network)
const statement = (name: string): PlainStatement => vectors.statements[name]!
const { root } = deriveNetwork(hex(vectors.networkKey))

function fromPlain(value: unknown): unknown {
  if (typeof value === 'string') return value.startsWith('0x') ? Uint8Array.from(hex(value.slice(2))) : value
  if (Array.isArray(value)) return value.map(fromPlain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fromPlain(item)]))
}

/** Returns these bytes in turn. */
function scripted(...given: string[]): Chance {
  const left = given.map(hex)
  return {
    bytes: length => {
      const bytes = left.shift() ?? assert.fail('nothing left to draw')
      assert.equal(bytes.byteLength, length)
      return bytes
    },
    fraction: () => 0
  }
}

/** A device with the grants that its keystore would hold. */
function selfOf({ device, chain, instance }: JoinVectors['dialler'], clock: ManualClock): LocalMember {
  const { seed, x25519Seed } = vectors.devices[device]!
  const grants = ['root', ...chain].map(name => hex(statement(name).bytes))
  const secrets: Secrets = { device: hex(seed), x25519: hex(x25519Seed), names: hex(seed), network, epochs: [], grants }
  return new LocalMember(secrets, clock, scripted(instance))
}

function signerOf({ signer }: PlainStatement): { key: KeyObject; author: Uint8Array } {
  if (signer === 'root') return { key: root, author: network }
  const { seed, key } = vectors.devices[signer]!
  return { key: privateKey('ed25519', hex(seed)), author: hex(key) }
}

test('frozen keys: a network key and the seeds of devices yield these keys', () => {
  const derived = deriveNetwork(hex(vectors.networkKey))
  assert.deepEqual([toHex(derived.network), toHex(derived.recovery)], [vectors.network, vectors.recovery])
  for (const { seed, x25519Seed, key, x25519, peerId } of Object.values(vectors.devices)) {
    assert.equal(toHex(rawPublicKey(privateKey('ed25519', hex(seed)))), key)
    assert.equal(toHex(rawPublicKey(privateKey('x25519', hex(x25519Seed)))), x25519)
    assert.equal(peerIdOf(hex(key)), peerId)
  }
})

test('frozen grants: these fields encode to these bytes, which decode to them and verify', async () => {
  for (const [name, plain] of Object.entries(vectors.statements)) {
    const fields = fromPlain(plain.fields) as Fields<'root' | 'grant'>
    const { key, author } = signerOf(plain)
    const grant = plain.grant === null ? undefined : hex(plain.grant)
    const hlc = decodeHlc(hex(plain.hlc))
    const signed = signStatement(plain.kind, fields, { network, key, grant, hlc })
    assert.deepEqual(
      [toHex(signed.bytes), toHex(signed.id), toHex(signed.sig)],
      [plain.bytes, plain.id, plain.sig],
      name
    )
    const decoded = decodeStatement(hex(plain.bytes))
    assert.deepEqual([decoded.kind, decoded.hlc, decoded.fields], [plain.kind, hlc, fields], name)
    assert.ok(await verifyStatement(decoded, network, author), name)
    assert.equal(await verifyStatement(decoded, Buffer.alloc(32, 1), author), false, `${name} in another network`)
  }
})

test('a device that is given the network key signs the frozen root and grant', () => {
  const { seed, x25519Seed } = vectors.devices['admin']!
  const names = '77'.repeat(32)
  const secrets = becomeAdmin({
    networkKey: hex(vectors.networkKey),
    name: statement('admin').fields['name'] as string,
    keepNetworkKey: false,
    clock: new ManualClock(vectors.now),
    chance: scripted(seed, x25519Seed, names)
  })
  assert.deepEqual(secrets.grants.map(toHex), [statement('root').bytes, statement('admin').bytes])
  assert.deepEqual([toHex(secrets.names), secrets.networkKey], [names, undefined])
})

test('a second implementation, written from SPEC.md, derives, encodes and signs the same', () => {
  const key = hex(vectors.networkKey)
  const derive = (info: string): Buffer => Buffer.from(hkdfSync('sha256', key, '', info, 32))
  const rootKey = keyBySpec('ed25519', derive('dfs/1/root'))
  assert.equal(publicBySpec(rootKey), vectors.network)
  assert.equal(publicBySpec(keyBySpec('x25519', derive('dfs/1/recovery'))), vectors.recovery)
  for (const [name, plain] of Object.entries(vectors.statements)) {
    const head = Buffer.concat([Buffer.from(`dfs/${plain.kind}/1\0`, 'latin1'), network])
    const rest = {
      ...(fromPlain(plain.fields) as object),
      kind: plain.kind,
      v: 1,
      hlc: hex(plain.hlc),
      ...(plain.grant === null ? {} : { grant: hex(plain.grant) })
    }
    const signed = Buffer.concat([head, cbor(rest)])
    assert.equal(toHex(signed), plain.signed, name)
    const by = plain.signer === 'root' ? rootKey : keyBySpec('ed25519', hex(vectors.devices[plain.signer]!.seed))
    const sig = sign(null, signed, by)
    assert.equal(toHex(sig), plain.sig, name)
    assert.equal(toHex(cbor({ ...rest, sig })), plain.bytes, name)
    assert.equal(createHash('sha256').update(hex(plain.bytes)).digest('hex'), plain.id, name)
  }
  for (const { name, request, answer } of vectors.exchanges) {
    for (const { header, body, bytes } of [request, answer]) {
      const encoded = cbor(fromPlain(header))
      const lengths = Buffer.alloc(8)
      lengths.writeUInt32BE(encoded.byteLength, 0)
      lengths.writeUInt32BE(body.join('').length / 2, 4)
      assert.equal(toHex(lengths) + toHex(encoded) + body.join(''), bytes, name)
    }
  }
})

test('a frozen proof is valid for its peer and at its time, and not with a bit changed', async () => {
  const clock = new ManualClock(vectors.now)
  const [dialler, listener] = [selfOf(vectors.dialler, clock), selfOf(vectors.listener, clock)]
  const { request, answer } = vectors.exchanges.find(({ name }) => name === 'prove')!
  for (const [by, to, frame] of [
    [dialler, listener, request],
    [listener, dialler, answer]
  ] as const) {
    const stated = proofSchema.parse(fromPlain(frame.header))
    const made = encodeFrame({ ...frame.header, ...grantProofOf(by, clock) }, chainOf(by))
    assert.equal(toHex(Buffer.concat(made)), frame.bytes)
    const body = hex(frame.body.join(''))
    const proven = await checkProof(stated, body, { peer: by.peerId, self: to, clock })
    assert.deepEqual(
      proven.chain.map(({ bytes }) => toHex(bytes)),
      frame.body
    )
    await assert.rejects(checkProof(stated, body, { peer: to.peerId, self: to, clock }), { name: 'GrantError' })
    for (let i = 0; i < body.byteLength; i++) {
      const altered = Buffer.from(body)
      altered[i]! ^= 1
      await assert.rejects(checkProof(stated, altered, { peer: by.peerId, self: to, clock }), `byte ${i}`)
    }
  }
  const late = new ManualClock(vectors.now + 86_400_001)
  const stated = proofSchema.parse(fromPlain(request.header))
  await assert.rejects(
    checkProof(stated, hex(request.body.join('')), { peer: dialler.peerId, self: listener, clock: late }),
    { name: 'GrantError' }
  )
})

/** A member on a wire in memory that speaks only the join protocol. */
async function joiner(
  t: TestContext,
  wire: MemoryNetwork,
  who: JoinVectors['dialler'],
  chance: Chance,
  clock: ManualClock
) {
  const self = selfOf(who, clock)
  const host = wire.host(who.device, self.peerId)
  const admitted: string[] = []
  const problems: unknown[] = []
  const joining = new Join({
    host,
    self,
    clock,
    chance,
    logger: silentLogger,
    onAdmitted: ({ peer }) => admitted.push(peer),
    onDeparted: () => {},
    onRejected: (_, error) => problems.push(error),
    onFault: peer => problems.push(peer)
  })
  await host.start()
  t.after(() => host.stop())
  return { host, join: joining, admitted, problems }
}

/** The other side, which sends frozen bytes. */
async function puppet(t: TestContext, wire: MemoryNetwork, who: JoinVectors['dialler']): Promise<MemoryHost> {
  const host = wire.host('puppet', vectors.devices[who.device]!.peerId)
  await host.start()
  t.after(() => host.stop())
  return host
}

const whole = (header: unknown, body: Uint8Array): string => toHex(Buffer.concat(encodeFrame(header, [body])))

test('a listener that receives the frozen requests sends the frozen answers, and admits the dialler', async t => {
  const clock = new ManualClock(vectors.now)
  const wire = new MemoryNetwork({ clock })
  const listener = await joiner(t, wire, vectors.listener, scripted(vectors.listener.nonce), clock)
  const dialler = await puppet(t, wire, vectors.dialler)
  await dialler.dial([listener.host.address], { signal: AbortSignal.timeout(5_000) })
  const stream = await dialler.open(listener.host.peerId, JOIN_PROTOCOL, { signal: AbortSignal.timeout(5_000) })
  const answers: string[] = []
  const reader = new FrameReader(1 << 16, ({ header, body }) => answers.push(whole(header, body)))
  stream.onData(bytes => reader.push(bytes))
  for (const [i, { name, request, answer }] of vectors.exchanges.entries()) {
    await stream.write([hex(request.bytes)])
    await until('answered', () => answers.length > i)
    assert.equal(answers[i], answer.bytes, name)
  }
  assert.deepEqual([listener.admitted, listener.problems], [[dialler.peerId], []])
})

test('a dialler sends the frozen requests, and admits the peer that sends the frozen answers', async t => {
  const clock = new ManualClock(vectors.now)
  const wire = new MemoryNetwork({ clock })
  const dialler = await joiner(t, wire, vectors.dialler, scripted(), clock)
  const listener = await puppet(t, wire, vectors.listener)
  const asked: string[] = []
  listener.handle(JOIN_PROTOCOL, (stream: ByteStream) => {
    const reader = new FrameReader(1 << 16, ({ header, body }) => {
      const answer = vectors.exchanges[asked.length]?.answer.bytes
      asked.push(whole(header, body))
      void stream.write([hex(answer ?? '')])
    })
    stream.onData(bytes => reader.push(bytes))
  })
  await dialler.host.dial([listener.address], { signal: AbortSignal.timeout(5_000) })
  await until('met', () => dialler.admitted.length + dialler.problems.length > 0)
  await dialler.join.measureClocks()
  await settle()
  assert.deepEqual(
    asked,
    vectors.exchanges.map(({ request }) => request.bytes)
  )
  assert.deepEqual([dialler.admitted, dialler.problems], [[listener.peerId], []])
  assert.deepEqual(dialler.join.admitted, [listener.peerId])
})

/** The accepted statuses of some members, on a node with its own `outAfter`. */
async function statusesOf({ outAfterMs, members, said = [] }: PlainView) {
  const clock = new ManualClock(NOW)
  const roster = new Roster(network, clock)
  const settings = { outAfterMs, onChange: () => {} }
  const outs = new Outs()
  const statuses = new Statuses({ roster, clock, logger: silentLogger, settings, outs })
  for (const { seed, key, role, capacityMax, grantedZone, status } of members) {
    const grant = signStatement(
      'grant',
      {
        subject: hex(key),
        x25519: Buffer.alloc(32),
        role,
        epoch: network,
        name: 'member',
        ...(capacityMax === null ? {} : { capacityMax }),
        ...(grantedZone === null ? {} : { zone: grantedZone })
      },
      { network, key: root, hlc: hlcAt(0) }
    )
    roster.load([grant])
    const { ms, counter, weight, zone, state, outAfter } = status
    const signed: Statement<'status'> = signStatement(
      'status',
      {
        instance: Buffer.alloc(16),
        addresses: [],
        weight,
        ...(zone === null ? {} : { zone }),
        state,
        outAfter,
        head: encodeHlc(0n)
      },
      { network, key: privateKey('ed25519', hex(seed)), grant: grant.id, hlc: hlcAt(ms, counter) }
    )
    statuses.applied({ added: [acceptedBy(hex(key), signed, role)], removed: [] })
  }
  for (const { member, ms, counter } of said) {
    const subject = hex((members[member] as PlainMember).key)
    const word: Statement<'out'> = signStatement('out', { subject }, { network, key: root, hlc: hlcAt(ms, counter) })
    outs.applied({ added: [acceptedBy(network, word, 'admin')], removed: [] })
  }
  return { statuses, clock }
}

test('frozen views: statuses fold to these ids, before and after lagging members count as out', async () => {
  for (const view of views) {
    const { statuses, clock } = await statusesOf(view)
    assert.equal(toHex(statuses.view.id), view.before.id, view.name)
    assert.equal(toHex(encodeHlc(statuses.medianHlc!)), view.middle, view.name)
    clock.advance(view.outAfterMs)
    statuses.refresh()
    assert.equal(toHex(statuses.view.id), view.after.id, view.name)
    const out = statuses.view.members.filter(({ isOut }) => isOut).map(({ key }) => toHex(key))
    assert.deepEqual(out.sort(), view.out.map(i => view.members[i]!.key).sort(), view.name)
  }
})

test('a second implementation, written from SPEC.md, computes the same views', () => {
  for (const view of views) {
    const { middle, out } = outBySpec(view)
    assert.deepEqual([middle, out], [view.middle, view.out], view.name)
    for (const [expected, acted] of [
      [view.before, saidBySpec(view)],
      [view.after, out]
    ] as const) {
      const encoded = viewBySpec(view, acted)
      assert.equal(toHex(encoded), expected.encoded, view.name)
      assert.equal(createHash('sha256').update(encoded).digest('hex'), expected.id, view.name)
    }
  }
})

test('frozen views do not depend on the order in which the statuses came', async () => {
  for (const view of views) {
    const said = view.said?.map(word => ({ ...word, member: view.members.length - 1 - word.member })).toReversed()
    const reversed = { ...view, members: view.members.toReversed(), ...(said && { said }) }
    const { statuses } = await statusesOf(reversed)
    assert.equal(toHex(statuses.view.id), view.before.id, view.name)
    assert.deepEqual(outBySpec(reversed).out.length, view.out.length, view.name)
  }
  assert.equal(findOut([]).medianHlc, undefined)
})

/** SPEC.md, "View": weight, zone and `outAfter` within their limits. */
function countedBySpec({ capacityMax, grantedZone, status }: PlainMember, outAfterMs: number) {
  const most = capacityMax ?? 1_000_000_000_000
  const patience = status.outAfter < outAfterMs ? outAfterMs : status.outAfter
  return {
    weight: status.weight > most ? most : status.weight,
    zone: grantedZone === status.zone ? grantedZone : null,
    outAfterMs: patience > 2_592_000_000 ? 2_592_000_000 : patience
  }
}

/** SPEC.md, "Out by an admin's word": those of which a word is later than their status. */
function saidBySpec({ members, said = [] }: PlainView): number[] {
  const isLater = ({ member, ms, counter }: (typeof said)[number]): boolean => {
    const { status } = members[member] as PlainMember
    return ms > status.ms || (ms === status.ms && counter > status.counter)
  }
  return said.filter(isLater).map(({ member }) => member)
}

/** SPEC.md, "Out by the statuses": puts out one member at a time, and finds the median by counting instead of sorting. */
function outBySpec(view: PlainView): { middle: string | null; out: number[] } {
  const { outAfterMs, members } = view
  const list = members.map((member, i) => {
    const { weight, outAfterMs: patience } = countedBySpec(member, outAfterMs)
    const stamp = (BigInt(member.status.ms) << 16n) + BigInt(member.status.counter)
    return { i, key: member.key, ms: member.status.ms, stamp, weight, patience }
  })
  type Item = (typeof list)[number]
  const isOlder = (a: Item, b: Item): boolean => a.stamp < b.stamp || (a.stamp === b.stamp && a.key < b.key)
  const out = new Set(saidBySpec(view))
  for (;;) {
    const field = list.filter(({ i, weight }) => weight > 0 && !out.has(i))
    const rank = Math.floor(field.length / 2)
    const middle = field.find(item => field.filter(other => isOlder(item, other)).length === rank)
    const lagging = list.filter(
      ({ i, ms, patience }) => !out.has(i) && middle !== undefined && middle.ms - ms >= patience
    )
    const oldest = lagging.find(item => !lagging.some(other => isOlder(other, item)))
    if (oldest === undefined) {
      const stamp = middle === undefined ? null : middle.stamp.toString(16).padStart(16, '0')
      return { middle: stamp, out: [...out].sort((a, b) => a - b) }
    }
    out.add(oldest.i)
  }
}

/** SPEC.md, "The view's id": the bytes that are hashed. */
function viewBySpec({ outAfterMs, members }: PlainView, out: readonly number[]): Buffer {
  const rows = members.map((member, i) => {
    const { weight, zone } = countedBySpec(member, outAfterMs)
    return [hex(member.key), weight, zone, member.status.state === 'draining', out.includes(i)] as const
  })
  rows.sort(([a], [b]) => Buffer.compare(a, b))
  return cbor(rows)
}

/** RFC 8410: a fixed header, then the seed. */
function keyBySpec(type: 'ed25519' | 'x25519', seed: Uint8Array): KeyObject {
  const header = `302e020100300506032b65${type === 'ed25519' ? '70' : '6e'}04220420`
  return createPrivateKey({ key: Buffer.concat([hex(header), seed]), format: 'der', type: 'pkcs8' })
}

function publicBySpec(key: KeyObject): string {
  return Buffer.from(createPublicKey(key).export({ format: 'jwk' }).x ?? '', 'base64url').toString('hex')
}
