import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HEADS_MAX } from '../../../src/catalog/constants.ts'
import { pastOf } from '../../../src/catalog/heads.ts'
import type { DirectoryNode } from '../../../src/catalog/tree-node.ts'
import { NoSpaceError } from '../../../src/disk/errors.ts'
import { SEEN_MAX, SEEN_OF_DELETE_MAX } from '../../../src/format/constants.ts'
import type { Seen } from '../../../src/format/entry.ts'
import { parsePath } from '../../../src/format/path.ts'
import type { Statement } from '../../../src/format/statement.ts'
import { toHex } from '../../../src/util/bytes.ts'
import { codeOf } from '../../../src/util/errors.ts'
import { carrying, contentOf, directoryAt, fileWith, Setup, sign, writer } from './setup.ts'

const idOf = (n: number): Buffer => Buffer.alloc(16, n)
const move = (setup: Setup, from: string, to: string, more: object = {}) =>
  setup.catalog.move(parsePath(from), parsePath(to), { replicas: 1, ...more })
const put = (setup: Setup, path: string, text: string, more: object = {}) =>
  setup.catalog.link(parsePath(path), contentOf(text), { replicas: 1, ...more })
const remove = (setup: Setup, path: string) => setup.catalog.remove(parsePath(path), { recursive: true })
const pastOfLength = (count: number, fill = 3): Seen[] =>
  Array.from({ length: count }, (_, i) => {
    const incarnation = Buffer.alloc(8)
    incarnation.writeUInt32BE(i)
    return { hlc: 5n, author: Buffer.alloc(32, fill), incarnation }
  })

/** Two files of one name in `/`. The second shows as a conflict of the first. */
async function rivals(name: string): Promise<{ setup: Setup; conflict: string }> {
  const setup = await Setup.open()
  await setup.add(sign({ entry: idOf(2), ...fileWith('second', { name }) }))
  await setup.add(sign({ entry: idOf(1), ...fileWith('first', { name }) }))
  return { setup, conflict: `/${name} (conflict ${toHex(idOf(2)).slice(0, 8)})` }
}

test('a conflict that is moved onto the file that has its name replaces that file', async () => {
  const { setup, conflict } = await rivals('a')
  assert.deepEqual(await setup.contents(), ['/a first', `${conflict} second`])
  await move(setup, conflict, '/a')
  assert.deepEqual(await setup.contents(), ['/a second'])
})

test('a put to a file whose name a directory has leaves the other files of that name alone', async () => {
  const { setup } = await rivals('a')
  await setup.add(sign({ entry: idOf(9), ...directoryAt('a') }))
  const [first, second] = [1, 2].map(n => `/a (conflict ${toHex(idOf(n)).slice(0, 8)})`) as [string, string]
  assert.deepEqual(await setup.contents(), [`${first} first`, `${second} second`])
  await put(setup, first, 'new')
  assert.deepEqual(await setup.contents(), [`${first} new`, `${second} second`])
  await put(setup, second, 'other')
  assert.deepEqual(await setup.contents(), [`${first} new`, `${second} other`])
})

test('a file with a full past and a conflict version is moved, and the version stays where it is', async () => {
  const setup = await Setup.open()
  const entry = idOf(1)
  const first = sign({ entry, ...fileWith('one', { name: 'f' }), incarnation: Buffer.alloc(8, 7) })
  const other = sign({ entry, ...fileWith('two', { name: 'f' }), by: writer })
  await setup.add(first, other)
  const later = sign({ entry, ...fileWith('three', { name: 'f' }), seen: pastOfLength(SEEN_MAX) })
  await setup.add(later)
  await move(setup, '/f', '/g')
  const contents = await setup.contents()
  assert.equal(contents.filter(line => line === '/g three').length, 1, contents.join())
  for (const text of ['one', 'two'])
    assert.ok(
      contents.some(line => line.endsWith(` ${text}`)),
      contents.join()
    )
})

test('a directory with a full past takes everything along that shows in it', async () => {
  const setup = await Setup.open()
  const [top, gone, file] = [idOf(1), idOf(2), idOf(3)]
  await setup.add(sign({ entry: top, ...directoryAt('d'), seen: pastOfLength(SEEN_MAX) }))
  const made = sign({ entry: gone, ...directoryAt('gone', top) })
  await setup.add(made)
  await setup.add(sign({ entry: gone, op: 'delete', seen: pastOf(made.record), ...directoryAt('gone', top) }))
  await setup.add(sign({ entry: file, ...fileWith('x', { parent: gone, name: 'f' }) }))
  assert.deepEqual(await setup.paths(), ['/d', '/d/gone', '/d/gone/f'])
  await move(setup, '/d', '/e')
  assert.deepEqual(await setup.paths(), ['/e', '/e/gone', '/e/gone/f'])
})

