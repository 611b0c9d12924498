import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { CID } from 'multiformats/cid'
import { CallClient } from '../../../src/wire/call-client.ts'
import { CallServer, type Request, type Response } from '../../../src/wire/call-server.ts'
import { RefusedError, STATUSES, type WireStatus } from '../../../src/wire/errors.ts'
import { encodeFrame, type Frame, FrameReader } from '../../../src/wire/frames.ts'
import type { ByteStream } from '../../../src/wire/host.ts'
import { PeerFaults } from '../../../src/wire/peer-faults.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { settle } from '../../fixtures/pass-time.ts'

const log = silentLogger.forComponent('dfs:test')
const quiet = { log, faults: new PeerFaults({ log }) }

/** A value of a header as the vectors write it: bytes and links in hex, everything else as it is. */
type Value = number | boolean | string | { bytes: string } | { link: string } | Value[]
type Fields = Record<string, Value>
interface FrameVector {
  id: number
  status?: WireStatus
  fields: Fields
  body: string
  frame: string
}
interface Vectors {
  request: FrameVector
  answer: FrameVector
  withBody: FrameVector
  /** For each status, an answer to the first request that holds nothing but this status. */
  statuses: Record<WireStatus, string>
}
const vectors: Vectors = JSON.parse(readFileSync(join(import.meta.dirname, '../../vectors/frames.json'), 'utf8'))
const { request, answer, withBody } = vectors
const BODY_MAX = 1 << 20

function bytes(hex: string): Buffer {
  return Buffer.from(hex, 'hex')
}

/** The value that the code takes and returns for a value of the vectors. */
function decoded(value: Value): unknown {
  if (typeof value !== 'object') return value
  if (Array.isArray(value)) return value.map(decoded)
  return 'bytes' in value ? bytes(value.bytes) : CID.decode(bytes(value.link))
}

function fieldsOf(fields: Fields): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, decoded(value)]))
}

function headerOf({ id, status, fields }: Omit<FrameVector, 'body' | 'frame'>): Record<string, unknown> {
  return { ...fieldsOf(fields), id, ...(status === undefined ? {} : { status }) }
}

/** A header as text, so that two can be compared whichever classes hold their bytes and links. */
function textOf(header: unknown): string {
  const plain = (value: unknown): unknown => {
    if (value instanceof Uint8Array) return { bytes: Buffer.from(value).toString('hex') }
    const cid = CID.asCID(value)
    if (cid !== null) return { link: Buffer.from(cid.bytes).toString('hex') }
    if (Array.isArray(value)) return value.map(plain)
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(
      Object.keys(value)
        .sort()
        .map(key => [key, plain((value as Record<string, unknown>)[key])])
    )
  }
  return JSON.stringify(plain(header))
}

/** One end of a stream. The test is the other end. */
function stream(): { near: ByteStream; sent: () => string; deliver: (hex: string) => void; isEnded: () => boolean } {
  const written: Uint8Array[] = []
  let onData: (bytes: Uint8Array) => void = () => {}
  let isEnded = false
  const near: ByteStream = {
    peer: 'peer',
    address: '/memory/peer',
    write: async parts => {
      written.push(...parts)
    },
    onData: listener => {
      onData = listener
    },
    onEnd: () => {},
    close: async () => {},
    abort: () => {
      isEnded = true
    }
  }
  return {
    near,
    sent: () => Buffer.concat(written).toString('hex'),
    deliver: hex => onData(bytes(hex)),
    isEnded: () => isEnded
  }
}

test('frozen vectors: frames encode to these bytes, and decode from them', () => {
  for (const vector of [request, answer, withBody]) {
    const encoded = Buffer.concat(encodeFrame(headerOf(vector), [bytes(vector.body)]))
    assert.equal(encoded.toString('hex'), vector.frame)
    const frames: Frame[] = []
    const reader = new FrameReader(BODY_MAX, frame => frames.push(frame))
    reader.push(bytes(vector.frame))
    assert.deepEqual([frames.length, reader.isPartial], [1, false])
    assert.equal(textOf(frames[0]?.header), textOf(headerOf(vector)))
    assert.equal(Buffer.from(frames[0]?.body as Uint8Array).toString('hex'), vector.body)
  }
})

