import assert from 'node:assert/strict'
import { test } from 'node:test'
import { minorCollector } from '../../../src/daemon/minor-collector.ts'
import { Garbage } from '../../../src/http/garbage.ts'

const MIB = 1 << 20

test('large buffers that become garbage are collected from time to time, and the collector works', async () => {
  const collect = minorCollector()
  let collections = 0
  const garbage = new Garbage(() => {
    collections++
    collect()
  })
  const before = process.memoryUsage().arrayBuffers
  for (let i = 0; i < 240; i++) garbage.note(Buffer.allocUnsafeSlow(MIB).byteLength)
  assert.equal(collections, 10)
  // The memory of a buffer is freed a moment after it was collected.
  await new Promise(resolve => setTimeout(resolve, 50))
  assert.ok(process.memoryUsage().arrayBuffers - before < 100 * MIB)
})
