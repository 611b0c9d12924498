import assert from 'node:assert/strict'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Daemon, startDaemon } from '../../scripts/lib/daemon.ts'
import { networkKeyWords } from '../../src/format/network-key.ts'
import { temporaryFolder } from '../fixtures/nodes.ts'
import { runProgram } from '../fixtures/program.ts'
import { hasTerminal, type OnTerminal, runOnTerminal } from '../fixtures/terminal.ts'

const LOCAL = ['--no-mdns', '--listen', '/ip4/127.0.0.1/tcp/0', '--api', '127.0.0.1:0']
const TIMEOUT = { timeout: 240_000 }

function start(dataDir: string, ...args: string[]): Promise<Daemon> {
  return startDaemon({ name: 'attic', dataDir, fromSource: true, args: [...LOCAL, ...args] })
}

function recovery(t: TestContext, dataDir: string, ...args: string[]): OnTerminal {
  return runOnTerminal(t, 'dfs', ['--data-dir', dataDir, 'network', 'recovery', ...args])
}

async function keyIn(dataDir: string): Promise<string | undefined> {
  const { secrets } = JSON.parse(await readFile(join(dataDir, 'keystore'), 'utf8')) as {
    secrets: { networkKey?: string }
  }
  return secrets.networkKey
}

/** Founds a network and stops, in a folder of its own. Returns the network key in hex too. */
async function founded(t: TestContext): Promise<{ dataDir: string; key: string; words: string }> {
  const dataDir = join(await temporaryFolder(t), 'data')
  await (await start(dataDir, '--new')).stop()
  const key = await keyIn(dataDir)
  assert.ok(key !== undefined)
  return { dataDir, key, words: networkKeyWords(Buffer.from(key, 'hex')) }
}

/** The words that a terminal shows, in the order of their numbers. */
function wordsOn({ text }: OnTerminal): string {
  const words: string[] = []
  for (const [, number, word] of text.matchAll(/(\d+) ([a-z]+)\b/g)) words[Number(number) - 1] = word as string
  return words.join(' ')
}

/** The names of files below a folder that contain a text. */
async function filesWith(folder: string, text: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const found: string[] = []
  for (const entry of entries.filter(entry => entry.isFile())) {
    const path = join(entry.parentPath, entry.name)
    const bytes = await readFile(path)
    if (bytes.includes(text) || bytes.includes(Buffer.from(text, 'hex'))) found.push(path)
  }
  return found
}

test(
  'recovery shows the 24 words of the key, whether or not a node runs, and a member without the key says so',
  TIMEOUT,
  async t => {
    if (!hasTerminal) return t.skip('needs the script command of util-linux')
    const { dataDir, key, words } = await founded(t)
    const stopped = recovery(t, dataDir)
    assert.equal(await stopped.ended, 0)
    assert.equal(wordsOn(stopped), words)
    assert.equal(stopped.text.trimEnd().split('\r\n').length, 6)
    const piped = await runProgram('dfs', ['--data-dir', dataDir, 'network', 'recovery'])
    assert.deepEqual(
      [piped.code, piped.stdout.toString(), piped.stderr],
      [4, '', 'the words are shown on a terminal only\n']
    )
    const keyFile = join(dataDir, '../key')
    await writeFile(keyFile, key, { mode: 0o600 })
    const other = join(dataDir, '../other')
    const node = await start(dataDir)
    const member = await start(other, '--network-key-file', keyFile, '--bootstrap', node.multiaddrs[0] as string)
    try {
      const running = recovery(t, dataDir)
      assert.equal(await running.ended, 0)
      assert.equal(wordsOn(running), words)
      const refused = recovery(t, other)
      assert.equal(await refused.ended, 3)
      assert.match(
        refused.text,
        /this machine does not hold the network key: only the founder does, until it forgets it/
      )
    } finally {
      await Promise.all([node.stop(), member.stop()])
    }
  }
)

