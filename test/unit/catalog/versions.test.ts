import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PURGE_WAIT_MS, SHORT_LIVED_MAX } from '../../../src/catalog/constants.ts'
import { pastOf, pastOfAll } from '../../../src/catalog/heads.ts'
import type { Version } from '../../../src/catalog/versions/versions.ts'
import { TABLES } from '../../../src/disk/tables.ts'
import { nameBlock } from '../../../src/format/cid.ts'
import { ROOT_ENTRY } from '../../../src/format/entry.ts'
import { type Hlc, hlcAfter, hlcAt } from '../../../src/format/stamp.ts'
import type { LocalMember } from '../../../src/members/local-member.ts'
import { equalBytes } from '../../../src/util/bytes.ts'
import { CLOCK_STANDS_MS } from '../../../src/util/steady-clock.ts'
import {
  admin,
  carrying,
  epoch,
  fileWith,
  otherWriter,
  Setup,
  type Signed,
  type SignInit,
  sign,
  writer
} from './setup.ts'

const HOUR = 60 * 60_000
const DAY = 24 * HOUR
const E = Buffer.alloc(16, 0xe0)

/** The fields of a file whose content is in a block. */
function stored(text: string, name = 'file') {
  const body = { parent: ROOT_ENTRY, name, kind: 'file' as const, size: 5, mtime: 0, key: Buffer.alloc(32, 1) }
  return { root: nameBlock(Buffer.from(text)).bytes, rootEpoch: epoch.id, body }
}

/** A member on whose clock time passes, and what it hears of one file. */
class Member {
  readonly setup: Setup

  private constructor(setup: Setup) {
    this.setup = setup
  }

  static async open(): Promise<Member> {
    return new Member(await Setup.open())
  }

  /** Signs a record now, which has seen some others. It does not arrive here yet. */
  sign(init: Omit<SignInit, 'entry'>, ...seen: readonly Signed[]): Signed {
    return sign({ entry: E, hlc: this.after(...seen), seen: pastOfAll(seen.map(({ record }) => record)), ...init })
  }

  /** The stamp that a record gets now if it follows these. */
  after(...seen: readonly Signed[]): Hlc {
    return hlcAfter(this.setup.clock.now(), ...seen.map(({ record }) => record.stamp.hlc))
  }

  write(text: string, by: LocalMember, ...seen: readonly Signed[]): Signed {
    return this.sign({ by, ...stored(text) }, ...seen)
  }

  delete(by: LocalMember, flags: { purge?: boolean; cancel?: boolean }, ...seen: readonly Signed[]): Signed {
    return this.sign({ by, op: 'delete', ...flags }, ...seen)
  }

  move(of: Signed, name: string, by: LocalMember): Signed {
    const { body } = stored('', name)
    return sign({ ...carrying(of), by, hlc: this.after(of), body })
  }

  /** Some records arrive now. */
  async add(...records: readonly Signed[]): Promise<void> {
    await this.setup.add(...records)
    await this.setup.retention.look()
  }

  /** Lets time pass, and then the clock stand for long enough. */
  async pass(ms: number): Promise<void> {
    this.setup.clock.advance(ms)
    await this.setup.retention.look()
  }

  async versions(): Promise<Version[]> {
    const versions: Version[] = []
    for await (const version of this.setup.versions.of(E)) versions.push(version)
    return versions
  }

  /** Returns which of some records the log still has. */
  async logged(...records: readonly Signed[]): Promise<boolean[]> {
    const found = await Promise.all(records.map(({ record }) => this.setup.log.get(record.id)))
    return found.map(item => item !== undefined)
  }

  /** Returns which of some records have been released. */
  async released(...records: readonly Signed[]): Promise<boolean[]> {
    return Promise.all(records.map(({ record }) => this.setup.isReleased(record.id)))
  }

  async isIndexed({ statement, record }: Signed): Promise<boolean> {
    const author = record.stamp.author
    const role = equalBytes(author, admin.publicKey) ? 'admin' : 'writer'
    const place = { segment: 1, offset: 0, length: 0 }
    return this.setup.projection.isIndexed({ statement, author, role, sequence: 1, arrivedAtMs: 0, place })
  }
}

