import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { folderBytes } from '../../../src/disk/capacity.ts'
import { INDEX_COMPACT_INTERVAL_MS, INDEX_DEAD_BYTES_MIN, INDEX_ROW_BYTES } from '../../../src/disk/constants.ts'
import { indexCompactor } from '../../../src/disk/index-compactor.ts'
import { indexKey } from '../../../src/disk/index-db.ts'
import { NodeFiles } from '../../../src/disk/node-files.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { levelDatabase, openIndex } from '../../fixtures/level.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { settle } from '../../fixtures/pass-time.ts'
import { temporaryFolder } from '../../fixtures/temporary-folder.ts'

const ENOUGH_ROWS = INDEX_DEAD_BYTES_MIN / INDEX_ROW_BYTES

test('the index is compacted once enough rows were deleted and few more are, and not again for the same rows', async () => {
  const clock = new ManualClock()
  let indexBytes = INDEX_DEAD_BYTES_MIN
  let compactions = 0
  const index = {
    deletedRows: 0,
    compact: async () => {
      compactions++
      index.deletedRows = 0
    }
  }
  const onError = assert.ifError
  indexCompactor({ index, indexBytes: () => indexBytes, clock, logger: silentLogger, onError }).start()
  const pass = async (deleted: number): Promise<number> => {
    index.deletedRows += deleted
    clock.advance(INDEX_COMPACT_INTERVAL_MS)
    await settle(3)
    return compactions
  }
  assert.equal(await pass(ENOUGH_ROWS - 1), 0)
  assert.equal(await pass(2 * ENOUGH_ROWS), 0, 'rows are being deleted')
  assert.equal(await pass(1), 1)
  assert.equal(await pass(0), 1)
  indexBytes = 100 * INDEX_DEAD_BYTES_MIN
  for (let i = 0; i < 3; i++) assert.equal(await pass(ENOUGH_ROWS), 1, 'they are a small part of this index')
})

test('a compaction gives back the room of deleted rows, and keeps the others', async t => {
  const folder = await temporaryFolder(t)
  const index = await openIndex(await levelDatabase(t, folder))
  const keys = Array.from({ length: 4_000 }, (_, i) => indexKey('e', Buffer.from(`row ${i}`)))
  await index.batch(keys.map(key => ({ type: 'put', key, value: randomBytes(200) })))
  await index.compact()
  const [kept, ...others] = keys as [Uint8Array, ...Uint8Array[]]
  await index.batch(others.map(key => ({ type: 'del', key })))
  assert.equal(index.deletedRows, others.length)
  const size = (): Promise<number> => folderBytes(new NodeFiles(folder), 'index')
  const before = await size()
  await index.compact()
  assert.ok((await size()) < before / 4, `${before} bytes before, ${await size()} after`)
  assert.equal(index.deletedRows, 0)
  assert.deepEqual([await index.has(kept), await index.has(others[0] as Uint8Array)], [true, false])
})
