import assert from 'node:assert/strict'
import { chmod, chown, lstat, mkdir, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { openFormat } from '../../../src/disk/data-directory.ts'
import { claimDirectory, type DataDirectory, isFirstStartOn } from '../../../src/disk/directory-claim.ts'
import { LockedError, UnknownLayoutError, UnusableDirectoryError } from '../../../src/disk/errors.ts'
import { NodeFiles } from '../../../src/disk/node-files.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'
import { temporaryFolder } from '../../fixtures/temporary-folder.ts'

const options = { logger: silentLogger }
const isRoot = process.getuid?.() === 0

/** Everything about a folder that somebody could notice: names, modes, times and bytes. */
async function snapshot(path: string): Promise<unknown[]> {
  const { mode, mtimeMs, size } = await lstat(path)
  const names = (await readdir(path, { withFileTypes: true })).sort((a, b) => (a.name < b.name ? -1 : 1))
  const inside: unknown[] = []
  for (const entry of names) {
    const below = join(path, entry.name)
    if (entry.isDirectory()) inside.push(entry.name, await snapshot(below))
    else {
      const file = await lstat(below)
      inside.push([entry.name, file.mode, file.mtimeMs, entry.isFile() ? await readFile(below, 'hex') : ''])
    }
  }
  return [mode, mtimeMs, size, ...inside]
}

/** Writes the files of a first start, up to the point where it fails. */
async function writeAsFirstStart(root: string): Promise<void> {
  const files = new NodeFiles(root)
  await openFormat(files, seededChance(1), silentLogger)
  for (const folder of ['segments', 'index', 'blocks']) await files.makeDirectory(folder)
  for (const name of ['keystore', 'segments/00000001.seg', 'index/000003.log', 'index/CURRENT', 'ports.json.new'])
    await files.writeNew(name, [Buffer.from('x')])
  await files.writeNew('blocks/00000001.seg', [Buffer.from('x')])
}

test('a data directory is created with its parents, and only its owner can enter it', async t => {
  const folder = await temporaryFolder(t)
  const directory = await claimDirectory(join(folder, 'a/b/data'), options)
  for (const made of ['a', 'a/b', 'a/b/data']) assert.equal((await stat(join(folder, made))).mode & 0o777, 0o700)
  assert.deepEqual([directory.isFirstStart, directory.wasInterrupted], [true, false])
  await directory.release({ undo: false })
  const open = join(folder, 'open')
  await mkdir(open)
  await chmod(open, 0o755)
  await (await claimDirectory(open, options)).release({ undo: false })
  assert.equal((await stat(open)).mode & 0o777, 0o700)
})

test('a first start that fails removes what it wrote and the folders that it created, and no others', async t => {
  const folder = await temporaryFolder(t)
  await mkdir(join(folder, 'a'))
  const directory = await claimDirectory(join(folder, 'a/b/data'), options)
  await writeAsFirstStart(join(folder, 'a/b/data'))
  await directory.release({ undo: true })
  await directory.release({ undo: true })
  assert.deepEqual(await readdir(folder, { recursive: true }), ['a'])
})

test('a first start that fails leaves what others put there meanwhile, and restores the mode of the folder', async t => {
  const folder = await temporaryFolder(t)
  await chmod(folder, 0o2775)
  const directory = await claimDirectory(folder, options)
  await writeAsFirstStart(folder)
  await mkdir(join(folder, 'photos'))
  for (const name of ['letter.txt', 'photos/cat.jpg', 'segments/notes', 'blocks/readme', 'index/mine'])
    await writeFile(join(folder, name), name)
  await directory.release({ undo: true })
  const theirs = ['blocks', 'blocks/readme', 'index', 'index/mine', 'letter.txt', 'photos']
  assert.deepEqual((await readdir(folder, { recursive: true })).sort(), [
    ...theirs,
    'photos/cat.jpg',
    'segments',
    'segments/notes'
  ])
  assert.equal((await stat(folder)).mode & 0o7777, 0o2775)
})

test('a folder with files of somebody else is refused, and nothing in it changes', async t => {
  const folder = await temporaryFolder(t)
  const cases: Array<(root: string) => Promise<unknown>> = [
    root => writeFile(join(root, 'letter.txt'), 'dear'),
    root => mkdir(join(root, 'photos')),
    root => symlink('/nowhere', join(root, 'link')),
    root => mkdir(join(root, 'lock')),
    root => writeFile(join(root, 'lock'), '1234\n'),
    root => writeFile(join(root, 'lock'), 'x'.repeat(1_000)),
    root => writeFile(join(root, 'api.json'), '{}'),
    root => writeFile(join(root, 'format.json'), '{"printWidth":80}'),
    root => mkdir(join(root, 'format.json')),
    root => writeFile(join(root, 'keystore'), 'ours, but without a format file')
  ]
  for (const [i, fill] of cases.entries()) {
    const root = join(folder, String(i))
    await mkdir(root)
    await fill(root)
    await chmod(root, 0o755)
    await utimes(root, 1_000_000_000, 1_000_000_000)
    const before = await snapshot(root)
    const refused = (error: unknown): boolean =>
      error instanceof UnusableDirectoryError || error instanceof UnknownLayoutError
    await assert.rejects(claimDirectory(root, options), refused, String(i))
    await assert.rejects(isFirstStartOn(root), refused, String(i))
    assert.deepEqual(await snapshot(root), before, String(i))
  }
})

test('a folder that all users share is refused', async t => {
  const folder = await temporaryFolder(t)
  await chmod(folder, 0o1777)
  await assert.rejects(claimDirectory(folder, options), /all users share.*--data-dir/)
  assert.deepEqual([(await stat(folder)).mode & 0o7777, await readdir(folder)], [0o1777, []])
})

test('a new disk with lost+found, and the files that the owner names, count as an empty directory', async t => {
  const folder = await temporaryFolder(t)
  await mkdir(join(folder, 'lost+found'))
  await writeFile(join(folder, 'network.key'), 'key')
  await assert.rejects(claimDirectory(folder, options), UnusableDirectoryError)
  const directory = await claimDirectory(folder, { ...options, ownersFiles: ['network.key'] })
  await directory.release({ undo: true })
  assert.deepEqual((await readdir(folder)).sort(), ['lost+found', 'network.key'])
})

test('a path that cannot be a data directory is refused with a reason, and nothing is left behind', async t => {
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'file'), '')
  await symlink(join(folder, 'none'), join(folder, 'dangling'))
  await symlink(join(folder, 'circle'), join(folder, 'circle'))
  const before = await snapshot(folder)
  const paths = ['file', 'file/below', 'dangling', 'dangling/below', 'circle', 'a/b\0c', 'x'.repeat(256)]
  for (const path of paths) {
    await assert.rejects(claimDirectory(join(folder, path), options), UnusableDirectoryError, path)
    assert.deepEqual(await snapshot(folder), before, path)
  }
  await assert.rejects(claimDirectory(join(folder, 'a/b', 'x'.repeat(256)), options), UnusableDirectoryError)
  assert.deepEqual((await readdir(folder)).sort(), ['circle', 'dangling', 'file'])
})