test('an overwritten version is kept for 30 days, and its record is released after that', async () => {
  const member = await Member.open()
  const one = member.write('one', writer)
  await member.add(one)
  const [before] = await member.versions()
  assert.equal(before?.endedAtMs, null)
  assert.equal(before?.expiresAtMs, null)
  await member.pass(2 * DAY)
  const two = member.write('two', admin, one)
  const ended = member.setup.clock.now()
  await member.add(two)
  const [first, second] = await member.versions()
  assert.deepEqual(
    [first, second],
    [
      {
        record: one.record.id,
        written: one.record.stamp,
        arrivedAtMs: ended - 2 * DAY,
        endedAtMs: ended,
        expiresAtMs: ended + 30 * DAY,
        purgedAtMs: null,
        isPurged: false,
        isReleased: false
      },
      {
        record: two.record.id,
        written: two.record.stamp,
        arrivedAtMs: ended,
        endedAtMs: null,
        expiresAtMs: null,
        purgedAtMs: null,
        isPurged: false,
        isReleased: false
      }
    ]
  )
  await member.pass(30 * DAY - 1)
  assert.deepEqual(await member.released(one, two), [false, false])
  await member.pass(1)
  assert.deepEqual(await member.released(one, two), [true, false])
  const [gone] = await member.versions()
  assert.equal(gone?.isReleased, true)
  for (const record of [one, two]) assert.ok(await member.isIndexed(record))
  await member.pass(365 * DAY)
  assert.deepEqual(await member.released(one, two), [true, false])
})

test('the space of a deleted file returns 30 days after the delete has arrived, whatever its stamp says', async () => {
  const member = await Member.open()
  const one = member.write('one', writer)
  await member.pass(DAY)
  const two = member.write('two', writer, one)
  await member.pass(DAY)
  const gone = member.delete(writer, {}, two)
  await member.add(one, two)
  assert.equal(await member.setup.versions.freesAtMs(E), null)
  await member.pass(100 * DAY)
  const now = member.setup.clock.now()
  await member.add(gone)
  assert.equal(await member.setup.versions.freesAtMs(E), now + 30 * DAY)
  await member.pass(29 * DAY)
  assert.deepEqual(await member.released(one, two), [true, false])
  await member.pass(DAY)
  assert.deepEqual(await member.released(one, two), [true, true])
  assert.equal(await member.setup.versions.freesAtMs(E), null)
})

test('a version that arrives after the record which ended it is kept for 30 days from then on', async () => {
  const member = await Member.open()
  const one = member.write('one', writer)
  await member.pass(90 * DAY)
  const two = member.write('two', writer, one)
  await member.add(two)
  await member.pass(90 * DAY)
  const now = member.setup.clock.now()
  await member.add(one)
  const [first] = await member.versions()
  assert.deepEqual([first?.endedAtMs, first?.expiresAtMs], [now, now + 30 * DAY])
  await member.pass(29 * DAY)
  assert.deepEqual(await member.released(one), [false])
  await member.pass(DAY)
  assert.deepEqual(await member.released(one), [true])
})

test('a file keeps only the last ten of the versions that their author ended within an hour', async () => {
  const member = await Member.open()
  const all: Signed[] = []
  for (let i = 0; i < SHORT_LIVED_MAX + 4; i++) {
    all.push(member.write(`${i}`, writer, ...all.slice(-1)))
    await member.add(all.at(-1) as Signed)
    await member.pass(HOUR - 1)
  }
  // The last one is the file, and ten of the others are kept.
  const expected = all.map((_, i) => i < 3)
  assert.deepEqual(await member.released(...all), expected)
  assert.equal(await member.setup.versions.count(E, { writes: all.length }), SHORT_LIVED_MAX + 1)
  const [gone, ...rest] = await member.versions()
  assert.equal(rest.filter(({ isReleased }) => !isReleased).length, SHORT_LIVED_MAX + 1)
  // It was kept until an eleventh came, and nobody knows when that was.
  assert.deepEqual([gone?.isReleased, gone?.expiresAtMs], [true, null])
})

