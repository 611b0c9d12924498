import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { HISTORY_PLANTS } from './history/plants.ts'
import { MEMBERSHIP_PLANTS } from './membership-plants.ts'
import { PLANTS } from './whole/plants.ts'

const ROOT = join(import.meta.dirname, '../..')

test('every fault that was fixed can still be planted, because the text that it replaces is in the sources exactly once', () => {
  const stale = [...PLANTS, ...MEMBERSHIP_PLANTS, ...HISTORY_PLANTS].flatMap(({ name, edits }) =>
    edits
      .filter(({ file, find }) => readFileSync(join(ROOT, file), 'utf8').split(find).length !== 2)
      .map(({ file }) => `${name}: ${file}`)
  )
  assert.deepEqual(stale, [])
})
