import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { generateNetworkKey } from '../../src/index.ts'
import { LOCAL, startProcess } from '../fixtures/daemon-process.ts'
import { until } from '../fixtures/nodes.ts'
import { type Result, runProgram } from '../fixtures/program.ts'
import { ROOT } from '../fixtures/shell.ts'
import { lacksOwnDisk, SmallDisk } from '../fixtures/small-disk.ts'
import { temporaryFolder } from '../fixtures/temporary-folder.ts'

/** A node that works, beside which the mistakes are made. */
interface Stage {
  t: TestContext
  at: (name: string) => string
  dataDir: string
  pid: number
  /** A port that another program uses. */
  port: number
}

interface Mistake {
  name: string
  make: (stage: Stage) => Promise<Result>
  code: number
  /** Everything that is printed on stderr: one line. */
  says: (stage: Stage) => RegExp
  skip?: string | false
}

const dfsNode = (dataDir: string, ...args: string[]): Promise<Result> =>
  runProgram('dfs-node', ['--data-dir', dataDir, ...LOCAL, ...args])
const dfs = (dataDir: string, ...args: string[]): Promise<Result> => runProgram('dfs', ['--data-dir', dataDir, ...args])

/** A node of this system that is too old, if there is one. */
function oldNode(): string | undefined {
  for (const path of ['/usr/bin/node', '/usr/local/bin/node']) {
    try {
      const version = execFileSync(path, ['--version'], { encoding: 'utf8' })
      if (Number(/^v(\d+)/.exec(version)?.[1]) < 22) return path
    } catch {
      // There is no such program.
    }
  }
  return undefined
}

function runOn(node: string, program: string): Result {
  try {
    execFileSync(node, [join(ROOT, 'src/bin', program), 'status'], { stdio: 'pipe' })
    return { code: 0, stdout: Buffer.alloc(0), stderr: '' }
  } catch (error) {
    const { status, stderr } = error as { status: number; stderr: Buffer }
    return { code: status, stdout: Buffer.alloc(0), stderr: stderr.toString() }
  }
}

const FULL = '/dev/full'

