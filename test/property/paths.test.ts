import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { PathError } from '../../src/format/errors.ts'
import { checkName, formatPath, nameFault, parsePath } from '../../src/format/path.ts'

const SAMPLES = [
  '/',
  '.',
  '..',
  '\0',
  'a',
  'é',
  'e\u0301',
  '\u0958',
  '👩‍👧',
  '\ud800',
  ' ',
  '\u1112\u1161\u11ab',
  'ﬁ',
  '\u2024',
  '\uff0f'
]
const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.array(fc.constantFrom(...SAMPLES), { maxLength: 12 }).map(parts => parts.join('')),
  fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 8 }).map(units => String.fromCharCode(...units))
)

test('any text is a path or a PathError, and a path that is read again is the same', () => {
  fc.assert(
    fc.property(anyText, text => {
      let path: readonly string[]
      try {
        path = parsePath(text)
      } catch (error) {
        assert.ok(error instanceof PathError)
        return
      }
      assert.deepEqual(parsePath(formatPath(path)), path)
      for (const part of path) {
        assert.equal(nameFault(part), undefined)
        assert.equal(checkName(part), part)
        assert.ok(part !== '.' && part !== '..' && !/[/\0]/.test(part))
        assert.equal(Buffer.from(part).toString(), part)
        assert.ok(Buffer.byteLength(part) <= 255)
      }
    }),
    { numRuns: 3000 }
  )
})

test('a leading slash may be missing, a trailing one may be there, and normal forms do not matter', () => {
  const part = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 10 })
    .filter(text => nameFault(text.normalize('NFC')) === undefined)
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 5 }), parts => {
      const path = parsePath(formatPath(parts))
      assert.deepEqual(parsePath(parts.join('/')), path)
      assert.deepEqual(parsePath(`${formatPath(parts)}/`), path)
      assert.deepEqual(parsePath(formatPath(parts).normalize('NFD')), path)
    })
  )
})
