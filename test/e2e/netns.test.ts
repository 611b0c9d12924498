import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { test } from 'node:test'
import { connected, type Daemon, startDaemon } from '../../scripts/lib/daemon.ts'
import { readAll, temporaryFolder } from '../fixtures/nodes.ts'
import { lacksTestbed, must, shell, TESTBED } from '../fixtures/shell.ts'

const NETNS = join(TESTBED, 'netns.sh')

test('two hosts with one key and no address find each other by mDNS', {
  skip: lacksTestbed,
  timeout: 180_000
}, async t => {
  const folder = await temporaryFolder(t)
  await shell([NETNS, 'down', '2'])
  await must([NETNS, 'up', '2'])
  t.after(() => shell([NETNS, 'down', '2']))
  const daemons: Daemon[] = []
  let started = 0
  for (const host of [1, 2]) {
    started = performance.now()
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
  await connected(daemons)
  t.diagnostic(`connected ${((performance.now() - started) / 1000).toFixed(1)} s after the second was started`)
  const [a, b] = daemons as [Daemon, Daemon]
  const bytes = randomBytes(3_000_000)
  const never = new AbortController().signal
  const { reached } = await a.client.put('/f', once(bytes), {}, never)
  assert.equal(reached.length, 2)
  assert.ok((await readAll((await b.client.get('/f', undefined, never)).body)).equals(bytes))
})

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes
}
