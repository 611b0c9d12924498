import assert from 'node:assert/strict'
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { publishFile } from '../../../src/daemon/publish-file.ts'
import { temporaryFolder } from '../../fixtures/nodes.ts'

/** As on a memory stick with FAT. */
const noLinks = async (): Promise<void> => {
  throw Object.assign(new Error('operation not permitted'), { code: 'EPERM' })
}

test('a file gets its name also on a disk without hard links, and never replaces another one', async t => {
  for (const link of [undefined, noLinks]) {
    const folder = await temporaryFolder(t)
    const [temp, file] = [join(folder, 'temp'), join(folder, 'file')]
    await writeFile(temp, 'secret', { mode: 0o600 })
    await publishFile(temp, file, link)
    assert.deepEqual([await readFile(file, 'utf8'), (await stat(file)).mode & 0o777], ['secret', 0o600])
    await rm(temp, { force: true })
    await writeFile(temp, 'another')
    await assert.rejects(publishFile(temp, file, link), { code: 'EEXIST' })
    assert.equal(await readFile(file, 'utf8'), 'secret')
    assert.ok((await readdir(folder)).includes('temp'), 'the caller removes it')
  }
})