test('--forget removes the key from a node that runs, once a person has typed it', TIMEOUT, async t => {
  if (!hasTerminal) return t.skip('needs the script command of util-linux')
  const { dataDir, key, words } = await founded(t)
  let node = await start(dataDir)
  try {
    const warned = /the disk of this machine holds the network key/
    assert.match((await node.client.call('status', {})).warnings.join('\n'), warned)
    const hesitant = recovery(t, dataDir, '--forget')
    await hesitant.shows(/Type "forget" once the words are written down: /)
    hesitant.type('no')
    assert.equal(await hesitant.ended, 1)
    assert.match(hesitant.text, /nothing was changed: this machine still holds the network key/)
    const interrupted = recovery(t, dataDir, '--forget')
    await interrupted.shows(/written down: /)
    interrupted.press('\u0003')
    assert.equal(await interrupted.ended, 130)
    assert.equal(await keyIn(dataDir), key)
    const sure = recovery(t, dataDir, '--forget')
    await sure.shows(/written down: /)
    assert.equal(wordsOn(sure), words)
    sure.type('forget')
    assert.equal(await sure.ended, 0, sure.text)
    assert.equal((await node.client.call('networkInfo', {})).holdsKey, false)
    assert.doesNotMatch((await node.client.call('status', {})).warnings.join('\n'), warned)
    assert.equal(await keyIn(dataDir), undefined)
    // The node does not bring the key back, and needs it no more.
    await node.stop()
    node = await start(dataDir)
    assert.deepEqual(await filesWith(dataDir, key), [])
    const { role, holdsKey } = await node.client.call('networkInfo', {})
    assert.deepEqual([role, holdsKey], ['admin', false])
  } finally {
    await node.stop()
  }
  assert.equal(await recovery(t, dataDir).ended, 3)
})

test('--forget removes the key from a sealed keystore on which no node runs', TIMEOUT, async t => {
  if (!hasTerminal) return t.skip('needs the script command of util-linux')
  const folder = await temporaryFolder(t)
  const dataDir = join(folder, 'data')
  const passphrase = ['--passphrase-file', join(folder, 'passphrase')]
  await writeFile(join(folder, 'passphrase'), 'correct horse\n')
  const node = await start(dataDir, '--new', ...passphrase)
  const { warnings } = await node.client.call('status', {})
  assert.deepEqual(warnings, [], 'a sealed keystore is no danger')
  await node.stop()
  const sealed = recovery(t, dataDir)
  assert.equal(await sealed.ended, 4)
  assert.match(sealed.text, /this keystore is sealed: give --passphrase-file/)
  const sure = recovery(t, dataDir, '--forget', ...passphrase)
  await sure.shows(/written down: /)
  sure.type('forget')
  assert.equal(await sure.ended, 0, sure.text)
  assert.match(
    sure.text,
    /if you started the founder with --network-key-file, that file still holds the key: remove it/
  )
  assert.equal(await recovery(t, dataDir, ...passphrase).ended, 3)
  // The directory is unlocked again, and still that of an admin.
  const again = await start(dataDir, ...passphrase)
  assert.equal((await again.client.call('networkInfo', {})).role, 'admin')
  await again.stop()
  const piped = await runProgram('dfs', ['--data-dir', dataDir, 'network', 'recovery', ...passphrase])
  assert.deepEqual([piped.code, piped.stdout.byteLength], [3, 0])
})

test('--forget names the key file that the node was started with, which still holds the key', TIMEOUT, async t => {
  if (!hasTerminal) return t.skip('needs the script command of util-linux')
  const folder = await temporaryFolder(t)
  const dataDir = join(folder, 'data')
  const file = join(folder, 'network.key')
  const node = await start(dataDir, '--new', '--network-key-file', file)
  t.after(() => node.stop())
  const sure = recovery(t, dataDir, '--forget')
  await sure.shows(/written down: /)
  sure.type('forget')
  assert.equal(await sure.ended, 0, sure.text)
  assert.ok(sure.text.includes(`${file}: this file still holds the network key: remove it by hand`), sure.text)
})

test('the 24 words may be pasted as several lines, as dfs network recovery shows them', TIMEOUT, async t => {
  if (!hasTerminal) return t.skip('needs the script command of util-linux')
  const { dataDir, words } = await founded(t)
  const numbered = words.split(' ').map((word, i) => `${i + 1} ${word}`)
  const lines = Array.from({ length: 6 }, (_, i) => numbered.slice(4 * i, 4 * i + 4).join('  '))
  const entering = (): OnTerminal =>
    runOnTerminal(t, 'dfs-node', ['--data-dir', join(dataDir, '../recovered'), ...LOCAL, '--recover'])
  const short = entering()
  await short.shows(/Type the 24 words: /)
  short.type(lines[0] as string)
  await short.shows(/20 more, or an empty line to stop: /)
  short.type('')
  assert.equal(await short.ended, 2)
  assert.match(short.text, /these are 4 words: a network key has 24/)
  const whole = entering()
  await whole.shows(/Type the 24 words: /)
  whole.press(`${lines.join('\r')}\r`)
  await whole.shows(/recovered the network/)
  whole.close()
})
