import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Author, type Content } from '../../../src/catalog/author.ts'
import { type EntryState, showEntry } from '../../../src/catalog/heads.ts'
import { SEEN_MAX, SEEN_OF_DELETE_MAX } from '../../../src/format/constants.ts'
import { type EntryRecord, ROOT_ENTRY, readRecord, type Seen } from '../../../src/format/entry.ts'
import type { Statement } from '../../../src/format/statement.ts'
import { toHex } from '../../../src/util/bytes.ts'
import { stateOf } from '../../fixtures/entry-state.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'
import { admin, clock, fileWith, keys, sign, writer } from './setup.ts'

const ENTRY = Buffer.alloc(16, 1)
const at = { parent: ROOT_ENTRY, name: 'f' }
const shownOf = (state: EntryState) => showEntry(state, () => 0)

function contentWith(text: string): Content {
  const { root, rootEpoch, body } = fileWith(text, at)
  return { root, rootEpoch, size: body.size, mtime: 0, content: body.content }
}

/** A member that writes with some records at hand. */
function memberOf(self: typeof admin, seed: number) {
  const author = new Author({ self, keys, chance: seededChance(seed), bodies: { remember: () => {} }, nodeCodecs: [] })
  const read = (statement: Statement<'entry'>): EntryRecord => readRecord(statement, self.publicKey)
  return {
    create: (text: string) => read(author.createFile(ENTRY, at, contentWith(text), 1)),
    write(text: string, ...known: EntryRecord[]) {
      const state = stateOf(known)
      return read(author.write({ state, shown: shownOf(state), at, content: contentWith(text), replicas: 1 }))
    },
    move(name: string, ...known: EntryRecord[]) {
      const state = stateOf(known)
      const { body } = fileWith('moved', at)
      return read(author.move(state, shownOf(state).content!, body, { parent: ROOT_ENTRY, name }))
    },
    delete(...known: EntryRecord[]) {
      const state = stateOf(known)
      return author.delete(state, { covered: state.heads, body: undefined }).map(read)
    }
  }
}

test('a writer that has seen a move, but not a head that the move left, does not cover that head', () => {
  const [a, b] = [memberOf(admin, 1), memberOf(writer, 2)]
  const first = a.create('zero')
  clock.advance(1)
  const left = a.write('one', first)
  clock.advance(1)
  const other = b.write('two', first)
  const move = a.move('g', first, left, other)
  assert.notEqual(toHex(move.stamp.incarnation), toHex(left.stamp.incarnation))
  const last = b.write('three', first, other, move)
  const state = stateOf([first, left, other, move, last])
  const { content, conflicts } = shownOf(state)
  assert.equal(content, last)
  assert.deepEqual(conflicts, [left])
  // A record that leaves no head uncovered keeps the incarnation.
  const settled = a.write('four', first, left, other, move, last)
  assert.equal(toHex(settled.stamp.incarnation), toHex(move.stamp.incarnation))
  assert.equal(toHex(a.move('h', settled).stamp.incarnation), toHex(move.stamp.incarnation))
})

test('deletes that share the heads of one entry each have an incarnation of their own', () => {
  const hlc = 5n
  const past = (fill: number, count: number): Seen[] =>
    Array.from({ length: count }, (_, i) => ({ hlc, author: Buffer.alloc(32, fill), incarnation: Buffer.alloc(8, i) }))
  const heads = [1, 2, 3].map(
    fill =>
      sign({ entry: ENTRY, ...fileWith('x', at), seen: past(fill, SEEN_MAX), incarnation: Buffer.alloc(8, fill) })
        .record
  )
  const deletes = memberOf(writer, 3).delete(...heads)
  assert.ok(deletes.length > 1)
  assert.ok(deletes.every(({ seen }) => seen.length <= SEEN_OF_DELETE_MAX))
  assert.equal(new Set(deletes.map(({ stamp }) => toHex(stamp.incarnation))).size, deletes.length)
  assert.ok(shownOf(stateOf([...heads, ...deletes])).isDeleted)
})
