import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { chmod, chown, lstat, mkdir, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Daemon, startDaemon } from '../../scripts/lib/daemon.ts'
import { PROGRAMS } from '../../scripts/lib/programs.ts'
import { formatNetworkKey, generateNetworkKey } from '../../src/index.ts'
import { temporaryFolder, until } from '../fixtures/nodes.ts'
import { type Result, runProgram } from '../fixtures/program.ts'

const BIN = join(PROGRAMS, 'dfs-node.js')
const LOCAL = ['--no-mdns', '--listen', '/ip4/127.0.0.1/tcp/0', '--api', '127.0.0.1:0', '--log-level', 'silent']

const refusal = (dataDir: string, args: string[] = ['--new']): Promise<Result> =>
  runProgram('dfs-node', [...LOCAL, '--data-dir', dataDir, ...args])

async function founder(t: TestContext, folder: string): Promise<Daemon> {
  const args = [...LOCAL, '--new', '--network-key-file', join(folder, 'right.key')]
  const daemon = await startDaemon({ name: 'founder', dataDir: join(folder, 'founder'), fromSource: true, args })
  t.after(() => daemon.stop())
  return daemon
}

async function wrongKey(folder: string): Promise<string> {
  const file = join(folder, 'wrong.key')
  await writeFile(file, formatNetworkKey(generateNetworkKey()), { mode: 0o600 })
  return file
}

async function takenPort(t: TestContext): Promise<number> {
  const blocker = createServer().listen(0, '127.0.0.1')
  t.after(() => blocker.close())
  await new Promise(resolve => blocker.once('listening', resolve))
  return (blocker.address() as AddressInfo).port
}

async function snapshot(path: string): Promise<unknown[]> {
  const { mode, mtimeMs, uid } = await lstat(path)
  const facts: unknown[] = [mode, mtimeMs, uid]
  for (const name of (await readdir(path, { recursive: true })).sort()) {
    const file = await lstat(join(path, name))
    facts.push([name, file.mode, file.mtimeMs, file.isFile() ? await readFile(join(path, name), 'hex') : ''])
  }
  return facts
}

test('a folder of somebody else is refused with exit code 2 and not changed, whatever else is wrong with the start', {
  timeout: 300_000
}, async t => {
  const folder = await temporaryFolder(t)
  const theirs = join(folder, 'theirs')
  await mkdir(join(theirs, 'photos'), { recursive: true })
  await writeFile(join(theirs, 'letter.txt'), 'dear')
  await chmod(theirs, 0o775)
  await utimes(theirs, 1_000_000_000, 1_000_000_000)
  const before = await snapshot(theirs)
  const port = await takenPort(t)
  const key = await wrongKey(folder)
  const ways: string[][] = [
    ['--new'],
    ['--network-key-file', key],
    ['--network-key-file', key, '--bootstrap', '/ip4/127.0.0.1/tcp/9'],
    ['--network-key-file', join(folder, 'none')],
    ['--new', '--network-key-file', join(folder, 'drawn')],
    ['--passphrase-file', join(folder, 'none')],
    ['--passphrase-file', key, '--new'],
    ['--bootstrap', '/ip4/127.0.0.1/tcp/9'],
    ['--new', '--listen', `/ip4/127.0.0.1/tcp/${port}`],
    ['--new', '--api', `127.0.0.1:${port}`]
  ]
  for (const way of ways) {
    const { code, stderr } = await refusal(theirs, way)
    assert.deepEqual([code, stderr.trim().split('\n').length], [2, 1], `${way} ${stderr}`)
    assert.match(stderr, /--data-dir/)
    assert.deepEqual(await snapshot(theirs), before, String(way))
  }
  assert.deepEqual((await readdir(folder)).sort(), ['theirs', 'wrong.key'])
})

test('a first start that fails for any reason leaves nothing, and the mode of the folder as it was', {
  timeout: 300_000
}, async t => {
  const folder = await temporaryFolder(t)
  const right = await founder(t, folder)
  const wrong = await wrongKey(folder)
  const port = await takenPort(t)
  const bootstrap = right.multiaddrs[0] as string
  const ways: Array<[code: number, args: string[]]> = [
    [4, ['--network-key-file', wrong, '--bootstrap', bootstrap]],
    [2, ['--bootstrap', bootstrap, '--role', 'admin']],
    [2, ['--new', '--role', 'writer']],
    [1, ['--bootstrap', bootstrap, '--listen', `/ip4/127.0.0.1/tcp/${port}`]],
    [3, ['--network-key-file', join(folder, 'none')]],
    [3, ['--passphrase-file', join(folder, 'none'), '--new']],
    [1, ['--new', '--listen', `/ip4/127.0.0.1/tcp/${port}`]],
    [1, ['--new', '--api', `127.0.0.1:${port}`]],
    [2, ['--new', '--listen', '/ip4/127.0.0.1']],
    [2, ['--new', '--bootstrap', 'bogus', '--network-key-file', join(folder, 'drawn')]]
  ]
  const empty = join(folder, 'empty')
  await mkdir(empty)
  await chmod(empty, 0o755)
  for (const [code, args] of ways) {
    for (const dataDir of [join(folder, 'new/data'), empty]) {
      const result = await refusal(dataDir, args)
      assert.deepEqual([result.code, result.stderr.trim().split('\n').length], [code, 1], `${args} ${result.stderr}`)
      assert.deepEqual((await readdir(folder)).sort(), ['empty', 'founder', 'right.key', 'wrong.key'], String(args))
      assert.deepEqual([(await stat(empty)).mode & 0o777, await readdir(empty)], [0o755, []], String(args))
    }
  }
})

