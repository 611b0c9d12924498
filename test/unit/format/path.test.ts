import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PathError } from '../../../src/format/errors.ts'
import { checkName, checkPathLength, formatPath, nameFault, parsePath } from '../../../src/format/path.ts'

test('parsePath reads paths as users write them', () => {
  const known: Array<[string, string[]]> = [
    ['/', []],
    ['', []],
    ['/a', ['a']],
    ['a', ['a']],
    ['/a/', ['a']],
    ['a/b c/d', ['a', 'b c', 'd']],
    ['/…/...', ['…', '...']],
    ['/ ', [' ']],
    ['/"\'\\', ['"\'\\']],
    ['/👩‍👩‍👧', ['👩‍👩‍👧']],
    ['/.hidden', ['.hidden']],
    ['/new\nline', ['new\nline']]
  ]
  for (const [text, parts] of known) assert.deepEqual(parsePath(text), parts, text)
})

test('parsePath refuses text that cannot be a path', () => {
  for (const text of [
    '//',
    '///',
    '/a//b',
    'a//',
    '//a',
    '.',
    '..',
    '/a/../b',
    '/a/.',
    '/./a',
    'a\0b',
    '/\ud800',
    '/a/\udc00b',
    '/\ufeffa.txt',
    '/a/\ufeff'
  ])
    assert.throws(() => parsePath(text), PathError, JSON.stringify(text))
})

test('composed and decomposed text are one name', () => {
  const composed = 'é'
  const decomposed = 'e\u0301'
  assert.notEqual(composed, decomposed)
  assert.deepEqual(parsePath(decomposed), [composed])
  assert.equal(checkName(decomposed), composed)
  // A Hangul syllable, and a letter whose composed form Unicode excludes, so that it grows.
  assert.equal(checkName('\u1112\u1161\u11ab'), '\ud55c')
  assert.equal(checkName('\u0958'), '\u0915\u093c')
})

test('the bounds of names and paths count bytes after composition', () => {
  assert.equal(checkName('x'.repeat(255)).length, 255)
  assert.throws(() => checkName('x'.repeat(256)), PathError)
  assert.equal(checkName('€'.repeat(85)).length, 85)
  assert.throws(() => checkName('€'.repeat(86)), PathError)
  // 128 decomposed letters are 384 bytes, and 256 composed; 127 fit.
  assert.throws(() => checkName('e\u0301'.repeat(128)), PathError)
  checkName('e\u0301'.repeat(127))
  // 43 letters that grow from 3 to 6 bytes.
  assert.throws(() => checkName('\u0958'.repeat(43)), PathError)
  const parts = Array.from({ length: 16 }, () => 'x'.repeat(255))
  assert.equal(formatPath(parts).length, 4096)
  checkPathLength(parts)
  assert.deepEqual(parsePath(formatPath(parts)), parts)
  assert.throws(() => parsePath(`${formatPath(parts)}/y`), PathError)
  assert.throws(() => checkPathLength([...parts, 'y']), PathError)
})

test('a name from another member is checked as it is, not corrected', () => {
  for (const bad of ['', '.', '..', 'a/b', '/', 'a\0', '\ud800', 'x'.repeat(256), 'e\u0301', '\ufeffa'])
    assert.equal(typeof nameFault(bad), 'string', JSON.stringify(bad))
  for (const good of ['a', '...', 'é', '👍', '..a', 'CON', 'a\\b', '~', '-rf', 'a\ufeff'])
    assert.equal(nameFault(good), undefined, good)
})

test('an error never repeats the path', () => {
  try {
    parsePath('/MARKER/../MARKER')
    assert.fail('accepted')
  } catch (error) {
    assert.ok(error instanceof PathError && !error.message.includes('MARKER'))
  }
})
