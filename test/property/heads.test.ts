import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { pastOfAll, showEntry } from '../../src/catalog/heads.ts'
import { covers, type EntryRecord } from '../../src/format/entry.ts'
import { hlcAfter } from '../../src/format/stamp.ts'
import { stateOf } from '../fixtures/entry-state.ts'

const AUTHORS = 3
const entry = Buffer.alloc(16, 1)

/** A member that knows some records, and writes what an honest author would. */
class Writer {
  readonly known = new Map<string, EntryRecord>()
  /** The heads that its author had seen, for each record. */
  readonly coveredBy = new Map<EntryRecord, readonly EntryRecord[]>()
  readonly author: Uint8Array
  #incarnation = 0
  #serial: { next: number }

  constructor(index: number, serial: { next: number }) {
    this.author = Buffer.alloc(32, index + 1)
    this.#serial = serial
  }

  get state() {
    return stateOf([...this.known.values()])
  }

  act(verb: 'write' | 'move' | 'delete', ms: number, root: number): EntryRecord | undefined {
    const state = this.state
    const { heads } = state
    const shown = heads.length === 0 ? undefined : showEntry(state, () => 0)
    if (verb !== 'write' && shown?.content === undefined) return undefined
    const hlc = hlcAfter(ms, ...heads.map(head => head.stamp.hlc))
    const carried = shown?.content
    const covered = verb === 'move' ? [carried as EntryRecord] : heads
    if (covered.length < heads.length) this.#incarnation++
    const stamp = { hlc, author: this.author, incarnation: Buffer.alloc(8, this.#incarnation) }
    const record: EntryRecord = {
      id: Buffer.alloc(32, this.#serial.next++),
      entry,
      stamp,
      seen: pastOfAll(covered),
      op: verb === 'delete' ? 'delete' : 'put',
      placed: verb === 'move' || shown === undefined ? stamp : shown.place.placed,
      written: verb === 'move' ? (carried as EntryRecord).written : stamp,
      root: verb === 'delete' ? null : verb === 'move' ? (carried as EntryRecord).root : Buffer.alloc(32, root),
      rootEpoch: null,
      epoch: Buffer.alloc(32),
      replicas: 1
    }
    this.coveredBy.set(record, covered)
    this.know(record)
    return record
  }

  know(record: EntryRecord): void {
    this.known.set(Buffer.from(record.id).toString('hex'), record)
  }

  restart(): void {
    this.#incarnation++
  }
}

const step = fc.record({
  who: fc.nat(AUTHORS - 1),
  verb: fc.constantFrom('write', 'write', 'move', 'delete', 'sync', 'hear', 'hear', 'restart'),
  from: fc.nat(AUTHORS - 1),
  skew: fc.integer({ min: -300_000, max: 300_000 }),
  root: fc.nat(3),
  which: fc.nat()
})

interface Step {
  who: number
  verb: string
  from: number
  skew: number
  root: number
  which: number
}

function play(steps: readonly Step[]) {
  const serial = { next: 1 }
  const writers = Array.from({ length: AUTHORS }, (_, i) => new Writer(i, serial))
  let ms = 1_700_000_000_000
  const all: EntryRecord[] = []
  for (const { who, verb, from, skew, root, which } of steps) {
    ms += 1000
    const writer = writers[who] as Writer
    if (verb === 'sync') for (const record of (writers[from] as Writer).known.values()) writer.know(record)
    else if (verb === 'hear') {
      // Takes any record that another member knows, because records come in any order.
      const known = [...(writers[from] as Writer).known.values()]
      if (known.length > 0) writer.know(known[which % known.length] as EntryRecord)
    } else if (verb === 'restart') writer.restart()
    else {
      const record = writer.act(verb as 'write', ms + skew, root)
      if (record !== undefined) all.push(record)
    }
  }
  return { all, writers }
}

test('records lead to the same heads and show the same content in whatever order they come', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 2, maxLength: 40 }), fc.infiniteStream(fc.nat()), (steps, chance) => {
      const { all } = play(steps)
      if (all.length === 0) return
      const keys = all.map(() => chance.next().value)
      const shuffled = all.map((record, i) => ({ record, key: keys[i] as number })).sort((a, b) => a.key - b.key)
      const one = stateOf(all)
      const other = stateOf(shuffled.map(({ record }) => record))
      assert.deepEqual(other.heads, one.heads)
      assert.deepEqual(new Map([...other.covered].sort()), new Map([...one.covered].sort()))
      assert.deepEqual(new Map([...other.deletedPast].sort()), new Map([...one.deletedPast].sort()))
      assert.equal(other.writes, one.writes)
      assert.deepEqual(
        showEntry(other, () => 0),
        showEntry(one, () => 0)
      )
    }),
    { numRuns: 400 }
  )
})

