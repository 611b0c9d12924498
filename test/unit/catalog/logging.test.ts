import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePath } from '../../../src/format/path.ts'
import { toHex } from '../../../src/util/bytes.ts'
import { RecordingLogger } from '../../fixtures/logger.ts'
import { Setup } from './setup.ts'

const short = (bytes: Uint8Array): string => toHex(bytes).slice(0, 8)

test('the message log names the records that a change appended, but no path', async () => {
  const logger = new RecordingLogger()
  const setup = await Setup.open({ logger })
  const { statements } = await setup.catalog.mkdir(parsePath('/secret'), 1)
  const [made] = statements
  assert.ok(
    logger.lines.includes(
      `dfs:catalog appended record ${short(made!.id)}, which creates directory ${short(made!.fields.id)}`
    ),
    logger.lines.join('\n')
  )
  assert.ok(!logger.lines.some(line => line.includes('secret')))
})
