import assert from 'node:assert/strict'
import { chmod, link, mkdir, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { IgnoreRules } from '../../../src/cli/ignore-rules.ts'
import { localNameFault } from '../../../src/cli/local-file.ts'
import { walkLocal } from '../../../src/cli/local-tree.ts'
import { temporaryFolder } from '../../fixtures/nodes.ts'

const modified = new Date(1_600_000_000_123)

test('names that would lead to another folder are refused', () => {
  for (const name of ['', '.', '..', 'a/b', '/', 'a\0']) assert.ok(localNameFault(name, 'linux'), JSON.stringify(name))
  for (const name of ['...', ' ', 'con', 'a:b', '😀', '-']) assert.equal(localNameFault(name, 'linux'), undefined)
  for (const name of ['con', 'NUL.txt', 'a:b', 'a\\b', 'dot.', 'space ', 'x\n'])
    assert.ok(localNameFault(name, 'win32'))
})

function walkOptions(onMissing: (parts: readonly string[]) => void) {
  return { rules: IgnoreRules.of([]), onSkip: onMissing, onFault: onMissing }
}

test('if two names in a folder are the same text, the first is taken and the other is reported', async t => {
  const folder = await temporaryFolder(t)
  for (const name of ['e\u0301', '\u00e9', 'e']) await writeFile(join(folder, name), name)
  const faults: string[] = []
  const found: string[] = []
  const options = walkOptions((parts: readonly string[]) => faults.push(parts.join('/')))
  for await (const { parts } of walkLocal(folder, options)) found.push(parts.join('/'))
  assert.deepEqual([found, faults], [['e', 'e\u0301'], ['\u00e9']])
  // A name that is left out for another reason does not block the other one.
  await rm(join(folder, 'e\u0301'))
  await symlink('/etc', join(folder, 'e\u0301'))
  found.length = 0
  for await (const { parts } of walkLocal(
    folder,
    walkOptions(() => {})
  ))
    found.push(parts.join('/'))
  assert.deepEqual(found, ['e', '\u00e9'])
})

test('a folder is walked in the order of bytes, each folder before its contents, without links and names that are not UTF-8', async t => {
  const folder = await temporaryFolder(t)
  await mkdir(join(folder, 'b/inner'), { recursive: true })
  for (const name of ['a', 'b/file', 'b/inner/deep', 'é', 'z']) await writeFile(join(folder, name), name)
  await link(join(folder, 'a'), join(folder, 'hard'))
  await symlink('/etc', join(folder, 'link'))
  await writeFile(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0x66, 0xff])]), 'x')
  await chmod(join(folder, 'a'), 0o604)
  await utimes(join(folder, 'a'), modified, modified)
  const faults: string[] = []
  const found: string[] = []
  const options = walkOptions((parts: readonly string[]) => faults.push(parts.join('/')))
  for await (const item of walkLocal(folder, options)) {
    found.push(`${item.parts.join('/')}${item.kind === 'directory' ? '/' : ''}`)
    if (item.parts[0] === 'a') assert.deepEqual([item.mode, item.modified, item.size], [0o604, modified, 1])
  }
  assert.deepEqual(found, ['a', 'b/', 'b/file', 'b/inner/', 'b/inner/deep', 'hard', 'z', 'é'])
  assert.deepEqual(faults.sort(), ['f\ufffd', 'link'])
  await assert.doesNotReject(async () => {
    for await (const _ of walkLocal(join(folder, 'none'), options));
  })
  assert.equal(faults.length, 3)
})
