import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ROW_BYTES_MAX, SCAN_BYTES } from '../../../src/disk/constants.ts'
import { DiskError, RowCorruptError, UnknownLayoutError } from '../../../src/disk/errors.ts'
import type { Cursor, Place } from '../../../src/disk/place.ts'
import { FOOTER, RowCodec } from '../../../src/disk/row.ts'
import { Segments } from '../../../src/disk/segments.ts'
import { toHex } from '../../../src/util/bytes.ts'
import { StoppedError } from '../../../src/util/errors.ts'
import { FakeFiles, type FakeFilesOptions, KEEPS_ALL } from '../../fixtures/fake-files.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { gather } from '../../fixtures/streams.ts'

const STORE_ID = Buffer.alloc(16, 5)
const SEGMENT_BYTES = 500
const HEADER_BYTES = 24
const START: Cursor = { segment: 1, offset: 0 }
const FIRST = 'segments/00000001.seg'

const row = (text: string, type = 1) => ({ type, payload: Buffer.from(text) })

async function open(files = new FakeFiles(), segmentBytes = SEGMENT_BYTES): Promise<Segments> {
  const segments = new Segments({ files, storeId: STORE_ID, logger: silentLogger, segmentBytes })
  await segments.open()
  return segments
}

async function texts(segments: Segments, from = START, damage?: Cursor[]): Promise<string[]> {
  const rows = await gather(segments.scan(from, at => damage?.push(at)))
  return rows.filter(({ isVoid }) => !isVoid).map(({ payload }) => Buffer.from(payload).toString())
}

const numbered = (count: number, prefix = 'row'): Array<ReturnType<typeof row>> =>
  Array.from({ length: count }, (_, i) => row(`${prefix} ${i} `.padEnd(60, '.')))

function failing(): { files: FakeFiles; fail: (name: string | undefined, times?: number) => void } {
  let failing: string | undefined
  let left = 0
  const options: FakeFilesOptions = {
    before: ({ name }) => {
      if (name !== failing || left-- <= 0) return
      throw new DiskError('the disk reported EIO')
    }
  }
  return {
    files: new FakeFiles(options),
    fail: (name, times = 1) => {
      failing = name
      left = times
    }
  }
}

test('rows are read at their places, and scanned in the order in which they were written', async () => {
  const segments = await open()
  const places = await segments.append([row('one', 1), row('', 2), row('three', 3)])
  assert.deepEqual(places, [
    { segment: 1, offset: HEADER_BYTES, length: 3 },
    { segment: 1, offset: HEADER_BYTES + 16, length: 0 },
    { segment: 1, offset: HEADER_BYTES + 29, length: 5 }
  ])
  for (const [i, place] of places.entries()) {
    const { type, payload } = await segments.read(place)
    assert.deepEqual([type, Buffer.from(payload).toString()], [i + 1, ['one', '', 'three'][i]])
  }
  assert.deepEqual(await texts(segments), ['one', '', 'three'])
  assert.deepEqual(await texts(segments, { segment: 1, offset: (places[2] as Place).offset }), ['three'])
  const scanned = await gather(segments.scan(START))
  assert.deepEqual(
    scanned.map(({ place }) => place),
    places
  )
  assert.deepEqual(segments.end, scanned.at(-1)?.next)
})

test('rows that are appended together are committed with one sync', async () => {
  let syncs = 0
  const files = new FakeFiles({
    before: ({ name }) => {
      if (name === 'sync') syncs++
    }
  })
  const segments = await open(files, 1 << 20)
  await segments.append([row('first')])
  syncs = 0
  await Promise.all(Array.from({ length: 100 }, (_, i) => segments.append([row(`row ${i}`)])))
  assert.equal(syncs, 1)
})

test('a full segment is closed with a footer, and rows go to the next one', async () => {
  const files = new FakeFiles()
  const segments = await open(files)
  const places = (await Promise.all(numbered(40).map(row => segments.append([row])))).flat()
  assert.ok(Math.max(...places.map(({ segment }) => segment)) >= 5)
  assert.deepEqual(
    await texts(segments),
    numbered(40).map(({ payload }) => payload.toString())
  )
  for (const { segment, bytes } of segments.closedSegments()) {
    const data = files.contents().get(`segments/0000000${segment}.seg`) as Buffer
    assert.equal(data.byteLength, bytes)
    assert.equal(data[data.byteLength - 13], FOOTER)
    assert.equal(data.readUInt32BE(data.byteLength - 8), places.filter(place => place.segment === segment).length)
    assert.ok(bytes <= SEGMENT_BYTES + 80 + 21)
  }
  assert.equal(
    segments.bytes,
    [...files.contents().values()].reduce((sum, data) => sum + data.byteLength, 0)
  )
})

