import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { cp, rm } from 'node:fs/promises'
import { test } from 'node:test'
import { ROOT_ENTRY, signRecord } from '../../src/format/entry.ts'
import { inlineRoot } from '../../src/format/seal-file.ts'
import type { Statement } from '../../src/format/statement.ts'
import { generateNetworkKey } from '../../src/index.ts'
import { Log } from '../../src/log/log.ts'
import { allConnected, listing, type Started, startNode, temporaryFolder, until } from '../fixtures/nodes.ts'
import { joinRaw, type RawMember } from '../fixtures/raw-member.ts'

const AT_ONCE = 250

/** Signed records of files with these numbers, which hold a little content themselves. */
function records({ self, keys }: RawMember, from: number, count: number): Statement[] {
  const epoch = keys.newest!
  const incarnation = randomBytes(8)
  return Array.from({ length: count }, (_, i) => {
    const content = randomBytes(100)
    const root = inlineRoot(epoch.content, content)
    const body = { parent: ROOT_ENTRY, name: `f${from + i}`, kind: 'file' as const, size: 100, mtime: 0, content }
    const place = { placed: null, written: null, root, rootEpoch: epoch.id, replicas: 1, seen: [], body }
    return signRecord(
      { entry: randomBytes(16), incarnation, epoch: epoch.id, op: 'put', ...place },
      { ...self.signing(self.nextHlc()), subkey: epoch.record }
    )
  })
}

async function pushAll(raw: RawMember, count: number): Promise<void> {
  for (let from = 0; from < count; from += AT_ONCE) {
    const some = records(raw, from, Math.min(AT_ONCE, count - from))
    const lengths = some.map(({ bytes }) => bytes.byteLength)
    const fields = { do: 'push', lengths, puts: some.map(() => null) }
    const { fields: answer } = await raw.call(
      '/dfs/sync/1.0.0',
      fields,
      some.map(({ bytes }) => bytes)
    )
    assert.deepEqual(new Set(answer['verdicts'] as string[]), new Set(['ok']))
  }
}

const filesOf = async ({ node }: Started): Promise<number> => (await node.status()).files

test('a newcomer that meets three members at once is handed each statement by one of them', async t => {
  const FILES = 2_000
  const networkKey = generateNetworkKey()
  const olds: Started[] = []
  for (const name of ['p', 'q', 'r']) {
    const bootstrap = olds.map(({ node }) => node.multiaddrs[0] as string)
    olds.push(await startNode(t, { networkKey, name, bootstrap }))
  }
  await allConnected(olds.map(({ node }) => node))
  const raw = await joinRaw(t, networkKey, olds[0]!.node.multiaddrs[0] as string)
  await pushAll(raw, FILES)
  for (const old of olds) await until('all on the old members', async () => (await filesOf(old)) === FILES, 60_000)
  await raw.host.stop()

  const handed = new Map<string, number>()
  const receive = Log.prototype.receive
  t.after(() => {
    Log.prototype.receive = receive
  })
  Log.prototype.receive = function (all, from, check) {
    handed.set(from, (handed.get(from) ?? 0) + all.length)
    return receive.call(this, all, from, check)
  }
  const bootstrap = olds.map(({ node }) => node.multiaddrs[0] as string)
  const fresh = await startNode(t, { networkKey, name: 'fresh', bootstrap })
  await until('all on the newcomer', async () => (await filesOf(fresh)) === FILES, 60_000)
  await until('compared with all', async () => (await fresh.node.stat('/')).replicas.confirmed === 4, 60_000)
  const total = [...handed.values()].reduce((sum, count) => sum + count, 0)
  // Grants and statuses are pushed back and forth as well. If this machine is so busy that a fetch takes longer than a
  // turn of some seconds, the next member may send the same statements again.
  assert.ok(total < 1.5 * FILES, `${total} statements were handed to the four members: ${[...handed.values()]}`)
})

test('a member whose data directory was restored from a backup receives everything again, and is listed again', async t => {
  const networkKey = generateNetworkKey()
  const dataDir = `${await temporaryFolder(t)}/a`
  const b = await startNode(t, { networkKey, name: 'b' })
  const bootstrap = [b.node.multiaddrs[0] as string]
  const start = (): Promise<Started> => startNode(t, { networkKey, name: 'a', dataDir, bootstrap })
  const inStep = async (a: Started): Promise<void> => {
    await allConnected([a.node, b.node])
    await until('the same on both', async () => {
      const [ofA, ofB] = [await listing(a.node), await listing(b.node)]
      return ofA.join() === ofB.join()
    })
  }
  let a = await start()
  await allConnected([a.node, b.node])
  await a.node.put('/before', randomBytes(100))
  await inStep(a)
  await a.node.stop()
  await cp(dataDir, `${dataDir}-backup`, { recursive: true })

  a = await start()
  await allConnected([a.node, b.node])
  for (const name of ['lost 1', 'lost 2', 'lost 3']) await a.node.put(`/${name}`, randomBytes(100))
  await inStep(a)
  await a.node.stop()

  await rm(dataDir, { recursive: true })
  await cp(`${dataDir}-backup`, dataDir, { recursive: true })
  // What it writes now has the sequences that the lost files had.
  a = await startNode(t, { networkKey, name: 'a', dataDir })
  for (const name of ['new 1', 'new 2', 'new 3']) await a.node.put(`/${name}`, randomBytes(100), { replicas: 1 })
  await a.node.stop()
  a = await start()
  await inStep(a)
  assert.deepEqual((await listing(b.node)).sort(), [
    '/before 100',
    '/lost 1 100',
    '/lost 2 100',
    '/lost 3 100',
    '/new 1 100',
    '/new 2 100',
    '/new 3 100'
  ])
})
