import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { cp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { connected, type Daemon, startDaemon, until } from '../../scripts/lib/daemon.ts'
import { decodeStatement, type Statement } from '../../src/format/statement.ts'
import { REST } from '../../src/log/keys.ts'
import { fetchReply, splitBody, splitIds } from '../../src/log/sync-frames.ts'
import { toHex } from '../../src/util/bytes.ts'
import { temporaryFolder } from '../fixtures/nodes.ts'
import { jsonLines, type Result, runProgram } from '../fixtures/program.ts'
import { joinRaw, type RawMember } from '../fixtures/raw-member.ts'

const TIMEOUT = { timeout: 300_000 }
const MIB = 1 << 20
/** The most bytes of a delete of a file that three members know. */
const TOMBSTONE_BYTES_MAX = 512

/** A network of real processes, and `dfs` for each of them. */
class Network {
  readonly key = randomBytes(32)
  readonly folder: string
  readonly #t: TestContext
  #first: Daemon | undefined

  private constructor(t: TestContext, folder: string) {
    this.#t = t
    this.folder = folder
  }

  static async open(t: TestContext): Promise<Network> {
    const network = new Network(t, await temporaryFolder(t))
    await writeFile(join(network.folder, 'key'), toHex(network.key), { mode: 0o600 })
    return network
  }

  /** Starts a member, or starts it again. The first one founds the network, and the others dial it. */
  async start(name: string): Promise<Daemon> {
    const way = this.#first === undefined ? ['--new'] : ['--bootstrap', this.#first.multiaddrs[0] as string]
    const local = ['--no-mdns', '--listen', '/ip4/127.0.0.1/tcp/0', '--api', '127.0.0.1:0', '--log-level', 'silent']
    const args = [...local, '--network-key-file', join(this.folder, 'key'), ...way]
    const daemon = await startDaemon({ name, dataDir: join(this.folder, name), fromSource: true, args })
    this.#first ??= daemon
    this.#t.after(() => daemon.stop())
    return daemon
  }

  dfs({ dataDir }: Daemon, ...args: string[]): Promise<Result> {
    return runProgram('dfs', ['--data-dir', dataDir, ...args], { cwd: this.folder })
  }

  /** Puts a file that is too large for its record, so that all of some members have it. */
  async put(daemon: Daemon, path: string, all: readonly Daemon[]): Promise<void> {
    await daemon.client.put(path, randomBytes(2 * MIB), { size: 2 * MIB, replicas: 'all', ack: String(all.length) })
    for (const other of all) await until(`${other.name} shows ${path}`, () => shows(other, path))
  }
}

async function shows(daemon: Daemon, path: string): Promise<boolean> {
  for await (const item of daemon.client.stream('list', { path: '/', recursive: true }))
    if (item.path === path) return true
  return false
}

/** Every statement about files that a member gives away. There must be few of them. */
async function recordsOf({ call }: RawMember): Promise<Array<Statement<'entry'>>> {
  const list = await call('/dfs/sync/1.0.0', { do: 'list', class: REST, after: null })
  const { fields, body } = await call('/dfs/sync/1.0.0', { do: 'fetch' }, splitIds(list.body))
  return splitBody(body, fetchReply.parse(fields).lengths).flatMap(bytes => {
    const statement = decodeStatement(bytes) as Statement
    return statement.kind === 'entry' ? [statement as Statement<'entry'>] : []
  })
}

async function push({ call }: RawMember, statements: readonly Statement[]): Promise<unknown[]> {
  const bytes = statements.map(statement => statement.bytes)
  const lengths = bytes.map(({ byteLength }) => byteLength)
  const { fields } = await call('/dfs/sync/1.0.0', { do: 'push', lengths, puts: lengths.map(() => null) }, bytes)
  return (fields as { verdicts: unknown[] }).verdicts
}

test(
  'a delete reaches a member that was away, and neither a restored backup nor old records bring the file back',
  TIMEOUT,
  async t => {
    const network = await Network.open(t)
    const attic = await network.start('attic')
    let laptop = await network.start('laptop')
    const box = await network.start('box')
    const all = () => [attic, laptop, box]
    await connected(all())
    for (const path of ['/f', '/g', '/d/e', '/kept']) await network.put(attic, path, all())

    await laptop.stop()
    await cp(join(network.folder, 'laptop'), join(network.folder, 'backup'), { recursive: true })
    await until('it is gone', async () => (await attic.client.call('status', {})).peersConnected === 1)
    const removed = await network.dfs(attic, 'rm', '/f')
    assert.equal(removed.code, 0, removed.stderr)
    assert.match(
      removed.stdout.toString(),
      /^removed on 2 of 3 members; laptop \(…\w{8}, last seen .*\) will remove it when it is back\n$/
    )
    // A wait ends once the member that was away says that it has the delete.
    const waiting = network.dfs(attic, '--json', 'rm', '-r', '--wait', '/d')
    const isRemoved = async (): Promise<boolean> => !(await shows(box, '/d/e'))
    await until('the others have removed it', isRemoved)
    laptop = await network.start('laptop')
    const [waited] = jsonLines(await waiting)
    assert.deepEqual(new Set(waited?.['removedOn'] as string[]), new Set(all().map(({ peerId }) => peerId)))
    assert.deepEqual(waited?.['waitingFor'], [])
    const isGone = async (path: string): Promise<boolean> => {
      const shown = await Promise.all(all().map(daemon => shows(daemon, path)))
      return !shown.includes(true)
    }
    await until('/f is gone everywhere', () => isGone('/f'))
    assert.ok(await isGone('/d'))

    // The laptop is restored from the backup, and knows nothing of the deletes.
    await laptop.stop()
    await rm(join(network.folder, 'laptop'), { recursive: true })
    await cp(join(network.folder, 'backup'), join(network.folder, 'laptop'), { recursive: true })
    laptop = await network.start('laptop')
    await until('/f is gone again', () => isGone('/f'))
    await until('/d is gone again', () => isGone('/d'))
    assert.match((await network.dfs(attic, 'rm', '--wait', '/g')).stdout.toString(), /^removed on 3 of 3 members\n$/)
    await until('/g is gone', () => isGone('/g'))

    // A member sends the old records once more.
    const raw = await joinRaw(t, network.key, box.multiaddrs[0] as string)
    const records = await recordsOf(raw)
    const old = records.filter(({ fields }) => fields.op === 'put')
    assert.equal(old.length, 5, 'four files and a directory')
    assert.deepEqual(
      await push(raw, old),
      old.map(() => 'ok')
    )
    await network.put(box, '/after', all())
    for (const path of ['/f', '/d', '/d/e', '/g']) assert.ok(await isGone(path), path)
    for (const daemon of all()) assert.ok(await shows(daemon, '/kept'))
    const deletes = records.filter(({ fields }) => fields.op === 'delete')
    assert.equal(deletes.length, 4)
    const largest = Math.max(
      ...deletes.filter(({ fields }) => fields.body === undefined).map(one => one.bytes.byteLength)
    )
    assert.ok(largest <= TOMBSTONE_BYTES_MAX, `${largest} bytes`)
  }
)
