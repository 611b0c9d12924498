import assert from 'node:assert/strict'
import { cp, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { CHAIN_LINKS_MAX } from '../../../src/disk/constants.ts'
import { DiskError, IndexCorruptError, LockedError, NoSpaceError, ReadOnlyError } from '../../../src/disk/errors.ts'
import { type Database, IndexDb, indexKey } from '../../../src/disk/index-db.ts'
import { levelDatabase, openIndex } from '../../fixtures/level.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { MemoryDatabase } from '../../fixtures/memory-database.ts'
import { gather } from '../../fixtures/streams.ts'
import { temporaryFolder } from '../../fixtures/temporary-folder.ts'

const key = (name: string): Uint8Array => indexKey('t', Buffer.from(name))
const put = (name: string, value: string) => ({ type: 'put' as const, key: key(name), value: Buffer.from(value) })

async function withCorruptions(database: Database): Promise<{ index: IndexDb; corruptions: IndexCorruptError[] }> {
  const index = await openIndex(database)
  const corruptions: IndexCorruptError[] = []
  index.onCorrupt = error => corruptions.push(error)
  return { index, corruptions }
}

test('every way to read a value notices every flipped bit', async () => {
  const database = new MemoryDatabase()
  const { index, corruptions } = await withCorruptions(database.asDatabase)
  await index.batch([put('a', 'value'), put('b', 'other')])
  for (let bit = 0; bit < 9 * 8; bit++) {
    const flip = (value: Buffer): void => {
      value[bit >> 3]! ^= 1 << (bit & 7)
    }
    database.corrupt(key('a'), flip)
    await assert.rejects(index.get(key('a')), IndexCorruptError)
    await assert.rejects(index.has(key('a')), IndexCorruptError)
    await assert.rejects(index.getMany([key('b'), key('a')]), IndexCorruptError)
    await assert.rejects(gather(index.range(key(''))), IndexCorruptError)
    await assert.rejects(index.hasAny(key('a')), IndexCorruptError)
    assert.equal(corruptions.length, 5 * (bit + 1))
    database.corrupt(key('a'), flip)
  }
  assert.equal(Buffer.from((await index.get(key('a'))) as Uint8Array).toString(), 'value')
  assert.equal(corruptions.length, 72 * 5)
})

test('a value under another key, or cut short, is refused', async () => {
  const database = new MemoryDatabase()
  const { index } = await withCorruptions(database.asDatabase)
  await index.batch([put('a', 'value')])
  const moved = database.asDatabase.getSync(key('a')) as Uint8Array
  await database.batch([{ type: 'put', key: key('b'), value: moved }])
  await assert.rejects(index.get(key('b')), IndexCorruptError)
  for (let length = 0; length < moved.byteLength; length++) {
    await database.batch([{ type: 'put', key: key('a'), value: moved.subarray(0, length) }])
    await assert.rejects(index.get(key('a')), IndexCorruptError, `${length} bytes`)
  }
})

test('open refuses an index that lacks a batch although it has later ones', async () => {
  const database = new MemoryDatabase()
  const { index } = await withCorruptions(database.asDatabase)
  for (let i = 0; i < 10; i++) await index.batch([put(`k${i}`, `${i}`)], { sync: i === 3 })
  for (let end = 4; end <= 10; end++) await (await withCorruptions(database.after(end).asDatabase)).index.close()
  // LevelDB began another log before a batch, and the old log lost everything since the last sync.
  for (let switched = 0; switched <= 10; switched++) {
    const left = database.after(10, switched)
    const opening = withCorruptions(left.asDatabase)
    if (left.batches === 10 || switched === 10) await opening
    else {
      await assert.rejects(opening, IndexCorruptError, `at ${switched}`)
      assert.equal(left.status, 'closed')
    }
  }
})

test('a new chain begins after a full one, once everything is in tables', async () => {
  const database = new MemoryDatabase()
  const { index } = await withCorruptions(database.asDatabase)
  for (let i = 0; i <= CHAIN_LINKS_MAX; i++) await index.batch([put(`k${i}`, '')])
  // The last link is written again, synced, and then the first link of the next chain.
  assert.equal(database.batches, CHAIN_LINKS_MAX + 2)
  const { index: left } = await withCorruptions(database.after(0, CHAIN_LINKS_MAX).asDatabase)
  assert.ok(await left.has(key(`k${CHAIN_LINKS_MAX - 1}`)))
  assert.ok(!(await left.has(key(`k${CHAIN_LINKS_MAX}`))))
  await left.batch([put('a', '1')])
})

test('LevelDB: chains follow one another, and open notices a lost link', async t => {
  const folder = await temporaryFolder(t)
  const first = await openIndex(await levelDatabase(t, folder))
  for (let i = 0; i <= CHAIN_LINKS_MAX; i++) await first.batch([put(`${i % 100}`, `${i}`)])
  assert.ok((await readdir(join(folder, 'index'))).some(name => name.endsWith('.ldb')))
  await first.close()
  for (let round = 0; round < 3; round++) {
    const again = await openIndex(await levelDatabase(t, folder))
    assert.equal(
      Buffer.from((await again.get(key(`${CHAIN_LINKS_MAX % 100}`))) as Uint8Array).toString(),
      `${CHAIN_LINKS_MAX}`
    )
    await again.batch([put('more', `${round}`)])
    await again.batch([put('more', `${round}`)])
    await again.close()
  }
  const database = await levelDatabase(t, folder)
  const last = await openIndex(database)
  for (let i = 0; i < 3; i++) await last.batch([put('more', `${i}`)])
  await database.batch([{ type: 'del', key: indexKey('m', Buffer.from('link'), Buffer.from([0, 0, 0, 1])) }])
  await last.close()
  await assert.rejects(async () => openIndex(await levelDatabase(t, folder)), IndexCorruptError)
})

test('whatever byte of a file of LevelDB is flipped, the index opens or says that it is damaged', async t => {
  const folder = await temporaryFolder(t)
  const first = await openIndex(await levelDatabase(t, folder))
  for (let i = 0; i < 50; i++) await first.batch([put(`${i}`, `${i}`)])
  await first.close()
  for (const name of await readdir(join(folder, 'index'))) {
    const bytes = await readFile(join(folder, 'index', name))
    for (const at of bytes.length === 0 ? [] : [0, bytes.length >> 1, bytes.length - 1]) {
      const copy = await temporaryFolder(t)
      await cp(folder, copy, { recursive: true })
      await writeFile(join(copy, 'index', name), bytes.with(at, (bytes[at] as number) ^ 0x20))
      const error = await levelDatabase(t, copy)
        .then(openIndex)
        .catch(thrown => thrown)
      assert.ok(error instanceof IndexDb || error instanceof IndexCorruptError, `${name}, byte ${at}: ${error}`)
    }
  }
})

test('open notices a gap in a log of LevelDB, and accepts a log that ends early', async t => {
  const folder = await temporaryFolder(t)
  const first = await openIndex(await levelDatabase(t, folder))
  for (let i = 0; i < 300; i++) await first.batch([put(`k${i}`, 'x'.repeat(1000))])
  const [name] = (await readdir(join(folder, 'index'))).filter(name => name.endsWith('.log'))
  const log = join(folder, 'index', name as string)
  const bytes = await readFile(log)
  await first.close()
  for (const [damaged, isRefused] of [
    [Buffer.from(bytes).fill(0, 70_000, 80_000), true],
    [bytes.subarray(0, 150_000), false]
  ] as const) {
    const copy = await temporaryFolder(t)
    await cp(folder, copy, { recursive: true })
    await writeFile(join(copy, 'index', name as string), damaged)
    const opening = levelDatabase(t, copy).then(openIndex)
    if (isRefused) await assert.rejects(opening, IndexCorruptError)
    else assert.ok(await (await opening).has(key('k100')))
  }
})

test('batches that wait are written together, in their order', async () => {
  const database = new MemoryDatabase()
  const { index } = await withCorruptions(database.asDatabase)
  await Promise.all(Array.from({ length: 50 }, (_, i) => index.batch([put('a', `${i}`), put(`k${i}`, '')])))
  assert.equal(database.batches, 1)
  assert.equal(Buffer.from((await index.get(key('a'))) as Uint8Array).toString(), '49')
})

test('reportCorrupt tells the owner of the index', async () => {
  const { index, corruptions } = await withCorruptions(new MemoryDatabase().asDatabase)
  const error = index.reportCorrupt('a row is missing')
  assert.ok(error instanceof IndexCorruptError)
  assert.deepEqual(corruptions, [error])
})

test('two processes cannot open the same index', async t => {
  const folder = await temporaryFolder(t)
  await openIndex(await levelDatabase(t, folder))
  await assert.rejects(openIndex(await levelDatabase(t, folder)), LockedError)
})

test('a flipped byte anywhere in the files of LevelDB is noticed or hides rows, but never changes a row', async t => {
  const folder = await temporaryFolder(t)
  const rows = Array.from({ length: 3000 }, (_, i) => put(String(i).padStart(5, '0'), `value ${i}`.padEnd(80, '.')))
  const first = await levelDatabase(t, folder)
  await (await openIndex(first)).batch(rows)
  // Moves rows from the log into tables, as LevelDB does by itself.
  await (first as unknown as { compactRange(from: Uint8Array, to: Uint8Array): Promise<void> }).compactRange(
    key(''),
    indexKey('u')
  )
  await first.close()
  const path = join(folder, 'index')
  const tables = (await readdir(path)).filter(name => name.endsWith('.ldb'))
  assert.ok(tables.length > 0)
  let noticed = 0
  let hidden = 0
  for (const table of tables) {
    const original = await readFile(join(path, table))
    for (let at = 40; at < original.byteLength; at += Math.ceil(original.byteLength / 12)) {
      const flipped = Buffer.from(original)
      flipped[at]! ^= 0x10
      await writeFile(join(path, table), flipped)
      const database = await levelDatabase(t, folder)
      try {
        const { index, corruptions } = await withCorruptions(database)
        const found = await gather(index.range(key('')))
        for (const { key, value } of found) {
          const row = rows[Number(Buffer.from(key.subarray(1)).toString())]
          assert.equal(Buffer.from(value).toString(), row?.value.toString())
        }
        assert.deepEqual(corruptions, [])
        if (found.length < rows.length) hidden++
      } catch (error) {
        assert.ok(error instanceof IndexCorruptError, String(error))
        noticed++
      } finally {
        await database.close()
      }
      await writeFile(join(path, table), original)
    }
  }
  t.diagnostic(`${noticed} noticed at once, ${hidden} hid rows, which the leaf check is for`)
  assert.ok(noticed + hidden > 0)
})

test('errors of the system are told apart', async () => {
  const says = (message: string, code = 'LEVEL_IO_ERROR') => Object.assign(new Error(message), { code })
  const cases: Array<[Error, new (message: string) => Error]> = [
    [says('IO error: /x/000003.log: No space left on device'), NoSpaceError],
    [says('IO error: /x/000003.log: Disk quota exceeded'), NoSpaceError],
    [says('IO error: /x/000003.log: Read-only file system'), ReadOnlyError],
    [says('IO error: /x/000003.log: Permission denied'), ReadOnlyError],
    [says('IO error: /x/000003.log: Input/output error'), DiskError],
    [says('Corruption: block checksum mismatch', 'LEVEL_CORRUPTION'), IndexCorruptError],
    [
      Object.assign(new Error('Database failed to open'), {
        code: 'LEVEL_DATABASE_NOT_OPEN',
        cause: says('IO error: lock: already held', 'LEVEL_LOCKED')
      }),
      LockedError
    ],
    [
      Object.assign(new Error('Database failed to open'), {
        code: 'LEVEL_DATABASE_NOT_OPEN',
        cause: says('Corruption: no meta-nextfile entry in descriptor', 'LEVEL_CORRUPTION')
      }),
      IndexCorruptError
    ]
  ]
  for (const [thrown, type] of cases) {
    const database = new MemoryDatabase()
    const { index } = await withCorruptions(database.asDatabase)
    database.batch = async () => {
      throw thrown
    }
    await assert.rejects(index.batch([put('a', '1')]), error => {
      assert.ok(error instanceof type, `${(thrown as Error).message}: ${error}`)
      assert.ok(!(error as Error).message.includes('/x/'), 'the message has no path')
      return true
    })
  }
})

test('a reader of an index that has been closed gets an error of ours that says so', async () => {
  const index = new IndexDb(new MemoryDatabase().asDatabase, silentLogger)
  await index.open()
  await index.close()
  await assert.rejects(index.get(key('a')), { name: 'StoppedError', code: 'aborted' })
  await assert.rejects(index.batch([put('a', '1')]), { name: 'StoppedError' })
})
