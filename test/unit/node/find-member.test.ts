import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findMember } from '../../../src/node/find-member.ts'
import { InvalidInputError } from '../../../src/util/errors.ts'

const ATTIC = { peer: '12D3KooWaaaaaaaaAAAAAA', name: 'attic' }
const LAPTOP = { peer: '12D3KooWbbbbbbbbBBBBBB', name: 'laptop' }
const OTHER = { peer: '12D3KooWccccccccCCCCCC', name: 'laptop' }
const ALL = [ATTIC, LAPTOP, OTHER]

test('a member is found by its peer id, a start or an end of it, or its name', () => {
  for (const text of [ATTIC.peer, '12D3KooWa', 'AAAAAA', 'attic']) assert.equal(findMember(text, ALL), ATTIC, text)
  assert.equal(findMember('BBBBBB', ALL), LAPTOP)
})

test('a text that fits several members is refused, and so is one that fits none', () => {
  const isWrong = (words: RegExp) => (error: Error) => error instanceof InvalidInputError && words.test(error.message)
  assert.throws(() => findMember('laptop', ALL), isWrong(/^two members have this name: give the start of a peer id$/))
  assert.throws(() => findMember('12D3KooW', ALL), isWrong(/^3 members have a peer id or a name like this/))
  for (const text of ['cellar', 'AAAAA', '', '12D3Koo!', `${ATTIC.peer}A`])
    assert.throws(() => findMember(text, ALL), { name: 'UnknownMemberError', code: 'not-found' }, text)
})

test('a member whose name looks like the peer id of another is not taken for that other', () => {
  for (const name of [ATTIC.peer, 'AAAAAA']) {
    const forger = { peer: '12D3KooWddddddddDDDDDD', name }
    if (name === ATTIC.peer) assert.equal(findMember(name, [forger, ...ALL]), ATTIC)
    else assert.throws(() => findMember(name, [forger, ...ALL]), InvalidInputError)
  }
})