test('an entry always has a head, and a writer that has seen a conflict ends it', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), steps => {
      const { all, writers } = play(steps)
      if (all.length === 0) return
      assert.ok(stateOf(all).heads.length > 0)
      // A writer that knows every record ends all conflicts.
      const last = writers[0] as Writer
      for (const record of all) last.know(record)
      const final = last.act('write', 1_800_000_000_000, 9) as EntryRecord
      const state = stateOf([...all, final])
      const shown = showEntry(state, () => 0)
      assert.deepEqual(state.heads, [final])
      assert.equal(shown.content, final)
      assert.deepEqual(shown.conflicts, [])
    }),
    { numRuns: 300 }
  )
})

test('a record covers the heads that its author saw and everything behind them, and nothing else', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 2, maxLength: 40 }), steps => {
      const { all, writers } = play(steps)
      const behind = new Map<EntryRecord, Set<EntryRecord>>()
      for (const record of all) {
        const heads = writers.flatMap(({ coveredBy }) => coveredBy.get(record) ?? [])
        behind.set(record, new Set(heads.flatMap(head => [head, ...(behind.get(head) as Set<EntryRecord>)])))
      }
      for (const record of all) {
        for (const other of all)
          if (other !== record) assert.equal(covers(record, other.stamp), behind.get(record)?.has(other))
      }
    }),
    { numRuns: 2000 }
  )
})

test('a writer that has seen a move does not cover a head that the move left', () => {
  const serial = { next: 1 }
  const [a, b] = [new Writer(0, serial), new Writer(1, serial)]
  const first = a.act('write', 1_000, 1) as EntryRecord
  b.know(first)
  const left = a.act('write', 2_000, 2) as EntryRecord
  const other = b.act('write', 3_000, 3) as EntryRecord
  a.know(other)
  const moved = a.act('move', 4_000, 0) as EntryRecord
  b.know(moved)
  const last = b.act('write', 5_000, 4) as EntryRecord
  const shown = showEntry(stateOf([first, left, other, moved, last]), () => 0)
  assert.equal(shown.content, last)
  assert.deepEqual(shown.conflicts, [left])
})

test('a delete wins over all it has seen, even if that was moved meanwhile; only a write brings the entry back', () => {
  const serial = { next: 1 }
  const [a, b] = [new Writer(0, serial), new Writer(1, serial)]
  const first = a.act('write', 1_000, 1) as EntryRecord
  b.know(first)
  const removed = a.act('delete', 2_000, 0) as EntryRecord
  const moved = b.act('move', 3_000, 0) as EntryRecord
  assert.equal(showEntry(stateOf([first, removed, moved]), () => 0).isDeleted, true)
  const written = b.act('write', 4_000, 2) as EntryRecord
  const shown = showEntry(stateOf([first, removed, moved, written]), () => 0)
  assert.equal(shown.isDeleted, false)
  assert.equal(shown.content, written)
})

test('a move and a write at the same time both take effect', () => {
  const serial = { next: 1 }
  const [a, b] = [new Writer(0, serial), new Writer(1, serial)]
  const first = a.act('write', 1_000, 1) as EntryRecord
  b.know(first)
  const moved = a.act('move', 2_000, 0) as EntryRecord
  const written = b.act('write', 2_000, 2) as EntryRecord
  const shown = showEntry(stateOf([first, moved, written]), () => 0)
  assert.equal(shown.content, written)
  assert.equal(shown.place, moved)
  assert.deepEqual(shown.conflicts, [])
})

test('the later of two concurrent writes shows, and the other is a conflict unless the content is the same', () => {
  const serial = { next: 1 }
  const [a, b] = [new Writer(0, serial), new Writer(1, serial)]
  const first = a.act('write', 1_000, 1) as EntryRecord
  b.know(first)
  const one = a.act('write', 2_000, 2) as EntryRecord
  const two = b.act('write', 2_001, 3) as EntryRecord
  const shown = showEntry(stateOf([first, one, two]), () => 0)
  assert.equal(shown.content, two)
  assert.deepEqual(shown.conflicts, [one])
  const same = { ...two, root: one.root }
  assert.deepEqual(showEntry(stateOf([first, one, same]), () => 0).conflicts, [])
})
