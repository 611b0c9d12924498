import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { leaveInvite, readJoin } from '../../../src/daemon/invite-files.ts'
import { startNode, temporaryFolder } from '../../fixtures/nodes.ts'

test('an invite that is given in the place of its file is refused and not repeated', async () => {
  const token = `dfsinvite1.${'x'.repeat(400)}.00000000`
  await assert.rejects(readJoin(token), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'usage')
    assert.match(error.message, /not the invite itself/)
    return !error.message.includes('xxx')
  })
})

test('an invite that is valid and leads here stays at the next start, and any other one is replaced', async t => {
  const { node } = await startNode(t, { found: true })
  const file = join(await temporaryFolder(t), 'out.invite')
  const states = async (): Promise<string[]> => (await node.invites()).map(({ state }) => state)
  await leaveInvite(node, file)
  const first = await readFile(file, 'utf8')
  await leaveInvite(node, file)
  assert.equal(await readFile(file, 'utf8'), first)
  assert.deepEqual(await states(), ['open'])
  const moved = new Proxy(node, {
    get: (target, name) => {
      if (name === 'multiaddrs') return [`/ip4/192.0.2.7/tcp/3000/p2p/${node.peerId}`]
      const value = Reflect.get(target, name, target) as unknown
      return typeof value === 'function' ? value.bind(target) : value
    }
  })
  await leaveInvite(moved, file)
  assert.notEqual(await readFile(file, 'utf8'), first)
  assert.deepEqual((await states()).sort(), ['open', 'revoked'])
  await node.revokeInvite(await readFile(file, 'utf8'))
  await leaveInvite(node, file)
  assert.deepEqual((await states()).sort(), ['open', 'revoked', 'revoked'])
})