test('after a stop all rows are there, and more can be appended', async () => {
  const files = new FakeFiles()
  for (let round = 0; round < 4; round++) {
    const segments = await open(files)
    await segments.append(numbered(5, `round ${round}:`))
    await segments.close()
  }
  const damage: Cursor[] = []
  const segments = await open(files)
  assert.equal((await texts(segments, START, damage)).length, 20)
  assert.deepEqual(damage, [])
})

test('open cuts off a torn row at the end, wherever it was torn', async () => {
  const whole = new FakeFiles()
  const writer = await open(whole)
  await writer.append([row('kept')])
  const { offset: good } = writer.end
  await writer.append([row('torn, in the middle of it')])
  const bytes = whole.contents().get(FIRST) as Buffer
  for (let length = good; length < bytes.byteLength; length++) {
    for (const tail of [Buffer.alloc(0), Buffer.alloc(100), Buffer.alloc(30, 0xff), Buffer.from('df5e6a01', 'hex')]) {
      const files = whole.crash(KEEPS_ALL)
      files.corrupt(FIRST, bytes => Buffer.concat([bytes.subarray(0, length), tail]))
      const segments = await open(files)
      assert.deepEqual(segments.end, { segment: 1, offset: good })
      assert.equal(await files.size(FIRST), good)
      await segments.append([row('next')])
      assert.deepEqual(await texts(segments), ['kept', 'next'])
    }
  }
})

test('rows inside the payload of a torn row are not valid', async () => {
  const files = new FakeFiles()
  const segments = await open(files, 1 << 20)
  // A peer that does not know the store id could send this as a block: a row for exactly that place.
  const place = { segment: 1, offset: HEADER_BYTES + 13 + 10 }
  const { header } = new RowCodec(Buffer.alloc(16, 6)).header(row('a forged row'), place)
  const payload = Buffer.concat([Buffer.alloc(10), header, Buffer.from('a forged row'), Buffer.alloc(1000)])
  await segments.append([{ type: 2, payload }])
  files.corrupt(FIRST, bytes => bytes.subarray(0, bytes.byteLength - 500))
  assert.deepEqual(await texts(await open(files)), [])
  // Rows of this store are not valid at another place either.
  const again = await open(files)
  await again.append([row('true')])
  const copied = (files.contents().get(FIRST) as Buffer).subarray(HEADER_BYTES)
  await again.append([{ type: 2, payload: Buffer.concat([copied, Buffer.alloc(1000)]) }])
  files.corrupt(FIRST, bytes => bytes.subarray(0, bytes.byteLength - 500))
  assert.deepEqual(await texts(await open(files)), ['true'])
})

test('a flipped byte loses its row and no other, and is reported once', async () => {
  const files = new FakeFiles()
  const segments = await open(files)
  const places = await segments.append(numbered(20))
  const victim = places[2] as Place
  const original = Buffer.from(files.contents().get(FIRST) as Buffer)
  for (let at = victim.offset; at < victim.offset + 13 + victim.length; at++) {
    files.corrupt(FIRST, () => {
      const bytes = Buffer.from(original)
      bytes[at]! ^= 0x04
      return bytes
    })
    const damage: Cursor[] = []
    const read = await texts(segments, START, damage)
    assert.equal(read.length, 19, `byte ${at}`)
    assert.ok(!read.some(text => text.startsWith('row 2 ')))
    assert.deepEqual(damage, [{ segment: 1, offset: victim.offset }])
    await assert.rejects(segments.read(victim), RowCorruptError)
    assert.equal((await segments.readUnchecked(victim)).byteLength, victim.length)
    await segments.read(places[3] as Place)
  }
})

