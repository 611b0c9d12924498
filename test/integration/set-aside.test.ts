import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { CatalogProjection } from '../../src/catalog/projection.ts'
import type { IndexSink } from '../../src/disk/index-sink.ts'
import { FormatError } from '../../src/format/errors.ts'
import { idOf } from '../../src/format/statement.ts'
import { createNode, type NodeEvent } from '../../src/index.ts'
import type { Change } from '../../src/log/projection.ts'
import { RecordingLogger } from '../fixtures/logger.ts'
import { startNode, until } from '../fixtures/nodes.ts'

test('a record that was set aside is no damage of the index at the next start, and its blocks are kept', async t => {
  const { node, options } = await startNode(t)
  await node.put('/good', randomBytes(100_000))
  const { version } = await node.put('/set-aside', randomBytes(100_000))
  await node.stop()
  await rm(join(options.dataDir, 'index'), { recursive: true })
  const { project } = CatalogProjection.prototype
  const projecting = t.mock.method(
    CatalogProjection.prototype,
    'project',
    function (this: CatalogProjection, change: Change, sink: IndexSink) {
      if (change.added.some(({ statement }) => idOf(statement) === version))
        throw new FormatError('a number is too large')
      return project.call(this, change, sink)
    }
  )
  // The rebuild sets the record aside. Both records are walked now or after the next start.
  const logger = new RecordingLogger()
  await (await createNode({ ...options, logger })).stop()
  projecting.mock.restore()
  const events: NodeEvent[] = []
  const again = await createNode({ ...options, logger, onEvent: event => events.push(event) })
  t.after(() => again.stop())
  assert.match((await again.status()).warnings.join(), /set aside \(1\)/)
  // A record may be walked more than once.
  const walked = (): Set<string> =>
    new Set(logger.lines.flatMap(line => /record (\w+): nothing is missing/.exec(line)?.[1] ?? []))
  await until('both records were walked', async () => walked().size === 2)
  assert.ok(!logger.lines.some(line => line.includes('the walk failed')))
  assert.deepEqual(events, [])
})
