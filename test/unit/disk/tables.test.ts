import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TABLES } from '../../../src/disk/tables.ts'

test('each table of the index has a letter of its own', () => {
  const letters = Object.values(TABLES)
  assert.deepEqual(letters.toSorted(), [...new Set(letters)].sort())
  assert.ok(letters.every(letter => /^[A-Za-z]$/.test(letter)))
})
