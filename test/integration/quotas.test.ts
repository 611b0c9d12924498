import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { generateNetworkKey } from '../../src/index.ts'
import { SYNC_PROTOCOL } from '../../src/log/constants.ts'
import { startNode, until } from '../fixtures/nodes.ts'
import { joinRaw } from '../fixtures/raw-member.ts'

const QUOTA = 100

test('a writer whose quota is used up is told so, can still remove files, and goes on once an admin has raised it', async t => {
  const { node: admin } = await startNode(t)
  const { token } = await admin.invite()
  const { node: writer } = await startNode(t, { join: token })
  await admin.setSetting('quotaStatements', QUOTA)
  await until('it holds there', async () =>
    (await writer.settings()).some(({ key, value }) => key === 'quotaStatements' && value === QUOTA)
  )
  // Each file is a new one: the records of versions that are replaced are soon forgotten, and then do not count.
  let next = 0
  const many = async (count: number) => {
    const puts = Array.from({ length: count }, () => writer.put(`/f/${next++}`, randomBytes(1)))
    return (await Promise.allSettled(puts)).filter(put => put.status === 'rejected').map(({ reason }) => reason.name)
  }
  assert.deepEqual(await many(QUOTA - 20), [])
  await until('its quota is used up', async () => (await many(1)).length === 1)
  await assert.rejects(writer.put('/more', Buffer.from('x')), {
    name: 'OverQuotaError',
    code: 'not-allowed',
    message: /as its quota allows \(100\): an admin can raise it with dfs config quotaStatements/
  })
  assert.deepEqual((await writer.remove('/f/1')).waitingFor, [])
  const refused = await many(50)
  assert.deepEqual(refused, Array(50).fill('OverQuotaError'))
  await admin.put('/of the admin', Buffer.from('x'))
  await admin.setSetting('quotaStatements', 10 * QUOTA)
  await until('it may write again', async () => (await writer.put('/more', Buffer.from('x'))).size === 1)
  await until('the admin has it', async () => (await admin.stat('/more')) !== undefined)
})

test('a hostile member that signs beyond its quota by hand is refused, and nobody else is', async t => {
  const networkKey = generateNetworkKey()
  const { node } = await startNode(t, { networkKey })
  const { node: other } = await startNode(t, { networkKey, bootstrap: node.multiaddrs })
  await node.setSetting('quotaStatements', QUOTA)
  const raw = await joinRaw(t, networkKey, node.multiaddrs[0] as string)
  const { self } = raw
  const shares = Array.from({ length: 200 }, () =>
    self.sign('share', { id: randomBytes(16), root: null }, self.nextHlc())
  )
  const fields = { do: 'push', lengths: shares.map(({ bytes }) => bytes.byteLength), puts: shares.map(() => null) }
  const reply = await raw.call(
    SYNC_PROTOCOL,
    fields,
    shares.map(({ bytes }) => bytes)
  )
  const verdicts = reply.fields['verdicts'] as string[]
  const accepted = verdicts.filter(verdict => verdict === 'ok').length
  assert.ok(accepted > QUOTA && accepted <= (QUOTA * 5) / 4, `${accepted} were accepted`)
  assert.deepEqual(new Set(verdicts.slice(accepted)), new Set(['over-quota']))
  await other.put('/of another', randomBytes(5_000))
  await until('it arrives', async () => (await node.stat('/of another')) !== undefined)
  assert.deepEqual((await node.status()).warnings, [])
})
