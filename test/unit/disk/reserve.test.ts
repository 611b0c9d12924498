import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deflateRawSync } from 'node:zlib'
import { RESERVE_BYTES, RESERVE_DISK_BYTES_MIN, START_FREE_BYTES } from '../../../src/disk/constants.ts'
import { DiskError, NoSpaceError } from '../../../src/disk/errors.ts'
import { Reserve, startWithReserve } from '../../../src/disk/reserve.ts'
import { FakeFiles } from '../../fixtures/fake-files.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'

const MIB = 1 << 20

function on(files: FakeFiles) {
  return { files, chance: seededChance(1), logger: silentLogger }
}

/** Starts on a disk that a node has used before. */
function startOn<T>(files: FakeFiles, start: () => Promise<T>): Promise<T> {
  return startWithReserve(new Reserve(on(files)), async () => true, start)
}

/** A disk of a node, with a reserve and this many bytes free. */
async function diskOf(freeBytes: number, hasReserve = true): Promise<FakeFiles> {
  const options = { totalBytes: 100 * MIB }
  const files = new FakeFiles(options)
  await files.writeNew('format.json', [Buffer.from('{}')])
  if (hasReserve) await new Reserve(on(files)).fill()
  options.totalBytes = 2 + (hasReserve ? RESERVE_BYTES : 0) + freeBytes
  return files
}

test('the reserve is written while the disk has room, and its bytes take space on a disk that compresses', async () => {
  const files = new FakeFiles({ totalBytes: 100 * MIB })
  const reserve = new Reserve(on(files))
  await reserve.fill()
  await reserve.fill()
  const bytes = files.contents().get('reserve') as Buffer
  assert.equal(bytes.byteLength, RESERVE_BYTES)
  assert.ok(deflateRawSync(bytes).byteLength > RESERVE_BYTES * 0.99)
  assert.equal(reserve.missingBytes, 0)
  assert.equal(await reserve.release(), true)
  assert.equal(reserve.missingBytes, RESERVE_BYTES)
  assert.equal(await reserve.release(), false)
  assert.equal(files.contents().size, 0)
})

test('a reserve that was written in part is written again, and none is written on a disk that is nearly full', async () => {
  const files = new FakeFiles({ totalBytes: 100 * MIB })
  await files.writeNew('reserve', [Buffer.alloc(MIB)])
  await new Reserve(on(files)).fill()
  assert.equal(await files.size('reserve'), RESERVE_BYTES)
  for (const totalBytes of [RESERVE_DISK_BYTES_MIN - 1, RESERVE_DISK_BYTES_MIN]) {
    const small = new FakeFiles({ totalBytes })
    await small.writeNew('hog', [Buffer.alloc(totalBytes - 2 * RESERVE_BYTES)])
    const reserve = new Reserve(on(small))
    await reserve.fill()
    assert.equal(await small.size('reserve'), undefined)
    // Its bytes stay free nevertheless, unless the disk is so small that it never gets a reserve.
    assert.equal(reserve.missingBytes, totalBytes < RESERVE_DISK_BYTES_MIN ? 0 : RESERVE_BYTES)
  }
})

test('a reserve that could not be written leaves nothing behind', async () => {
  let isBroken = true
  const files = new FakeFiles({ totalBytes: 100 * MIB })
  const { writeNew } = files
  files.writeNew = async (path, parts) => {
    await writeNew.call(files, path, parts)
    if (isBroken) throw new DiskError('the disk reported EIO')
  }
  const reserve = new Reserve(on(files))
  await assert.rejects(reserve.fill(), DiskError)
  assert.equal(files.contents().size, 0)
  isBroken = false
  await reserve.fill()
})

test('a start on a full disk removes the reserve first, and one on a disk with room does not', async () => {
  const full = await diskOf(START_FREE_BYTES - 1)
  const hadReserve = await startOn(full, async () => full.contents().has('reserve'))
  assert.equal(hadReserve, false)
  const roomy = await diskOf(START_FREE_BYTES)
  assert.equal(await startOn(roomy, async () => roomy.contents().has('reserve')), true)
})

test('a start that finds no space although the disk has room is tried again without the reserve', async () => {
  const files = await diskOf(START_FREE_BYTES)
  const attempts: boolean[] = []
  const result = await startOn(files, async () => {
    attempts.push(files.contents().has('reserve'))
    if (attempts.at(-1) === true) throw new NoSpaceError('the disk quota is used up')
    return 'started'
  })
  assert.deepEqual([result, attempts], ['started', [true, false]])
})

test('a start that the reserve cannot save says how many bytes to free', async () => {
  const files = await diskOf(1000, false)
  await assert.rejects(
    startOn(files, async () => {
      throw new NoSpaceError('the disk is full')
    }),
    new RegExp(`free at least ${START_FREE_BYTES - 1000} bytes`)
  )
  await assert.rejects(
    startOn(files, async () => {
      throw new DiskError('the disk reported EIO')
    }),
    DiskError
  )
})

test('a start never removes a file from a directory that does not belong to a node', async () => {
  const files = new FakeFiles({ totalBytes: MIB })
  await files.writeNew('reserve', [Buffer.alloc(10)])
  const start = async (): Promise<void> => {
    throw new NoSpaceError('the disk is full')
  }
  await assert.rejects(
    startWithReserve(new Reserve(on(files)), async () => false, start),
    NoSpaceError
  )
  assert.equal(await files.size('reserve'), 10)
})