test('a version is not short-lived if somebody else ended it, if it lived for an hour, or if its end was stamped later', async () => {
  const member = await Member.open()
  const all: Signed[] = []
  const next = async (by: LocalMember): Promise<void> => {
    all.push(member.write(`${all.length}`, by, ...all.slice(-1)))
    await member.add(all.at(-1) as Signed)
  }
  for (let i = 0; i < 30; i++) {
    await next(i % 2 === 0 ? writer : otherWriter)
    await member.pass(60_000)
  }
  for (let i = 0; i < 30; i++) {
    await next(admin)
    await member.pass(HOUR)
  }
  assert.deepEqual(
    await member.released(...all),
    all.map(() => false)
  )
  // A member that was away receives all of it at once.
  const late = await Member.open()
  await late.add(...all)
  assert.deepEqual(
    await late.released(...all),
    all.map(() => false)
  )
})

test('the purge of an admin releases at once what it has seen, and also what arrives later', async () => {
  const member = await Member.open()
  const one = member.write('one', writer)
  const two = member.write('two', writer, one)
  const other = member.write('other', otherWriter, one)
  await member.add(one, two)
  const purge = member.delete(admin, { purge: true }, two, other)
  await member.add(purge)
  assert.deepEqual(await member.released(one, two), [true, true])
  assert.equal(await member.setup.versions.freesAtMs(E), null)
  await member.add(other)
  assert.deepEqual(await member.released(other), [true])
  const again = member.write('again', writer, purge)
  await member.add(again)
  await member.pass(DAY)
  assert.deepEqual(await member.released(again), [false])
  for (const record of [one, two, other, purge, again]) assert.ok(await member.isIndexed(record))
})

test('the purge of an admin releases more versions than are looked at in one batch', async () => {
  const member = await Member.open()
  const all: Signed[] = []
  for (let i = 0; i < 300; i++) {
    all.push(member.write(`${i}`, i % 2 === 0 ? writer : otherWriter, ...all.slice(-1)))
    member.setup.clock.advance(1)
  }
  await member.add(...all)
  await member.add(member.delete(admin, { purge: true }, all.at(-1) as Signed))
  assert.ok((await member.released(...all)).every(Boolean))
  assert.equal(await member.setup.versions.count(E, { writes: 300 }), 0)
})

test('the purge of a writer takes effect after 7 days, covered or not', async () => {
  const member = await Member.open()
  const one = member.write('one', writer)
  await member.add(one)
  await member.pass(DAY)
  const purge = member.delete(writer, { purge: true }, one)
  await member.add(purge)
  assert.equal(await member.setup.versions.freesAtMs(E), member.setup.clock.now() + PURGE_WAIT_MS)
  await member.pass(DAY)
  const again = member.write('again', writer, purge)
  await member.add(again)
  await member.pass(PURGE_WAIT_MS - DAY - 1)
  assert.deepEqual(await member.released(one), [false])
  await member.pass(1)
  assert.deepEqual(await member.released(one, again), [true, false])
})

test('a delete that says cancel in time saves the versions from the purge of a writer, whichever arrives first', async () => {
  for (const [isFirst, waitMs] of [
    [true, 0],
    [false, 6 * DAY],
    [false, PURGE_WAIT_MS]
  ] as const) {
    const member = await Member.open()
    const one = member.write('one', writer)
    await member.add(one)
    await member.pass(DAY)
    const purge = member.delete(writer, { purge: true }, one)
    const cancel = member.delete(otherWriter, { cancel: true }, purge)
    await member.add(isFirst ? cancel : purge)
    const ended = member.setup.clock.now()
    await member.pass(waitMs)
    await member.add(isFirst ? purge : cancel)
    if (waitMs < PURGE_WAIT_MS) assert.equal(await member.setup.versions.freesAtMs(E), ended + 30 * DAY)
    await member.pass(20 * DAY - waitMs)
    assert.deepEqual(await member.released(one), [waitMs === PURGE_WAIT_MS])
    await member.pass(10 * DAY)
    assert.deepEqual(await member.released(one), [true])
  }
})

