import assert from 'node:assert/strict'
import { test } from 'node:test'
import { writeFileCount } from '../../../src/catalog/rows/counts-row.ts'

test('the removal of a file does not fail because the index has lost the number of files', () => {
  const written: Uint8Array[] = []
  writeFileCount({ put: (_, value) => written.push(Uint8Array.from(value)) }, -1)
  assert.deepEqual(written, [new Uint8Array(8)])
})
