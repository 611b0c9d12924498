import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { generateNetworkKey } from '../../src/index.ts'
import { IDS_MAX, SYNC_PROTOCOL } from '../../src/log/constants.ts'
import { splitIds } from '../../src/log/sync-frames.ts'
import { toHex } from '../../src/util/bytes.ts'
import { listing, startNode, until } from '../fixtures/nodes.ts'
import { joinRaw, type RawMember } from '../fixtures/raw-member.ts'
import { laterStatement } from '../unit/log/setup.ts'

/** The ids of class 1 that the node lists. */
async function idsOf(raw: RawMember): Promise<string[]> {
  const { body, fields } = await raw.call(SYNC_PROTOCOL, { do: 'list', class: 1, after: null })
  const ids = splitIds(body).map(toHex)
  assert.ok(fields['isEnd'] === true && ids.length < IDS_MAX)
  return ids
}

test('statements of later kinds and versions are kept, passed on and skipped, at a start and after a rebuild too', async t => {
  const networkKey = generateNetworkKey()
  const { node, options } = await startNode(t, { networkKey })
  await node.put('/file', Buffer.from('x'))
  const raw = await joinRaw(t, networkKey, node.multiaddrs[0] as string)
  const later = [laterStatement(raw.self, 'poem', 1), laterStatement(raw.self, 'entry', 2)]
  const ids = later.map(bytes => createHash('sha256').update(bytes).digest('hex')).sort()
  const push = { do: 'push', lengths: later.map(({ byteLength }) => byteLength), puts: later.map(() => null) }
  assert.deepEqual((await raw.call(SYNC_PROTOCOL, push, later)).fields['verdicts'], ['ok', 'ok'])
  await raw.host.stop()
  await node.stop()
  const { node: again } = await startNode(t, options)
  await again.stop()
  await rm(join(options.dataDir as string, 'index'), { recursive: true })
  const { node: rebuilt } = await startNode(t, options)
  // Both nodes have both, although only one was told, and it has started twice since.
  const { node: newcomer } = await startNode(t, { networkKey, bootstrap: rebuilt.multiaddrs })
  await until('it has the file', async () => (await newcomer.status()).files === 1)
  for (const member of [rebuilt, newcomer]) {
    const asker = await joinRaw(t, networkKey, member.multiaddrs[0] as string)
    await until('it has them', async () => {
      const listed = await idsOf(asker)
      return ids.every(id => listed.includes(id))
    })
    const wanted = ids.map(id => Buffer.from(id, 'hex'))
    const { body } = await asker.call(SYNC_PROTOCOL, { do: 'fetch' }, wanted)
    assert.equal(body.byteLength, later[0]!.byteLength + later[1]!.byteLength)
    assert.deepEqual(await listing(member), ['/file 1'])
    assert.deepEqual((await member.status()).warnings, [])
  }
})
