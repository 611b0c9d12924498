import assert from 'node:assert/strict'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { MonitoredFiles } from '../../../src/disk/monitored-files.ts'
import { temporaryFolder } from '../../fixtures/temporary-folder.ts'

test('a failed write is remembered until another succeeds', async t => {
  const folder = await temporaryFolder(t)
  const files = new MonitoredFiles(folder)
  assert.equal(files.state, 'ok')
  await writeFile(join(folder, 'file'), '')
  // ENOTDIR: any error that this user can cause serves here.
  await assert.rejects(files.writeNew('file/below', [Buffer.of(1)]), { name: 'DiskError' })
  assert.equal(files.state, 'failing')
  await assert.rejects(files.read('missing'), { name: 'FileMissingError' })
  assert.equal(files.state, 'failing', 'a failed read says nothing about writes')
  await files.writeNew('other', [Buffer.of(1)])
  assert.equal(files.state, 'ok')
})

test('a full disk that cuts a file and overwrites it in place is still full', async t => {
  const folder = await temporaryFolder(t)
  const files = new MonitoredFiles(folder)
  await writeFile(join(folder, 'file'), 'text')
  await assert.rejects(files.writeNew('file/below', [Buffer.of(1)]), { name: 'DiskError' })
  const file = await files.openAppend('file')
  await file.truncate(3)
  await file.sync()
  await file.close()
  await files.overwrite('file', [{ offset: 0, bytes: Buffer.of(1) }])
  assert.equal(files.state, 'failing')
})

test('an append clears the failure only once its bytes are durable', async t => {
  const folder = await temporaryFolder(t)
  const files = new MonitoredFiles(folder)
  await mkdir(join(folder, 'segments'))
  await writeFile(join(folder, 'file'), '')
  await assert.rejects(files.openAppend('file/below'), { name: 'DiskError' })
  assert.equal(files.state, 'failing')
  const file = await files.openAppend('segments/1')
  t.after(() => file.close())
  await file.append([Buffer.alloc(10)])
  assert.deepEqual([files.state, file.size], ['failing', 10])
  await file.sync()
  assert.equal(files.state, 'ok')
  await rm(join(folder, 'segments'), { recursive: true })
})
