import assert from 'node:assert/strict'
import { rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { generateNetworkKey } from '../../src/index.ts'
import { codeOfRejection, startNode } from '../fixtures/nodes.ts'

test('a directory that has lost its keystore does not become another member', async t => {
  const networkKey = generateNetworkKey()
  const { node, options } = await startNode(t, { networkKey })
  const { peerId } = node
  await node.put('/f', Buffer.from('content'))
  await node.stop()
  const keystore = join(options.dataDir, 'keystore')
  await rename(keystore, `${keystore}.away`)
  for (const more of [{ networkKey: undefined }, { networkKey: undefined, found: true }, { networkKey }])
    assert.equal(await codeOfRejection(startNode(t, { ...options, ...more })), 'unsupported')
  await assert.rejects(startNode(t, options), { message: /keystore back/ })
  await rename(`${keystore}.away`, keystore)
  assert.equal((await startNode(t, options)).node.peerId, peerId)
})

test('a first start that ended before there was a keystore is a first start again', async t => {
  const { node, options } = await startNode(t)
  await node.stop()
  for (const name of ['keystore', 'index', 'blocks', 'segments'])
    await rm(join(options.dataDir, name), { recursive: true, force: true })
  await writeFile(join(options.dataDir, 'keystore.new'), 'half')
  assert.equal((await startNode(t, options)).node.role, 'admin')
})