test('a scan skips a damaged stretch that is longer than a read', async () => {
  const files = new FakeFiles()
  const segments = await open(files, 8 << 20)
  const big = (i: number) => ({ type: 2, payload: Buffer.alloc(ROW_BYTES_MAX, i) })
  const places = await segments.append(Array.from({ length: 40 }, (_, i) => big(i)))
  const [from, to] = [(places[3] as Place).offset + 5, (places[30] as Place).offset + 5]
  files.corrupt(FIRST, bytes => bytes.fill(0, from, to))
  const damage: Cursor[] = []
  const rows = await gather(segments.scan(START, at => damage.push(at)))
  assert.deepEqual(
    rows.map(({ payload }) => payload[0]),
    [0, 1, 2, ...Array.from({ length: 9 }, (_, i) => i + 31)]
  )
  assert.equal(damage.length, 1)
})

test('a scan finds the next row if its magic is split between two reads', async () => {
  for (const back of [1, 2, 3, 4]) {
    const files = new FakeFiles()
    const segments = await open(files, 8 << 20)
    const full = { type: 2, payload: Buffer.alloc(ROW_BYTES_MAX) }
    const rest = SCAN_BYTES - back - 12 * (ROW_BYTES_MAX + 13) - 13
    await segments.append([
      ...Array.from({ length: 12 }, () => full),
      { type: 2, payload: Buffer.alloc(rest) },
      row('found')
    ])
    files.corrupt(FIRST, bytes => bytes.fill(0, HEADER_BYTES, HEADER_BYTES + SCAN_BYTES - back))
    const damage: Cursor[] = []
    assert.deepEqual(await texts(segments, START, damage), ['found'])
    assert.equal(damage.length, 1)
  }
})

test('a scan returns what is left of a file that was cut, and reports it', async () => {
  const files = new FakeFiles()
  const segments = await open(files, 1 << 20)
  const places = await segments.append(numbered(10))
  files.corrupt(FIRST, bytes => bytes.subarray(0, (places[4] as Place).offset))
  const damage: Cursor[] = []
  assert.equal((await texts(segments, START, damage)).length, 4)
  assert.equal(damage.length, 1)
  await assert.rejects(segments.read(places[4] as Place), RowCorruptError)
})

test('a segment that could not be opened is opened again at the next read', async () => {
  const { files, fail } = failing()
  const segments = await open(files)
  const [place] = await segments.append([row('x')])
  fail('openRead')
  await assert.rejects(segments.read(place as Place), DiskError)
  assert.equal(Buffer.from((await segments.read(place as Place)).payload).toString(), 'x')
})

test('a scan reports rows that the footer counts and that are missing', async () => {
  const files = new FakeFiles()
  const segments = await open(files)
  const places = await segments.append(numbered(20))
  const inFirst = places.filter(({ segment }) => segment === 1)
  const last = inFirst.at(-1) as Place
  // Cuts a row out without a trace. The rows after it are no longer at their places.
  files.corrupt(FIRST, bytes => Buffer.concat([bytes.subarray(0, last.offset), bytes.subarray(last.offset + 73)]))
  for (const cut of [last.offset, last.offset + 30, HEADER_BYTES]) {
    files.corrupt(FIRST, bytes => bytes.subarray(0, cut))
    const damage: Cursor[] = []
    await texts(await open(files), START, damage)
    assert.equal(damage.length, 1, `cut at ${cut}`)
    assert.equal(damage[0]?.segment, 1)
  }
})

test('a scan reports a footer that does not match the rows', async () => {
  const files = new FakeFiles()
  const segments = await open(files)
  await segments.append(numbered(20))
  const other = new FakeFiles()
  const fewer = await open(other)
  // A footer of a segment with other rows.
  await fewer.append(numbered(20, 'raw'))
  const bytes = files.contents().get(FIRST) as Buffer
  const footer = (other.contents().get(FIRST) as Buffer).subarray(-21)
  files.corrupt(FIRST, () => Buffer.concat([bytes.subarray(0, -21), footer]))
  const damage: Cursor[] = []
  const read = await texts(await open(files), START, damage)
  assert.equal(read.length, 20)
  assert.equal(damage.length, 1)
})

test('open refuses a segment of another store, or of no store', async () => {
  const files = new FakeFiles()
  await (await open(files)).append([row('x')])
  const foreign = new Segments({ files, storeId: Buffer.alloc(16, 6), logger: silentLogger })
  await assert.rejects(foreign.open(), UnknownLayoutError)
  files.corrupt(FIRST, bytes => bytes.fill('X', 0, 8).subarray(0, 30))
  await assert.rejects(open(files), UnknownLayoutError)
})

