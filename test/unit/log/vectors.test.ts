import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { decodeStatement, verifyStatement } from '../../../src/format/statement.ts'
import { SYNC_PROTOCOL } from '../../../src/log/constants.ts'
import { Sync } from '../../../src/log/sync.ts'
import {
  fetchReply,
  listReply,
  newsReply,
  pushReply,
  requestSchema,
  splitBody,
  splitIds
} from '../../../src/log/sync-frames.ts'
import { answerSync } from '../../../src/log/sync-server.ts'
import { ProtocolError, RefusedError } from '../../../src/wire/errors.ts'
import { encodeFrame, type Frame, FrameReader, fieldsOf } from '../../../src/wire/frames.ts'
import type { ByteStream } from '../../../src/wire/host.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { cbor } from '../../fixtures/format-by-spec.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { adminSecrets, TestMember } from '../../fixtures/member.ts'
import { MemoryNetwork } from '../../fixtures/memory-host.ts'
import { settle } from '../../fixtures/pass-time.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'

/** In a header, text that starts with `0x` stands for bytes. */
interface PlainFrame {
  header: Record<string, unknown>
  /** Parts of the body: statements or ids. */
  body: string[]
  bytes: string
}
interface Exchange {
  name: string
  request: PlainFrame
  answer: PlainFrame
}
interface Vectors {
  networkKey: string
  network: string
  author: string
  statements: Array<{ kind: string; class: 0 | 1; id: string; author: string; bytes: string }>
  /** Requests to a member that has all statements but the last, in this order, and its answers. */
  exchanges: Exchange[]
  refused: Array<{ name: string; request: string; outcome: 'invalid' | 'fault' }>
}
const vectors: Vectors = JSON.parse(readFileSync(join(import.meta.dirname, '../../vectors/sync.json'), 'utf8'))

const hex = (text: string): Buffer => Buffer.from(text, 'hex')
const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const ids = vectors.statements.map(({ id }) => id)
const pushed = vectors.statements.at(-1)!
const frames = vectors.exchanges.flatMap(({ name, request, answer }) => [
  { name: `${name}, request`, ...request },
  { name: `${name}, answer`, ...answer }
])

function fromPlain(value: unknown): unknown {
  if (typeof value === 'string') return value.startsWith('0x') ? Uint8Array.from(hex(value.slice(2))) : value
  if (Array.isArray(value)) return value.map(fromPlain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fromPlain(item)]))
}

const headerOf = ({ header }: PlainFrame): Record<string, unknown> => fromPlain(header) as Record<string, unknown>

function readFrame(bytes: string): Frame {
  const read: Frame[] = []
  const reader = new FrameReader(1 << 20, frame => read.push(frame))
  reader.push(hex(bytes))
  assert.equal(read.length, 1)
  assert.equal(reader.isPartial, false)
  return read[0]!
}

/** A member on a disk in memory. Its keys and its clock are the same in every run. */
async function memberAt(clock: ManualClock): Promise<TestMember> {
  const secrets = adminSecrets(hex(vectors.networkKey), clock, seededChance(77), 'member')
  const host = new MemoryNetwork({ clock }).host('alone', 'alone')
  return TestMember.open({ secrets, host, clock, chance: seededChance(78) })
}

/** A member whose log has exactly the statements of the vectors, except the last. */
async function filled(t: TestContext): Promise<{ member: TestMember; answer: (request: Frame) => Promise<string> }> {
  const clock = new ManualClock()
  const member = await memberAt(clock)
  t.after(() => member.store.close())
  // Its own root and grant are the first two statements of the vectors, because its keys and its clock are the same.
  const verdicts = await member.log.receive(
    vectors.statements.slice(0, -1).map(({ bytes }) => hex(bytes)),
    'somebody'
  )
  assert.deepEqual(new Set(verdicts), new Set(['ok']))
  return {
    member,
    async answer({ header, body }) {
      const { id, ...fields } = fieldsOf(header)
      const request = { peer: 'somebody', fields, body, signal: AbortSignal.timeout(10_000) }
      const {
        status,
        fields: more,
        body: parts
      } = await answerSync({ log: member.log, confirmPut: holdsPut, onChanged: () => {} }, request)
      return toHex(Buffer.concat(encodeFrame({ ...more, id, status }, parts)))
    }
  }
}

const holdsPut = async () => 'ok' as const

test('frozen statements have the frozen ids, and their signatures are valid', async () => {
  for (const { kind, id, author, bytes } of vectors.statements) {
    const statement = decodeStatement(hex(bytes))
    assert.equal(statement.kind, kind)
    assert.equal(toHex(statement.id), id)
    assert.equal(createHash('sha256').update(hex(bytes)).digest('hex'), id)
    assert.ok(await verifyStatement(statement, hex(vectors.network), hex(author)), kind)
  }
})

