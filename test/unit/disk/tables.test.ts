import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { INDEX_LAYOUT } from '../../../src/disk/index-marks.ts'
import { TABLES } from '../../../src/disk/tables.ts'

const SRC = join(import.meta.dirname, '../../../src')

test('each table of the index has its own letter', () => {
  const letters = Object.values(TABLES)
  assert.equal(new Set(letters).size, letters.length)
  for (const letter of letters) assert.match(letter, /^[A-Za-z]$/)
})

test('no room writes the letter of a table itself', () => {
  for (const file of globSync('**/*.ts', { cwd: SRC }))
    assert.doesNotMatch(readFileSync(join(SRC, file), 'utf8'), /\b(index|directory)Key\(\s*'/, file)
})

test('SPEC.md lists every table by its name and letter, and states the layout of the index', () => {
  const [, spec = ''] = readFileSync(join(SRC, 'disk/SPEC.md'), 'utf8').split('\n## The index\n')
  for (const [name, letter] of Object.entries(TABLES)) {
    const row = spec
      .split('\n')
      .find(line => line.startsWith('|') && new RegExp(`\\b${name}\\b`).test(line.split('|')[1] ?? ''))
    assert.ok(row?.includes(`\`${letter}\``), name)
  }
  assert.ok(spec.includes(`\`built\` | 0x${Buffer.from(INDEX_LAYOUT).toString('hex')}:`))
})