test('a cancel does not save versions from the purge of an admin, or from another purge that it has not seen', async () => {
  const member = await Member.open()
  const one = member.write('one', writer)
  await member.add(one)
  const purges = [writer, otherWriter].map(by => member.delete(by, { purge: true }, one))
  await member.add(...purges, member.delete(writer, { cancel: true }, purges[0] as Signed))
  await member.pass(PURGE_WAIT_MS)
  assert.deepEqual(await member.released(one), [true])
})

test('a clock that jumps ahead ends nothing for an hour, and nothing at all once it has been set back', async () => {
  const member = await Member.open()
  const { clock } = member.setup
  const one = member.write('one', writer)
  await member.add(one)
  await member.pass(2 * HOUR)
  await member.add(member.write('two', writer, one))
  await member.pass(DAY)
  clock.jump(365 * DAY)
  await member.pass(0)
  await member.pass(CLOCK_STANDS_MS - 1)
  assert.deepEqual(await member.released(one), [false])
  clock.jump(-365 * DAY)
  await member.pass(28 * DAY)
  assert.deepEqual(await member.released(one), [false])
  await member.pass(DAY)
  assert.deepEqual(await member.released(one), [true])
})

test('a version that ended while the clock was ahead, or is back now, is kept for longer and not for less', async () => {
  const member = await Member.open()
  const { clock } = member.setup
  const one = member.write('one', writer)
  await member.add(one)
  clock.jump(100 * DAY)
  await member.add(member.write('two', writer, one))
  clock.jump(-100 * DAY)
  await member.pass(60 * DAY)
  assert.deepEqual(await member.released(one), [false])
  clock.jump(-50 * DAY)
  await member.pass(DAY)
  assert.deepEqual(await member.released(one), [false])
  clock.jump(50 * DAY)
  await member.pass(0)
  await member.pass(70 * DAY)
  assert.deepEqual(await member.released(one), [true])
})

test('while our clock does not agree with the others, time ends no version, but the purge of an admin does', async () => {
  const member = await Member.open()
  const one = member.write('one', writer)
  await member.add(one)
  await member.pass(2 * HOUR)
  const two = member.write('two', writer, one)
  await member.add(two)
  member.setup.isClockRight = false
  await member.pass(60 * DAY)
  assert.deepEqual(await member.released(one), [false])
  await member.add(member.delete(admin, { purge: true }, two))
  assert.deepEqual(await member.released(one, two), [true, true])
})

test('in a network that keeps no versions, a version is released as soon as it has ended', async () => {
  const member = await Member.open()
  member.setup.keptMs = 0
  const one = member.write('one', writer)
  const moved = member.move(one, 'moved', otherWriter)
  await member.add(one)
  await member.add(moved)
  assert.deepEqual(await member.released(one, moved), [false, false])
  await member.add(member.write('two', admin, moved))
  assert.deepEqual(await member.released(one, moved), [true, true])
})

test('the number of days in the settings counts for versions that have ended already', async () => {
  const member = await Member.open()
  const one = member.write('one', writer)
  await member.add(one)
  await member.pass(2 * HOUR)
  await member.add(member.write('two', writer, one))
  member.setup.keptMs = 90 * DAY
  await member.pass(60 * DAY)
  assert.deepEqual(await member.released(one), [false])
  member.setup.keptMs = 59 * DAY
  await member.pass(0)
  assert.deepEqual(await member.released(one), [true])
})

test('a move that shows a version which has expired is released only once another record covers it', async () => {
  const member = await Member.open()
  const one = member.write('one', writer)
  await member.add(one)
  await member.pass(2 * HOUR)
  const moved = member.move(one, 'moved', otherWriter)
  const two = member.write('two', admin, one)
  await member.add(moved, two)
  await member.pass(30 * DAY)
  assert.deepEqual(await member.released(one, moved, two), [true, false, false])
  const three = member.write('three', admin, moved, two)
  await member.add(three)
  assert.deepEqual(await member.released(one, moved, two, three), [true, true, false, false])
})

