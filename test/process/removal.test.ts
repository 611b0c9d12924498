import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { cp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { connected, type Daemon, startDaemon, until } from '../../scripts/lib/daemon.ts'
import { decodeStatement, type Statement } from '../../src/format/statement.ts'
import { REST } from '../../src/log/keys.ts'
import { fetchReply, splitBody, splitIds } from '../../src/log/sync-frames.ts'
import { toHex } from '../../src/util/bytes.ts'
import { largeBlocksOn } from '../fixtures/large-blocks.ts'
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

  /** Copies the data directory of a member that does not run. */
  async backUp(name: string): Promise<void> {
    // A node that was killed leaves its socket behind, and sockets cannot be copied.
    const filter = (path: string): boolean => !path.endsWith('.sock')
    await cp(join(this.folder, name), join(this.folder, `${name}.backup`), { recursive: true, filter })
  }

  async restore(name: string): Promise<void> {
    await rm(join(this.folder, name), { recursive: true })
    await cp(join(this.folder, `${name}.backup`), join(this.folder, name), { recursive: true })
  }

  /** Puts a file that is too large for its record, so that all of some members have it. */
  async put(daemon: Daemon, path: string, all: readonly Daemon[], size = 2 * MIB): Promise<void> {
    await daemon.client.put(path, randomBytes(size), { size, replicas: 'all', ack: String(all.length) })
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
    await network.backUp('laptop')
    await until('it is gone', async () => (await attic.client.call('status', {})).peersConnected === 1)
    const removed = await network.dfs(attic, 'rm', '/f')
    assert.equal(removed.code, 0, removed.stderr)
    assert.match(
      removed.stdout.toString(),
      /^removed on 2 of 3 members; laptop \(…\w{8}, last seen .*\) will remove it when it is back; its space returns on .*\n$/
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
    await network.restore('laptop')
    laptop = await network.start('laptop')
    await until('/f is gone again', () => isGone('/f'))
    await until('/d is gone again', () => isGone('/d'))
    assert.match(
      (await network.dfs(attic, 'rm', '--wait', '/g')).stdout.toString(),
      /^removed on 3 of 3 members; its space returns on .*\n$/
    )
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

/** The names of the large blocks whose bytes are in a data directory, freed or not. */
async function blocksIn(dataDir: string): Promise<string[]> {
  const blocks = await largeBlocksOn(dataDir)
  return [...new Set(blocks.map(({ multihash }) => multihash))]
}

/** Returns 32 bytes from the middle of each of these large blocks, which are in a data directory. */
async function samplesOf(dataDir: string, multihashes: readonly string[]): Promise<Map<string, Buffer>> {
  const samples = new Map<string, Buffer>()
  for (const { path, offset, length, multihash } of await largeBlocksOn(dataDir)) {
    const middle = offset + (length >> 1)
    if (multihashes.includes(multihash)) samples.set(multihash, (await readFile(path)).subarray(middle, middle + 32))
  }
  return samples
}

/** So small that its segment stays for the sake of another file, and its bytes are overwritten there. */
const PURGED_BYTES = 1.5 * MIB

test(
  'a member that was killed before a purge, or is restored from a backup of that time, ends without the blocks of the file',
  TIMEOUT,
  async t => {
    const network = await Network.open(t)
    const attic = await network.start('attic')
    const others = await Promise.all(['box', 'cellar', 'laptop'].map(name => network.start(name)))
    const all = [attic, ...others]
    const laptop = all[3] as Daemon
    await connected(all)
    await network.put(attic, '/kept', all)
    await until('the laptop has it', async () => (await blocksIn(laptop.dataDir)).length >= 2)
    const kept = await blocksIn(laptop.dataDir)
    await network.put(attic, '/f', all, PURGED_BYTES)
    const purged = (await blocksIn(laptop.dataDir)).filter(name => !kept.includes(name))
    assert.ok(purged.length >= 2, 'the file has more than one block')
    const samples = await samplesOf(laptop.dataDir, purged)
    await laptop.kill()
    await network.backUp('laptop')
    const removed = await network.dfs(attic, 'rm', '--purge', '/f')
    assert.match(removed.stdout.toString(), /^removed on 3 of 4 members; laptop .* when it is back; .* now\n$/)
    const left = async ({ dataDir }: Daemon): Promise<string[]> => {
      const folder = join(dataDir, 'blocks')
      const segments = await Promise.all((await readdir(folder)).map(name => readFile(join(folder, name))))
      return purged.filter(name => segments.some(bytes => bytes.includes(samples.get(name) as Buffer)))
    }
    for (const daemon of all.slice(0, 3))
      await until(`${daemon.name} frees the blocks`, async () => (await left(daemon)).length === 0)
    assert.deepEqual(await left(laptop), purged, 'nobody has told it')
    for (const isRestored of [false, true]) {
      if (isRestored) await network.restore('laptop')
      const again = await network.start('laptop')
      await until('the laptop frees the blocks', async () => (await left(again)).length === 0)
      assert.deepEqual((await blocksIn(again.dataDir)).sort(), kept.sort())
      for (const daemon of [again, ...all.slice(0, 3)]) {
        assert.ok(!(await shows(daemon, '/f')))
        assert.ok(await shows(daemon, '/kept'))
        assert.deepEqual(await left(daemon), [])
      }
      await again.stop()
    }
  }
)
