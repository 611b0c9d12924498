import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { createServer } from 'node:http'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { closeServer, listenOnSocket, removeSocket } from '../../../src/http/listen.ts'
import { temporaryFolder } from '../../fixtures/nodes.ts'

const skip = process.platform === 'linux' ? false : 'needs /proc, where no socket can be'

async function socketOf(t: TestContext, dataDir: string): Promise<string> {
  const server = createServer()
  const path = await listenOnSocket(server, dataDir)
  t.after(() => closeServer(server))
  return path
}

test('the socket is elsewhere if the disk of the data directory has no sockets, or its path is too long', {
  skip
}, async t => {
  const folder = await temporaryFolder(t)
  const before = process.env['XDG_RUNTIME_DIR']
  t.after(() => {
    if (before === undefined) delete process.env['XDG_RUNTIME_DIR']
    else process.env['XDG_RUNTIME_DIR'] = before
  })
  // A runtime folder that does not exist, as after su, must not keep the daemon from starting.
  process.env['XDG_RUNTIME_DIR'] = join(folder, 'none')
  const long = join(folder, 'x'.repeat(100))
  await mkdir(long)
  for (const dataDir of ['/proc', long]) {
    const path = await socketOf(t, dataDir)
    assert.notEqual(dirname(path), dataDir)
    assert.ok(existsSync(path), path)
    await removeSocket(path, dataDir)
    assert.equal(existsSync(dirname(path)), false)
  }
  assert.equal(dirname(await socketOf(t, folder)), folder)
})
