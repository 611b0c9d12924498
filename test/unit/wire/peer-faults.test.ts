import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ProtocolError, RefusedError } from '../../../src/wire/errors.ts'
import { PeerFaults } from '../../../src/wire/peer-faults.ts'
import { RecordingLogger } from '../../fixtures/logger.ts'

test('a peer is blamed for a ProtocolError and for no other error', () => {
  const logger = new RecordingLogger()
  const blamed: string[] = []
  const faults = new PeerFaults({ log: logger.forComponent('dfs:wire:calls'), onFault: peer => blamed.push(peer) })
  const failing = (error: Error) => () => {
    throw error
  }
  assert.equal(
    faults.read('a', () => 'read'),
    'read'
  )
  assert.throws(() => faults.read('b', failing(new ProtocolError('nonsense'))), { name: 'ProtocolError' })
  assert.throws(() => faults.read('c', failing(new RefusedError('busy'))), { name: 'RefusedError' })
  assert.throws(() => faults.read('d', failing(new Error('a bug of ours'))), /a bug/)
  assert.deepEqual(blamed, ['b'])
  assert.deepEqual(logger.lines, ['dfs:wire:calls b is at fault: ProtocolError: nonsense'])
})
