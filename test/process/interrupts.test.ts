import assert from 'node:assert/strict'
import { type ChildProcessWithoutNullStreams, execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, open, readdir, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Daemon, startDaemon } from '../../scripts/lib/daemon.ts'
import { isTemporaryName } from '../../src/cli/temporary-name.ts'
import { LOCAL } from '../fixtures/daemon-process.ts'
import { temporaryFolder } from '../fixtures/nodes.ts'
import { type Result, runProgram } from '../fixtures/program.ts'

const FILES = 1_200
const FOLDERS = 12
/** Long names, so that a listing does not fit into the buffers between the programs. */
const LONG = 'x'.repeat(200)

async function start(t: TestContext, dataDir: string): Promise<Daemon> {
  const args = ['--no-mdns', '--new', '--listen', '/ip4/127.0.0.1/tcp/0', '--api', '127.0.0.1:0']
  const daemon = await startDaemon({ name: 'one', dataDir, fromSource: true, args })
  t.after(() => daemon.stop())
  return daemon
}

async function makeTree(folder: string): Promise<void> {
  for (let i = 0; i < FOLDERS; i++) await mkdir(join(folder, `folder${i}`), { recursive: true })
  for (let i = 0; i < FILES; i++) await writeFile(join(folder, `folder${i % FOLDERS}`, `${LONG}${i}`), `file ${i}`)
}

/** What an interrupted command says, since it can be gone on with. */
const INTERRUPTED: Record<string, RegExp> = {
  put: /^interrupted: \d+ stored, .+, and perhaps more; the same put again goes on from there\n$/,
  cp: /^interrupted: (what was copied already stays|[\d,]+ files and directories or more were copied, and stay in \/copy)\n$/,
  get: /^interrupted: [\d,]+ files? fetched, each complete; to get them again takes --force\n$/,
  rm: /^interrupted: what was removed stays removed; the same rm again removes the rest, if any\n$/,
  restore:
    /^interrupted: (what was restored stays; the same restore again brings back the rest|it may have been restored: see dfs versions \/tree)\n$/
}

test('Ctrl-C in the middle of any command ends it with 130, and the daemon goes on', { timeout: 300_000 }, async t => {
  const folder = await temporaryFolder(t)
  const daemon = await start(t, join(folder, 'data'))
  const dfs = (args: string[], during?: (child: ChildProcessWithoutNullStreams) => Promise<void>): Promise<Result> =>
    runProgram('dfs', ['--data-dir', daemon.dataDir, ...args], { during })
  const files = async (): Promise<number> => (await daemon.client.call('status', {})).files
  /** Runs a command, and interrupts it as soon as `isMidway`. */
  const interrupt = async (args: string[], isMidway: () => Promise<boolean>): Promise<void> => {
    const { code, stderr } = await dfs(args, async child => {
      while (child.exitCode === null && !(await isMidway()));
      child.kill('SIGINT')
    })
    assert.equal(code, 130, args[0])
    assert.match(stderr, INTERRUPTED[args[0] as string] as RegExp, args[0])
    const status = await dfs(['status'])
    // The one warning is that a founder's disk holds the network key.
    const others = status.stderr.split('\n').filter(line => line !== '' && !line.includes('holds the network key'))
    assert.deepEqual([status.code, others], [0, []], `status after ${args[0]}`)
  }
  const tree = join(folder, 'tree')
  await makeTree(tree)
  await interrupt(['put', tree, '/cut'], async () => (await files()) > 10)
  assert.ok((await files()) < FILES)
  assert.equal((await dfs(['put', tree, '/tree'])).code, 0)
  const before = await files()
  await interrupt(['cp', '/tree', '/copy'], async () => (await files()) > before)
  const copied = (await files()) - before
  assert.ok(copied < FILES, `copied: ${copied}`)
  const local = join(folder, 'got')
  const arrived = (): Promise<string[]> => readdir(join(local, 'folder0')).catch(() => [])
  await interrupt(['get', '/tree', local], async () => (await arrived()).length > 5)
  const got = await readdir(local, { recursive: true })
  assert.deepEqual(
    got.filter(name => isTemporaryName(basename(name))),
    []
  )
  assert.ok(got.length < FILES, `fetched: ${got.length}`)
  const all = await files()
  await interrupt(['rm', '-r', '/tree'], async () => (await files()) < all)
  assert.ok((await files()) > all - FILES, `left: ${await files()}`)
  // The rest of an interrupted removal can be removed, and the other interrupted commands can be repeated.
  assert.equal((await dfs(['rm', '-r', '/tree'])).code, 0)
  assert.equal((await dfs(['put', tree, '/tree'])).code, 0)
  const ls = await dfs(['ls', '-R', '/tree'], async child => {
    await new Promise(resolve => child.stdout.once('data', resolve))
    child.stdout.pause()
    child.kill('SIGINT')
    child.stdout.resume()
  })
  assert.deepEqual([ls.code, ls.stderr], [130, ''], 'ls')
  assert.equal((await dfs(['status'])).code, 0)
  assert.equal(await daemon.stop(), 0)
  assert.doesNotMatch(daemon.log(), /nobody caught|"event":"error"/)
})