test('frozen vectors: a call sends these bytes, and accepts these as its answer', async () => {
  const { near, sent, deliver } = stream()
  const client = new CallClient(near, { ...quiet, clock: new ManualClock(), responseBytesMax: BODY_MAX })
  const reply = client.call(fieldsOf(request.fields), { body: [bytes(request.body)] })
  await settle()
  assert.equal(sent(), request.frame)
  deliver(answer.frame)
  const { fields, body } = await reply
  assert.equal(textOf(fields), textOf(fieldsOf(answer.fields)))
  assert.equal(body.byteLength, 0)
})

test('frozen vectors: a server that receives these bytes answers in these', async () => {
  const { near, sent, deliver } = stream()
  const asked: Request[] = []
  new CallServer(near, {
    ...quiet,
    clock: new ManualClock(),
    requestBytesMax: BODY_MAX,
    mayAsk: () => true,
    answer: async (request): Promise<Response> => {
      asked.push(request)
      return { status: 'ok', fields: fieldsOf(answer.fields) }
    }
  })
  deliver(request.frame)
  await settle()
  assert.equal(sent(), answer.frame)
  assert.equal(textOf(asked[0]?.fields), textOf(fieldsOf(request.fields)))
  assert.equal(Buffer.from(asked[0]?.body as Uint8Array).toString('hex'), request.body)
})

test('frozen vectors: every status is written and read, and there is no other', async () => {
  assert.deepEqual(Object.keys(vectors.statuses).sort(), [...STATUSES].sort())
  for (const status of STATUSES) {
    const asking = stream()
    const client = new CallClient(asking.near, { ...quiet, clock: new ManualClock(), responseBytesMax: BODY_MAX })
    const reply = client.call({}, {})
    await settle()
    asking.deliver(vectors.statuses[status])
    if (status === 'ok') await reply
    else await assert.rejects(reply, error => error instanceof RefusedError && error.status === status)
    assert.equal(asking.isEnded(), false, 'a refusal leaves the stream as it is')
    const answering = stream()
    const options = { ...quiet, clock: new ManualClock(), requestBytesMax: BODY_MAX, mayAsk: () => true }
    new CallServer(answering.near, { ...options, answer: async () => ({ status }) })
    answering.deliver(asking.sent())
    await settle()
    assert.equal(answering.sent(), vectors.statuses[status])
  }
})

test('a second implementation of the frames, written from SPEC.md, yields the same bytes', () => {
  for (const { id, status, fields, body, frame } of [request, answer, withBody]) {
    const header = { ...fields, id, ...(status === undefined ? {} : { status }) }
    assert.equal(frameBySpec(header, bytes(body)).toString('hex'), frame)
  }
  for (const [status, frame] of Object.entries(vectors.statuses))
    assert.equal(frameBySpec({ id: 1, status }, Buffer.alloc(0)).toString('hex'), frame)
})

/** SPEC.md, section "The frame", without a library. */
function frameBySpec(fields: Fields, body: Buffer): Buffer {
  const keys = Object.keys(fields).sort((a, b) => a.length - b.length || Buffer.compare(Buffer.from(a), Buffer.from(b)))
  const header = Buffer.concat([head(5, keys.length), ...keys.flatMap(key => [cbor(key), cbor(fields[key] as Value)])])
  const lengths = Buffer.alloc(8)
  lengths.writeUInt32BE(header.byteLength, 0)
  lengths.writeUInt32BE(body.byteLength, 4)
  return Buffer.concat([lengths, header, body])
}

function cbor(value: Value): Buffer {
  if (typeof value === 'number') return head(0, value)
  if (typeof value === 'boolean') return Buffer.of(value ? 0xf5 : 0xf4)
  if (typeof value === 'string') return Buffer.concat([head(3, Buffer.byteLength(value)), Buffer.from(value)])
  if (Array.isArray(value)) return Buffer.concat([head(4, value.length), ...value.map(cbor)])
  if ('bytes' in value) return Buffer.concat([head(2, value.bytes.length / 2), bytes(value.bytes)])
  const link = Buffer.concat([Buffer.of(0), bytes(value.link)])
  return Buffer.concat([head(6, 42), head(2, link.byteLength), link])
}

/** A CBOR item's first bytes: its kind, and a number in as few bytes as hold it. */
function head(kind: number, value: number): Buffer {
  if (value < 24) return Buffer.of((kind << 5) | value)
  if (value < 2 ** 8) return Buffer.of((kind << 5) | 24, value)
  if (value < 2 ** 16) return Buffer.of((kind << 5) | 25, value >> 8, value & 0xff)
  const bytes = Buffer.alloc(5)
  bytes.writeUInt8((kind << 5) | 26)
  bytes.writeUInt32BE(value, 1)
  return bytes
}
