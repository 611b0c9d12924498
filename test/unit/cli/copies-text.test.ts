import assert from 'node:assert/strict'
import { test } from 'node:test'
import { copiesText, outHint } from '../../../src/cli/copies-text.ts'

const NOW_MS = Date.parse('2026-01-02T03:04:05Z')
const FIVE_MINUTES_AGO = '2026-01-02T02:59:05Z'

function text(confirmed: number, reached: number, waiting: Array<[name: string, since: string | null]> = []): string {
  const waitingFor = waiting.map(([name, since]) => ({ peerId: name, name, since }))
  const peers = Array.from({ length: reached }, (_, i) => `peer${i}`)
  return copiesText({ reached: peers, confirmed, wanted: 3, owed: { waitingFor } }, NOW_MS)
}

test('a put says how many copies are confirmed, never more than are wanted', () => {
  assert.equal(text(3, 3), 'on 3 of 3')
  assert.equal(text(2, 4), 'on 2 of 3')
  assert.equal(text(4, 4), 'on 3 of 3')
})

test('a put names the machines that it waits for, and since when they are away', () => {
  assert.equal(text(2, 2, [['attic', null]]), 'on 2 of 3, waiting for attic (…attic)')
  assert.equal(
    text(1, 1, [
      ['attic', FIVE_MINUTES_AGO],
      ['cellar', null]
    ]),
    'on this machine only, waiting for attic (…attic, last seen 5 min ago), cellar (…cellar)'
  )
})

test('a put names at most three machines', () => {
  const many = ['a', 'b', 'c', 'd', 'e'].map((name): [string, null] => [name, null])
  assert.equal(text(1, 1, many), 'on this machine only, waiting for a (…a), b (…b), c (…c) and 2 more')
})

test('whoever waits for machines that are away is told how to give them up, but not while one may just be starting again', () => {
  const member = (peerId: string, since: string | null) => ({ peerId, name: 'vm', since })
  const [away, another] = [member('12D3KooWaaaaaaaa', FIVE_MINUTES_AGO), member('12D3KooWbbbbbbbb', FIVE_MINUTES_AGO)]
  const others = [member('12D3KooWcccccccc', null), member('12D3KooWdddddddd', '2026-01-02T03:03:05Z')]
  assert.equal(outHint(others, NOW_MS), undefined)
  assert.equal(
    outHint([...others, away], NOW_MS),
    'if vm (…aaaaaaaa) will not come back, an admin can say so: dfs members out aaaaaaaa'
  )
  assert.equal(
    outHint([away, another], NOW_MS),
    'if vm (…aaaaaaaa) or vm (…bbbbbbbb) will not come back, an admin can say so: dfs members out PEER'
  )
})
