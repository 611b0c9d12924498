import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Daemon, startDaemon } from '../../scripts/lib/daemon.ts'
import { temporaryFolder } from '../fixtures/nodes.ts'
import { runProgram } from '../fixtures/program.ts'
import { must, ROOT, shell } from '../fixtures/shell.ts'
import { hasTerminal, type OnTerminal, runOnTerminal } from '../fixtures/terminal.ts'

const skip =
  process.getuid?.() === 0 && hasTerminal ? false : 'needs root, to make a network, and a terminal of util-linux'
const timeout = 240_000
const ARGS = ['--api', '127.0.0.1:0', '--log-level', 'silent']

/** Makes a local network on which nobody else is. Returns the command that enters it. */
async function ownNetwork(t: TestContext): Promise<string[]> {
  const name = `dfs-look-${process.pid}-${Math.floor(performance.now())}`
  await must(['ip', 'netns', 'add', name])
  t.after(() => shell(['ip', 'netns', 'del', name]))
  await must(['ip', '-n', name, 'link', 'set', 'lo', 'up'])
  return ['nsenter', `--net=/run/netns/${name}`]
}

interface Lan {
  folder: string
  enter: string[]
  attic: Daemon
  words: string
}

/** A machine that was started with no flag that says what to join, on a network where nobody else is. */
async function setup(t: TestContext): Promise<Lan> {
  const folder = await temporaryFolder(t)
  const enter = await ownNetwork(t)
  const options = { fromSource: true, prefix: enter, args: ARGS }
  const attic = await startDaemon({ name: 'attic', dataDir: join(folder, 'attic'), ...options })
  t.after(() => attic.stop())
  assert.match(attic.log(), /Looking for networks nearby…\nNo network is nearby: founding a new one\./)
  return { folder, enter, attic, words: (await attic.client.call('networkInfo', {})).words }
}

const laptop = (dataDir: string): string[] => ['--data-dir', dataDir, '--name', 'laptop', ...ARGS]

const onTerminal = (t: TestContext, { enter, folder }: Lan): OnTerminal =>
  runOnTerminal(t, 'dfs-node', laptop(join(folder, 'laptop')), { prefix: enter })

test('a machine without flags founds a network if none is nearby, and without a terminal joins none', {
  skip,
  timeout
}, async t => {
  const { folder, enter, words } = await setup(t)
  const program = [process.execPath, join(ROOT, 'src/bin/dfs-node.js')]
  const { code, stdout, stderr } = await shell([...enter, ...program, ...laptop(join(folder, 'laptop'))])
  assert.equal(code, 2, stderr)
  const [start, command, rest] = stderr.split(/(?<=To join it: )|(?=\. To found)/)
  assert.equal(start, `a network is nearby (${words}, 1 member answered). To join it: `)
  assert.match(
    command ?? '',
    /^(node \S+\/dfs-node\.js|npx dfs-node|dfs-node) --data-dir \S+ --bootstrap \/ip4\/[\d.]+\/tcp\/\d+(\/ws)?\/p2p\/12D3Koo\w+$/
  )
  assert.equal(rest, '. To found another one, pass --new\n')
  assert.equal(stdout, 'Looking for networks nearby…\n')
  assert.deepEqual(await readdir(folder), ['attic'])
})

test('a machine without flags asks on a terminal, and joins nothing before a person has compared the words', {
  skip,
  timeout
}, async t => {
  const lan = await setup(t)
  const { folder, attic, words } = lan
  const no = onTerminal(t, lan)
  await no.shows(/\[y\/N\]/)
  assert.ok(no.text.includes(`Found: ${words} (1 member answered)`), no.text)
  no.type('n')
  assert.equal(await no.ended, 2)
  assert.match(no.text, /nothing was joined or founded: pass --new to found a network of your own/)
  assert.deepEqual(await readdir(folder), ['attic'])
  assert.equal((await attic.client.call('status', {})).waiting, 0)

  const yes = onTerminal(t, lan)
  await yes.shows(/\[y\/N\]/)
  yes.type('y')
  const command = /dfs members approve ([0-9A-Z]{6}) --role writer/
  await yes.shows(command)
  const [, code] = command.exec(yes.text) as RegExpExecArray
  await yes.shows(/waiting for approval of [0-9A-Z]{6}, 9 min \d+ s left/)
  const approved = await runProgram('dfs', [
    '--data-dir',
    attic.dataDir,
    ...['members', 'approve', code as string, '--role', 'writer']
  ])
  assert.equal(approved.stdout.toString(), 'laptop is in, as writer\n', approved.stderr)
  await yes.shows(/attic let this machine in, as writer\./)
  await yes.shows(new RegExp(`laptop joined ${words}, as writer`))
  // The exit code is not checked, because it depends on the shell in between.
  yes.press('\x03')
  await yes.ended
})

test('Ctrl-C at the question ends the start, and leaves nothing', { skip, timeout }, async t => {
  const lan = await setup(t)
  const { folder } = lan
  const asked = onTerminal(t, lan)
  await asked.shows(/\[y\/N\]/)
  asked.press('\x03')
  assert.equal(await asked.ended, 130, asked.text)
  assert.deepEqual(await readdir(folder), ['attic'])
})
