import assert from 'node:assert/strict'
import { readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { makeNetworkKey, readNetworkKey } from '../../../src/daemon/key-file.ts'
import { formatNetworkKey, generateNetworkKey, networkKeyWords } from '../../../src/index.ts'
import { temporaryFolder } from '../../fixtures/nodes.ts'

test('reads a network key file in both forms, creates it once, and never replaces it', async t => {
  const folder = await temporaryFolder(t)
  const path = join(folder, 'key')
  assert.equal(await readNetworkKey(path), undefined)
  const [one, other] = await Promise.all([makeNetworkKey(path), makeNetworkKey(`${folder}/other`)])
  assert.notDeepEqual(one, other)
  assert.equal((await stat(path)).mode & 0o777, 0o600)
  assert.deepEqual(await readNetworkKey(path), one)
  assert.deepEqual(await makeNetworkKey(path), one)
  assert.deepEqual((await readdir(folder)).sort(), ['key', 'other'])
  const key = generateNetworkKey()
  for (const text of [formatNetworkKey(key), `${networkKeyWords(key)}\n`]) {
    await writeFile(path, text)
    assert.deepEqual(Buffer.from((await readNetworkKey(path)) as Uint8Array), Buffer.from(key))
  }
  await writeFile(path, 'garbage')
  await assert.rejects(readNetworkKey(path), { code: 'invalid' })
  await writeFile(path, 'x'.repeat(5000))
  await assert.rejects(readNetworkKey(path), { code: 'usage' })
})
