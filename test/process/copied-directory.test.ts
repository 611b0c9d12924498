import assert from 'node:assert/strict'
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { LOCAL, startProcess } from '../fixtures/daemon-process.ts'
import { runProgram } from '../fixtures/program.ts'
import { temporaryFolder } from '../fixtures/temporary-folder.ts'

test('a copy of a data directory does not lead to the node of the original, and does not start beside it', async t => {
  const folder = await temporaryFolder(t)
  const original = join(folder, 'original')
  const copy = join(folder, 'copy')
  const daemon = startProcess(t, ['--data-dir', original, '--new'])
  await daemon.event('ready')
  await cp(original, copy, { recursive: true, filter: path => !path.endsWith('.sock') })
  assert.equal((await runProgram('dfs', ['--data-dir', original, 'status'])).code, 0)
  const asked = await runProgram('dfs', ['--data-dir', copy, 'status'])
  assert.equal(asked.code, 5)
  assert.equal(
    asked.stderr,
    `${copy}: no node runs on this data directory: start dfs-node on it, or give another --data-dir\n`
  )
  const started = await runProgram('dfs-node', ['--data-dir', copy, ...LOCAL])
  assert.equal(started.code, 1)
  assert.match(
    started.stderr,
    new RegExp(`this data directory is a copy, and process ${daemon.child.pid} runs on the original`)
  )
})
