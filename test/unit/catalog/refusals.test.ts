import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NoSpaceError } from '../../../src/disk/errors.ts'
import { parsePath } from '../../../src/format/path.ts'
import { inlineRoot } from '../../../src/format/seal-file.ts'
import { codeOf } from '../../../src/util/errors.ts'
import { epoch, Setup } from './setup.ts'

const text = Buffer.from('x')
const content = { root: inlineRoot(epoch.content, text), rootEpoch: epoch.id, size: 1, mtime: 1, content: text }

/** A catalog whose log accepts this many appends and has no room for any further ones. */
async function withRoomFor(appends: number): Promise<Setup> {
  const setup = await Setup.open()
  const { append } = setup.log
  let left = appends
  setup.log.append = async (statements, author) => {
    if (left-- <= 0) throw new NoSpaceError('the disk is full')
    await append(statements, author)
  }
  return setup
}

const outcomeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    error => codeOf(error)
  )

test('a put, a move or a directory is either made with all directories above it, or not at all', async () => {
  for (const room of [0, 1, 2, 3]) {
    const setup = await withRoomFor(room)
    const { catalog } = setup
    const verbs: Array<[work: () => Promise<unknown>, makes: string[]]> = [
      [() => catalog.link(parsePath('/a/b/file'), content, { replicas: 1 }), ['/a', '/a/b', '/a/b/file']],
      [() => catalog.mkdir(parsePath('/c/d/e'), 1), ['/c', '/c/d', '/c/d/e']],
      [
        () => catalog.move(parsePath('/a/b/file'), parsePath('/f/g/moved'), { replicas: 1 }),
        ['/f', '/f/g', '/f/g/moved']
      ]
    ]
    for (const [i, [work, makes]] of verbs.entries()) {
      const before = await setup.paths()
      const outcome = await outcomeOf(work())
      const after = await setup.paths()
      if (i < room) {
        assert.equal(outcome, 'done')
        for (const path of makes) assert.ok(after.includes(path), path)
      } else {
        assert.ok(['no-space', 'not-found'].includes(outcome), outcome)
        assert.deepEqual(after, before, `verb ${i} with room for ${room}`)
      }
    }
  }
})

test('a put or a move that is refused makes no directories', async () => {
  const setup = await Setup.open()
  const { catalog } = setup
  await catalog.link(parsePath('/file'), content, { replicas: 1 })
  const refusals: Array<[code: string, work: () => Promise<unknown>]> = [
    ['changed', () => catalog.link(parsePath('/new/x/f'), content, { replicas: 1, ifTag: 'what was there before' })],
    ['not-found', () => catalog.move(parsePath('/none'), parsePath('/new/x/f'), { replicas: 1 })],
    ['not-a-directory', () => catalog.link(parsePath('/file/x/f'), content, { replicas: 1 })],
    ['not-a-directory', () => catalog.mkdir(parsePath('/file/x/f'), 1)]
  ]
  for (const [code, work] of refusals) {
    assert.equal(await outcomeOf(work()), code)
    assert.deepEqual(await setup.paths(), ['/file'])
  }
})

test('many changes that need the same new directories at the same time make each of them once', async () => {
  const setup = await Setup.open()
  const { catalog } = setup
  const puts = Array.from({ length: 20 }, (_, i) =>
    catalog.link(parsePath(`/a/b/${i % 2}/${i}`), content, { replicas: 1 })
  )
  await Promise.all([...puts, catalog.mkdir(parsePath('/a/b/0'), 1), catalog.mkdir(parsePath('/a'), 1)])
  const paths = await setup.paths()
  assert.equal(paths.length, 24, paths.join())
  assert.ok(paths.every(path => !path.includes('conflict')))
})

test('a recursive removal that fails tells how many entries it deleted before', async () => {
  const files = 300
  // There is room for the puts and for one batch of deletions.
  const setup = await withRoomFor(files + 1)
  for (let i = 0; i < files; i++) await setup.catalog.link(parsePath(`/dir/${i}`), content, { replicas: 1 })
  let deleted = 0
  const onAppended = async (_: unknown, entries: number): Promise<void> => {
    deleted += entries
  }
  assert.equal(await outcomeOf(setup.catalog.remove(parsePath('/dir'), { recursive: true, onAppended })), 'no-space')
  assert.equal(deleted, 256)
  assert.equal((await setup.paths()).length, 1 + files - deleted)
})
