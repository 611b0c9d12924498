import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type TestContext, test } from 'node:test'
import { type Daemon, startDaemon, until } from '../../scripts/lib/daemon.ts'
import { PROGRAMS } from '../../scripts/lib/programs.ts'
import { decodeInviteToken } from '../../src/format/invite-token.ts'
import { temporaryFolder } from '../fixtures/nodes.ts'
import { jsonLines, type Result, runProgram } from '../fixtures/program.ts'

const TIMEOUT = { timeout: 300_000 }
/** The flags of a node that is alone on this machine, as variables. */
const LOCAL = {
  DFS_NO_MDNS: '1',
  DFS_LISTEN: '/ip4/127.0.0.1/tcp/0',
  DFS_API: '127.0.0.1:0',
  DFS_JSON: '1'
}

/** Starts the founder of a network. `dfs` talks to it. */
async function found(t: TestContext, ...args: string[]): Promise<{ folder: string; attic: Daemon }> {
  const folder = await temporaryFolder(t)
  const flags = ['--no-mdns', '--listen', LOCAL.DFS_LISTEN, '--api', LOCAL.DFS_API, '--new', ...args]
  const attic = await startDaemon({ name: 'attic', dataDir: join(folder, 'attic'), fromSource: true, args: flags })
  t.after(() => attic.stop())
  return { folder, attic }
}

/** A command line that a shell runs until the test ends. */
interface Running {
  events: Array<Record<string, unknown>>
  stderr: () => string
  /** Waits for an event, or for the end of the command. */
  until(event: string): Promise<Record<string, unknown> | undefined>
  stop(): Promise<void>
}

function runInShell(t: TestContext, line: string, cwd: string, env: NodeJS.ProcessEnv): Running {
  // A group of its own, so that what the shell has started ends with it.
  const child = spawn('sh', ['-c', line], { cwd, env: { ...process.env, ...LOCAL, ...env }, detached: true })
  const events: Running['events'] = []
  let stderr = ''
  let hasEnded = false
  createInterface({ input: child.stdout }).on('line', text =>
    events.push(JSON.parse(text) as Running['events'][number])
  )
  child.stderr.setEncoding('utf8').on('data', text => {
    stderr += text
  })
  const ended = new Promise<void>(resolve => child.once('close', () => resolve()))
  void ended.then(() => {
    hasEnded = true
  })
  const stop = async (): Promise<void> => {
    if (!hasEnded) process.kill(-(child.pid as number), 'SIGTERM')
    await ended
  }
  t.after(stop)
  const named = (name: string): Running['events'][number] | undefined => events.find(({ event }) => event === name)
  return {
    events,
    stderr: () => stderr,
    stop,
    async until(name) {
      await until(`${name} of "${line}": ${stderr}`, async () => named(name) !== undefined || hasEnded)
      return named(name)
    }
  }
}

/** A folder with programs in place of `npx` and `ssh`. They run our sources on this machine. */
async function programs(folder: string): Promise<string> {
  const bin = join(folder, 'bin')
  await mkdir(bin)
  const npx = `#!/bin/sh\nif [ "$1" = -p ]; then shift 2; fi\nname=$1\nshift\nexec ${process.execPath} ${PROGRAMS}/$name.js "$@"\n`
  for (const [name, text] of Object.entries({ npx, ssh: '#!/bin/sh\nshift\ncd far\nexec "$@"\n' })) {
    await writeFile(join(bin, name), text)
    await chmod(join(bin, name), 0o755)
  }
  return `${bin}:${process.env['PATH']}`
}

