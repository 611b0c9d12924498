import assert from 'node:assert/strict'
import { appendFile, rename, symlink, truncate, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { factsOfFile, type LocalFacts, type ReadOptions, readLocal } from '../../../src/cli/local-source.ts'
import { temporaryFolder } from '../../fixtures/nodes.ts'

const SMALL = 2_000
const LARGE = 2 << 20

/** Reads a file to its end. `during` runs once, when the first bytes have been read. */
async function read(
  path: string,
  onChange: ReadOptions['onChange'],
  { found, during }: { found?: LocalFacts; during?: () => Promise<void> } = {}
): Promise<Buffer> {
  const { bytes } = await readLocal(path, found ?? (await factsOfFile(path)), { bytesAtOnceMax: SMALL, onChange })
  if (bytes instanceof Uint8Array) return Buffer.from(bytes)
  const parts: Uint8Array[] = []
  for await (const part of bytes) if (parts.push(part) === 1) await during?.()
  return Buffer.concat(parts)
}

test('a file that does not change is read whole, in one piece or as a stream', async t => {
  const path = join(await temporaryFolder(t), 'file')
  for (const size of [0, 1, SMALL, SMALL + 1, LARGE]) {
    const content = Buffer.alloc(size, 'x')
    await writeFile(path, content)
    for (const onChange of ['throw', 'take-start'] as const) assert.ok((await read(path, onChange)).equals(content))
  }
})

test('a file that has changed since it was found, or while it is read, is not taken for a whole one', async t => {
  const path = join(await temporaryFolder(t), 'file')
  const changes = [
    () => truncate(path, 1000),
    () => appendFile(path, 'more'),
    () => writeFile(path, Buffer.alloc(LARGE, 'y')),
    () => utimes(path, 1, 1)
  ]
  for (const during of changes) {
    await writeFile(path, Buffer.alloc(LARGE, 'x'))
    await assert.rejects(read(path, 'throw', { during }), { code: 'changed' })
  }
  for (const change of [() => writeFile(path, 'shorter'), () => appendFile(path, 'more'), () => utimes(path, 1, 1)]) {
    await writeFile(path, 'some content')
    const found = await factsOfFile(path)
    await change()
    await assert.rejects(read(path, 'throw', { found }), { code: 'changed' })
  }
})

test('a file that is only appended to is taken up to its length at the start, and any other file that changes is not taken', async t => {
  const path = join(await temporaryFolder(t), 'log')
  const content = Buffer.alloc(LARGE, 'x')
  await writeFile(path, content)
  // The file grows as fast as it is read, so reading would not end without a bound.
  const append = async (): Promise<void> => {
    for (let i = 0; i < 10; i++) await appendFile(path, Buffer.alloc(LARGE, 'y'))
  }
  assert.ok((await read(path, 'take-start', { during: append })).equals(content))
  await writeFile(path, 'first line\n')
  const found = await factsOfFile(path)
  await appendFile(path, 'second line\n')
  assert.equal((await read(path, 'take-start', { found })).toString(), 'first line\n')

  await writeFile(path, content)
  const overwrite = (): Promise<void> => writeFile(path, Buffer.alloc(LARGE + 10, 'z'))
  await assert.rejects(read(path, 'take-start', { during: overwrite }), { code: 'changed' })
  await writeFile(path, content)
  await assert.rejects(read(path, 'take-start', { during: () => truncate(path, 10) }), { code: 'changed' })
})

test('a file whose bytes are made while it is read is refused in words', async t => {
  if (process.platform !== 'linux') return t.skip('needs /proc')
  const path = '/proc/self/status'
  const found = await factsOfFile(path)
  await assert.rejects(read(path, 'throw', { found }), { code: 'changed' })
  await assert.rejects(read(path, 'take-start', { found }), { code: 'invalid', message: /as in \/proc/ })
})

test('a link that has taken the place of a file is not followed', async t => {
  const folder = await temporaryFolder(t)
  const path = join(folder, 'file')
  for (const size of [10, LARGE]) {
    await writeFile(path, Buffer.alloc(size))
    const found = await factsOfFile(path)
    await rename(path, join(folder, `moved ${size}`))
    await symlink(`moved ${size}`, path)
    await assert.rejects(read(path, 'throw', { found }), { code: 'ELOOP' })
    await rename(path, join(folder, `link ${size}`))
  }
})
