import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { connected, type Daemon, startDaemon, until } from '../../scripts/lib/daemon.ts'
import { readAll, temporaryFolder } from '../fixtures/nodes.ts'
import { lacksTestbed, must, shell, TESTBED } from '../fixtures/shell.ts'

const NETNS = join(TESTBED, 'netns.sh')

/** Starts a daemon in each of two network namespaces on one switch. They find each other by mDNS. */
async function startTwo(t: TestContext): Promise<Daemon[]> {
  const folder = await temporaryFolder(t)
  await shell([NETNS, 'down', '2'])
  await must([NETNS, 'up', '2'])
  t.after(() => shell([NETNS, 'down', '2']))
  const daemons: Daemon[] = []
  for (const host of [1, 2]) {
    const daemon = await startDaemon({
      name: `host${host}`,
      dataDir: join(folder, `host${host}`),
      fromSource: true,
      prefix: ['nsenter', `--net=/run/netns/dfs${host}`],
      args: ['--network-key-file', join(folder, 'key'), ...(host === 1 ? ['--new'] : [])]
    })
    daemons.push(daemon)
    t.after(() => daemon.stop())
  }
  return daemons
}

/** Gives each of the two hosts an address in another subnet, in place of the one that it has. */
async function move(from: string, to: string): Promise<void> {
  for (const host of ['1', '2']) {
    const ip = ['ip', '-n', `dfs${host}`]
    await must([...ip, 'addr', 'add', `${to}.${host}/24`, 'dev', 'eth0'])
    await must([...ip, 'addr', 'del', `${from}.${host}/24`, 'dev', 'eth0'])
    await must([...ip, 'route', 'replace', 'default', 'dev', 'eth0'])
  }
}

test('two hosts with one key and no address find each other by mDNS', {
  skip: lacksTestbed,
  timeout: 180_000
}, async t => {
  const daemons = await startTwo(t)
  const started = performance.now()
  await connected(daemons)
  t.diagnostic(`connected ${((performance.now() - started) / 1000).toFixed(1)} s after the second was up`)
  const [a, b] = daemons as [Daemon, Daemon]
  const bytes = randomBytes(3_000_000)
  const never = new AbortController().signal
  const { reached } = await a.client.put('/f', once(bytes), {}, never)
  assert.equal(reached.length, 2)
  assert.ok((await readAll((await b.client.get('/f', undefined, never)).body)).equals(bytes))
})

test('two members whose addresses both change while they run find each other again by mDNS', {
  skip: lacksTestbed,
  timeout: 240_000
}, async t => {
  const daemons = await startTwo(t)
  await connected(daemons)
  const reaches = async ({ client }: Daemon): Promise<string[]> =>
    (await client.call('status', {})).peersConnected > 0 ? ['other'] : []
  let network = '10.77.0'
  for (const next of ['10.78.0', '10.79.0']) {
    const movedAtMs = performance.now()
    await move(network, next)
    network = next
    await until('the loss to be noticed', async () => (await Promise.all(daemons.map(reaches))).flat().length === 0)
    await connected(daemons)
    t.diagnostic(`connected ${((performance.now() - movedAtMs) / 1000).toFixed(1)} s after both addresses had changed`)
  }
})

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes
}