test('open keeps the rows after a damaged header, and reports the header', async () => {
  const whole = new FakeFiles()
  const writer = await open(whole)
  await writer.append(numbered(20))
  const last = writer.end.segment
  for (const segment of [1, 2, last])
    for (const at of [0, 7, 8, 23]) {
      const files = whole.crash(KEEPS_ALL)
      files.corrupt(`segments/0000000${segment}.seg`, bytes => {
        bytes[at]! ^= 1
        return undefined
      })
      const segments = await open(files)
      assert.deepEqual(segments.damage, [{ segment, offset: 0 }])
      const damage: Cursor[] = []
      assert.equal((await texts(segments, START, damage)).length, 20)
      assert.deepEqual(damage, [])
      await segments.append(numbered(20))
      assert.equal((await texts(await open(files.crash()))).length, 40)
    }
})

test('a last segment without a whole header is created again, and one in between is left alone', async () => {
  for (const length of [0, 1, 23]) {
    const files = new FakeFiles()
    await (await open(files)).append(numbered(10))
    const last = Math.max(...(await files.list('segments')).map(name => Number.parseInt(name, 10)))
    await files.writeNew(`segments/0000000${last + 1}.seg`, [Buffer.alloc(length)])
    await files.writeNew('segments/README', [Buffer.from('not a segment')])
    const segments = await open(files)
    assert.equal((await texts(segments)).length, 10)
    await segments.append(numbered(10))
    assert.equal((await texts(segments)).length, 20)
    files.corrupt(FIRST, () => Buffer.alloc(length))
    assert.deepEqual((await open(files)).damage, [{ segment: 1, offset: 0 }])
    assert.equal(await files.size(FIRST), length)
  }
})

test('repeated failures leave no segments behind, and no number is used twice', async () => {
  let isBroken = true
  const files = new FakeFiles({
    before: ({ name, bytes = 0 }) => {
      if (isBroken && name === 'append' && bytes > HEADER_BYTES) throw new DiskError('the disk reported EIO')
    }
  })
  const segments = await open(files)
  for (let i = 0; i < 50; i++) {
    await assert.rejects(segments.append(numbered(1)), DiskError)
    assert.ok((await files.list('segments')).length <= 2)
  }
  assert.equal(segments.end.segment, 50)
  // The last segment survives any power cut, so its number is not used again.
  assert.equal((await open(files.reopen())).end.segment, 50)
  isBroken = false
  const again = await open(files.reopen())
  const [place] = await again.append([row('at last')])
  assert.equal(place?.segment, 50)
  const damage: Cursor[] = []
  assert.deepEqual(await texts(again, START, damage), ['at last'])
  assert.deepEqual(damage, [])
})

test('an abandoned segment gets its footer once the disk works again', async () => {
  let isBroken = false
  const files = new FakeFiles({
    before: ({ name, path, bytes = 0 }) => {
      // The segment accepts no more bytes, but it can be cut.
      if (isBroken && name === 'append' && path === FIRST && bytes !== HEADER_BYTES)
        throw new DiskError('the disk reported EIO')
    }
  })
  const segments = await open(files)
  await segments.append([row('before')])
  isBroken = true
  await assert.rejects(segments.append([row('lost')]), DiskError)
  await segments.append([row('between')])
  isBroken = false
  await segments.append(numbered(20))
  const damage: Cursor[] = []
  assert.equal((await texts(await open(files.crash()), START, damage)).length, 22)
  assert.deepEqual(damage, [])
})

test('the last segment stays even if it is closed, since its number would otherwise be used twice', async () => {
  const { files, fail } = failing()
  const before = await open(files)
  await before.append(numbered(7))
  // The segment is closed, and the power is cut before the next one begins.
  fail('openAppend')
  await assert.rejects(before.append(numbered(1)), DiskError)
  const segments = await open(files.crash())
  const { segment } = segments.end
  assert.deepEqual(segments.closedSegments(), [])
  await assert.rejects(segments.remove(segment), RangeError)
  const [place] = await segments.append([row('next')])
  assert.equal(place?.segment, segment + 1)
  assert.deepEqual(
    segments.closedSegments().map(closed => closed.segment),
    [segment]
  )
  await segments.remove(segment)
})

