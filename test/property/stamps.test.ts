import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Author } from '../../src/catalog/author.ts'
import { type EntryState, emptyState, showEntry, stampKey } from '../../src/catalog/heads.ts'
import { FUTURE_MS_MAX } from '../../src/format/constants.ts'
import { type EntryRecord, ROOT_ENTRY, readRecord } from '../../src/format/entry.ts'
import { hlcMs } from '../../src/format/stamp.ts'
import type { Statement } from '../../src/format/statement.ts'
import { ClockOffError } from '../../src/members/errors.ts'
import { KeyRing } from '../../src/members/key-ring.ts'
import { LocalMember } from '../../src/members/local-member.ts'
import { toHex } from '../../src/util/bytes.ts'
import { ManualClock } from '../fixtures/clock.ts'
import { addRecord } from '../fixtures/entry-state.ts'
import { adminSecrets } from '../fixtures/member.ts'
import { seededChance } from '../fixtures/seeded-chance.ts'

const MEMBERS = 3
const ENTRIES = 3
const START_MS = 1_700_000_000_000
const MINUTE = 60_000
const chance = seededChance(3)
const secrets = Array.from({ length: MEMBERS }, (_, i) =>
  adminSecrets(Buffer.alloc(32, 7), new ManualClock(START_MS - 60 * MINUTE), chance, `m${i}`)
)

/** A member with its own clock. It signs with the real `Author`, and accepts what is not stamped too far ahead. */
class Member {
  readonly clock: ManualClock
  readonly self: LocalMember
  readonly #author: Author
  readonly #states = new Map<string, EntryState>()
  readonly known = new Map<string, EntryRecord>()
  /** Records that were too far ahead by this member's clock when they came. */
  #waiting: EntryRecord[] = []

  constructor(index: number, skewMs: number) {
    const own = secrets[index] as (typeof secrets)[number]
    this.clock = new ManualClock(START_MS + skewMs)
    this.self = new LocalMember(own, this.clock, chance)
    const keys = new KeyRing(own.epochs)
    this.#author = new Author({ self: this.self, keys, chance, bodies: { remember: () => {} }, nodeCodecs: [0x71] })
  }

  stateOf(entry: Uint8Array): EntryState {
    const key = toHex(entry)
    const state = this.#states.get(key) ?? emptyState()
    this.#states.set(key, state)
    return state
  }

  /** Signs a change of an entry. Throws a `ClockOffError` if its past is too far ahead. */
  change(entry: Uint8Array, verb: string): EntryRecord[] {
    const state = this.stateOf(entry)
    const at = { parent: ROOT_ENTRY, name: 'x' }
    const content = { root: chance.bytes(32), rootEpoch: this.self.network, size: 1, mtime: 0, content: Buffer.of(1) }
    if (state.heads.length === 0) return this.#add([this.#author.createFile(entry, at, content, 1)])
    const shown = showEntry(state, () => 0)
    if (verb === 'delete') return this.#add(this.#author.delete(state, { covered: state.heads, body: undefined }))
    const body = { ...at, kind: 'file' as const, size: 1, mtime: 0, content: Buffer.of(1) }
    if (verb === 'move' && shown.content !== undefined) {
      return this.#add([this.#author.move(state, shown.content, body, at)])
    }
    return this.#add([this.#author.write({ state, shown, at, content, replicas: 1 })])
  }

  /** Takes a record that another signed. */
  receive(record: EntryRecord): void {
    if (this.known.has(toHex(record.id)) || this.#waiting.includes(record)) return
    if (this.isTooFar(record)) this.#waiting.push(record)
    else this.#count(record)
  }

  /** Counts the records whose time has come. */
  pass(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const record of waiting) this.receive(record)
  }

  isTooFar(record: EntryRecord): boolean {
    return hlcMs(record.stamp.hlc) > this.clock.now() + FUTURE_MS_MAX
  }

  #add(statements: ReadonlyArray<Statement<'entry'>>): EntryRecord[] {
    const records = statements.map(statement => readRecord(statement, this.self.publicKey))
    for (const record of records) this.#count(record)
    return records
  }

  #count(record: EntryRecord): void {
    this.known.set(toHex(record.id), record)
    addRecord(this.stateOf(record.entry), record)
  }
}

const step = fc.record({
  who: fc.nat(MEMBERS - 1),
  from: fc.nat(MEMBERS - 1),
  verb: fc.constantFrom('write', 'write', 'write', 'move', 'delete', 'sync', 'sync', 'jump'),
  entry: fc.nat(ENTRIES - 1),
  /** How much time passes before the step. Clocks often stand still. */
  passMs: fc.constantFrom(0, 0, 0, 1, 1_000, 90_000),
  jumpMs: fc.integer({ min: -8 * MINUTE, max: 8 * MINUTE })
})
const skews = fc.array(fc.integer({ min: -8 * MINUTE, max: 8 * MINUTE }), { minLength: MEMBERS, maxLength: MEMBERS })

test('a fast clock, or one that jumps or stands still, holds up nothing but the entries that it has stamped', () => {
  let waited = 0
  let refused = 0
  fc.assert(
    fc.property(skews, fc.array(step, { minLength: 5, maxLength: 40 }), (skewsMs, steps) => {
      const members = skewsMs.map((skewMs, i) => new Member(i, skewMs))
      const entries = Array.from({ length: ENTRIES }, () => chance.bytes(16))
      const stamps = new Set<string>()
      for (const { who, from, verb, entry: index, passMs, jumpMs } of steps) {
        for (const { clock } of members) clock.advance(passMs)
        for (const member of members) member.pass()
        const member = members[who] as Member
        const entry = entries[index] as Uint8Array
        if (verb === 'jump') member.clock.jump(jumpMs)
        else if (verb === 'sync') for (const record of (members[from] as Member).known.values()) member.receive(record)
        else {
          const before = member.stateOf(entry).heads.map(({ stamp }) => stamp.hlc)
          const held = before.reduce((a, b) => (a > b ? a : b), 0n)
          let records: EntryRecord[]
          try {
            records = member.change(entry, verb)
          } catch (error) {
            // The only possible reason is the past of this entry.
            assert.ok(error instanceof ClockOffError)
            assert.ok(hlcMs(held + 1n) > member.clock.now() + FUTURE_MS_MAX)
            refused++
            continue
          }
          for (const { stamp, seen } of records) {
            assert.ok(hlcMs(stamp.hlc) <= member.clock.now() + FUTURE_MS_MAX, 'no stamp is too far ahead of its author')
            assert.equal(stamp.hlc > held, true, 'it comes after every head that its author held')
            assert.ok(seen.every(({ hlc }) => hlc < stamp.hlc))
            assert.ok(!stamps.has(`${index} ${stampKey(stamp)}`), 'no two records of an entry have one stamp')
            stamps.add(`${index} ${stampKey(stamp)}`)
            for (const other of members) {
              if (hlcMs(stamp.hlc) <= other.clock.now() + FUTURE_MS_MAX) continue
              waited++
              // Another member may make the record wait only because of its author's clock or the past of this entry.
              const isByClock = member.clock.now() > other.clock.now() + FUTURE_MS_MAX
              assert.ok(isByClock || stamp.hlc === held + 1n)
            }
          }
        }
      }
    }),
    { numRuns: 300, seed: 18 }
  )
  assert.ok(waited > 50 && refused > 5, `${waited} records had to wait, ${refused} changes were refused`)
})