test('a version that a move carries expires, whether the move or the record that ends the version arrives first', async () => {
  for (const isMoveFirst of [false, true])
    for (const isDelete of [false, true]) {
      const m = await Member.open()
      const first = m.write('one', writer)
      await m.add(first)
      const move = m.move(first, 'moved', otherWriter)
      const end = isDelete ? m.delete(writer, {}, first) : m.write('two', writer, first)
      await m.pass(2 * HOUR)
      for (const record of isMoveFirst ? [move, end] : [end, move]) await m.add(record)
      await m.pass(30 * DAY - HOUR)
      assert.deepEqual(await m.released(first), [false])
      await m.pass(2 * HOUR)
      assert.deepEqual(await m.released(first), [true], `move first: ${isMoveFirst}, delete: ${isDelete}`)
    }
})

test('a move that meets a delete is released with the version that it carries', async () => {
  const member = await Member.open()
  const one = member.write('one', writer)
  await member.add(one)
  const moved = member.move(one, 'moved', otherWriter)
  await member.add(member.delete(admin, {}, one), moved)
  await member.pass(29 * DAY)
  assert.deepEqual(await member.released(one, moved), [false, false])
  await member.pass(DAY)
  assert.deepEqual(await member.released(one, moved), [true, true])
})

test('content that was sealed again is released at once, and content that shows is not', async () => {
  const member = await Member.open()
  const one = member.write('one', writer)
  await member.add(one)
  await member.pass(DAY)
  const { root, rootEpoch } = [stored('sealed'), stored('again')].reduce((a, b) =>
    Buffer.compare(a.root, one.record.root as Uint8Array) > 0 ? a : b
  )
  const isBetter = Buffer.compare(root, one.record.root as Uint8Array) > 0
  const again = sign({
    ...carrying(one),
    ...stored(''),
    root,
    rootEpoch,
    by: admin,
    hlc: member.after(one)
  })
  await member.add(again)
  assert.deepEqual(await member.released(one, again), [isBetter, false])
})

test('a record that waits, because its content is not known, is not released by time', async () => {
  const member = await Member.open()
  const one = member.write('one', writer)
  await member.add(one)
  const forged = sign({ ...carrying(one), ...stored('forged'), by: otherWriter, hlc: member.after(one) })
  await member.add(forged)
  await member.add(member.delete(admin, {}, one))
  await member.pass(60 * DAY)
  assert.deepEqual(await member.released(one, forged), [true, false])
})

test('a record that waits is released by a purge of the content that it carries, whichever arrives first', async () => {
  for (const isFirst of [true, false])
    for (const by of [admin, otherWriter]) {
      const member = await Member.open()
      const one = member.write('one', writer)
      // This member never gets the record that wrote the content: others have forgotten it.
      const moved = member.move(one, 'moved', otherWriter)
      const purge = member.delete(by, { purge: true }, one)
      for (const record of isFirst ? [moved, purge] : [purge, moved]) await member.add(record)
      const isNow = by === admin
      assert.deepEqual(await member.released(moved), [isNow])
      await member.pass(PURGE_WAIT_MS)
      assert.deepEqual(await member.released(moved), [true])
      for (const record of [moved, purge]) assert.ok(await member.isIndexed(record))
      const left = (await member.setup.rows()).filter(row => row.startsWith(TABLES.versionNews))
      assert.deepEqual(left, [])
    }
})

test('twins of a version that has ended are released together with it', async () => {
  const member = await Member.open()
  const hlc = hlcAt(member.setup.clock.now())
  const twins = ['a', 'b', 'c'].map(text => sign({ entry: E, by: writer, hlc, ...stored(text) }))
  await member.add(twins[1] as Signed)
  await member.add(twins[0] as Signed)
  await member.add(member.delete(otherWriter, {}, twins[0] as Signed))
  await member.pass(30 * DAY)
  assert.deepEqual(await member.released(twins[0] as Signed, twins[1] as Signed), [true, true])
  await member.add(twins[2] as Signed)
  assert.deepEqual(await member.released(...twins), [true, true, true])
  assert.equal(await member.setup.versions.count(E, { writes: 1 }), 0)
})

