import assert from 'node:assert/strict'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { namesIn, takeBack } from '../../../src/daemon/first-start.ts'
import { temporaryFolder } from '../../fixtures/nodes.ts'

test('a start is undone without a trace, and keeps what was there before', async t => {
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'before'), 'x')
  const before = await namesIn(folder)
  await mkdir(join(folder, 'new/inner'), { recursive: true })
  await takeBack(folder, before)
  assert.deepEqual(await readdir(folder), ['before'])
})

test('only a missing directory counts as empty', async t => {
  const folder = await temporaryFolder(t)
  assert.deepEqual(await namesIn(join(folder, 'none')), new Set())
  await writeFile(join(folder, 'file'), 'x')
  await assert.rejects(namesIn(join(folder, 'file')), { code: 'ENOTDIR' })
})
