import assert from 'node:assert/strict'
import { test } from 'node:test'
import { copiesIn, factsOf, matchesTag, parseRange, tagIn } from '../../../src/http/request.ts'
import { decodePath } from '../../../src/http/target.ts'

test('reads one range of bytes, and ignores what a server may ignore', () => {
  const cases: Array<[string | undefined, number, ReturnType<typeof parseRange>]> = [
    ['bytes=0-0', 10, { from: 0, to: 0 }],
    ['bytes=2-', 10, { from: 2, to: 9 }],
    ['bytes=2-99', 10, { from: 2, to: 9 }],
    ['bytes=-3', 10, { from: 7, to: 9 }],
    ['bytes=-99', 10, { from: 0, to: 9 }],
    [undefined, 10, undefined],
    ['bytes=-', 10, undefined],
    ['bytes=5-2', 10, undefined],
    ['bytes=0-1,4-5', 10, undefined],
    ['lines=0-1', 10, undefined]
  ]
  for (const [header, size, range] of cases) assert.deepEqual(parseRange(header, size), range, header)
})

test('refuses a range beyond the end and says how long the file is', () => {
  for (const [header, size] of [
    ['bytes=10-', 10],
    ['bytes=-0', 10],
    ['bytes=0-', 0],
    [`bytes=${'9'.repeat(30)}-`, 10]
  ] as const) {
    assert.throws(() => parseRange(header, size), { status: 416, headers: { 'content-range': `bytes */${size}` } })
  }
})

test('matches a tag against a list or `*`, and a weak tag only in a weak comparison', () => {
  assert.ok(matchesTag('"a"', 'a', 'strong'))
  assert.ok(matchesTag('"b", "a"', 'a', 'strong'))
  assert.ok(matchesTag('*', 'a', 'strong'))
  assert.ok(matchesTag('W/"a"', 'a', 'weak'))
  assert.ok(!matchesTag('W/"a"', 'a', 'strong'))
  assert.ok(!matchesTag('"b"', 'a', 'weak'))
  assert.equal(tagIn(' "a" '), 'a')
  for (const header of ['a', '"a", "b"', 'W/"a"', '*', '']) assert.throws(() => tagIn(header), { status: 400 })
})

test('decodes a path part by part', () => {
  assert.equal(decodePath('a%20b/%C3%A9'), '/a b/é')
  assert.equal(decodePath(''), '/')
  assert.throws(() => decodePath('a%2Fb'), { status: 400 })
  assert.throws(() => decodePath('%E9'), { status: 400 })
})

test('reads times as in RFC 3339, also far from today, and no other text', () => {
  const modifiedOf = (modified: string): number | undefined =>
    factsOf({ modified, mode: null, type: undefined }).modified?.getTime()
  assert.equal(modifiedOf('2020-09-13T12:26:40.5Z'), 1_600_000_000_500)
  assert.equal(modifiedOf('2020-09-13T14:26:40+02:00'), 1_600_000_000_000)
  assert.equal(new Date(modifiedOf('+012345-01-01T00:00:00.000Z')!).getUTCFullYear(), 12_345)
  for (const text of ['', '1', '2020', '2020-09-13', 'Sun, 13 Sep 2020 12:26:40 GMT', '2020-13-13T00:00:00Z'])
    assert.throws(() => modifiedOf(text), { status: 400 }, text)
})

test('reads numbers of copies', () => {
  assert.equal(copiesIn(null), undefined)
  assert.equal(copiesIn('all'), 'all')
  assert.equal(copiesIn('3'), 3)
  for (const text of ['', 'many', '-1', '1.5', '1e9']) assert.throws(() => copiesIn(text), { status: 400 })
})