async function commandLines(): Promise<string> {
  const pids = (await readdir('/proc')).filter(name => /^\d+$/.test(name))
  const all = await Promise.all(pids.map(pid => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
  return all.join('\n')
}

test(
  'the commands that dfs invite prints let machines in exactly as printed, and no secret of the invite is shown',
  TIMEOUT,
  async t => {
    if (process.platform === 'win32') return t.skip('needs a POSIX shell')
    const { folder, attic } = await found(t, '--log-level', 'trace')
    const dfs = (...args: string[]): Promise<Result> =>
      runProgram('dfs', ['--data-dir', attic.dataDir, ...args], { cwd: folder, env: { DEBUG: '*' } })
    const env = { PATH: await programs(folder) }
    await mkdir(join(folder, 'far'))
    const made = await dfs('invite', '--uses', '2')
    assert.equal(made.code, 0, made.stderr)
    const lines = made.stdout.toString().split('\n')
    const token = await readFile(join(folder, 'dfs-writer.invite'), 'utf8')
    const { seed, network } = decodeInviteToken(token)
    assert.equal(Buffer.from(network).toString('hex'), attic.network)
    // The file is copied to the other machine, and the command is pasted there.
    await writeFile(join(folder, 'far', 'dfs-writer.invite'), token)
    const data = (name: string): NodeJS.ProcessEnv => ({ ...env, DFS_DATA_DIR: join(folder, name), DFS_NAME: name })
    const pasted = runInShell(t, lines[1] as string, join(folder, 'far'), { ...data('laptop'), DEBUG: '*' })
    assert.ok((await pasted.until('ready')) !== undefined, pasted.stderr())
    const fromHere = (lines[2] as string).replace(/^Or from here: /, '')
    const piped = runInShell(t, fromHere, folder, { ...data('phone'), DFS_LOG_LEVEL: 'trace' })
    assert.ok((await piped.until('ready')) !== undefined, piped.stderr())
    if (process.platform === 'linux') assert.ok(!(await commandLines()).includes(token.trim().slice(0, 60)))
    const late = runInShell(t, lines[1] as string, join(folder, 'far'), data('late'))
    assert.equal(await late.until('ready'), undefined)
    const { code, message } = JSON.parse(late.stderr().trim().split('\n').at(-1) ?? '') as Record<string, string>
    assert.deepEqual([code, message], ['used-up', 'this invite has been used as often as it may be: ask for a new one'])
    const [invites] = jsonLines(await dfs('--json', 'invite', '--list')) as unknown as [Array<Record<string, unknown>>]
    assert.deepEqual([invites[0]?.['used'], invites[0]?.['uses'], invites[0]?.['state']], [2, 2, 'used-up'])
    const shown = [made.stdout.toString(), made.stderr, attic.log(), pasted.stderr(), piped.stderr(), late.stderr()]
    for (const output of [attic.log(), pasted.stderr(), piped.stderr()])
      assert.match(output, /dfs:members/, 'it is verbose')
    const secret = Buffer.from(seed)
    for (const text of [token.split('.')[1] as string, secret.toString('hex'), secret.toString('base64url')])
      for (const output of [...shown, JSON.stringify([pasted.events, piped.events])])
        assert.ok(!output.includes(text), 'the output holds a secret')
  }
)

test(
  'a machine that is let in as a reader writes once an admin makes it a writer, and no reader lets others in',
  TIMEOUT,
  async t => {
    const { folder, attic } = await found(t)
    const dfs = (dataDir: string, ...args: string[]): Promise<Result> =>
      runProgram('dfs', ['--data-dir', dataDir, ...args])
    const laptop = join(folder, 'laptop')
    const env = { PATH: await programs(folder), DFS_DATA_DIR: laptop, DFS_NAME: 'laptop' }
    const waiting = runInShell(t, `npx dfs-node --bootstrap ${attic.multiaddrs[0]}`, folder, env)
    const { code } = (await waiting.until('pending')) ?? {}
    const [items] = jsonLines(await dfs(attic.dataDir, '--json', 'members')) as unknown as [
      Array<Record<string, unknown>>
    ]
    assert.deepEqual(
      items.map(({ name, state, code, self }) => [name, state, code, self]),
      [
        ['attic', 'in', null, true],
        ['laptop', 'pending', code, false]
      ]
    )
    assert.match(
      (await dfs(attic.dataDir, 'status')).stderr,
      new RegExp(`a machine waits to be let in \\(code ${code}\\)`)
    )
    const early = await dfs(laptop, 'network')
    assert.equal(early.code, 4)
    assert.match(
      early.stderr,
      /^this machine waits to be let in: on a machine that is already in, run dfs members approve/
    )
    const unknown = await dfs(attic.dataDir, 'members', 'approve', code === '000000' ? '000001' : '000000')
    assert.equal(unknown.code, 3)
    assert.match(unknown.stderr, /^00000[01]: no machine waits with this code/)
    const approved = await dfs(attic.dataDir, 'members', 'approve', String(code).toLowerCase())
    assert.deepEqual([approved.code, approved.stdout.toString()], [0, 'laptop is in, as reader\n'], approved.stderr)
    assert.ok((await waiting.until('ready')) !== undefined, waiting.stderr())
    assert.match((await dfs(laptop, 'members')).stdout.toString(), /^laptop +reader +in +this one .* attic +…\w{8}$/m)
    for (const args of [
      ['members', 'approve', '000000'],
      ['members', 'deny', '000000'],
      ['invite'],
      ['members', 'role', 'attic', 'admin']
    ]) {
      const refused = await dfs(laptop, ...args)
      assert.deepEqual(
        [refused.code, /only an admin .*: this machine is a reader/.test(refused.stderr)],
        [4, true],
        args.join(' ')
      )
    }
    assert.equal((await dfs(laptop, 'mkdir', '/x')).code, 4)
    const lower = await dfs(attic.dataDir, 'members', 'role', 'attic', 'reader')
    assert.deepEqual([lower.code, lower.stderr], [2, 'attic: taking a role away is not built yet\n'])
    assert.equal((await dfs(attic.dataDir, 'members', 'role', 'cellar', 'writer')).code, 3)
    const raised = await dfs(attic.dataDir, 'members', 'role', 'laptop', 'writer')
    assert.deepEqual([raised.code, raised.stdout.toString()], [0, 'laptop is a writer now\n'], raised.stderr)
    await until('the laptop writes', async () => (await dfs(laptop, 'mkdir', '/x')).code === 0)
    await until('the attic has it', async () => (await dfs(attic.dataDir, 'ls')).stdout.toString() === 'x/\n')
  }
)
