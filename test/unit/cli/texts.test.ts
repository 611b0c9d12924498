import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRange } from '../../../src/cli/commands/cat.ts'
import { mediaTypeOf } from '../../../src/cli/media-type.ts'

test('reads a range of bytes, and refuses text that is not one', () => {
  assert.deepEqual(parseRange('0-99'), { from: 0, to: 99 })
  assert.deepEqual(parseRange('7-'), { from: 7, to: undefined })
  for (const text of ['', '-7', '9-2', 'a-b', `${'9'.repeat(30)}-`])
    assert.throws(() => parseRange(text), { code: 'usage' }, text)
})

test('finds the media type by the extension', () => {
  assert.equal(mediaTypeOf('/a.b/Picture.PNG'), 'image/png')
  for (const name of ['/png', '/a.png/file', 'x.unknown']) assert.equal(mediaTypeOf(name), undefined)
})
