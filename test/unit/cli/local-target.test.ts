import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { lstat, mkdir, readdir, readFile, readlink, stat, symlink, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { ownName } from '../../../src/cli/folder-names.ts'
import type { LocalDisk } from '../../../src/cli/local-disk.ts'
import { LocalTargets } from '../../../src/cli/local-target.ts'
import { LocalWay } from '../../../src/cli/local-way.ts'
import { isLeftover, isTemporaryName, TEMPORARY_NAME, temporaryName } from '../../../src/cli/temporary-name.ts'
import { caseBlindDisk } from '../../fixtures/case-blind-disk.ts'
import { temporaryFolder, until } from '../../fixtures/nodes.ts'

const modified = new Date(1_600_000_000_123)
const { signal } = new AbortController()

async function* once(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text)
}

interface Setup {
  folder: string
  /** Writes a file with this text, and returns its local path. */
  get(name: string, text: string, isNamed?: boolean): Promise<string>
  targets: LocalTargets
}

async function setUp(
  t: TestContext,
  { isForced = false, diskOf }: { isForced?: boolean; diskOf?: (folder: string) => LocalDisk } = {}
): Promise<Setup> {
  const folder = await temporaryFolder(t)
  const targets = new LocalTargets({ isForced, ...(diskOf === undefined ? {} : { disk: diskOf(folder) }) })
  const get: Setup['get'] = async (name, text, isNamed = false) => {
    const target = await targets.look(join(folder, name), { isNamed })
    return targets.write(target, { body: once(text), modified, mode: undefined, signal })
  }
  return { folder, get, targets }
}

async function contents(folder: string): Promise<Record<string, string>> {
  const names = (await readdir(folder)).sort()
  return Object.fromEntries(
    await Promise.all(names.map(async name => [name, await readFile(join(folder, name), 'utf8')]))
  )
}

test('a local file gets its name once it is complete, with its time and mode', async t => {
  const { folder, targets } = await setUp(t)
  const path = join(folder, '😀'.repeat(60))
  async function* body(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('whole ')
    const names = await readdir(folder)
    assert.deepEqual([names.length, names.every(isTemporaryName)], [1, true])
    yield Buffer.from('file')
  }
  const target = await targets.look(path, { isNamed: true })
  assert.equal(await targets.write(target, { body: body(), modified, mode: 0o6751, signal }), path)
  assert.deepEqual(await contents(folder), { [basename(path)]: 'whole file' })
  const { mode, mtimeMs } = await stat(path)
  assert.deepEqual([mode & 0o7777, mtimeMs], [0o751, modified.getTime()])
})

test('a body that breaks off leaves no new file and keeps the old one', async t => {
  const { folder, targets } = await setUp(t, { isForced: true })
  await writeFile(join(folder, 'file'), 'before')
  async function* body(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('half')
    throw new Error('broken off')
  }
  const target = await targets.look(join(folder, 'file'), { isNamed: true })
  await assert.rejects(targets.write(target, { body: body(), modified, mode: undefined, signal }), /broken off/)
  assert.deepEqual(await contents(folder), { file: 'before' })
})

test('a file that appears while another is fetched under its name is not replaced without --force', async t => {
  for (const diskOf of [undefined, (folder: string) => caseBlindDisk(folder, { hasLinks: false })]) {
    const { folder, targets } = await setUp(t, diskOf === undefined ? {} : { diskOf })
    const target = await targets.look(join(folder, 'f'), { isNamed: true })
    async function* body(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('fetched')
      await writeFile(join(folder, 'f'), 'made meanwhile')
    }
    const writing = targets.write(target, { body: body(), modified, mode: undefined, signal })
    await assert.rejects(writing, { code: 'exists', message: /give --force/ })
    assert.deepEqual(await contents(folder), { f: 'made meanwhile' })
  }
})

for (const hasLinks of [true, false]) {
  const where = `a disk that is blind to case, with${hasLinks ? '' : 'out'} links`
  const diskOf = (folder: string): LocalDisk => caseBlindDisk(folder, { hasLinks })

  test(`of two names that are one on ${where}, the second is an error`, async t => {
    const { folder, get } = await setUp(t, { diskOf })
    await get('README', 'upper')
    await assert.rejects(get('readme', 'lower'), { code: 'exists', message: /differs only in case/ })
    await get('caf\u00e9', 'e')
    await assert.rejects(get('CAF\u00c9', 'E'), { code: 'exists', message: /differs only in case/ })
    assert.deepEqual(await contents(folder), { README: 'upper', 'caf\u00e9': 'e' })
  })

  test(`of two names that are one on ${where}, the second gets a name of its own with --force, every time`, async t => {
    const { folder, get } = await setUp(t, { isForced: true, diskOf })
    for (const round of ['1', '2']) {
      assert.equal(basename(await get('README.md', `upper ${round}`)), 'README.md')
      assert.equal(await get('readme.md', `lower ${round}`), ownName(join(folder, 'readme.md')))
      assert.equal(await get('Readme.md', `mixed ${round}`), ownName(join(folder, 'Readme.md')))
      const own = (name: string): string => basename(ownName(name))
      assert.deepEqual(await contents(folder), {
        'README.md': `upper ${round}`,
        [own('Readme.md')]: `mixed ${round}`,
        [own('readme.md')]: `lower ${round}`
      })
    }
  })
}

