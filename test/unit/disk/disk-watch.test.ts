import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DiskWatch } from '../../../src/disk/disk-watch.ts'
import type { DiskState } from '../../../src/disk/watched-files.ts'

test('a change is told once, and one that has passed between two looks never', () => {
  const files: { state: DiskState } = { state: 'ok' }
  const capacity = { isFull: false }
  const told: DiskState[] = []
  const watch = new DiskWatch({ files, capacity, onChange: state => told.push(state) })
  watch.look()
  capacity.isFull = true
  assert.equal(watch.state, 'full')
  for (let i = 0; i < 3; i++) watch.look()
  // That it takes no write at all is the worse news.
  files.state = 'readonly'
  watch.look()
  files.state = 'full'
  watch.look()
  files.state = 'ok'
  watch.look()
  capacity.isFull = false
  capacity.isFull = true
  watch.look()
  capacity.isFull = false
  watch.look()
  assert.deepEqual(told, ['full', 'readonly', 'full', 'ok'])
})
