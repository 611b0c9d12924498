import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Daemon, startDaemon, until } from '../../scripts/lib/daemon.ts'
import { temporaryFolder } from '../fixtures/nodes.ts'
import { runProgram } from '../fixtures/program.ts'

const TIMEOUT = { timeout: 400_000 }
const FILES = 16
/** Members walk their files once the view has stayed the same for a minute. By --out-after it would take 20 minutes. */
const REPAIRED_MS_MAX = 200_000

/** Starts three members of one network that keep two copies of each file. Returns them, and how to start one again. */
async function startThree(t: TestContext) {
  const folder = await temporaryFolder(t)
  const start = async (name: string, ...more: string[]): Promise<Daemon> => {
    const flags = ['--no-mdns', '--listen', '/ip4/127.0.0.1/tcp/0', '--api', '127.0.0.1:0', '--replicas', '2']
    const args = [...flags, '--network-key-file', join(folder, 'key'), ...more]
    const daemon = await startDaemon({ name, dataDir: join(folder, name), fromSource: true, args })
    t.after(() => daemon.stop())
    return daemon
  }
  const attic = await start('attic', '--new')
  const bootstrap = ['--bootstrap', attic.multiaddrs[0] as string]
  const [box, vm] = [await start('box', ...bootstrap), await start('vm', ...bootstrap)]
  return { folder, attic, box, vm, startVm: () => start('vm', ...bootstrap) }
}

test(
  'the others make the copies of a member that was declared out long before --out-after, and it counts again when it comes back',
  TIMEOUT,
  async t => {
    const { folder, attic, box, vm, startVm } = await startThree(t)
    const dfs = (...args: string[]) => runProgram('dfs', ['--data-dir', attic.dataDir, ...args])
    const stateOf = async ({ client }: Daemon): Promise<string | undefined> =>
      (await client.call('peers', {})).find(({ peerId }) => peerId === vm.peerId)?.state
    const isSafe = async (): Promise<boolean> => {
      for await (const { confirmed, wanted } of attic.client.stream('copies', { path: '/' }))
        if (confirmed < wanted) return false
      return true
    }
    const owed = async ({ client }: Daemon) => (await client.call('status', {})).owed
    const names = Array.from({ length: FILES }, (_, i) => join(folder, `f${i}`))
    for (const name of names) await writeFile(name, randomBytes(200_000))
    await until('connected', async () => (await attic.client.call('status', {})).peersConnected === 2)
    assert.equal((await dfs('put', ...names)).code, 0)
    await until('two copies of each file', isSafe)
    assert.equal(await vm.stop(), 0)
    await until('gone', async () => (await attic.client.call('status', {})).peersConnected === 1)
    const lacking = await dfs('status', '/')
    assert.match(lacking.stdout.toString(), /on 1 of 2, waiting for vm/)
    assert.equal((await dfs('put', ...names, '/again/')).code, 0)
    assert.ok((await owed(attic)).waitingFor.some(({ name }) => name === 'vm'))

    const { code, stdout, stderr } = await dfs('members', 'out', 'vm')
    const words = `vm (…${vm.peerId.slice(-8)}) is out: the others take over its part. It counts again when it comes back\n`
    assert.deepEqual([code, stdout.toString()], [0, words], stderr)
    for (const at of [attic, box]) await until('vm is out', async () => (await stateOf(at)) === 'out')
    const [shown] = (await attic.client.call('members', {})).filter(({ peerId }) => peerId === vm.peerId)
    assert.equal(shown?.state, 'out')
    await until('the copies are made again', isSafe, REPAIRED_MS_MAX)
    for (const at of [attic, box]) await until('nothing is owed', async () => (await owed(at)).blocks === 0)

    await startVm()
    for (const at of [attic, box]) await until('vm counts again', async () => (await stateOf(at)) === 'in')
    assert.match(
      (await dfs('members', 'out', 'vm')).stdout.toString(),
      /but it is connected and counts again in a moment/
    )
    await until('vm counts again', async () => (await stateOf(attic)) === 'in')
  }
)