const MISTAKES: Mistake[] = [
  {
    name: 'a port of the API that is taken',
    make: ({ at, port }) => dfsNode(at('a'), '--new', '--api', `127.0.0.1:${port}`),
    code: 1,
    says: ({ port }) =>
      new RegExp(`^127\\.0\\.0\\.1:${port}: another program is using this port: stop it, or give another --api$`)
  },
  {
    name: 'a port to listen on that is taken',
    make: ({ at, port }) => dfsNode(at('b'), '--new', '--listen', `/ip4/127.0.0.1/tcp/${port}`),
    code: 1,
    says: ({ port }) => new RegExp(`^port ${port} is taken( by .*)?: free it, or give another --listen$`)
  },
  {
    name: 'a data directory in use',
    make: ({ dataDir }) => dfsNode(dataDir),
    code: 1,
    says: ({ dataDir, pid }) =>
      new RegExp(`^${dataDir}: process ${pid} is using this data directory: stop it, or give another --data-dir$`)
  },
  {
    name: 'a data directory where nobody may write',
    make: () => dfsNode('/sys/dfs-node', '--new'),
    code: 4,
    says: () => /^\/sys\/dfs-node: cannot (create|read or write) the data directory.*(permission denied|read-only).*$/,
    skip: process.platform === 'linux' ? false : 'needs /sys'
  },
  {
    name: 'a data directory that is a file',
    make: async ({ at }) => {
      await writeFile(at('file'), '')
      return dfsNode(at('file'), '--new')
    },
    code: 2,
    says: ({ at }) =>
      new RegExp(`^${at('file')}: there is a file where the data directory should be: give another --data-dir$`)
  },
  {
    name: 'a directory of somebody else as the data directory',
    make: async ({ at }) => {
      await mkdir(at('theirs'))
      await writeFile(at('theirs/letter'), '')
      return dfsNode(at('theirs'), '--new')
    },
    code: 2,
    says: ({ at }) => new RegExp(`^${at('theirs')}: the data directory is not empty, .*: give another --data-dir`)
  },
  {
    name: 'the key of another network',
    make: async ({ at, t }) => {
      const key = at('other.key')
      await writeFile(key, Buffer.from(generateNetworkKey()).toString('hex'), { mode: 0o600 })
      const founded = startProcess(t, ['--data-dir', at('another'), '--new'])
      await founded.event('ready')
      await founded.stop()
      return dfsNode(at('another'), '--network-key-file', key)
    },
    code: 2,
    says: () => /another network/
  },
  {
    name: 'a passphrase that is wrong',
    make: async ({ at, t }) => {
      for (const name of ['right', 'wrong']) await writeFile(at(name), name, { mode: 0o600 })
      const sealed = startProcess(t, ['--data-dir', at('sealed'), '--new', '--passphrase-file', at('right')])
      await sealed.event('ready')
      await sealed.stop()
      return dfsNode(at('sealed'), '--passphrase-file', at('wrong'))
    },
    code: 4,
    says: ({ at }) =>
      new RegExp(`^${at('sealed')}: the keystore does not open with this passphrase: give the right --passphrase-file$`)
  },
  {
    name: 'a key that others can read',
    make: async ({ at, port }) => {
      await writeFile(at('open.key'), Buffer.from(generateNetworkKey()).toString('hex'))
      await chmod(at('open.key'), 0o644)
      // It is a warning, so the start goes on. A taken port ends it.
      return dfsNode(at('c'), '--new', '--network-key-file', at('open.key'), '--listen', `/ip4/127.0.0.1/tcp/${port}`)
    },
    code: 1,
    says: () =>
      /^warning: others on this machine can read the file named by --network-key-file \(run chmod 600 on it\)\nport .*$/
  },
  {
    name: 'an address that is none',
    make: ({ at }) => dfsNode(at('d'), '--bootstrap', 'http://10.0.0.2:3000'),
    code: 2,
    says: () => /^--bootstrap.*http:\/\/10\.0\.0\.2:3000.*such as \/ip4\/.*$/
  },
  {
    name: 'an address to listen on that is none',
    make: ({ at }) => dfsNode(at('d'), '--listen', '10.0.0.2:3000'),
    code: 2,
    says: () => /^--listen: "10\.0\.0\.2:3000" is no address: .*\/ip4\/.*$/
  },
  {
    name: 'no node that runs',
    make: ({ at }) => dfs(at('none'), 'status'),
    code: 5,
    says: ({ at }) =>
      new RegExp(
        `^${at('none')}: no node runs on this data directory: start dfs-node on it, or give another --data-dir$`
      )
  },
  {
    name: 'a path where nothing is',
    make: ({ dataDir }) => dfs(dataDir, 'get', '/photos/x.png'),
    code: 3,
    says: () => /^\/photos\/x\.png: nothing is at this path$/
  },
  {
    name: 'a local file that does not exist',
    make: ({ dataDir, at }) => dfs(dataDir, 'put', at('nofile')),
    code: 3,
    says: ({ at }) => new RegExp(`^${at('nofile')}: no such local file or folder$`)
  },
  {
    name: 'a folder to fetch into that does not exist',
    make: async ({ dataDir, at }) => {
      await writeFile(at('y'), 'y')
      await dfs(dataDir, 'put', at('y'))
      return dfs(dataDir, 'get', '/y', at('nodir/y'))
    },
    code: 3,
    says: ({ at }) => new RegExp(`^${at('nodir/y')}: no such folder: make it first, or name another target$`)
  },
  {
    name: 'a get onto a disk that is full',
    make: async ({ dataDir, at }) => {
      await writeFile(at('y'), 'y')
      await dfs(dataDir, 'put', at('y'))
      return dfs(dataDir, 'get', '--force', '/y', FULL)
    },
    code: 7,
    says: () => /^\/dev\/full: no space is left on the disk$/,
    skip: !existsSync(FULL) && 'there is no device that is always full'
  },
  {
    name: 'a capacity without its unit',
    make: async ({ at }) => dfsNode(at('tiny'), '--new', '--capacity', '500'),
    code: 2,
    says: () => /^--capacity: 500 B is too little for a block: write it like 500GB or 64MiB$/
  },
  {
    name: 'a clock that is off',
    make: async ({ at, dataDir }) => {
      assert.equal((await dfs(dataDir, 'invite', '--out', at('all.invite'))).code, 0)
      const preload = join(ROOT, 'test/fixtures/shift-clock.ts')
      const env = { NODE_OPTIONS: `--import=${preload}`, DFS_TEST_CLOCK_SHIFT_MS: String(3_600_000) }
      return runProgram('dfs-node', ['--data-dir', at('late'), ...LOCAL, '--join', at('all.invite')], { env })
    },
    code: 4,
    says: () => /^this machine's clock is .* off .*: set it, then start again$/
  },
  {
    name: 'a full disk',
    make: async ({ t }) => {
      const disk = await SmallDisk.mount(t, 24)
      await disk.fill()
      return dfsNode(join(disk.folder, 'data'), '--new')
    },
    code: 7,
    says: () => /^\/.*\/data: the disk is full: free some space on it$/,
    skip: lacksOwnDisk
  },
  {
    name: 'a Node that is too old',
    make: async () => runOn(oldNode() as string, 'dfs.js'),
    code: 1,
    says: () =>
      /^dfs needs Node\.js 22\.18 or newer, this is [\d.]+: install a newer one from .*, or run it with npx .*$/,
    skip: oldNode() === undefined && 'there is no old Node here'
  }
]

test('each common mistake gives one line that begins with what was given, and says what to do', {
  timeout: 580_000
}, async t => {
  const folder = await temporaryFolder(t)
  const dataDir = join(folder, 'data')
  const other = createServer().listen(0, '127.0.0.1')
  await until('the port is taken', async () => other.listening)
  t.after(() => other.close())
  const daemon = startProcess(t, ['--data-dir', dataDir, '--new'])
  await daemon.event('ready')
  const stage: Stage = {
    t,
    at: name => join(folder, name),
    dataDir,
    pid: daemon.child.pid as number,
    port: (other.address() as AddressInfo).port
  }
  for (const { name, make, code, says, skip = false } of MISTAKES)
    await t.test(name, { skip }, async () => {
      const result = await make(stage)
      assert.equal(result.code, code, result.stderr)
      assert.match(result.stderr.trimEnd(), says(stage))
      assert.doesNotMatch(result.stderr, /\bE[A-Z]{3,}\b|something went wrong/, 'the cause is said in words')
    })
})
