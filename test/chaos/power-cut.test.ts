import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { cp, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { connected, type Daemon, startDaemon, until } from '../../scripts/lib/daemon.ts'
import { Lan, type LanMachine, lacksNamespaces } from '../fixtures/lan.ts'
import { readAll, temporaryFolder } from '../fixtures/nodes.ts'

const options = { skip: lacksNamespaces, timeout: 300_000 }
const PORT = 4100
/** How long the machine is without power. */
const OFF_MS = 1_000
/** Generous for a busy machine. A copy is never let in, so a machine that was mistaken for a copy would exceed it. */
const BACK_MS_MAX = 30_000
/** Files that only mean something while a process runs on the directory. */
const OF_A_PROCESS = ['lock', 'LOCK', 'api.sock', 'api.json']
const DUPLICATED = /another node runs with this machine's identity/

interface Stage {
  lan: Lan
  folder: string
  attic: Daemon
  shelf: Daemon
  laptop: Daemon
  /** Starts the daemon of a member at a machine. It dials the attic. */
  start(name: string, machine: LanMachine): Promise<Daemon>
}

const LAPTOP = 3

/** Three members at three machines of a switch. */
async function setUp(t: TestContext): Promise<Stage> {
  const folder = await temporaryFolder(t)
  const lan = await Lan.open(t)
  const keyFile = join(folder, 'network.key')
  await writeFile(keyFile, randomBytes(32).toString('hex'), { mode: 0o600 })
  let bootstrap: string[] = []
  const start = async (name: string, { ip, enter }: LanMachine): Promise<Daemon> => {
    const args = ['--no-mdns', '--listen', `/ip4/${ip}/tcp/${PORT}`, '--network-key-file', keyFile, ...bootstrap]
    const daemon = await startDaemon({ name, dataDir: join(folder, name), fromSource: true, prefix: enter, args })
    t.after(() => daemon.stop())
    return daemon
  }
  const attic = await start('attic', await lan.powerOn(1))
  bootstrap = ['--bootstrap', attic.multiaddrs[0] as string]
  const shelf = await start('shelf', await lan.powerOn(2))
  const laptop = await start('laptop', await lan.powerOn(LAPTOP))
  await connected([attic, shelf, laptop])
  return { lan, folder, attic, shelf, laptop, start }
}

async function warningsOf({ client }: Daemon): Promise<string> {
  return (await client.call('status', {})).warnings.join('\n')
}

/** Puts a file at one member, and reads it at another one that has to ask for it. */
async function roundTrip(from: Daemon, to: Daemon, path: string): Promise<void> {
  const never = new AbortController().signal
  const bytes = randomBytes(3_000_000)
  const { reached } = await from.client.put(path, once(bytes), { replicas: 'all', ack: 'all' }, never)
  assert.equal(reached.length, 3, 'the machine that is back counts as a copy')
  await until('the file is known', async () => (await to.client.call('stat', { path })).size === bytes.byteLength)
  assert.ok((await readAll((await to.client.get(path, undefined, never)).body)).equals(bytes))
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes
}

/** Cuts the power of the laptop, and starts it again a second later at this address. */
async function losePower(stage: Stage, host: number): Promise<{ laptop: Daemon; bootMs: number; backMs: number }> {
  const { lan, laptop, start, attic, shelf } = stage
  await lan.powerCut(LAPTOP)
  await laptop.kill()
  await new Promise(resolve => setTimeout(resolve, OFF_MS))
  const machine = await lan.powerOn(LAPTOP, host)
  for (const { client, name } of [attic, shelf])
    assert.equal((await client.call('status', {})).peersConnected, 2, `${name} has noticed nothing`)
  const startedAtMs = performance.now()
  const again = await start('laptop', machine)
  const readyAtMs = performance.now()
  await connected([again, attic, shelf])
  return { laptop: again, bootMs: readyAtMs - startedAtMs, backMs: performance.now() - readyAtMs }
}

for (const [where, host] of [
  ['at its old address', 3],
  ['at another address, so that its old connections stay silent', 33]
] as const)
  test(`a machine that lost power and is back in two seconds ${where} is let in and works`, options, async t => {
    const stage = await setUp(t)
    const { attic, shelf } = stage
    await roundTrip(stage.laptop, shelf, '/before.bin')
    const { laptop, bootMs, backMs } = await losePower(stage, host)
    const readyAtMs = performance.now()
    await roundTrip(laptop, shelf, '/from.bin')
    await roundTrip(attic, laptop, '/to.bin')
    const workMs = performance.now() - readyAtMs
    t.diagnostic(
      `start ${(bootMs / 1000).toFixed(1)} s, connected to both ${(backMs / 1000).toFixed(1)} s later, two puts and gets ${(workMs / 1000).toFixed(1)} s`
    )
    assert.ok(backMs < BACK_MS_MAX, `let in after ${backMs} ms`)
    for (const daemon of [attic, shelf, laptop]) {
      assert.doesNotMatch(await warningsOf(daemon), DUPLICATED, daemon.name)
      assert.doesNotMatch(daemon.log(), /two processes run with one identity/, daemon.name)
    }
  })

test('a data directory that was copied to another machine is refused, and both machines say why', options, async t => {
  const { lan, folder, attic, laptop, start } = await setUp(t)
  // A copy of a directory in use, as a backup that was restored too early.
  await cp(laptop.dataDir, join(folder, 'copy'), {
    recursive: true,
    filter: path => !OF_A_PROCESS.includes(basename(path))
  })
  const copy = await start('copy', await lan.powerOn(4))
  assert.equal(copy.peerId, laptop.peerId)
  for (const daemon of [copy, laptop])
    await until(`${daemon.name} says that it was copied`, async () => DUPLICATED.test(await warningsOf(daemon)))
  assert.equal((await copy.client.call('status', {})).peersConnected, 0)
  assert.equal((await laptop.client.call('status', {})).peersConnected, 2)
  assert.match(attic.log(), /two processes run with one identity/)
  // What is put at the copy stays there, as on a machine without a network.
  const { reached } = await copy.client.put('/copy.bin', once(randomBytes(1_000)), {}, new AbortController().signal)
  assert.deepEqual(reached, [copy.peerId])
  const names = (await attic.client.call('members', {})).map(({ name, state }) => `${name} ${state}`).sort()
  assert.deepEqual(names, ['attic in', 'laptop in', 'shelf in'])
  for (const daemon of [copy, laptop]) assert.match(daemon.log(), /two processes run with one identity/, daemon.name)
})
