import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DiskMonitor } from '../../../src/disk/disk-monitor.ts'
import { NoSpaceError } from '../../../src/disk/errors.ts'
import type { DiskState } from '../../../src/disk/monitored-files.ts'
import { silentLogger } from '../../fixtures/logger.ts'

test('the monitor reports each change once, and never one that has passed between two updates', () => {
  const files: { state: DiskState } = { state: 'ok' }
  const capacity = { isFull: false }
  const reported: DiskState[] = []
  const index: { failure: unknown } = { failure: undefined }
  const monitor = new DiskMonitor({
    files,
    capacity,
    index,
    logger: silentLogger,
    onChange: state => reported.push(state)
  })
  monitor.update()
  capacity.isFull = true
  assert.equal(monitor.state, 'full')
  for (let i = 0; i < 3; i++) monitor.update()
  // A disk that accepts no writes at all is worse than a full one.
  files.state = 'readonly'
  monitor.update()
  files.state = 'full'
  monitor.update()
  files.state = 'ok'
  monitor.update()
  capacity.isFull = false
  capacity.isFull = true
  monitor.update()
  capacity.isFull = false
  monitor.update()
  assert.deepEqual(reported, ['full', 'readonly', 'full', 'ok'])
  // The last write succeeded, and yet nothing is stored: the index refuses all changes.
  index.failure = new NoSpaceError('the disk is full')
  monitor.update()
  index.failure = new Error('unknown')
  monitor.update()
  index.failure = undefined
  monitor.update()
  assert.deepEqual(reported.slice(4), ['full', 'failing', 'ok'])
})
