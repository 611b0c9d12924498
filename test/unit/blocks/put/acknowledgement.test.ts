import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Acknowledgement, type AcknowledgementDeps } from '../../../../src/blocks/put/acknowledgement.ts'
import type { KeptFile } from '../../../../src/blocks/put/kept-file.ts'
import { putLogs } from '../../../../src/blocks/put/logs.ts'
import { DiskError } from '../../../../src/disk/errors.ts'
import type { Statement } from '../../../../src/format/statement.ts'
import { ManualClock } from '../../../fixtures/clock.ts'
import { RecordingLogger } from '../../../fixtures/logger.ts'

test('a put whose record is durable does not fail because this disk cannot tell whether it holds the blocks', async () => {
  const logger = new RecordingLogger()
  const deps = {
    self: 'self',
    clock: new ManualClock(),
    logs: putLogs(logger),
    ranking: () => ({ keeperCount: 1, keepers: ['self'], isKnown: () => true }),
    admitted: () => [],
    isAvoided: () => false,
    announce: () => {},
    hasAll: async () => {
      throw new DiskError('the disk reported EIO')
    }
  } as unknown as AcknowledgementDeps
  const counts = { peers: [], owed: () => 1, owedBy: () => new Map(), leastCopies: (_: unknown, own: number) => own }
  const root = { multihash: { bytes: new Uint8Array(34), digest: new Uint8Array(32) } }
  const kept = { root, putNumber: new Uint8Array(16), counts, isAvoided: () => false } as unknown as KeptFile
  const record = { id: new Uint8Array(32) } as Statement<'entry'>
  const outcome = await new Acknowledgement(deps, { replicas: 3 }, record, kept).run()
  assert.deepEqual(outcome, { reached: [], wanted: 1, owedBlocks: 1 })
  assert.ok(logger.lines.some(line => line.includes('could not check its own copy')))
})
