import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { decodeInviteToken } from '../../src/format/invite-token.ts'
import { epochSubkeys } from '../../src/format/network-key.ts'
import { networkKeyWords } from '../../src/index.ts'
import { type DaemonProcess, type DaemonProcessOptions, startProcess } from '../fixtures/daemon-process.ts'
import { secretsIn } from '../fixtures/device.ts'
import { temporaryFolder, until } from '../fixtures/nodes.ts'
import { type Result, runProgram } from '../fixtures/program.ts'
import { foundIn, foundInFolder, needlesOf } from '../fixtures/secret-search.ts'

const PASSPHRASE = 'a passphrase for this test alone'
/** Everything is logged: through the daemon's own logger, or through the one of libp2p. */
const LOUD = ['--log-level', 'trace']
const DEBUG = { DEBUG: '*,*:trace' }

/** The programs that a test runs, and all that they print. */
class Programs {
  readonly daemons: DaemonProcess[] = []
  readonly #t: TestContext
  readonly #results: Result[] = []
  #stdout = ''
  #commandLines = ''

  constructor(t: TestContext) {
    this.#t = t
  }

  start(args: readonly string[], options: DaemonProcessOptions = {}): DaemonProcess {
    const daemon = startProcess(this.#t, [...LOUD, ...args], options)
    daemon.child.stdout.on('data', (text: Buffer) => {
      this.#stdout += text
    })
    this.daemons.push(daemon)
    return daemon
  }

  /** Starts a daemon that must end by itself. */
  async refused(args: readonly string[], options: DaemonProcessOptions = {}): Promise<void> {
    await assert.rejects(this.start(args, options).event('ready'), /the daemon ended without ready/)
  }

  async dfs(dataDir: string, ...args: string[]): Promise<Result> {
    const during = async ({ pid }: { pid?: number | undefined }): Promise<void> => {
      this.#commandLines += await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    }
    const result = await runProgram('dfs', ['--data-dir', dataDir, ...args], { env: DEBUG, during })
    this.#results.push(result)
    return result
  }

  async commandLines(): Promise<string> {
    const running = this.daemons.filter(({ child }) => child.exitCode === null && child.signalCode === null)
    const lines = await Promise.all(running.map(({ child }) => readFile(`/proc/${child.pid}/cmdline`, 'utf8')))
    return `${lines.join('\n')}\n${this.#commandLines}`
  }

  printed(): string {
    const ofDfs = this.#results.map(({ stdout, stderr }) => `${stdout}\n${stderr}`)
    return [this.#stdout, ...this.daemons.map(({ stderr }) => stderr), ...ofDfs].join('\n')
  }
}

test('no secret is in an argument or in a log, whichever way in a machine uses and however that fails', {
  timeout: 300_000,
  skip: process.platform !== 'linux' && 'it needs /proc'
}, async t => {
  const folder = await temporaryFolder(t)
  const at = (name: string): string => join(folder, name)
  const programs = new Programs(t)
  await writeFile(at('passphrase'), `${PASSPHRASE}\n`, { mode: 0o600 })

  const sealed = ['--passphrase-file', at('passphrase')]
  const key = ['--network-key-file', at('key')]
  const founded = programs.start(['--data-dir', at('attic'), '--new', ...key, '--invite-out', at('writer.invite')])
  const [address] = (await founded.event('ready'))['multiaddrs'] as [string]
  const asks = programs.start(['--data-dir', at('laptop'), '--bootstrap', address], { env: DEBUG })
  const { code } = await asks.event('pending')
  await programs.dfs(at('attic'), 'members', 'approve', code as string, '--role', 'reader')
  await asks.event('ready')
  const invited = programs.start(['--data-dir', at('phone'), '--join', at('writer.invite'), ...sealed], { env: DEBUG })
  await invited.event('ready')
  const { networkKey } = await secretsIn(at('attic'))
  assert.ok(networkKey !== undefined)
  const words = networkKeyWords(networkKey)
  const recovered = programs.start(['--data-dir', at('office'), '--recover', '--bootstrap', address], { stdin: words })
  await recovered.event('ready')
  const keyed = programs.start(['--data-dir', at('cellar'), ...key, '--bootstrap', address], { env: DEBUG })
  await keyed.event('ready')
  const made = await programs.dfs(at('office'), 'invite', '--role', 'admin', '--out', at('admin.invite'))
  assert.equal(made.code, 0, made.stderr)
  await until('the reader is known', async () => {
    const { code: exit } = await programs.dfs(at('office'), 'members', 'role', 'laptop', 'writer')
    const names = (await programs.dfs(at('office'), 'members', '--json')).stdout.toString()
    return exit === 0 || !names.includes('laptop')
  })

  // Every way in fails, too.
  const token = await readFile(at('admin.invite'), 'utf8')
  await writeFile(
    at('altered.invite'),
    token.replace(/.(?=\s*$)/, digit => (digit === '0' ? '1' : '0')),
    { mode: 0o600 }
  )
  await writeFile(at('odd.key'), `${Buffer.from(networkKey).toString('hex')}0`, { mode: 0o600 })
  await programs.refused(['--data-dir', at('x'), '--join', at('altered.invite')])
  await programs.refused(['--data-dir', at('x'), '--join', at('key')])
  await programs.refused(['--data-dir', at('x'), '--join', '-'], { stdin: words })
  await programs.refused(['--data-dir', at('x'), '--network-key-file', at('odd.key')])
  await programs.refused(['--data-dir', at('x'), '--network-key-file', at('admin.invite')])
  await programs.refused(['--data-dir', at('x'), '--recover'], { stdin: words.replace(/\w+$/, 'abandon') })
  await programs.refused(['--data-dir', at('x'), '--recover'], { stdin: token })
  await programs.dfs(at('office'), 'invite', '--revoke', at('altered.invite'))
  await programs.dfs(at('office'), 'invite', '--revoke', at('key'))
  await programs.dfs(at('office'), 'invite', '--revoke', at('admin.invite'))
  await programs.refused(['--data-dir', at('x'), '--join', at('admin.invite'), '--bootstrap', address])

  const secrets: Record<string, Uint8Array | string> = { networkKey, words, passphrase: PASSPHRASE }
  for (const name of ['attic', 'laptop', 'office', 'cellar']) {
    const { device, x25519, names, epochs } = await secretsIn(at(name))
    Object.assign(secrets, { [`${name} device`]: device, [`${name} x25519`]: x25519, [`${name} names`]: names })
    for (const epoch of epochs) Object.assign(secrets, { epochKey: epoch.key, ...epochSubkeys(epoch.key) })
    secrets[`${name} API`] = JSON.parse(await readFile(join(at(name), 'api.json'), 'utf8')).token
  }
  for (const file of ['writer.invite', 'admin.invite']) {
    const text = (await readFile(at(file), 'utf8')).trim()
    secrets[file] = text.split('.')[1] as string
    secrets[`seed of ${file}`] = decodeInviteToken(text).seed
  }
  const needles = needlesOf(secrets)
  const onDisk = await foundInFolder(folder, needles)
  const derived = ['content', 'record', 'words', 'seed of writer.invite', 'seed of admin.invite']
  assert.deepEqual(
    onDisk,
    Object.keys(secrets)
      .filter(name => !derived.includes(name))
      .sort(),
    'the search finds them'
  )

  const printed = programs.printed()
  for (const scope of ['dfs:members', 'libp2p']) assert.ok(printed.includes(scope), `${scope} is in the logs`)
  assert.deepEqual(foundIn(Buffer.from(printed), needles), [])
  const commandLines = await programs.commandLines()
  assert.ok(commandLines.includes('--recover') && commandLines.includes('approve'), 'arguments are seen')
  assert.deepEqual(foundIn(Buffer.from(commandLines), needles), [])
})