test('files that are fetched at once under names that are one do not replace each other', async t => {
  const { folder, get } = await setUp(t, { isForced: true, diskOf: caseBlindDisk })
  const names = ['abcd', 'ABCD', 'Abcd', 'aBcd', 'abCd', 'abcD', 'ABcd', 'abCD']
  await Promise.all(names.map(name => get(name, `text of ${name}`)))
  assert.deepEqual(Object.values(await contents(folder)).sort(), names.map(name => `text of ${name}`).sort())
})

test('folders whose names are one are not merged: the second is an error, or gets a name of its own with --force', async t => {
  const items = [
    ['/d/Photos', 'directory'],
    ['/d/Photos/a', 'file'],
    ['/d/photos', 'directory'],
    ['/d/photos/a', 'file']
  ] as const
  for (const isForced of [false, true]) {
    const { folder, targets, get } = await setUp(t, { isForced, diskOf: caseBlindDisk })
    const way = new LocalWay('/d', folder, targets)
    const faults: string[] = []
    for (const [path, kind] of items) {
      try {
        const local = await way.localOf({ path, kind, size: 0, modified: '', conflict: false })
        if (kind === 'file') await get(local.slice(folder.length + 1), path)
      } catch (error) {
        assert.ok(['exists', 'failed'].includes((error as { code: string }).code))
        faults.push(path)
      }
    }
    assert.deepEqual(faults, isForced ? [] : ['/d/photos', '/d/photos/a'])
    assert.deepEqual(await contents(join(folder, 'Photos')), { a: '/d/Photos/a' })
    const own = basename(ownName('photos'))
    assert.deepEqual((await readdir(folder)).sort(), isForced ? ['Photos', own] : ['Photos'])
    if (isForced) assert.deepEqual(await contents(join(folder, own)), { a: '/d/photos/a' })
  }
})

test('a link that a person named is written through with --force, and one in a tree is refused', async t => {
  const { folder, get, targets } = await setUp(t, { isForced: true })
  await writeFile(join(folder, 'real'), 'before')
  await symlink('real', join(folder, 'link'))
  await symlink('nowhere', join(folder, 'dangling'))
  await assert.rejects(get('link', 'new'), { code: 'exists', message: /not a file/ })
  assert.equal(await readFile(join(folder, 'real'), 'utf8'), 'before')
  await get('link', 'new', true)
  assert.equal(await readlink(join(folder, 'link')), 'real')
  assert.equal(await readFile(join(folder, 'real'), 'utf8'), 'new')
  await assert.rejects(get('dangling', 'new', true), { code: 'exists', message: /link to nothing/ })
  await symlink('.', join(folder, 'door'))
  await assert.rejects(targets.folder(join(folder, 'door')), { code: 'exists' })
})

test('a device is written into with --force and stays what it is, and one in a tree is refused', async t => {
  if (process.platform === 'win32') return t.skip('needs devices')
  const { targets } = await setUp(t, { isForced: true })
  const { rdev, ino } = await lstat('/dev/null')
  const target = await targets.look('/dev/null', { isNamed: true })
  await targets.write(target, { body: once('gone'), modified, mode: 0o644, signal })
  const now = await lstat('/dev/null')
  assert.deepEqual([now.isCharacterDevice(), now.rdev, now.ino], [true, rdev, ino])
  await assert.rejects(targets.look('/dev/null', { isNamed: false }), { code: 'exists' })
  await assert.rejects(new LocalTargets({ isForced: false }).look('/dev/null', { isNamed: true }), { code: 'exists' })
})

test('a pipe is written into once a program reads it, and waiting for one can be interrupted', async t => {
  if (process.platform === 'win32') return t.skip('needs named pipes')
  const { folder, targets, get } = await setUp(t, { isForced: true })
  const path = join(folder, 'pipe')
  execFileSync('mkfifo', [path])
  const interrupt = new AbortController()
  const target = await targets.look(path, { isNamed: true })
  const waiting = targets.write(target, { body: once('x'), modified, mode: 0o644, signal: interrupt.signal })
  interrupt.abort()
  await assert.rejects(waiting, { name: 'AbortError' })
  const [, text] = await Promise.all([get('pipe', 'through the pipe', true), readFile(path, 'utf8')])
  assert.equal(text, 'through the pipe')
  assert.ok((await lstat(path)).isFIFO())
})

test('a get removes what earlier gets that were killed have left in its folder, and nothing else', async t => {
  const { folder, targets } = await setUp(t)
  // No process has this id, since it is above what any system gives out.
  const left = temporaryName().replace(`-${process.pid}-`, '-4194999-')
  const foreign = left.replace(/[0-9a-f]{8}/, digits => (digits === '00000000' ? '11111111' : '00000000'))
  const own = temporaryName()
  for (const name of [left, foreign, own, 'file', '.dfs-get-notes']) await writeFile(join(folder, name), '')
  assert.deepEqual([isLeftover(left), isLeftover(foreign), isLeftover(own)], [true, false, false])
  assert.ok([left, foreign, own].every(name => TEMPORARY_NAME.test(name)))
  await targets.sweep(folder)
  assert.deepEqual((await readdir(folder)).sort(), [foreign, own, 'file', '.dfs-get-notes'].sort())
  // A folder of a tree that exists already does the same.
  await mkdir(join(folder, 'below'))
  await writeFile(join(folder, 'below', left), '')
  await targets.folder(join(folder, 'below'))
  await until('swept', async () => (await readdir(join(folder, 'below'))).length === 0)
})