test('a wrong key at a first start deletes nothing that others put into the folder meanwhile', {
  timeout: 300_000
}, async t => {
  const folder = await temporaryFolder(t)
  const right = await founder(t, folder)
  const shared = join(folder, 'shared')
  await mkdir(shared)
  const args = ['--network-key-file', await wrongKey(folder), '--bootstrap', right.multiaddrs[0] as string]
  const { code } = await runProgram('dfs-node', [...LOCAL, '--data-dir', shared, ...args], {
    during: async () => {
      await until('the start to begin', async () => (await readdir(shared)).includes('keystore'))
      await mkdir(join(shared, 'photos'))
      for (const name of ['letter.txt', 'photos/cat.jpg']) await writeFile(join(shared, name), 'theirs')
    }
  })
  assert.equal(code, 4)
  assert.deepEqual((await readdir(shared, { recursive: true })).sort(), ['letter.txt', 'photos', 'photos/cat.jpg'])
})

test('a first start with a wrong key that is killed does not stand in the way of the right key', {
  timeout: 300_000
}, async t => {
  const folder = await temporaryFolder(t)
  const right = await founder(t, folder)
  const dataDir = join(folder, 'data')
  const bootstrap = ['--bootstrap', right.multiaddrs[0] as string]
  const wrong = ['--network-key-file', await wrongKey(folder), ...bootstrap]
  await runProgram('dfs-node', [...LOCAL, '--data-dir', dataDir, ...wrong], {
    during: async child => {
      await until('the keystore', async () => (await readdir(dataDir)).includes('keystore'))
      child.kill('SIGKILL')
    }
  })
  assert.ok((await readdir(dataDir)).includes('keystore'))
  const args = [...LOCAL, '--network-key-file', join(folder, 'right.key'), ...bootstrap]
  const daemon = await startDaemon({ name: 'again', dataDir, fromSource: true, args })
  t.after(() => daemon.stop())
  assert.equal(daemon.network, right.network)
  assert.equal((await readdir(dataDir)).includes('first-start'), false)
})

test('a path that cannot be a data directory, and flags that make no sense, end with their exit code and one line', {
  skip: process.platform !== 'linux',
  timeout: 300_000
}, async t => {
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'file'), '')
  const paths = ['/proc/x', '/proc', '/sys', '/sys/x', '/dev/null', '/dev/null/x', '/tmp', '']
  for (const path of [...paths, join(folder, 'file'), join(folder, 'file/x'), join(folder, 'x'.repeat(5000))]) {
    const { code, stderr } = await refusal(path)
    // Nobody may make a folder in `/sys`. The other paths can never be data directories.
    const expected = path === '/sys/x' ? 4 : 2
    assert.deepEqual([code, stderr.trim().split('\n').length], [expected, 1], `${path.slice(0, 40)} ${stderr}`)
  }
  for (const flag of ['--bootstrap', '--announce', '--listen'])
    assert.equal((await refusal(join(folder, 'data'), ['--new', flag, 'bogus'])).code, 2, flag)
  assert.equal((await refusal(join(folder, 'data'), ['--new', '--bootstrap', '/ip4/127.0.0.1/udp/1'])).code, 2)
  assert.deepEqual(await readdir(folder), ['file'])
})

test('a user without rights gets one line that says so, and the folder is not changed', {
  skip: process.getuid?.() !== 0,
  timeout: 60_000
}, async t => {
  const folder = await temporaryFolder(t)
  await chmod(folder, 0o755)
  const nobody = 65_534
  const closed = join(folder, 'closed')
  const open = join(folder, 'open')
  for (const path of [closed, open]) await mkdir(path)
  await chmod(closed, 0o700)
  await chmod(open, 0o777)
  const before = await snapshot(folder)
  const asNobody = async (dataDir: string): Promise<{ code: number | null; stderr: string }> => {
    const child = spawn(process.execPath, [BIN, ...LOCAL, '--new', '--data-dir', dataDir], { uid: nobody, gid: nobody })
    let stderr = ''
    child.stderr.setEncoding('utf8').on('data', text => {
      stderr += text
    })
    return { code: await new Promise(resolve => child.once('close', resolve)), stderr }
  }
  for (const path of [closed, join(closed, 'x'), open, join(folder, 'new'), '/proc/x', '/sys/x']) {
    const { code, stderr } = await asNobody(path)
    assert.equal(stderr.trim().split('\n').length, 1, `${path} ${stderr}`)
    // The directory `open` belongs to somebody else. `/proc` accepts no folders, whatever its mode says.
    const expected = path === open ? [2] : path === '/proc/x' ? [2, 4] : [4]
    assert.ok(expected.includes(code as number), `${path} ${code} ${stderr}`)
    assert.deepEqual(await snapshot(folder), before)
  }
  const sealed = join(folder, 'read-only')
  await mkdir(sealed)
  await chmod(sealed, 0o500)
  await chown(sealed, nobody, nobody)
  const { code, stderr } = await asNobody(sealed)
  assert.equal(code, 4, stderr)
  assert.deepEqual([(await stat(sealed)).mode & 0o777, await readdir(sealed)], [0o500, []])
})

test('nothing in a data directory can be read by others, not even what libraries write', {
  skip: process.platform === 'win32' && 'no modes'
}, async t => {
  const { dataDir } = await founder(t, await temporaryFolder(t))
  const modes = await Promise.all(
    (await readdir(join(dataDir, 'index'))).map(async name => (await stat(join(dataDir, 'index', name))).mode)
  )
  assert.deepEqual(
    [(await stat(join(dataDir, 'index'))).mode, ...modes].filter(mode => (mode & 0o077) !== 0),
    []
  )
})
