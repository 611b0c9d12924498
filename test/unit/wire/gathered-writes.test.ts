import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { test } from 'node:test'
import { gatherWrites } from '../../../src/wire/gathered-writes.ts'

/** A sink that copies each write before it calls back, as TLS does, and that fails at a write if asked to. */
function sinkOf(failAt = Number.POSITIVE_INFINITY): { sink: Writable; writes: Buffer[] } {
  const writes: Buffer[] = []
  const sink = new Writable({
    write(bytes: Buffer, _encoding, done) {
      writes.push(Buffer.from(bytes))
      setImmediate(() => done(writes.length > failAt ? new Error('cut') : null))
    }
  })
  gatherWrites(sink)
  return { sink, writes }
}

test('what is written in one turn leaves in one write, in order', async () => {
  const { sink, writes } = sinkOf()
  const parts = [randomBytes(12), randomBytes(256 << 10), randomBytes(12), randomBytes(100)]
  for (const part of parts) sink.write(part)
  sink.end()
  await finished(sink)
  assert.equal(writes.length, 1)
  assert.ok(Buffer.concat(writes).equals(Buffer.concat(parts)))
})

test('any number and length of parts arrives whole, also if parts are written while others are under way', async () => {
  const { sink, writes } = sinkOf()
  const parts: Buffer[] = []
  for (let i = 0; i < 40; i++) {
    const part = randomBytes([0, 1, 12, 5_000, 300_000, 700_000][i % 6] as number)
    parts.push(part)
    sink.write(part)
    if (i % 7 === 0) await new Promise(resolve => setImmediate(resolve))
  }
  sink.end(randomBytes(0))
  await finished(sink)
  assert.ok(Buffer.concat(writes).equals(Buffer.concat(parts)))
})

test('an error of a write ends the socket, and nothing is written after it', async () => {
  const { sink, writes } = sinkOf(1)
  const failed = assert.rejects(finished(sink), /cut/)
  for (let i = 0; i < 4; i++) sink.write(randomBytes(300_000))
  await failed
  assert.equal(writes.length, 2)
})