test('a directory with a full past and more children than fit in one append is moved with all of them', async () => {
  const setup = await Setup.open()
  const [top, inner] = [idOf(1), idOf(2)]
  const full = { seen: pastOfLength(SEEN_MAX) }
  await setup.add(
    sign({ entry: top, ...directoryAt('d'), ...full }),
    sign({ entry: inner, ...directoryAt('i', top), ...full })
  )
  for (let i = 0; i < 300; i++) await put(setup, `/d/${i % 2 === 0 ? 'i/' : ''}f${i}`, `${i}`)
  const below = (await setup.contents()).map(line => line.replace('/d/', '/e/')).sort()
  const appended: number[] = []
  await move(setup, '/d', '/e', { onAppended: async (records: unknown[]) => appended.push(records.length) })
  assert.deepEqual((await setup.contents()).sort(), below)
  assert.ok(appended.length > 1 && appended.every(count => count < 300), appended.join())
  assert.equal(await setup.at('/d'), undefined)
})

test('a delete that has seen as much as a delete may see does not lock its entry', async () => {
  const text = () => fileWith('x', { name: 'f' })
  const open = async (): Promise<Setup> => {
    const setup = await Setup.open()
    const deleted = sign({ entry: idOf(1), op: 'delete', by: writer, seen: pastOfLength(SEEN_OF_DELETE_MAX) })
    await setup.add(sign({ entry: idOf(1), ...text() }), deleted)
    return setup
  }
  let setup = await open()
  await put(setup, '/f', 'new')
  assert.deepEqual(await setup.contents(), ['/f new'])
  setup = await open()
  await move(setup, '/f', '/g')
  assert.deepEqual(await setup.contents(), ['/g x'])
  setup = await open()
  await remove(setup, '/f')
  assert.deepEqual(await setup.contents(), [])
})

test('every directory that a path shows as one is moved', async () => {
  const setup = await Setup.open()
  for (const n of [1, 2, 3]) {
    await setup.add(sign({ entry: idOf(n), ...directoryAt('d') }))
    await setup.add(sign({ entry: idOf(n + 10), ...fileWith(`${n}`, { parent: idOf(n), name: `f${n}` }) }))
  }
  await move(setup, '/d', '/e')
  assert.deepEqual(await setup.contents(), ['/e/f1 1', '/e/f2 2', '/e/f3 3'])
})

test('a directory can be removed after it was moved into another one that was moved into it and deleted', async () => {
  const setup = await Setup.open()
  const [d, e] = [idOf(0xd), idOf(0xe)]
  const made = sign({ entry: d, ...directoryAt('d') })
  const other = sign({ entry: e, ...directoryAt('e') })
  await setup.add(made, other)
  const moved = sign({ ...carrying(other), ...directoryAt('e', d) })
  await setup.add(moved)
  await setup.add(sign({ entry: e, op: 'delete', seen: pastOf(moved.record), ...directoryAt('e', d) }))
  const hlc = moved.record.stamp.hlc + 9n
  await setup.add(sign({ ...carrying(made), by: writer, hlc, ...directoryAt('d', e) }))
  const [path, ...others] = await setup.paths()
  assert.deepEqual([path, others], [`/d (conflict ${toHex(d)})`, []])
  await remove(setup, path as string)
  assert.deepEqual(await setup.paths(), [])
})

test('a removal of a file deletes all of its heads, including those for which its row has no room', async () => {
  for (const path of ['/d/f', '/d']) {
    const setup = await Setup.open()
    await setup.catalog.mkdir(parsePath('/d'), 1)
    const { ids } = (await setup.at('/d')) as DirectoryNode
    for (let i = 0; i < 2 * HEADS_MAX + 2; i++) {
      const incarnation = Buffer.alloc(8, i)
      await setup.add(sign({ entry: idOf(1), incarnation, ...fileWith(`${i}`, { parent: ids[0]!, name: 'f' }) }))
    }
    await remove(setup, path)
    assert.deepEqual(await setup.paths(), path === '/d' ? [] : ['/d'])
  }
})

test('a record that has seen a write beside many heads does not cover the heads that the write has not seen', async () => {
  const setup = await Setup.open()
  await put(setup, '/f', 'first')
  const { id } = (await setup.at('/f')) as { id: Uint8Array }
  const { row } = (await setup.tree.entry(id))!
  const [own] = row.state.heads
  for (let i = 0; i < HEADS_MAX; i++)
    await setup.add(
      sign({ entry: id, by: writer, incarnation: Buffer.alloc(8, i), ...fileWith(`${i}`, { name: 'f' }) })
    )
  await put(setup, '/f', 'last')
  const now = (await setup.tree.entry(id))!
  const last = now.shown.content!
  assert.ok(!last.seen.some(({ incarnation }) => toHex(incarnation) === toHex(own!.stamp.incarnation)))
  assert.notEqual(toHex(last.stamp.incarnation), toHex(own!.stamp.incarnation))
})

