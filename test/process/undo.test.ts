import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { connected, type Daemon, startDaemon, until } from '../../scripts/lib/daemon.ts'
import { temporaryFolder } from '../fixtures/nodes.ts'
import { jsonLines, type Result, runProgram } from '../fixtures/program.ts'

const TIMEOUT = { timeout: 300_000 }
const LOCAL = ['--no-mdns', '--listen', '/ip4/127.0.0.1/tcp/0', '--api', '127.0.0.1:0']

type Json = Record<string, unknown>

/** A machine of a network, and `dfs` on it. */
class Machine {
  readonly name: string
  readonly #folder: string
  readonly #t: TestContext
  #daemon: Daemon | undefined

  constructor(t: TestContext, folder: string, name: string) {
    this.#t = t
    this.#folder = folder
    this.name = name
    t.after(() => this.stop())
  }

  get daemon(): Daemon {
    return this.#daemon as Daemon
  }

  async start(...args: string[]): Promise<void> {
    const dataDir = join(this.#folder, this.name)
    this.#daemon = await startDaemon({ name: this.name, dataDir, fromSource: true, args: [...LOCAL, ...args] })
    this.#t.diagnostic(`${this.name} runs`)
  }

  async stop(): Promise<void> {
    await this.#daemon?.stop()
    this.#daemon = undefined
  }

  run(...args: string[]): Promise<Result> {
    return runProgram('dfs', ['--data-dir', join(this.#folder, this.name), ...args], { cwd: this.#folder })
  }

  /** Runs a command that must succeed, and returns what it prints. */
  async dfs(...args: string[]): Promise<string> {
    const result = await this.run(...args)
    assert.equal(result.code, 0, `${this.name}: dfs ${args.join(' ')}: ${result.stderr}`)
    return result.stdout.toString()
  }

  async json(...args: string[]): Promise<Json[]> {
    const result = await this.run('--json', ...args)
    assert.equal(result.code, 0, `${this.name}: dfs ${args.join(' ')}: ${result.stderr}`)
    return jsonLines(result)
  }
}

async function threeMachines(t: TestContext): Promise<{ folder: string; machines: [Machine, Machine, Machine] }> {
  const folder = await temporaryFolder(t)
  const [attic, laptop, pi] = ['attic', 'laptop', 'pi'].map(name => new Machine(t, folder, name)) as [
    Machine,
    Machine,
    Machine
  ]
  const invite = join(folder, 'writer.invite')
  await attic.start('--new', '--invite-out', invite)
  await laptop.start('--join', invite)
  await pi.start('--join', invite)
  await connected([attic, laptop, pi].map(({ daemon }) => daemon))
  return { folder, machines: [attic, laptop, pi] }
}

test('a file overwritten or removed on one machine is brought back on another', TIMEOUT, async t => {
  const { folder, machines } = await threeMachines(t)
  const [attic, laptop, pi] = machines
  const large = randomBytes(2_500_000)
  await writeFile(join(folder, 'large.bin'), large)
  await writeFile(join(folder, 'other.bin'), 'not what it was')
  await attic.dfs('put', 'large.bin', '/f.bin')
  await laptop.dfs('put', 'other.bin', '/f.bin')
  await until('pi knows both', async () => (await pi.json('versions', '/f.bin')).length === 2)
  const [now, before] = (await pi.json('versions', '/f.bin')) as [Json, Json]
  assert.deepEqual([now['authorName'], now['current'], now['size'], now['expires']], ['laptop', true, 15, null])
  assert.deepEqual([before['authorName'], before['current'], before['size']], ['attic', false, large.byteLength])
  assert.ok(Date.parse(before['expires'] as string) > Date.now() + 29 * 86_400_000)
  const version = (before['version'] as string).slice(0, 8)
  assert.match(
    await pi.dfs('versions', '/f.bin'),
    new RegExp(`\n${version} +2.4 MiB +[-0-9]+ [0-9:]+ +kept until .* attic\n`)
  )
  await pi.dfs('get', '/f.bin', 'old.bin', '--version', version)
  assert.ok((await readFile(join(folder, 'old.bin'))).equals(large))
  assert.equal((await pi.dfs('cat', '/f.bin', '--version', version, '--range', '0-3')).length > 0, true)
  assert.equal(await pi.dfs('restore', '/f.bin'), `/f.bin: restored version ${version}\n`)
  await until('attic has it back', async () => (await attic.json('stat', '/f.bin'))[0]?.['size'] === large.byteLength)

  // A removal of a tree with odd names, undone on another machine.
  const names = ['a b.txt', 'ü#?%&.txt', "it's (conflict 00000000).txt", '-rf', 'sub/deep/e']
  await mkdir(join(folder, 'tree/sub/deep'), { recursive: true })
  await mkdir(join(folder, 'tree/empty'), { recursive: true })
  for (const name of names) await writeFile(join(folder, 'tree', name), name)
  await attic.dfs('put', 'tree')
  await attic.dfs('rm', '/tree/a b.txt')
  const listed = await attic.dfs('ls', '-R', '/')
  await attic.dfs('rm', '-r', '/tree')
  await until('laptop has removed it', async () => (await laptop.dfs('ls')) === 'f.bin\n')
  assert.equal(await laptop.dfs('ls', '--deleted'), 'tree/\n')
  const removed = await laptop.json('ls', '--deleted', '-R')
  assert.equal(removed.length, names.length + 4)
  const [{ restored: _, ...result }] = (await laptop.json('restore', '/tree')) as [Json]
  assert.deepEqual(result, {
    path: '/tree',
    kind: 'directory',
    version: null,
    files: 4,
    directories: 4,
    left: 0,
    gone: 0
  })
  await until('pi has it back', async () => (await pi.dfs('ls', '-R', '/')) === listed)
  assert.equal(await pi.dfs('cat', '/tree/ü#?%&.txt'), 'ü#?%&.txt')
  assert.equal(await pi.dfs('ls', '--deleted', '/tree'), 'a b.txt\n')
  await pi.dfs('restore', '/tree/a b.txt')
  assert.equal(await pi.dfs('cat', '/tree/a b.txt'), 'a b.txt')

  const wrong = await pi.run('restore', '/f.bin', '00000000')
  assert.deepEqual(
    [wrong.code, wrong.stderr],
    [3, '/f.bin: this file has no such version: "dfs versions" shows those it has\n']
  )
  assert.equal((await pi.run('restore', '/nope')).code, 3)
  assert.equal((await pi.run('versions', '/tree')).code, 2)

  assert.match(await attic.dfs('config'), /versionDays +30 +default\n/)
  await attic.dfs('config', 'versionDays', '90')
  await until('pi has it', async () => (await pi.dfs('config', 'versionDays')) === '90\n')
  assert.match((await pi.run('config', 'versionDays', '1')).stderr, /only an admin changes settings/)
})

test(
  'two machines that write one file while they are apart leave a conflict, and a person chooses',
  TIMEOUT,
  async t => {
    const { folder, machines } = await threeMachines(t)
    const [attic, laptop, pi] = machines
    const put = async (machine: Machine, path: string, text: string): Promise<void> => {
      await writeFile(join(folder, `${machine.name}.txt`), text)
      await machine.dfs('put', `${machine.name}.txt`, path)
    }
    for (const path of ['/kept.txt', '/taken.txt', '/same.txt']) await put(attic, path, 'first')
    await until('all have them', async () => (await laptop.dfs('ls')) === (await pi.dfs('ls')))
    await laptop.stop()
    for (const path of ['/kept.txt', '/taken.txt']) await put(attic, path, 'by attic')
    for (const path of ['/same.txt', '/new.txt']) await put(attic, path, 'the same')
    // The laptop has seen nothing of this, because no other machine runs.
    await Promise.all([attic.stop(), pi.stop()])
    await laptop.start()
    for (const path of ['/kept.txt', '/taken.txt']) await put(laptop, path, 'by laptop')
    for (const path of ['/same.txt', '/new.txt']) await put(laptop, path, 'the same')
    await attic.start('--bootstrap', laptop.daemon.multiaddrs[0] as string)
    await pi.start('--bootstrap', laptop.daemon.multiaddrs[0] as string)
    const conflicts = async (): Promise<Json[]> =>
      (await pi.json('ls')).filter(({ path }) => /conflict/.test(path as string))
    await until('pi sees both conflicts', async () => (await conflicts()).length === 2)
    assert.ok((await conflicts()).every(({ conflict }) => conflict === true))
    assert.match(await pi.dfs('ls', '-l'), /kept \(conflict [0-9a-f]{8}\)\.txt {2}\(conflict\)\n/)

    for (const path of ['/kept.txt', '/taken.txt']) {
      const [facts] = (await pi.json('stat', path)) as [Json]
      const [other] = facts['conflicts'] as [Json]
      assert.equal(facts['conflict'], true)
      const writers = [facts['writtenBy'], other['writtenBy']].map(writer => (writer as Json)['name'])
      assert.deepEqual(writers, ['laptop', 'attic'])
      const said = await pi.dfs('stat', path)
      assert.match(said, /written by laptop, /)
      assert.match(said, new RegExp(`${(other['version'] as string).slice(0, 8)} {2}8 bytes, by attic, `))
      const versions = await pi.json('versions', path)
      assert.deepEqual(
        versions.map(({ authorName, current, conflict }) => [authorName, current, conflict]),
        [
          ['laptop', true, false],
          ['attic', false, true],
          ['attic', false, false]
        ]
      )
      // One is chosen by restoring it, and the other by removing it.
      if (path === '/taken.txt') await pi.dfs('restore', path, other['version'] as string)
      else await pi.dfs('rm', other['path'] as string)
    }
    assert.equal((await pi.json('versions', '/same.txt')).filter(({ conflict }) => conflict === true).length, 0)
    assert.deepEqual([await pi.dfs('cat', '/kept.txt'), await pi.dfs('cat', '/taken.txt')], ['by laptop', 'by attic'])
    for (const machine of [attic, laptop]) {
      await until('it has no conflict', async () => !/conflict/.test(await machine.dfs('ls')))
      assert.deepEqual(
        [await machine.dfs('cat', '/kept.txt'), await machine.dfs('cat', '/taken.txt')],
        ['by laptop', 'by attic']
      )
    }
  }
)