test('a system folder that accepts no new names is refused, and the attempt ends', {
  skip: process.platform !== 'linux',
  timeout: 20_000
}, async () => {
  for (const path of ['/proc/x', '/proc/x/y', '/dev/null/x', '/sys', '/proc'])
    await assert.rejects(claimDirectory(path, options), UnusableDirectoryError, path)
  await assert.rejects(new NodeFiles('/proc/x').makeDirectory('y'))
})

test('a symbolic link to a directory of ours can be the data directory', async t => {
  const folder = await temporaryFolder(t)
  await mkdir(join(folder, 'real'))
  await symlink(join(folder, 'real'), join(folder, 'link'))
  const directory = await claimDirectory(join(folder, 'link'), options)
  await writeAsFirstStart(join(folder, 'link'))
  await directory.finishFirstStart()
  await directory.release({ undo: false })
  assert.ok((await lstat(join(folder, 'link'))).isSymbolicLink())
  assert.equal(await isFirstStartOn(join(folder, 'real')), false)
})

test('of several processes that start on one new directory, one gets it, and the others change nothing', async t => {
  const root = join(await temporaryFolder(t), 'deep/data')
  const claims = await Promise.allSettled(Array.from({ length: 8 }, () => claimDirectory(root, options)))
  const got = claims.flatMap(claim => (claim.status === 'fulfilled' ? [claim.value] : []))
  const refused = claims.flatMap(claim => (claim.status === 'rejected' ? [claim.reason] : []))
  assert.equal(got.length, 1)
  for (const error of refused) assert.ok(error instanceof LockedError, String(error))
  assert.deepEqual((await readdir(root)).sort(), ['first-start', 'lock'])
  await (got[0] as DataDirectory).release({ undo: true })
})

test('a first start that was killed anywhere is recognised, and its files can be cleared', async t => {
  const folder = await temporaryFolder(t)
  // The process is gone, and its lock is that of a process that does not exist.
  const dead = `999999999 1 ${'a'.repeat(32)}`
  for (const leftovers of [['lock'], ['lock', `lock.${'a'.repeat(32)}`], ['lock', 'first-start', 'format.json.new']]) {
    const root = join(folder, String(leftovers.length))
    await mkdir(root)
    for (const name of leftovers) await writeFile(join(root, name), name.startsWith('lock') ? dead : '')
    const again = await claimDirectory(root, options)
    assert.ok(again.isFirstStart)
    await again.release({ undo: false })
  }
  const root = join(folder, 'late')
  const first = await claimDirectory(root, options)
  await writeAsFirstStart(root)
  await first.release({ undo: false })
  const again = await claimDirectory(root, options)
  assert.deepEqual([again.isFirstStart, again.wasInterrupted], [true, true])
  await again.clear()
  assert.deepEqual((await readdir(root)).sort(), ['first-start', 'lock'])
  await again.release({ undo: false })
  assert.ok(await isFirstStartOn(root))
})

test('a start in a directory that has been used is not a first start', async t => {
  const root = await temporaryFolder(t)
  const first = await claimDirectory(root, options)
  await writeAsFirstStart(root)
  await first.finishFirstStart()
  await first.release({ undo: false })
  await rm(join(root, 'blocks'), { recursive: true })
  await writeFile(join(root, 'notes'), 'of the owner')
  const again = await claimDirectory(root, options)
  assert.deepEqual([again.isFirstStart, again.wasInterrupted], [false, false])
  await again.release({ undo: false })
  assert.ok((await readdir(root)).includes('keystore'))
})

test('a directory of another user is refused', { skip: !isRoot }, async t => {
  const folder = await temporaryFolder(t)
  await chmod(folder, 0o777)
  await chown(folder, 12_345, 12_345)
  t.mock.method(process as { getuid(): number }, 'getuid', () => 54_321)
  await assert.rejects(claimDirectory(folder, options), /another user/)
  assert.equal((await stat(folder)).mode & 0o777, 0o777)
})
