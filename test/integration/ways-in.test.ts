import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { generateNetworkKey, type NodeEvent } from '../../src/index.ts'
import { codeOfRejection, read, startNode, until } from '../fixtures/nodes.ts'

function codeIn(events: readonly NodeEvent[]): string | undefined {
  return events.flatMap(event => (event.event === 'pending' ? [event.code] : [])).at(-1)
}

test('a machine that is approved reads what is there, and writes what its role allows', async t => {
  const { node: attic, events } = await startNode(t, { name: 'attic', found: true })
  const content = randomBytes(300_000)
  await attic.put('/file.bin', content)
  const bootstrap = [attic.multiaddrs[0] as string]
  for (const role of ['writer', 'reader'] as const) {
    const started = await startNode(t, { name: `new ${role}`, bootstrap, role })
    await until('it shows its code', async () => codeIn(started.events) !== undefined)
    const code = codeIn(started.events) as string
    assert.ok(events.some(event => event.event === 'asking' && event.code === code && event.name === `new ${role}`))
    assert.equal((await attic.status()).waiting, 1)
    assert.deepEqual((await attic.members()).map(({ state, code }) => [state, code]).at(-1), ['pending', code])
    assert.equal((await attic.approve(code, { role })).role, role)
    await started.node.ready()
    await until('it reads', async () => (await codeOfRejection(read(started.node, '/file.bin'))) === 'resolved')
    assert.ok((await read(started.node, '/file.bin')).equals(content))
    const put = codeOfRejection(started.node.put('/mine.txt', Buffer.from('mine')))
    assert.equal(await put, role === 'writer' ? 'resolved' : 'not-allowed')
    await started.node.stop()
  }
})

test('a machine with an invite is let in, and reads what is there', async t => {
  const { node: attic } = await startNode(t, { name: 'attic', found: true })
  const content = randomBytes(300_000)
  await attic.put('/file.bin', content)
  const { token } = await attic.invite({ role: 'writer' })
  const { node } = await startNode(t, { name: 'laptop', join: token })
  await until('it reads', async () => (await codeOfRejection(read(node, '/file.bin'))) === 'resolved')
  assert.ok((await read(node, '/file.bin')).equals(content))
  const [item] = await attic.invites()
  assert.deepEqual([item?.used, item?.state], [1, 'used-up'])
  assert.equal(await codeOfRejection(startNode(t, { name: 'late', join: token })), 'used-up')
})

test('a machine that was let in puts as soon as it is ready', async t => {
  const { node: attic } = await startNode(t, { name: 'attic', found: true })
  const bootstrap = [attic.multiaddrs[0] as string]
  for (let i = 0; i < 3; i++) {
    const approved = await startNode(t, { name: `approved ${i}`, bootstrap, role: 'writer' })
    await until('it shows its code', async () => codeIn(approved.events) !== undefined)
    await attic.approve(codeIn(approved.events) as string, { role: 'writer' })
    await approved.node.ready()
    await approved.node.put(`/approved-${i}.txt`, Buffer.from('mine'), { replicas: 1, ack: 1 })
    const { token } = await attic.invite({ role: 'writer' })
    const invited = await startNode(t, { name: `invited ${i}`, join: token })
    await invited.node.ready()
    await invited.node.put(`/invited-${i}.txt`, Buffer.from('mine'), { replicas: 1, ack: 1 })
    await approved.node.stop()
    await invited.node.stop()
  }
})

test('a storage member, which gets no key, is ready without one', async t => {
  const { node: attic } = await startNode(t, { name: 'attic', found: true })
  const { token } = await attic.invite({ role: 'storage' })
  const { node } = await startNode(t, { name: 'cellar', join: token })
  await node.ready()
  assert.doesNotMatch((await node.status()).warnings.join(), /has not received the key/)
})

test('a machine that was stopped while it waited has lost nothing, so it waits for nobody before it frees', async t => {
  const { node: attic } = await startNode(t, { name: 'attic', found: true })
  const { token } = await attic.invite({ role: 'writer' })
  const away = await startNode(t, { name: 'away', join: token })
  await away.node.stop()
  const bootstrap = [attic.multiaddrs[0] as string]
  const first = await startNode(t, { name: 'laptop', bootstrap })
  await until('it shows its code', async () => codeIn(first.events) !== undefined)
  await first.node.stop()
  const events: NodeEvent[] = []
  const { node } = await startNode(t, { ...first.options, onEvent: event => events.push(event) })
  await until('it shows its code', async () => codeIn(events) !== undefined)
  await attic.approve(codeIn(events) as string, { role: 'writer' })
  await node.ready()
  assert.doesNotMatch((await node.status()).warnings.join(), /frees nothing/)
  await attic.put('/file.bin', randomBytes(300_000), { replicas: 2, ack: 2 })
  await until('it has the file', async () => (await codeOfRejection(node.stat('/file.bin'))) === 'resolved')
  assert.notEqual(await codeOfRejection(node.evict('/file.bin')), 'busy')
})

test('a machine whose invite was used elsewhere first is told at each start that it is no member any more', {
  timeout: 300_000
}, async t => {
  const networkKey = generateNetworkKey()
  const one = await startNode(t, { networkKey, name: 'one' })
  const two = await startNode(t, { networkKey, name: 'two', bootstrap: one.node.multiaddrs })
  const { id, token } = await one.node.invite({ role: 'writer', uses: 1 })
  await until('two knows the invite', async () => (await two.node.invites()).some(invite => invite.id === id))
  await two.node.stop()
  const first = await startNode(t, { join: token, name: 'first' })
  await first.node.ready()
  await first.node.stop()
  await one.node.stop()
  const again = await startNode(t, { ...two.options, bootstrap: [] })
  const late = await startNode(t, { join: token, name: 'late', bootstrap: again.node.multiaddrs })
  await late.node.ready()
  await startNode(t, { ...one.options, bootstrap: again.node.multiaddrs })
  await until('late is no member', async () => (await late.node.status()).state === 'removed')
  await late.node.stop()
  const restarted = await startNode(t, { dataDir: late.options.dataDir })
  assert.equal((await restarted.node.status()).state, 'removed')
  assert.ok(restarted.events.some(({ event }) => event === 'removed'))
})
