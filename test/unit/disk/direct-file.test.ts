import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { SLOT_BYTES } from '../../../src/disk/constants.ts'
import { NodeFiles } from '../../../src/disk/node-files.ts'
import { temporaryFolder } from '../../fixtures/temporary-folder.ts'

/** Lets every direct read or write after the first `allowed` ones fail, as some file systems do. */
async function refuseDirect(
  t: TestContext,
  folder: string,
  name: 'read' | 'writev',
  allowed: number
): Promise<() => number> {
  const handle = await open(join(folder, 'any'), constants.O_RDWR | constants.O_CREAT)
  const prototype = Object.getPrototypeOf(handle) as FileHandle
  await handle.close()
  const original = prototype[name] as (this: FileHandle, ...args: unknown[]) => Promise<unknown>
  let calls = 0
  t.mock.method(prototype, name, async function (this: FileHandle, to: Uint8Array | Uint8Array[], ...args: unknown[]) {
    const [bytes] = [to].flat() as [Uint8Array]
    // The slots are parts of one memory.
    const isDirect = bytes.buffer.byteLength > SLOT_BYTES && bytes.byteLength <= SLOT_BYTES
    if (isDirect && ++calls > allowed) throw Object.assign(new Error('EINVAL'), { code: 'EINVAL' })
    return original.call(this, to, ...args)
  })
  return () => calls
}

for (const name of ['read', 'writev'] as const)
  test(`a file system that begins to refuse direct calls of ${name} gets and returns the same bytes through the page cache`, async t => {
    const folder = await temporaryFolder(t)
    const calls = await refuseDirect(t, folder, name, 2)
    const files = new NodeFiles(folder)
    const hints = { isPastCache: true }
    const file = await files.openAppend('f', hints)
    const pieces = [1, 2, 3].map(n => randomBytes(n * 1_048_576))
    for (const piece of pieces) await file.append([piece])
    await file.sync()
    await file.close()
    const whole = Buffer.concat(pieces)
    const reader = await files.openRead('f', hints)
    for (const offset of [0, 1_048_576, 3_000_000, 4_000_000])
      assert.ok(Buffer.from(await reader.read(offset, 900_000)).equals(whole.subarray(offset, offset + 900_000)))
    await reader.close()
    assert.ok((await files.read('f')).every((byte, i) => byte === whole[i]))
    if (process.platform === 'linux') assert.ok(calls() > 2)
  })
