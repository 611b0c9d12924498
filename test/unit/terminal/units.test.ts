import assert from 'node:assert/strict'
import { test } from 'node:test'
import { REPLICAS_MAX } from '../../../src/format/constants.ts'
import { progressText } from '../../../src/terminal/progress.ts'
import {
  COPIES_MAX,
  formatBytes,
  formatDuration,
  parseCopies,
  parseSize,
  parseTime,
  sizeText
} from '../../../src/terminal/units.ts'

const usage = { code: 'usage' }

test('reads sizes: powers of ten with a B, powers of two with an iB', () => {
  assert.equal(parseSize('--capacity', '10GB'), 10_000_000_000)
  assert.equal(parseSize('--capacity', '64MiB'), 64 << 20)
  assert.equal(parseSize('--capacity', '1.5 kib'), 1536)
  assert.equal(parseSize('--capacity', '0'), 0)
  for (const text of ['', 'GB', '-1GB', '1XB', '1 2', '1e9', '9999999TiB'])
    assert.throws(() => parseSize('--capacity', text), usage, text)
})

test('reads times and numbers of copies, and refuses other text', () => {
  assert.equal(COPIES_MAX, REPLICAS_MAX)
  assert.deepEqual(
    ['5s', '10m', '24h', '30d'].map(text => parseTime('--expires', text)),
    [5e3, 600e3, 86_400e3, 30 * 86_400e3]
  )
  for (const text of ['', '5', 's', '-5s', '5 weeks']) assert.throws(() => parseTime('--expires', text), usage, text)
  assert.deepEqual(
    ['all', '1', '255'].map(text => parseCopies('--ack', text)),
    ['all', 1, REPLICAS_MAX]
  )
  for (const text of ['0', '', '256', '999', '1000', 'ALL', '2.5'])
    assert.throws(() => parseCopies('--ack', text), usage, text)
})

test('formats numbers for a person', () => {
  assert.deepEqual([0, 1023, 1024, 2 ** 20 - 1, 1.5 * 2 ** 30].map(formatBytes), [
    '0 B',
    '1023 B',
    '1.0 KiB',
    '1.0 MiB',
    '1.5 GiB'
  ])
  assert.deepEqual([0, 59.1, 61, 3_725].map(formatDuration), ['0 s', '1 min 0 s', '1 min 1 s', '1 h 2 min'])
})

test('writes a size as it can be given, without rounding', () => {
  const sizes = [0, 1, 1023, 1024, 1536, 2 ** 20, 16 * 2 ** 30, 2 ** 50]
  assert.deepEqual(sizes.map(sizeText), ['0B', '1B', '1023B', '1KiB', '1536B', '1MiB', '16GiB', '1024TiB'])
  for (const size of sizes) assert.equal(parseSize('--capacity', sizeText(size)), size)
})

test('says how far a transfer is', () => {
  const done = { bytes: 1 << 20, files: undefined }
  const all = { bytes: 3 << 20, files: undefined }
  assert.equal(progressText('put', done, all, 1 << 20), 'put 1.0 MiB of 3.0 MiB  1.0 MiB/s  2 s left')
  assert.equal(progressText('put', done, all, 0), 'put 1.0 MiB of 3.0 MiB  0 B/s')
  assert.equal(progressText('put', done, undefined, 1 << 19), 'put 1.0 MiB  512.0 KiB/s')
  const many = { ...done, files: 1 }
  assert.equal(progressText('put', many, undefined, 1 << 19), 'put 1 file  1.0 MiB  512.0 KiB/s')
  const text = progressText('put', many, { ...all, files: 1200 }, 1 << 20)
  assert.equal(text, 'put 1 of 1,200 files  1.0 MiB of 3.0 MiB  1.0 MiB/s  2 s left')
})
