import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FEED_CONFLICTS_MAX, ORPHAN_MS } from '../../../src/catalog/constants.ts'
import { appendRow, isKnown, newestCursor, parseMark, readRow } from '../../../src/catalog/feed/feed-rows.ts'
import { pastOf } from '../../../src/catalog/heads.ts'
import { IndexOps } from '../../../src/disk/index-sink.ts'
import type { Path } from '../../../src/format/path.ts'
import { hlcAt } from '../../../src/format/stamp.ts'
import type { WatchEvent } from '../../../src/index.ts'
import { toHex } from '../../../src/util/bytes.ts'
import { acceptedBy } from '../../fixtures/accepted.ts'
import { WatchedTree } from '../../fixtures/watched-tree.ts'
import {
  carrying,
  contentOf,
  directoryAt,
  fileWith,
  lateEpoch,
  names,
  ringWithout,
  Setup,
  sign,
  writer
} from './setup.ts'
import { catchUp, listed } from './watching.ts'

const [D, E, F] = [0xd0, 0xe0, 0xf0].map(byte => Buffer.alloc(16, byte)) as [Buffer, Buffer, Buffer]
const LATE = { epoch: lateEpoch.id, incarnation: Buffer.alloc(8, 1) }
const OPTIONS = { recursive: true }
type Signed = ReturnType<typeof sign>

/** A program that watches everything, and has read what there is. */
class Watching {
  readonly tree = new WatchedTree()
  readonly #setup: Setup
  readonly #path: Path

  constructor(setup: Setup, path: Path = []) {
    this.#setup = setup
    this.#path = path
  }

