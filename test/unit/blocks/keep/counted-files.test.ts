import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Bitmap } from '../../../../src/blocks/bitmap.ts'
import { PAGE_CHUNKS } from '../../../../src/blocks/constants.ts'
import { CountedFiles } from '../../../../src/blocks/keep/counted-files.ts'
import { nameBlock } from '../../../../src/format/cid.ts'

const put = Buffer.alloc(48, 1)
const root = nameBlock(Buffer.from('a root'))

function part(first: number, covered: number, bits: number[], safeUntilAtMs = 100, badFound = 0) {
  const counted = new Bitmap()
  for (const bit of bits) counted.add(bit)
  return { first, covered, counted, safeUntilAtMs, badFound }
}

test('the parts of a page add up, and a part that is noted again replaces the earlier one', () => {
  const files = new CountedFiles()
  assert.equal(files.get(put, root), undefined)
  files.note(put, root, part(0, 300, [1, 299]))
  files.note(put, root, part(300, PAGE_CHUNKS - 300, [0, 5]))
  assert.deepEqual(
    [1, 299, 300, 305, 306].map(bit => files.get(put, root)?.[0]?.chunks.has(bit)),
    [true, true, true, true, false]
  )
  files.note(put, root, part(0, PAGE_CHUNKS, [7]))
  assert.deepEqual([files.get(put, root)?.length, files.get(put, root)?.[0]?.chunks.size], [1, 1])
})

test('a page is only as safe as its least safe part, until it is confirmed again', () => {
  const files = new CountedFiles()
  files.note(put, root, part(PAGE_CHUNKS, 10, [1], 500, 3))
  files.note(put, root, part(PAGE_CHUNKS + 10, 10, [1], Number.NEGATIVE_INFINITY, 4))
  files.note(put, root, part(PAGE_CHUNKS + 20, 10, [1], 900, 4))
  const [page] = files.get(put, root) ?? []
  assert.deepEqual([page?.first, page?.safeUntilAtMs, page?.badFound], [PAGE_CHUNKS, Number.NEGATIVE_INFINITY, 3])
  files.note(put, root, part(PAGE_CHUNKS, PAGE_CHUNKS, [1], 900, 4))
  assert.deepEqual([files.get(put, root)?.[0]?.safeUntilAtMs, files.get(put, root)?.[0]?.badFound], [900, 4])
})

test('puts and roots are told apart, and memory is bounded', () => {
  const files = new CountedFiles()
  files.note(put, root, part(0, 8, [1]))
  assert.equal(files.get(Buffer.alloc(48, 2), root), undefined)
  assert.equal(files.get(put, nameBlock(Buffer.from('another'))), undefined)
  // Far more pages than fit: the oldest is forgotten, and the newest is there.
  const full = Array.from({ length: 100 }, (_, i) => PAGE_CHUNKS - 1 - i)
  for (let n = 0; n < 6_000; n++) files.note(Buffer.from(`${n}`.padStart(48)), root, part(0, PAGE_CHUNKS, full))
  assert.equal(files.get(put, root), undefined)
  assert.equal(files.get(Buffer.from('5999'.padStart(48)), root)?.length, 1)
})