test('a removed segment is gone from scans and from the disk, and known places can still be read', async () => {
  const files = new FakeFiles()
  const segments = await open(files)
  const places = await segments.append(numbered(60))
  const known = places[0] as Place
  await segments.remove(1)
  assert.ok(!segments.has(1))
  assert.equal(await files.size(FIRST), undefined)
  assert.ok(!(await texts(segments)).some(text => text.startsWith('row 0 ')))
  assert.match(Buffer.from((await segments.read(known)).payload).toString(), /^row 0 /)
  segments.forgetRemoved()
  await assert.rejects(segments.read(known), { name: 'FileMissingError' })
  for (const segment of [2, 3, 4, 5]) await segments.remove(segment)
  await segments.read(places.find(({ segment }) => segment === 5) as Place)
  const after = await open(files.crash())
  assert.equal(after.has(1), false)
})

for (const name of ['append', 'sync']) {
  test(`a failed ${name} acknowledges nothing, and the next row is acknowledged`, async () => {
    const { files, fail } = failing()
    const segments = await open(files)
    await segments.append([row('before')])
    fail(name)
    await assert.rejects(segments.append([row('lost')]), DiskError)
    const [place] = await segments.append([row('after')])
    assert.equal(place?.segment, 2)
    assert.deepEqual(await texts(segments), ['before', 'after'])
    const damage: Cursor[] = []
    assert.deepEqual(await texts(await open(files.crash()), START, damage), ['before', 'after'])
    assert.deepEqual(damage, [])
  })
}

test('a disk that fails for a while fails each write and loses no earlier row', async () => {
  const { files, fail } = failing()
  const segments = await open(files)
  await segments.append([row('before')])
  for (const name of ['append', 'sync', 'syncDirectory', 'openAppend', 'remove']) {
    fail(name, 3)
    for (let i = 0; i < 2; i++) await segments.append([row('perhaps')]).catch(() => {})
    fail(undefined)
    await segments.append([row(`after ${name}`)])
  }
  const damage: Cursor[] = []
  const read = await texts(await open(files.crash()), START, damage)
  for (const name of ['before', 'after append', 'after sync', 'after syncDirectory', 'after openAppend'])
    assert.ok(read.includes(name), name)
  assert.deepEqual(damage, [])
})

test('the rows of a write that failed in its second segment are void, and later rows are valid', async () => {
  const { files, fail } = failing()
  const segments = await open(files)
  await segments.append([row('before')])
  const long = segments.append(numbered(20))
  fail('syncDirectory')
  await assert.rejects(long, DiskError)
  await segments.append([row('after')])
  const damage: Cursor[] = []
  assert.deepEqual(await texts(await open(files.crash()), START, damage), ['before', 'after'])
  assert.deepEqual(damage, [])
})

test('append refuses a row that is too long', async () => {
  const segments = await open()
  assert.throws(() => segments.append([{ type: 1, payload: Buffer.alloc(ROW_BYTES_MAX + 1) }]), RangeError)
  await segments.append([{ type: 1, payload: Buffer.alloc(ROW_BYTES_MAX) }])
})

test('append is refused after close', async () => {
  const segments = await open()
  await segments.append([row('x')])
  await segments.close()
  await assert.rejects(segments.append([row('y')]), StoppedError)
})

test('many readers can read more segments than may be open', async () => {
  let most = 0
  let openNow = 0
  const files = new FakeFiles()
  const openRead = files.openRead.bind(files)
  files.openRead = async path => {
    const file = await openRead(path)
    most = Math.max(most, ++openNow)
    return {
      read: (offset, length) => file.read(offset, length),
      close: async () => {
        openNow--
        await file.close()
      }
    }
  }
  const segments = await open(files, 100)
  const places = await segments.append(numbered(300))
  const reads = Array.from({ length: 2000 }, (_, i) => segments.read(places[(i * 37) % 300] as Place))
  for (const [i, { payload }] of (await Promise.all(reads)).entries())
    assert.equal(toHex(payload), toHex((numbered(300)[(i * 37) % 300] as ReturnType<typeof row>).payload))
  await segments.close()
  await new Promise(resolve => setImmediate(resolve))
  assert.equal(openNow, 0)
})