test('a client that is killed in the middle of a command does not harm the daemon', { timeout: 300_000 }, async t => {
  const folder = await temporaryFolder(t)
  const daemon = await start(t, join(folder, 'data'))
  const tree = join(folder, 'tree')
  await makeTree(tree)
  const files = async (): Promise<number> => (await daemon.client.call('status', {})).files
  const kill = async (args: string[], isMidway: () => Promise<boolean>): Promise<void> => {
    await runProgram('dfs', ['--data-dir', daemon.dataDir, ...args], {
      during: async child => {
        while (child.exitCode === null && !(await isMidway()));
        child.kill('SIGKILL')
      }
    })
    assert.equal((await runProgram('dfs', ['--data-dir', daemon.dataDir, 'status'])).code, 0, args[0])
  }
  await kill(['put', tree, '/tree'], async () => (await files()) > 100)
  const before = await files()
  await kill(['cp', '/tree', '/copy'], async () => (await files()) > before)
  const all = await files()
  await kill(['rm', '-r', '/tree'], async () => (await files()) < all)
  assert.equal(await daemon.stop(), 0)
})

test('a copy that cannot copy one file copies the others and says so, and the daemon goes on', {
  timeout: 300_000
}, async t => {
  const folder = await temporaryFolder(t)
  const daemon = await start(t, join(folder, 'data'))
  const dfs = (...args: string[]): Promise<Result> => runProgram('dfs', ['--data-dir', daemon.dataDir, ...args])
  const tree = join(folder, 'from')
  await mkdir(tree)
  for (let i = 0; i < 40; i++) await writeFile(join(tree, `file${i}`), `file ${i}`)
  assert.equal((await dfs('put', tree, '/from')).code, 0)
  assert.equal((await dfs('put', join(tree, 'file7'), '/to/from/file0')).code, 0)
  const { code, stderr } = await dfs('cp', '--no-clobber', '/from', '/to')
  assert.equal(code, 1)
  assert.match(
    stderr,
    /^\/to\/from\/file0: [^\n]+; could not be copied: 1; 40 of its files and directories have been copied, and stay\n$/
  )
  assert.equal((await dfs('cat', '/to/from/file0')).stdout.toString(), 'file 7')
  assert.equal((await dfs('cat', '/to/from/file39')).stdout.toString(), 'file 39')
  assert.equal(await daemon.stop(), 0)
})

test('Ctrl-C ends a program that reads a secret from a pipe into which nobody writes', {
  timeout: 300_000,
  skip: process.platform === 'win32' && 'no pipes with names'
}, async t => {
  const folder = await temporaryFolder(t)
  const pipe = join(folder, 'pipe')
  execFileSync('mkfifo', ['-m', '600', pipe])
  const cases: Array<['dfs-node' | 'dfs', string[]]> = [
    ['dfs-node', ['--data-dir', join(folder, 'data'), ...LOCAL, '--join', pipe]],
    ['dfs', ['--api', 'http://127.0.0.1:1', '--token-file', pipe, 'status']]
  ]
  for (const [program, args] of cases) {
    const { code } = await runProgram(program, args, {
      during: async child => {
        // This waits until the program has opened its end.
        const writer = await open(pipe, 'w')
        child.kill('SIGINT')
        await once(child, 'exit')
        await writer.close()
      }
    })
    assert.equal(code, 130, program)
  }
  assert.deepEqual(await readdir(folder), ['pipe'])
})
