import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { readSecretIfThere } from '../../../src/terminal/secret-file.ts'
import { temporaryFolder } from '../../fixtures/temporary-folder.ts'

const FILE = { flag: '--join', what: 'an invite', bytesMax: 1000 }
const skip = process.platform === 'win32' && 'no pipes with names'

async function pipe(t: TestContext): Promise<string> {
  const path = join(await temporaryFolder(t), 'pipe')
  execFileSync('mkfifo', ['-m', '600', path])
  return path
}

test('a secret is read from a pipe, whether the reader or the writer opens it first', { skip }, async t => {
  const path = await pipe(t)
  const before = readSecretIfThere(path, FILE)
  const writer = createWriteStream(path)
  writer.write('one ')
  writer.end('two')
  assert.equal(await before, 'one two')
})

test('the wait for a pipe into which nobody writes can be ended', { skip }, async t => {
  const path = await pipe(t)
  const stop = new AbortController()
  const waiting = readSecretIfThere(path, { ...FILE, signal: stop.signal })
  stop.abort(new RangeError('stop'))
  await assert.rejects(waiting, RangeError)
})

test('no more is read of a device or a pipe than a secret may have', { skip }, async t => {
  const expected = { code: 'usage', message: '--join: this file is too large to hold an invite' }
  await assert.rejects(readSecretIfThere('/dev/zero', FILE), expected)
  const path = await pipe(t)
  const endless = readSecretIfThere(path, FILE)
  const writer = createWriteStream(path)
  writer.on('error', () => {})
  writer.write(Buffer.alloc(100_000))
  await assert.rejects(endless, expected)
  writer.destroy()
  assert.equal(await readSecretIfThere('/dev/null', FILE), '')
})
