import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HEADS_MAX } from '../../../src/catalog/constants.ts'
import { directoryAt, fileWith, Setup, type Signed, sign } from './setup.ts'

const entry = Buffer.alloc(16, 1)

test('an older head that a record covers is removed, although a delete of the same batch has seen less of its author', async () => {
  const incarnation = Buffer.alloc(8, 200)
  const at = fileWith('x', { name: 'f' })
  const first = sign({ entry, incarnation, ...at })
  const second = sign({ entry, incarnation, seen: [first.record.stamp], ...at })
  const others = Array.from({ length: HEADS_MAX }, (_, i) => sign({ entry, incarnation: Buffer.alloc(8, i), ...at }))
  const write = sign({ entry, incarnation: Buffer.alloc(8, 201), seen: [second.record.stamp], ...at })
  const seen = [first.record.stamp]
  const deleted = sign({ entry, incarnation: Buffer.alloc(8, 202), op: 'delete', seen, ...directoryAt('d') })
  const rowsAfter = async (...batches: readonly Signed[][]): Promise<string[]> => {
    const setup = await Setup.open()
    await setup.add(first, second, ...others)
    for (const batch of batches) await setup.add(...batch)
    return setup.rows()
  }
  assert.deepEqual(await rowsAfter([write, deleted]), await rowsAfter([write], [deleted]))
})
