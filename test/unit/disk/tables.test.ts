import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { TABLES } from '../../../src/disk/tables.ts'

const SRC = join(import.meta.dirname, '../../../src')

test('each table of the index has its own letter', () => {
  const letters = Object.values(TABLES)
  assert.equal(new Set(letters).size, letters.length)
  for (const letter of letters) assert.match(letter, /^[a-z]$/)
})

test('no room writes the letter of a table itself', () => {
  for (const file of globSync('**/*.ts', { cwd: SRC }))
    assert.doesNotMatch(readFileSync(join(SRC, file), 'utf8'), /\b(index|directory)Key\(\s*'/, file)
})
