import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NodeFiles } from '../../src/disk/node-files.ts'
import { CrashError, FakeFiles, KEEPS_ALL } from '../fixtures/fake-files.ts'
import { temporaryFolder } from '../fixtures/temporary-folder.ts'
import { testFiles } from './files.ts'

testFiles('NodeFiles', async t => new NodeFiles(await temporaryFolder(t)))
testFiles('FakeFiles', async () => new FakeFiles())

// The tests of crashes depend on what the fake does at a crash: it must forget what nobody synced.

const bytes = (text: string): Uint8Array => Buffer.from(text)

test('FakeFiles: a crash takes every byte and every name that was not synced', async () => {
  const files = new FakeFiles()
  await files.makeDirectory('a')
  await files.syncDirectory('')
  const file = await files.openAppend('a/f')
  await file.append([bytes('synced')])
  await file.sync()
  await files.syncDirectory('a')
  await file.append([bytes(' and not')])
  await files.writeNew('a/g', [bytes('no name')])
  await files.makeDirectory('b')
  await files.writeNew('b/h', [bytes('no folder')])
  await files.syncDirectory('b')
  const after = files.crash()
  assert.deepEqual(
    [...after.contents()].map(([name, data]) => [name, data.toString()]),
    [['a/f', 'synced']]
  )
  await assert.rejects(file.append([bytes('x')]), CrashError)
  await assert.rejects(files.list(''), CrashError)
})

test('FakeFiles: a crash restores a file that was replaced or removed without a sync', async () => {
  const files = new FakeFiles()
  await files.writeNew('f', [bytes('old')])
  await files.writeNew('gone', [bytes('gone')])
  await files.syncDirectory('')
  await files.writeNew('f.new', [bytes('new')])
  await files.rename('f.new', 'f')
  await files.remove('gone')
  const after = files.crash()
  assert.deepEqual(
    [...after.contents()].map(([name, data]) => `${name}: ${data}`),
    ['f: old', 'gone: gone']
  )
})

test('FakeFiles: a crash may also keep all or some of what was not synced', async () => {
  const written = async (): Promise<FakeFiles> => {
    const files = new FakeFiles()
    const file = await files.openAppend('f')
    await file.append([Buffer.alloc(1000, 1)])
    await files.syncDirectory('')
    return files
  }
  assert.equal((await written()).crash(KEEPS_ALL).contents().get('f')?.byteLength, 1000)
  assert.equal((await written()).crash().contents().get('f')?.byteLength, 0)
  const sizes = new Set<number>()
  for (let i = 0; i < 20; i++) {
    const luck = { kept: 0.5, fraction: () => (i * 0.618 + 0.1) % 1 }
    sizes.add((await written()).crash(luck).contents().get('f')?.byteLength as number)
  }
  assert.ok(sizes.size > 5)
})

test('FakeFiles: a full disk takes what fits and says that it is full', async () => {
  const files = new FakeFiles({ totalBytes: 10 })
  const file = await files.openAppend('f')
  await file.append([bytes('123456')])
  await assert.rejects(file.append([bytes('789abc')]), { name: 'NoSpaceError' })
  assert.equal((await files.read('f')).byteLength, 10)
  assert.deepEqual(await files.space(), { totalBytes: 10, freeBytes: 0 })
})