test('a file is moved into the directory that is at the new path when it is moved', async () => {
  const setup = await Setup.open()
  await put(setup, '/f', 'x')
  await put(setup, '/d/f', 'y')
  await setup.catalog.mkdir(parsePath('/e/f'), 1)
  assert.deepEqual(await move(setup, '/f', '/d'), ['d', 'f'])
  assert.deepEqual(await setup.contents(), ['/d/f x'])
  assert.equal(await move(setup, '/d/f', '/e').catch(codeOf), 'exists')
  assert.equal(await move(setup, '/d', '/d/e').catch(codeOf), 'invalid')
  assert.deepEqual(await move(setup, '/d', '/d'), ['d'])
})

test('a recursive removal appends a bounded number of entries at a time, each after all below it, and can be repeated after a failure', async () => {
  const setup = await Setup.open()
  const [top, inner] = [idOf(1), idOf(2)]
  await setup.add(sign({ entry: top, ...directoryAt('d') }), sign({ entry: inner, ...directoryAt('i', top) }))
  for (let start = 0; start < 600; start += 100)
    await setup.add(
      ...Array.from({ length: 100 }, (_, i) => {
        const entry = Buffer.alloc(16, 3)
        entry.writeUInt32BE(start + i)
        return sign({ entry, ...fileWith('x', { parent: inner, name: `f${start + i}` }) })
      })
    )
  const order: string[] = []
  const counts: number[] = []
  let room = 1
  const { append } = setup.log
  setup.log.append = async (statements, signer) => {
    if (room-- <= 0) throw new NoSpaceError('the disk is full')
    await append(statements, signer)
  }
  const onAppended = async (records: Array<Statement<'entry'>>, entries: number): Promise<void> => {
    order.push(...records.map(({ fields }) => toHex(fields.id)))
    counts.push(entries)
  }
  const removal = () =>
    setup.catalog.remove(parsePath('/d'), { recursive: true, onAppended }).then(({ fields }) => fields.op, codeOf)
  assert.equal(await removal(), 'no-space')
  assert.deepEqual(counts, [256])
  assert.equal((await setup.paths()).length, 2 + 600 - 256)
  room = 10
  assert.equal(await removal(), 'delete')
  assert.deepEqual(counts, [256, 256, 90])
  assert.equal(new Set(order).size, 602)
  assert.deepEqual(order.slice(-2), [toHex(inner), toHex(top)])
  assert.deepEqual(await setup.paths(), [])
})

/** A path with this number of levels. Each level adds 200 bytes. */
const levels = (count: number): string => `/${'n'.repeat(199)}`.repeat(count)

test('a directory does not move to a longer path if something below it would have a path that is too long', async () => {
  const setup = await Setup.open()
  const deep = `/a${levels(20)}`
  await put(setup, `${deep}/f`, 'text')
  // The longest path is 4,004 bytes long, so there is room for 92 more.
  const [fits, tooLong] = [`/a${'x'.repeat(92)}`, `/a${'x'.repeat(93)}`]
  await assert.rejects(move(setup, '/a', tooLong), {
    code: 'invalid',
    path: `${deep}/f`,
    message: /4097 bytes, and a path has at most 4096/
  })
  await move(setup, '/a', fits)
  assert.equal((await setup.at(`${fits}${levels(20)}/f`))?.kind, 'file')
  // It goes back to the shorter path, and into a directory only if there is room.
  await move(setup, fits, '/a')
  await put(setup, `/${'y'.repeat(93)}/g`, 'text')
  await assert.rejects(move(setup, '/a', `/${'y'.repeat(93)}`), { code: 'invalid', path: `${deep}/f` })
  assert.equal((await setup.at(`${deep}/f`))?.kind, 'file')
})

test('a name that makes the path of a file itself too long is refused, whatever it comes from', async () => {
  const setup = await Setup.open()
  await put(setup, '/f', 'text')
  const into = `/d${levels(20)}/${'z'.repeat(93)}`
  assert.equal(into.length, 4_096)
  await setup.catalog.mkdir(parsePath(into), 1)
  const name = `${into}/f`
  await assert.rejects(move(setup, '/f', into), {
    code: 'invalid',
    path: name
  })
  await assert.rejects(setup.catalog.mkdir(name.split('/').slice(1), 1), { code: 'invalid', path: name })
})

test('a move to a longer path looks at a bounded number of entries, and finds a deep path beside many files', async () => {
  const setup = await Setup.open()
  const deep = `/a${levels(20)}`
  await put(setup, `${deep}/f`, 'text')
  for (let i = 0; i < 400; i++) await put(setup, `/a/file${i}`, '')
  await assert.rejects(move(setup, '/a', `/a${'x'.repeat(93)}`), { code: 'invalid', path: `${deep}/f` })
  // If nothing is deep, no record and no name is read, and each directory is read once at most.
  await remove(setup, `/a/${'n'.repeat(199)}`)
  let reads = 0
  setup.beforeEach = async () => {
    reads++
  }
  await move(setup, '/a', '/b')
  const shorter = reads
  reads = 0
  await move(setup, '/b', '/longer')
  assert.ok(reads < shorter + 10, `${shorter}, ${reads}`)
})
