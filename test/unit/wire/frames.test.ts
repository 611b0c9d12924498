import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { HEADER_BYTES_MAX } from '../../../src/wire/constants.ts'
import { ProtocolError } from '../../../src/wire/errors.ts'
import { encodeFrame, type Frame, FrameReader, fieldsOf } from '../../../src/wire/frames.ts'

const BODY_MAX = 1 << 20

function reader(): { frames: Frame[]; reader: FrameReader } {
  const frames: Frame[] = []
  return { frames, reader: new FrameReader(BODY_MAX, frame => frames.push(frame)) }
}

function bytesOf(header: unknown, body: Uint8Array[] = []): Buffer {
  return Buffer.concat(encodeFrame(header, body))
}

function lengths(header: number, body: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32BE(header)
  bytes.writeUInt32BE(body, 4)
  return bytes
}

test('frames are read whole, however the stream cuts them', () => {
  const arbitrary = fc.array(
    fc.record({
      header: fc.dictionary(fc.string({ maxLength: 5 }), fc.oneof(fc.integer(), fc.string(), fc.uint8Array())),
      body: fc.uint8Array({ maxLength: 3000 })
    }),
    { minLength: 1, maxLength: 5 }
  )
  fc.assert(
    fc.property(arbitrary, fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1 }), (sent, cuts) => {
      const stream = Buffer.concat(sent.map(({ header, body }) => bytesOf(header, [body])))
      const { frames, reader: to } = reader()
      for (let at = 0, i = 0; at < stream.byteLength; i++) {
        const length = cuts[i % cuts.length] as number
        to.push(stream.subarray(at, at + length))
        at += length
      }
      assert.equal(frames.length, sent.length)
      for (const [i, { header, body }] of frames.entries()) {
        assert.deepEqual({ ...(header as object) }, { ...sent[i]?.header })
        assert.ok(Buffer.from(body).equals(Buffer.from(sent[i]?.body as Uint8Array)))
      }
      assert.equal(to.isPartial, false)
    }),
    { numRuns: 100 }
  )
})

test('a frame that is cut off is partial, and is not passed on', () => {
  const whole = bytesOf({ id: 1 }, [randomBytes(100)])
  for (const length of [1, 7, 8, 9, whole.byteLength - 100, whole.byteLength - 1]) {
    const { frames, reader: to } = reader()
    to.push(whole.subarray(0, length))
    assert.deepEqual([frames.length, to.isPartial], [0, true], `${length} bytes`)
    to.push(whole.subarray(length))
    assert.deepEqual([frames.length, to.isPartial], [1, false], `${length} bytes`)
  }
})

test('a header that is empty or too long is refused by its length alone', () => {
  for (const length of [0, HEADER_BYTES_MAX + 1, 0xffffffff])
    assert.throws(() => reader().reader.push(lengths(length, 0)), ProtocolError)
  const { frames, reader: to } = reader()
  const text = 'x'.repeat(HEADER_BYTES_MAX - 3)
  to.push(bytesOf(text))
  assert.equal(frames[0]?.header, text)
  assert.throws(() => encodeFrame(`${text}x`), RangeError)
})

test('a body over the limit is refused before it arrives', () => {
  assert.throws(() => reader().reader.push(lengths(1, BODY_MAX + 1)), ProtocolError)
  const { frames, reader: to } = reader()
  to.push(bytesOf({}, [Buffer.alloc(BODY_MAX)]))
  assert.equal(frames[0]?.body.byteLength, BODY_MAX)
})

test('a header that is not dag-cbor is refused', () => {
  for (const header of [
    Buffer.from([0xff]),
    Buffer.from([0x18]),
    Buffer.from([0x01, 0x02]),
    Buffer.from('9f0102ff', 'hex'),
    Buffer.from('f97e00', 'hex'),
    Buffer.alloc(60_000, 0x81)
  ]) {
    const { reader: to } = reader()
    assert.throws(() => to.push(Buffer.concat([lengths(header.byteLength, 0), header])), ProtocolError)
  }
})

test('garbage is refused, or taken for the start of a frame that is within the limits', () => {
  for (let i = 0; i < 300; i++) {
    const { reader: to } = reader()
    try {
      to.push(randomBytes(200))
      to.push(randomBytes(200))
    } catch (error) {
      assert.ok(error instanceof ProtocolError)
    }
  }
})

test('a body shares no memory with the bytes that arrived', () => {
  const { frames, reader: to } = reader()
  const stream = bytesOf({ id: 1 }, [Buffer.from('content')])
  to.push(stream)
  stream.fill(0)
  assert.equal(Buffer.from(frames[0]?.body as Uint8Array).toString(), 'content')
})

test('a header that is not a map is refused', () => {
  for (const header of [null, 1, 'x', [1], Buffer.from('x').toString()])
    assert.throws(() => fieldsOf(header), ProtocolError)
  assert.deepEqual(fieldsOf({ id: 1 }), { id: 1 })
})

test('a body that nobody wants is skipped and takes no memory', () => {
  const frames: Frame[] = []
  const asked: Array<[unknown, number]> = []
  const to = new FrameReader(
    BODY_MAX,
    frame => frames.push(frame),
    (header, bodyBytes) => {
      asked.push([header, bodyBytes])
      return (header as { id: number }).id !== 1
    }
  )
  const stream = Buffer.concat([1, 2, 3].map(id => bytesOf({ id }, id === 3 ? [] : [randomBytes(1_000)])))
  for (const byte of stream) to.push(Uint8Array.of(byte))
  assert.deepEqual(
    frames.map(({ body, isBodyDropped }) => [body.byteLength, isBodyDropped]),
    [
      [0, true],
      [1_000, false],
      [0, false]
    ]
  )
  assert.deepEqual(asked, [
    [{ id: 1 }, 1_000],
    [{ id: 2 }, 1_000]
  ])
})
