import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NotFoundError } from '../../../src/catalog/errors.ts'
import { parsePath } from '../../../src/format/path.ts'
import type { FsContext } from '../../../src/fs/context.ts'
import { copyPath } from '../../../src/fs/copy.ts'
import { spaceOf } from '../../../src/fs/df.ts'
import { usageOf } from '../../../src/fs/du.ts'
import { evictPath } from '../../../src/fs/evict.ts'
import { checkBlocks } from '../../../src/fs/fsck.ts'
import { collectGarbage } from '../../../src/fs/gc.ts'
import { openFile } from '../../../src/fs/get.ts'
import { listPath } from '../../../src/fs/list.ts'
import { listDeleted } from '../../../src/fs/list-deleted.ts'
import { makeDirectory } from '../../../src/fs/mkdir.ts'
import { movePath } from '../../../src/fs/move.ts'
import { removePath } from '../../../src/fs/remove.ts'
import { restorePath } from '../../../src/fs/restore.ts'
import { statPath } from '../../../src/fs/stat.ts'
import { versionsOf } from '../../../src/fs/versions.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { settle } from '../../fixtures/pass-time.ts'

const path = parsePath('/a')
const to = parsePath('/b')

type Verb = (fs: FsContext, signal: AbortSignal) => Promise<unknown>

const verbs: Record<string, Verb> = {
  stat: (fs, signal) => statPath(fs, path, { signal }),
  mkdir: (fs, signal) => makeDirectory(fs, path, { signal }),
  move: (fs, signal) => movePath(fs, path, to, { signal }),
  remove: (fs, signal) => removePath(fs, path, { signal }),
  copy: (fs, signal) => copyPath(fs, path, to, { signal }),
  evict: (fs, signal) => evictPath(fs, path, signal),
  du: (fs, signal) => usageOf(fs, path, { signal }),
  df: (fs, signal) => spaceOf(fs, { signal }),
  gc: (fs, signal) => collectGarbage(fs, { signal }),
  fsck: (fs, signal) => checkBlocks(fs, { signal }),
  get: (fs, signal) => openFile(fs, path, { signal }),
  list: (fs, signal) => listPath(fs, path, { signal }).next(),
  'list of what was deleted': (fs, signal) => listDeleted(fs, path, { signal }).next(),
  versions: (fs, signal) => versionsOf(fs, path, { signal }).next(),
  restore: (fs, signal) => restorePath(fs, path, { signal }),
  'get of a version': (fs, signal) => openFile(fs, path, { version: 'abcd', signal })
}

/** Rooms in which nothing is found, and one member is connected that never answers. */
function fakeFs(some: { resolve?: () => Promise<unknown> } = {}) {
  const done: string[] = []
  const record = { id: new Uint8Array(32), fields: { op: 'put' } }
  const change = async <T>(
    verb: string,
    result: T,
    options?: { onAppended: (records: unknown[]) => Promise<void> }
  ) => {
    done.push(verb)
    await options?.onAppended([record])
    return result
  }
  const fs = {
    clock: new ManualClock(),
    logger: silentLogger,
    defaults: { replicas: 3, ack: undefined },
    tree: { resolve: some.resolve ?? (async () => undefined) },
    past: {
      tree: { place: some.resolve ?? (async () => undefined), directory: some.resolve ?? (async () => undefined) },
      versions: { find: async () => undefined, read: async () => undefined }
    },
    catalog: {
      mkdir: () => change('mkdir', { path, statements: [record] }),
      move: (_: unknown, to: unknown, options: never) => change('move', to, options),
      remove: (_: unknown, options: never) => change('remove', record, options)
    },
    members: { admitted: ['other'], all: [], self: { peerId: 'self' }, standing: { assertReads: () => {} } },
    blocks: { untilSilent: (_peer: unknown, work: () => Promise<unknown>) => work() },
    sync: {
      catchingUpWith: [],
      push: (peer: string) => {
        done.push(`push to ${peer}`)
        return new Promise(() => {})
      }
    }
  } as unknown as FsContext
  return { fs, done }
}

for (const [name, verb] of Object.entries(verbs)) {
  test(`${name} does nothing if it is aborted before it begins`, async () => {
    const { fs, done } = fakeFs()
    await assert.rejects(verb(fs, AbortSignal.abort()), { name: 'AbortError' })
    assert.deepEqual(done, [])
  })
}

for (const name of [
  'stat',
  'copy',
  'evict',
  'get',
  'list',
  'list of what was deleted',
  'versions',
  'restore',
  'get of a version'
]) {
  const verb = verbs[name] as Verb
  test(`${name} that is aborted while a path is looked up says so, and not that nothing is there`, async () => {
    const cut = new AbortController()
    const { fs, done } = fakeFs({
      resolve: async () => {
        cut.abort()
        return undefined
      }
    })
    await assert.rejects(verb(fs, cut.signal), { name: 'AbortError' })
    assert.deepEqual(done, [])
    await assert.rejects(verb(fakeFs().fs, new AbortController().signal), NotFoundError)
  })
}

for (const name of ['mkdir', 'move', 'remove']) {
  const verb = verbs[name] as Verb
  test(`${name} that is aborted after its record was appended ends at once, and members still get the record`, async () => {
    const cut = new AbortController()
    const { fs, done } = fakeFs({ resolve: async () => ({ kind: 'file', path }) })
    const ended = verb(fs, cut.signal)
    await settle()
    assert.deepEqual(done, [name, 'push to other'])
    cut.abort()
    await assert.rejects(ended, { name: 'AbortError' })
  })
}

test('a move of several appends that is aborted between them is done all the same, and then ends', async () => {
  const cut = new AbortController()
  const { fs } = fakeFs()
  let appended = 0
  const move = async (
    _: unknown,
    to: unknown,
    { onAppended }: { onAppended: (records: unknown[]) => Promise<void> }
  ) => {
    for (; appended < 5; appended++) {
      await onAppended([{ id: new Uint8Array(32) }])
      cut.abort()
    }
    return to
  }
  Object.assign(fs.catalog, { move })
  const ended = assert.rejects(movePath(fs, path, to, { signal: cut.signal }), { name: 'AbortError' })
  for (let i = 0; i < 5; i++) {
    await settle()
    ;(fs.clock as ManualClock).advance(5_000)
  }
  await ended
  assert.equal(appended, 5)
})

test('mkdir returns after a while, though a member never answers', async () => {
  const { fs } = fakeFs()
  const made = makeDirectory(fs, path)
  await settle()
  ;(fs.clock as ManualClock).advance(5_000)
  assert.deepEqual(await made, { path: '/a' })
})

test('stat that is aborted while members are asked does not wait for them', async () => {
  const record = { id: new Uint8Array(32), root: null, rootEpoch: null }
  const body = { size: 1, mtime: 0 }
  const node = { kind: 'file', path, record, body, shown: { replicas: 2 }, row: { state: { writes: 1 } } }
  const { fs } = fakeFs({ resolve: async () => node })
  const cut = new AbortController()
  let asked = 0
  Object.assign(fs, { blocks: { keepers: ['a', 'b'] } })
  fs.sync.holders = () => {
    asked++
    return new Promise(() => {})
  }
  const stat = statPath(fs, path, { signal: cut.signal })
  await settle()
  assert.equal(asked, 1)
  cut.abort()
  await assert.rejects(stat, { name: 'AbortError' })
})
