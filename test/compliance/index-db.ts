import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type Database, IndexDb, type IndexOp, indexKey } from '../../src/disk/index-db.ts'
import { silentLogger } from '../fixtures/logger.ts'
import { gather } from '../fixtures/streams.ts'

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1')
const key = (text: string): Uint8Array => indexKey('t', bytes(text))
const put = (name: string, value: string): IndexOp => ({ type: 'put', key: key(name), value: bytes(value) })
const del = (name: string): IndexOp => ({ type: 'del', key: key(name) })
const text = (value: Uint8Array | undefined): string | undefined => value && Buffer.from(value).toString('latin1')

/** What the index needs from a database, tested through the index itself. */
export function testIndex(name: string, make: (t: TestContext) => Promise<Database>): void {
  const check = (what: string, work: (index: IndexDb) => Promise<void>): void => {
    test(`${name}: ${what}`, async t => {
      const index = new IndexDb(await make(t), silentLogger)
      index.onCorrupt = error => assert.fail(error)
      await index.open()
      await work(index)
      await index.close()
    })
  }

  const list = async (index: IndexDb, prefix: Uint8Array, options = {}): Promise<string[]> =>
    (await gather(index.range(prefix, options))).map(({ key, value }) => `${text(key)}=${text(value)}`)

  check('returns rows that were put, and none that were deleted', async index => {
    await index.batch([put('a', '1'), put('b', ''), put('c', '3')])
    await index.batch([])
    assert.equal(text(await index.get(key('a'))), '1')
    assert.equal(text(await index.get(key('b'))), '')
    assert.equal(await index.get(key('d')), undefined)
    assert.equal(await index.has(key('b')), true)
    await index.batch([del('a'), del('never'), put('c', '4')])
    assert.equal(await index.has(key('a')), false)
    assert.equal(text(await index.get(key('c'))), '4')
  })

  check('applies the last change of a key in a batch', async index => {
    await index.batch([put('a', '1'), put('a', '2'), del('b'), put('b', '1'), put('c', '1'), del('c')])
    assert.deepEqual(await list(index, key('')), ['ta=2', 'tb=1'])
  })

  check('applies a synced batch like any other', async index => {
    await index.batch([put('a', '1')], { sync: true })
    assert.equal(text(await index.get(key('a'))), '1')
  })

  check('reads any number of rows at once, in the order of the keys', async index => {
    assert.deepEqual(await index.getMany([]), [])
    for (const count of [1, 32, 33, 500]) {
      const names = Array.from({ length: count }, (_, i) => `n${i}`)
      await index.batch(names.filter((_, i) => i % 3 !== 0).map(name => put(name, name)))
      const found = await index.getMany(names.map(key))
      assert.deepEqual(
        found.map(text),
        names.map((name, i) => (i % 3 === 0 ? undefined : name))
      )
    }
  })

  check('lists the rows of a prefix in bytewise order', async index => {
    const names = ['', 'a', 'a\x00', 'aa', 'a\x7f', 'a\x80', 'a\xff', 'a\xff\xff', 'b', '\xff', '\xff\xff']
    await index.batch([...names].reverse().map(name => put(name, 'x')))
    await index.batch([{ type: 'put', key: indexKey('u'), value: bytes('other table') }])
    await index.batch([{ type: 'put', key: indexKey('s', bytes('\xff')), value: bytes('table before') }])
    const expected = (prefix: string): string[] =>
      names.filter(name => name.startsWith(prefix)).map(name => `t${name}=x`)
    for (const prefix of ['', 'a', 'a\xff', '\xff', 'nothing'])
      assert.deepEqual(await list(index, key(prefix)), expected(prefix))
    // The index keeps rows of its own in its own table.
    const all = (await list(index, new Uint8Array(0))).filter(row => !row.startsWith('m'))
    assert.equal(all.length, names.length + 2)
    assert.deepEqual(await list(index, indexKey('u')), ['u=other table'])
  })

  check('lists rows behind a key, up to a limit', async index => {
    await index.batch(Array.from({ length: 600 }, (_, i) => put(String(i).padStart(4, '0'), 'x')))
    assert.equal((await list(index, key(''))).length, 600)
    assert.deepEqual(await list(index, key(''), { after: key('0009'), limit: 2 }), ['t0010=x', 't0011=x'])
    assert.deepEqual(await list(index, key('001'), { after: key('0018') }), ['t0019=x'])
    assert.deepEqual(await list(index, key(''), { after: key('0599') }), [])
    assert.deepEqual(await list(index, key(''), { limit: 0 }), [])
    assert.equal(await index.hasAny(key('05')), true)
    assert.equal(await index.hasAny(key('06')), false)
  })

  check('lists the rows of the moment in which the list began, and may be stopped in the middle', async index => {
    await index.batch(Array.from({ length: 600 }, (_, i) => put(String(i).padStart(4, '0'), 'x')))
    let seen = 0
    for await (const { key } of index.range(indexKey('t'))) {
      if (seen++ === 0) await index.batch([del('0500'), put('9999', 'new')])
      assert.notEqual(text(key), 't9999')
    }
    assert.equal(seen, 600)
    for await (const _ of index.range(indexKey('t'))) break
  })

  check('keeps the bytes of a value when the caller changes its buffer', async index => {
    const value = Buffer.alloc(5000, 7)
    const name = Buffer.from(key('big'))
    await index.batch([{ type: 'put', key: name, value }])
    value.fill(0)
    name.fill(0)
    assert.deepEqual(Buffer.from((await index.get(key('big'))) as Uint8Array), Buffer.alloc(5000, 7))
  })
}
