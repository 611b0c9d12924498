import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DiskError } from '../../../src/disk/errors.ts'
import { closeAll } from '../../../src/util/close-all.ts'

test('closeAll runs every closer, whatever error another one throws', async () => {
  const ended: string[] = []
  const parts = ['members', 'host', 'store', 'index'].map(name => async () => {
    ended.push(name)
    if (name === 'host' || name === 'store') throw new DiskError(name)
  })
  await assert.rejects(closeAll(parts), { message: 'host' })
  assert.deepEqual(ended, ['members', 'host', 'store', 'index'])
  await closeAll([])
})
