import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePath } from '../../../src/format/path.ts'
import { toHex } from '../../../src/util/bytes.ts'
import { RecordingLogger } from '../../fixtures/logger.ts'
import { carrying, fileWith, Setup, sign } from './setup.ts'

const ENTRY = Buffer.alloc(16, 0x77)
const short = (bytes: Uint8Array): string => toHex(bytes).slice(0, 8)

test('the log of messages names the records that a change appended, but no path', async () => {
  const logger = new RecordingLogger()
  const setup = await Setup.open(logger)
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

test('the log of messages tells when the state of an entry was computed from all of its records', async () => {
  const logger = new RecordingLogger()
  const setup = await Setup.open(logger)
  const wrote = sign({ entry: ENTRY, ...fileWith('x', { name: 'f' }) })
  const moved = sign({ ...carrying(wrote), ...fileWith('x', { name: 'g' }) })
  await setup.add(moved)
  // The origin of what the move carries comes late.
  await setup.add(wrote)
  const line = `dfs:catalog:projection computing the state of entry ${short(ENTRY)} from all of its 2 records`
  assert.ok(logger.lines.includes(line), logger.lines.join('\n'))
})