  /** Reads what there is to be told, and returns it. Checks that the program then has what a listing shows. */
  async read(): Promise<string[]> {
    const before = this.tree.events.length
    await catchUp(this.#setup, this.tree, { path: this.#path, options: OPTIONS })
    assert.deepEqual(this.tree.lines, await listed(this.#setup, this.#path, true))
    return this.tree.events
      .slice(before)
      .filter(({ change }) => change !== 'current')
      .map(textOf)
  }
}

function textOf({ change, from, path }: WatchEvent): string {
  return [change, ...(from === undefined ? [] : [from]), path].join(' ')
}

async function watching(setup: Setup, path: Path = []): Promise<Watching> {
  const watch = new Watching(setup, path)
  await watch.read()
  return watch
}

test('creating, writing, moving and removing files and directories are told as such', async () => {
  const setup = await Setup.open()
  const { catalog } = setup
  const watch = await watching(setup)
  const put = async (path: string, text: string) =>
    void (await catalog.link(path.split('/'), contentOf(text), { replicas: 1 }))
  await put('d/a', '1')
  assert.deepEqual(await watch.read(), ['created /d', 'created /d/a'])
  await put('d/a', '22')
  assert.deepEqual(await watch.read(), ['changed /d/a'])
  await catalog.move(['d', 'a'], ['d', 'b'], { replicas: 1 })
  assert.deepEqual(await watch.read(), ['moved /d/a /d/b'])
  await catalog.move(['d'], ['x', 'y'], { replicas: 1 })
  assert.deepEqual(await watch.read(), ['created /x', 'moved /d /x/y'], 'one event for the directory')
  await catalog.remove(['x'], { recursive: true })
  assert.deepEqual(await watch.read(), ['removed /x/y', 'removed /x'])
})

test('changes of a path in several batches are told with the content that is there now, and nothing is invented', async () => {
  const setup = await Setup.open()
  const { catalog } = setup
  const watch = await watching(setup)
  await catalog.link(['a'], contentOf('1'), { replicas: 1 })
  await catalog.link(['a'], contentOf('22'), { replicas: 1 })
  assert.deepEqual(await watch.read(), ['created /a', 'changed /a'])
  assert.deepEqual(
    watch.tree.events.slice(-2).map(({ size }) => size),
    [2, 2]
  )
  await catalog.link(['b'], contentOf('1'), { replicas: 1 })
  await catalog.remove(['b'], {})
  assert.deepEqual(await watch.read(), ['removed /b'], 'the file was gone before anybody was told of it')
})

test('a change below a directory before its move is told under the former path', async () => {
  const setup = await Setup.open()
  const { catalog } = setup
  await catalog.link(['d', 'a'], contentOf('1'), { replicas: 1 })
  await catalog.link(['d', 'b'], contentOf('1'), { replicas: 1 })
  const watch = await watching(setup)
  await catalog.remove(['d', 'a'], {})
  await catalog.move(['d'], ['e'], { replicas: 1 })
  assert.deepEqual(await watch.read(), ['removed /d/a', 'moved /d /e'])
})

test('two writes that do not know of each other are told as a conflict, and so is its end', async () => {
  const setup = await Setup.open()
  const watch = await watching(setup)
  const one = sign({ entry: F, ...fileWith('1', { name: 'f.txt' }), hlc: hlcAt(1_000) })
  await setup.add(one)
  assert.deepEqual(await watch.read(), ['created /f.txt'])
  const two = sign({ entry: F, ...fileWith('2', { name: 'f.txt' }), by: writer, hlc: hlcAt(2_000) })
  await setup.add(two)
  const told = await watch.read()
  assert.equal(told[0], 'changed /f.txt')
  assert.match(told[1] as string, /^conflict \/f \(conflict [0-9a-f]{8}\)\.txt$/)
  await setup.catalog.link(['f.txt'], contentOf('3'), { replicas: 1 })
  assert.deepEqual(await watch.read(), [(told[1] as string).replace('conflict', 'removed'), 'changed /f.txt'])
})

test('two files of one name are told as a conflict, and the older one has its name again when the newer is gone', async () => {
  const setup = await Setup.open()
  const watch = await watching(setup)
  await setup.add(sign({ entry: E, ...fileWith('1', { name: 'f' }), hlc: hlcAt(1_000) }))
  await watch.read()
  const newer = sign({ entry: F, ...fileWith('2', { name: 'f' }), hlc: hlcAt(2_000) })
  await setup.add(newer)
  assert.deepEqual(await watch.read(), ['changed /f', 'conflict /f (conflict e0e0e0e0)'])
  await setup.add(sign({ entry: F, seen: pastOf(newer.record), op: 'delete', hlc: hlcAt(3_000) }))
  assert.deepEqual(await watch.read(), ['removed /f (conflict e0e0e0e0)', 'changed /f'])
})

test('a conflict is told under another name when an entry comes that has its name as its own, and when that leaves', async () => {
  const setup = await Setup.open()
  const watch = await watching(setup)
  for (const [entry, ms] of [
    [E, 1_000],
    [F, 2_000]
  ] as const)
    await setup.add(sign({ entry, ...fileWith('1', { name: 'f' }), hlc: hlcAt(ms) }))
  await setup.add(sign({ entry: E, ...fileWith('other', { name: 'f' }), hlc: hlcAt(500) }))
  await watch.read()
  const named = sign({ entry: D, ...fileWith('2', { name: 'f (conflict e0e0e0e0)' }) })
  await setup.add(named)
  assert.ok((await watch.read()).includes('conflict /f (conflict e0e0e0e0e0e0e0e0)'))
  await setup.add(sign({ ...carrying(named), ...fileWith('2', { name: 'g' }) }))
  assert.ok((await watch.read()).includes('conflict /f (conflict e0e0e0e0)'))
})

test('a directory that has moved from where a reset finds a file is told whole at its new place', async () => {
  const setup = await Setup.open()
  const [first, second] = [D, E].map(entry => sign({ entry, ...directoryAt('d') })) as [Signed, Signed]
  const below = Buffer.alloc(16, 1)
  await setup.add(first, sign({ entry: below, ...fileWith('1', { parent: D, name: 'below' }) }), second)
  await setup.add(sign({ entry: F, ...fileWith('2', { name: 'd' }) }))
  const watch = await watching(setup)
  const { body } = directoryAt('d')
  await setup.add(sign({ entry: E, seen: pastOf(second.record), op: 'delete', body }))
  await setup.add(sign({ ...carrying(first), ...directoryAt('moved') }))
  const told = await watch.read()
  assert.ok(
    told.includes('reset /d') && told.includes('created /d') && told.includes('created /moved/below'),
    told.join()
  )
})

test('when the last entry of a directory and then the directory leave a path that others share, these stay told', async () => {
  const setup = await Setup.open()
  const shared = [D, E].map(entry => sign({ entry, ...directoryAt('d') }))
  const mine = sign({ entry: F, ...fileWith('1', { parent: D, name: 'f' }), hlc: hlcAt(1_000) })
  await setup.add(...shared, mine)
  await setup.add(sign({ entry: Buffer.alloc(16, 1), ...fileWith('2', { parent: E, name: 'f' }), hlc: hlcAt(2_000) }))
  const watch = await watching(setup)
  await setup.add(sign({ entry: F, seen: pastOf(mine.record), op: 'delete', hlc: hlcAt(3_000) }))
  const left = sign({ ...carrying(shared[0] as Signed), ...directoryAt('gone') })
  await setup.add(left)
  await watch.read()
})

test('a file is told each time that a directory takes its name or gives it back', async () => {
  const setup = await Setup.open()
  const watch = await watching(setup)
  await setup.add(sign({ entry: F, ...fileWith('1', { name: 'n' }) }))
  await watch.read()
  const directory = sign({ entry: D, ...directoryAt('n') })
  await setup.add(directory)
  assert.deepEqual(await watch.read(), ['created /n', 'conflict /n (conflict f0f0f0f0)'])
  await setup.add(sign({ ...carrying(directory), ...directoryAt('m') }))
  assert.deepEqual(await watch.read(), ['moved /n /m', 'removed /n (conflict f0f0f0f0)', 'created /n'])
})

test('a record that waits for its content is told when it counts', async () => {
  const setup = await Setup.open()
  const watch = await watching(setup)
  const put = sign({ entry: F, ...fileWith('1', { name: 'a' }), hlc: hlcAt(1_000) })
  const moved = sign({ ...fileWith('1', { name: 'b' }), ...carrying(put), by: writer, hlc: hlcAt(2_000) })
  await setup.add(moved)
  assert.deepEqual(await watch.read(), [])
  await setup.add(put)
  assert.deepEqual(await watch.read(), ['created /b'])
})

test('everything below a directory that arrives late is told when it does', async () => {
  const setup = await Setup.open()
  const watch = await watching(setup)
  await setup.add(sign({ entry: F, ...fileWith('1', { parent: E, name: 'f' }) }))
  await setup.add(sign({ entry: E, ...directoryAt('inner', D) }))
  assert.deepEqual(await watch.read(), [])
  await setup.add(sign({ entry: D, ...directoryAt('outer') }))
  assert.deepEqual(await watch.read(), ['created /outer', 'created /outer/inner', 'created /outer/inner/f'])
})

test('a directory that shows again because something is in it is told before that', async () => {
  const setup = await Setup.open()
  const made = sign({ entry: D, ...directoryAt('d') })
  await setup.add(made)
  const watch = await watching(setup)
  await setup.add(sign({ entry: D, seen: pastOf(made.record), op: 'delete', body: directoryAt('d').body }))
  assert.deepEqual(await watch.read(), ['removed /d'])
  await setup.add(sign({ entry: F, ...fileWith('1', { parent: D, name: 'f' }) }))
  assert.deepEqual(await watch.read(), ['created /d', 'created /d/f'])
})

test('entries that show at the root because their parent has not come for an hour are told then, live and after a pause', async () => {
  const setup = await Setup.open()
  await setup.add(sign({ entry: E, ...fileWith('1', { name: 'e' }) }))
  const watch = await watching(setup)
  await setup.add(sign({ entry: F, ...fileWith('1', { parent: D, name: 'f' }) }))
  assert.deepEqual(await watch.read(), [])
  setup.clock.advance(ORPHAN_MS)
  assert.deepEqual(await watch.read(), ['reset /', 'created /e', `conflict /f (conflict ${toHex(F)})`])
  await setup.add(sign({ entry: D, ...directoryAt('d') }))
  assert.equal((await watch.read())[0], 'reset /')
})

test('directories that end up below each other are told by a reset, and so is the end of that', async () => {
  const setup = await Setup.open()
  const [one, two] = [sign({ entry: D, ...directoryAt('one') }), sign({ entry: E, ...directoryAt('two') })]
  await setup.add(one, two)
  const watch = await watching(setup)
  await setup.add(
    sign({ ...carrying(one), ...directoryAt('one', E) }),
    sign({ ...carrying(two), ...directoryAt('two', D) })
  )
  assert.equal((await watch.read())[0], 'reset /')
  await setup.add(sign({ entry: F, ...fileWith('1', { parent: D, name: 'f' }) }))
  await watch.read()
})

test('an entry whose key comes late is told when it has come, to a watcher that was away too', async () => {
  const { keys, addLate } = ringWithout()
  const setup = await Setup.open({ keys })
  const watch = await watching(setup)
  await setup.add(
    sign({ entry: D, ...directoryAt('d'), ...LATE }),
    sign({ entry: F, ...fileWith('1', { parent: D, name: 'f' }), ...LATE })
  )
  assert.deepEqual(await watch.read(), [])
  addLate()
  await setup.sealed.open()
  assert.deepEqual(await watch.read(), ['created /d', 'created /d/f'])
})

test('two directories of one name are told as one, and again as two', async () => {
  const setup = await Setup.open()
  const [one, two] = [sign({ entry: D, ...directoryAt('d') }), sign({ entry: E, ...directoryAt('d') })]
  await setup.add(one, sign({ entry: Buffer.alloc(16, 1), ...fileWith('1', { parent: D, name: 'a' }) }))
  const watch = await watching(setup)
  await setup.add(two)
  await setup.add(sign({ entry: F, ...fileWith('1', { parent: E, name: 'a' }) }))
  await watch.read()
  await setup.add(sign({ ...carrying(two), ...directoryAt('e') }))
  const told = await watch.read()
  assert.ok(told.includes('reset /d') && told.includes('created /e/a'), told.join(', '))
})

test('more files of one name than are told one by one are told by a reset of their directory', async () => {
  const setup = await Setup.open()
  await setup.add(sign({ entry: D, ...directoryAt('d') }))
  const watch = await watching(setup)
  for (let i = 0; i < FEED_CONFLICTS_MAX + 2; i++)
    await setup.add(sign({ entry: Buffer.alloc(16, i + 1), ...fileWith(`${i}`, { parent: D, name: 'f' }) }))
  await watch.read()
  await setup.add(sign({ entry: F, ...fileWith('x', { parent: D, name: 'f' }) }))
  assert.equal((await watch.read())[0], 'reset /d')
})

test('records that change nothing that shows, and a batch that fails, are not told', async () => {
  const setup = await Setup.open()
  const one = sign({ entry: F, ...fileWith('1', { name: 'f' }), hlc: hlcAt(1_000) })
  const two = sign({ entry: F, seen: pastOf(one.record), ...fileWith('2', { name: 'f' }), hlc: hlcAt(2_000) })
  await setup.add(two)
  const watch = await watching(setup)
  await setup.add(one)
  await setup.add(one, two)
  const lost = sign({ entry: E, ...fileWith('1', { name: 'e' }) })
  await setup.projection.project(
    { added: [acceptedBy(lost.record.stamp.author, lost.statement)], removed: [] },
    new IndexOps()
  )
  assert.deepEqual(await watch.read(), [])
})

test('no change is noted until somebody watches, and a cursor of an earlier feed is answered by a reset after that', async () => {
  const setup = await Setup.open()
  await setup.catalog.link(['a'], contentOf('1'), { replicas: 1 })
  assert.equal((await setup.rowsOfFeed()).length, 0)
  const watch = await watching(setup)
  await setup.restoreFeed([])
  await setup.catalog.link(['b'], contentOf('1'), { replicas: 1 })
  assert.equal((await setup.rowsOfFeed()).length, 0)
  assert.deepEqual(await watch.read(), ['reset /', 'created /a', 'created /b'])
  await setup.catalog.link(['c'], contentOf('1'), { replicas: 1 })
  assert.deepEqual(await watch.read(), ['created /c'])
})

test('a cursor of another member, or of an index that was rebuilt, is answered by a reset', async () => {
  const [one, other] = [await Setup.open(), await Setup.open({ seed: 3 })]
  for (const setup of [one, other]) await setup.catalog.link(['a'], contentOf('1'), { replicas: 1 })
  const watch = await watching(one)
  const { tree } = new Watching(other)
  tree.cursor = watch.tree.cursor
  await catchUp(other, tree, { path: [], options: OPTIONS })
  assert.deepEqual(tree.events.map(textOf), ['reset /', 'created /a', 'current /'])
  assert.deepEqual(tree.lines, await listed(other, [], true))
})

test('a cursor from the history that a restored backup has lost is answered by a reset', async () => {
  const setup = await Setup.open()
  await watching(setup)
  await setup.add(sign({ entry: D, ...directoryAt('d') }))
  const before = await setup.rowsOfFeed()
  await setup.add(sign({ entry: E, ...directoryAt('lost') }))
  const watch = await watching(setup)
  await setup.restoreFeed(before)
  await setup.add(sign({ entry: F, ...directoryAt('other') }))
  assert.equal((await watch.read())[0], 'reset /', 'another change has the same number now')
})

test('the oldest rows are dropped when there are too many bytes, and a watcher that has not read them is told to start over', async () => {
  const { index } = await Setup.open()
  const append = async (n: number): Promise<void> => {
    const ops = new IndexOps()
    const steps = { atMs: n, steps: [{ step: 'reset' as const, path: ['x'.repeat(200)] }] }
    await appendRow({ index, names, bytesMax: 1_000 }, steps, ops)
    await index.batch(ops.all)
  }
  const cursors = [await newestCursor(index)]
  for (let n = 1; n <= 10; n++) {
    await append(n)
    cursors.push(await newestCursor(index))
  }
  const known = await Promise.all(cursors.map(cursor => isKnown(index, cursor)))
  const first = known.indexOf(true)
  assert.ok(first > 4 && first < 9, `the first cursor that is known is ${first}`)
  assert.deepEqual(
    known.slice(first),
    known.slice(first).map(() => true)
  )
  assert.equal(await readRow({ index, names }, first), undefined)
  assert.equal((await readRow({ index, names }, first + 1))?.atMs, first + 1)
})

test('text that is no cursor is refused', () => {
  for (const text of ['', 'x', 'AAAA', `${'A'.repeat(27)}=`, `_${'_'.repeat(26)}`, 'A'.repeat(200)])
    assert.equal(parseMark(text), undefined, text)
})