test('a move that arrives once its version has been released counts all the same, and one of other content waits', async () => {
  const member = await Member.open()
  const one = member.write('one', writer)
  const moved = member.move(one, 'moved', otherWriter)
  const forged = sign({ ...carrying(one), ...stored('forged'), by: otherWriter, hlc: member.after(moved) })
  await member.add(one, member.write('two', admin, one))
  const before = await member.setup.rows()
  await member.pass(30 * DAY)
  const bytes = (rows: string[]): number => rows.filter(row => row.startsWith('r ')).join('').length
  assert.ok(bytes(await member.setup.rows()) < bytes(before), 'the index does not keep the content')
  await member.add(moved, forged)
  const waiting = (await member.setup.rows()).filter(row => row.startsWith(TABLES.waitingRecords))
  assert.equal(waiting.length, 1)
  assert.deepEqual(await member.released(one), [true])
  for (const record of [moved, forged]) assert.ok(await member.isIndexed(record))
})

test('no news about versions is left once the worker has looked', async () => {
  const member = await Member.open()
  const one = member.write('one', writer)
  await member.add(one, member.write('two', writer, one), member.delete(writer, { purge: true }, one))
  await member.pass(PURGE_WAIT_MS)
  await member.pass(30 * DAY)
  const rows = await member.setup.rows()
  const left = [TABLES.versionNews, TABLES.endedVersions, TABLES.duePurges].flatMap(table =>
    rows.filter(row => row.startsWith(table))
  )
  assert.deepEqual(left, [])
  assert.deepEqual(pastOf(one.record).length, 1)
})

test('the log forgets the records of a version that is no longer kept, and keeps deletes', async () => {
  const member = await Member.open()
  const one = sign({ entry: E, by: writer, ...fileWith('a short text is in the record', { name: 'file' }) })
  const moved = sign({
    ...carrying(one),
    by: otherWriter,
    hlc: member.after(one),
    ...fileWith('a short text is in the record', { name: 'moved' }),
    root: one.record.root
  })
  const two = member.write('two', writer, moved)
  const gone = member.delete(admin, {}, two)
  await member.add(one, moved, two, gone)
  await member.pass(29 * DAY)
  assert.deepEqual(await member.logged(one, moved, two, gone), [true, true, true, true])
  await member.pass(DAY)
  assert.deepEqual(await member.logged(one, moved, two, gone), [false, false, false, true])
  // So this member does not wait for ever until another one has them.
  assert.deepEqual(await member.released(one, moved, two, gone), [true, true, true, false])
  assert.equal(await member.setup.versions.count(E, { writes: 2 }), 0)
  const purge = member.delete(admin, { purge: true }, gone)
  await member.add(purge)
  assert.deepEqual(await member.logged(gone, purge), [true, true])
})

test('the log keeps the record that wrote an expired version while a move that carries it is a head', async () => {
  const member = await Member.open()
  const one = member.write('one', writer)
  await member.add(one)
  await member.pass(2 * HOUR)
  const moved = member.move(one, 'moved', otherWriter)
  const two = member.write('two', admin, one)
  await member.add(moved, two)
  await member.pass(30 * DAY)
  assert.deepEqual(await member.logged(one, moved), [true, true])
  await member.add(member.write('three', admin, moved, two))
  assert.deepEqual(await member.logged(one, moved), [false, false])
})

test('the log keeps a record that alone says what an author had seen', async () => {
  const member = await Member.open()
  const zero = member.write('zero', otherWriter)
  const one = member.write('one', writer, zero)
  // An honest author would name all that the heads before it had seen.
  const two = sign({ entry: E, by: admin, hlc: member.after(one), seen: [one.record.stamp], ...stored('two') })
  await member.add(zero, one, two)
  await member.pass(30 * DAY)
  assert.deepEqual(await member.released(zero, one), [true, true])
  assert.deepEqual(await member.logged(zero, one), [true, true])
})