test('frozen frames are encoded to the frozen bytes and decoded from them', () => {
  for (const frame of frames) {
    assert.equal(toHex(Buffer.concat(encodeFrame(headerOf(frame), frame.body.map(hex)))), frame.bytes, frame.name)
    const { header, body } = readFrame(frame.bytes)
    assert.deepEqual(header, headerOf(frame), frame.name)
    assert.equal(toHex(body), frame.body.join(''), frame.name)
  }
})

test('a second implementation, written from SPEC.md, encodes the same frames', () => {
  for (const frame of frames) assert.equal(frameBySpec(headerOf(frame), frame.body.map(hex)), frame.bytes, frame.name)
})

test('this version accepts the frozen requests and cuts their bodies into the right parts', () => {
  for (const { name, request, answer } of vectors.exchanges) {
    const { id: _, ...fields } = headerOf(request)
    const parsed = requestSchema.parse(fields)
    const cut = (body: string[], lengths: number[] | undefined): string[] =>
      (lengths === undefined ? splitIds(hex(body.join(''))) : splitBody(hex(body.join('')), lengths)).map(toHex)
    assert.deepEqual(cut(request.body, parsed.do === 'push' ? parsed.lengths : undefined), request.body, name)
    const reply = headerOf(answer)
    if (parsed.do === 'push') assert.equal(pushReply.parse(reply).verdicts.length, parsed.lengths.length, name)
    if (parsed.do === 'list')
      assert.deepEqual([listReply.parse(reply).isEnd, cut(answer.body, undefined)], [true, answer.body])
    if (parsed.do === 'news') {
      const news = newsReply.parse(reply)
      assert.equal(news.known, !name.includes('unknown'), name)
      if (news.known) assert.deepEqual([news.isEnd, cut(answer.body, undefined)], [true, answer.body], name)
    }
    if (parsed.do === 'fetch') assert.deepEqual(cut(answer.body, fetchReply.parse(reply).lengths), answer.body, name)
    if (parsed.do === 'offer') assert.equal(hex(answer.body.join('')).byteLength, request.body.length, name)
  }
})

test('a member answers the frozen requests with the frozen answers', async t => {
  const { answer } = await filled(t)
  for (const exchange of vectors.exchanges) {
    assert.equal(await answer(readFrame(exchange.request.bytes)), exchange.answer.bytes, exchange.name)
  }
})

test('a member that lists everything sends the frozen requests, and accepts the statements of the frozen answers', async t => {
  const clock = new ManualClock()
  const network = new MemoryNetwork({ clock })
  const host = network.host('asker', 'asker')
  const member = await memberAt(clock)
  // It has its own two statements already, and would not ask for them.
  const script = vectors.exchanges.filter(({ name }) => !name.includes('by hand'))
  const asked: string[] = []
  const other = network.host('other', 'other')
  other.handle(SYNC_PROTOCOL, (stream: ByteStream) => {
    const reader = new FrameReader(1 << 20, ({ header, body }) => {
      asked.push(toHex(Buffer.concat(encodeFrame(header, [body]))))
      void stream.write([hex(script[asked.length - 1]?.answer.bytes ?? '')])
    })
    stream.onData(bytes => reader.push(bytes))
  })
  await Promise.all([host.start(), other.start()])
  t.after(async () => {
    await Promise.all([host.stop(), other.stop()])
    await member.store.close()
  })
  await host.dial([other.address], { signal: AbortSignal.timeout(5_000) })
  await settle()
  const faults: string[] = []
  const sync = new Sync({
    host,
    index: member.store.index,
    clock,
    logger: silentLogger,
    log: member.log,
    confirmPut: holdsPut,
    onChanged: () => {},
    onDoubt: () => {},
    lost: async () => [],
    isAdmitted: () => true,
    admitted: () => ['other'],
    onFault: peer => faults.push(peer),
    onClockOff: () => {}
  })
  t.after(() => sync.stop())
  assert.equal(await sync.compareAll('other'), true)
  assert.equal(await sync.push('other', decodeStatement(hex(pushed.bytes)), Buffer.alloc(16, 0x70)), 'ok')
  assert.deepEqual(await sync.holders(hex(pushed.id)), ['other'])
  assert.deepEqual(
    asked,
    script.map(({ request }) => request.bytes)
  )
  assert.deepEqual(faults, [])
  assert.deepEqual([...(await member.ids(0)), ...(await member.ids(1))].sort(), ids.slice(0, -1).sort())
})

test('a member refuses wrong fields as invalid, and a body that does not match its header as a fault', async t => {
  const { answer } = await filled(t)
  for (const { name, request, outcome } of vectors.refused) {
    const error = outcome === 'invalid' ? RefusedError : ProtocolError
    await assert.rejects(answer(readFrame(request)), error, name)
  }
})

/** SPEC.md, "The exchange", without a library. */
function frameBySpec(header: Record<string, unknown>, parts: Buffer[]): string {
  const encoded = cbor(header)
  const body = Buffer.concat(parts)
  const lengths = Buffer.alloc(8)
  lengths.writeUInt32BE(encoded.byteLength, 0)
  lengths.writeUInt32BE(body.byteLength, 4)
  return toHex(Buffer.concat([lengths, encoded, body]))
}
