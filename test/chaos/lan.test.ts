import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { connected, type Daemon, startDaemon, until } from '../../scripts/lib/daemon.ts'
import { Lan, type LanMachine, lacksNamespaces } from '../fixtures/lan.ts'
import { readAll, temporaryFolder } from '../fixtures/nodes.ts'
import { must } from '../fixtures/shell.ts'

const NETWORK = '10.88.0'

interface Host extends LanMachine {
  daemon: Daemon
}

/** Starts a daemon on each of two machines of one switch. They find each other by mDNS. */
async function startTwo(t: TestContext): Promise<[Host, Host]> {
  const folder = await temporaryFolder(t)
  const lan = await Lan.open(t)
  const start = async (port: number): Promise<Host> => {
    const machine = await lan.powerOn(port)
    const daemon = await startDaemon({
      name: `host${port}`,
      dataDir: join(folder, `host${port}`),
      fromSource: true,
      prefix: machine.enter,
      args: ['--network-key-file', join(folder, 'key'), ...(port === 1 ? ['--new'] : [])]
    })
    t.after(() => daemon.stop())
    return { ...machine, daemon }
  }
  return [await start(1), await start(2)]
}

/** Gives each of the two hosts an address in another subnet, in place of the one that it has. */
async function move(hosts: readonly Host[], from: string, to: string): Promise<void> {
  for (const [i, { enter }] of hosts.entries()) {
    const ip = [...enter, 'ip']
    await must([...ip, 'addr', 'add', `${to}.${i + 1}/24`, 'dev', 'eth0'])
    await must([...ip, 'addr', 'del', `${from}.${i + 1}/24`, 'dev', 'eth0'])
    await must([...ip, 'route', 'replace', 'default', 'dev', 'eth0'])
  }
}

test('two hosts with one key and no address find each other by mDNS', {
  skip: lacksNamespaces,
  timeout: 300_000
}, async t => {
  const [{ daemon: a }, { daemon: b }] = await startTwo(t)
  const started = performance.now()
  await connected([a, b])
  t.diagnostic(`connected ${((performance.now() - started) / 1000).toFixed(1)} s after the second was up`)
  const bytes = randomBytes(3_000_000)
  const never = new AbortController().signal
  const { reached } = await a.client.put('/f', once(bytes), {}, never)
  assert.equal(reached.length, 2)
  assert.ok((await readAll((await b.client.get('/f', undefined, never)).body)).equals(bytes))
})

test('two members whose addresses both change while they run find each other again by mDNS', {
  skip: lacksNamespaces,
  timeout: 600_000
}, async t => {
  const hosts = await startTwo(t)
  const daemons = hosts.map(({ daemon }) => daemon)
  await connected(daemons)
  const [{ client }] = daemons as [Daemon]
  const never = new AbortController().signal
  let files = 0
  // A file can reach the other only through a connection between the new addresses.
  const reachesOther = async (): Promise<boolean> =>
    (await client.put(`/f${files++}`, once(randomBytes(1_000_000)), {}, never)).reached.length === 2
  let network = NETWORK
  for (const next of ['10.89.0', '10.90.0']) {
    const movedAtMs = performance.now()
    await move(hosts, network, next)
    network = next
    await until('a file reaches the other', reachesOther, 180_000)
    t.diagnostic(`connected ${((performance.now() - movedAtMs) / 1000).toFixed(1)} s after both addresses had changed`)
  }
})

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes
}
