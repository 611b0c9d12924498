import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { startProcess } from '../fixtures/daemon-process.ts'
import { temporaryFolder } from '../fixtures/nodes.ts'
import { runProgram } from '../fixtures/program.ts'
import { hasTerminal, type OnTerminal, runOnTerminal } from '../fixtures/terminal.ts'
import { until } from '../fixtures/until.ts'

const skip = hasTerminal ? false : 'needs the terminal of util-linux'
const ALONE = ['--no-mdns', '--listen', '/ip4/127.0.0.1/tcp/0', '--api', '127.0.0.1:0']

function lines({ text }: OnTerminal): string[] {
  return text
    .replaceAll('\r\n', '\n')
    .replace(/[^\n]*\r\x1b\[K/g, '')
    .split('\n')
}

test('a person sees on the daemon’s terminal who joins and who goes away, and programs see JSON', { skip }, async t => {
  const folder = await temporaryFolder(t)
  const key = join(folder, 'key')
  const attic = runOnTerminal(t, 'dfs-node', [
    ...['--data-dir', join(folder, 'attic'), '--new', '--network-key-file', key, '--name', 'attic'],
    ...ALONE
  ])
  await attic.shows(/Use it:/)
  const address = /--bootstrap (\S+)/.exec(attic.text)?.[1] as string
  const way = ['--network-key-file', key, '--bootstrap', address]
  const laptop = startProcess(t, [
    ...['--data-dir', join(folder, 'laptop'), '--name', 'laptop', '--log-level', 'info'],
    ...way
  ])
  const { peerId } = await laptop.event('ready')
  await attic.shows(/joined/)
  await laptop.stop()
  await attic.shows(/went away/)

  const end = String(peerId).slice(-8)
  const stamped = lines(attic).filter(line => /^\d\d:\d\d:\d\d /.test(line))
  assert.deepEqual(
    stamped.map(line => line.slice(9)),
    [`laptop joined (…${end})`, `laptop went away (…${end})`]
  )
  assert.doesNotMatch(attic.text, /[{}]/, 'nothing of it is JSON')
  const logged = laptop.stderr.trim().split('\n')
  assert.ok(logged.map(line => JSON.parse(line)).some(({ msg }) => msg === 'admitted'))

  const scripted = runOnTerminal(t, 'dfs-node', [
    ...['--data-dir', join(folder, 'attic2'), '--json', '--name', 'attic2'],
    ...way,
    ...ALONE
  ])
  await scripted.shows(/"msg":"admitted"/)
})

test('a bootstrap address at which nobody answers is named on the terminal and in the status, and host:port works', {
  skip
}, async t => {
  const folder = await temporaryFolder(t)
  const key = join(folder, 'key')
  const dataDir = join(folder, 'attic')
  const attic = runOnTerminal(t, 'dfs-node', [
    ...['--data-dir', dataDir, '--new', '--network-key-file', key, '--name', 'attic', '--bootstrap', 'localhost:1'],
    ...ALONE
  ])
  await attic.shows(/nobody answered/)
  assert.deepEqual(
    lines(attic).flatMap(line => /^\d\d:\d\d:\d\d (.* nobody answered .*)$/.exec(line)?.[1] ?? []),
    ['warning: nobody answered at localhost:1 (nothing listens there): running alone, still trying']
  )
  await attic.shows(/Use it:/)
  const warnings = async (of: string): Promise<string[]> => {
    const { stdout } = await runProgram('dfs', ['--data-dir', of, '--json', 'status'])
    return (JSON.parse(stdout.toString()) as { warnings: string[] }).warnings.filter(text => text.includes('nobody'))
  }
  assert.deepEqual(await warnings(dataDir), [
    'nobody answers at localhost:1 (nothing listens there): this node keeps trying'
  ])

  const port = /listening on \/ip4\/127\.0\.0\.1\/tcp\/(\d+)\//.exec(attic.text)?.[1]
  const laptop = startProcess(t, [
    ...['--data-dir', join(folder, 'laptop'), '--network-key-file', key],
    ...['--bootstrap', `127.0.0.1:${port}`, '--bootstrap', '127.0.0.1:1']
  ])
  await laptop.event('ready')
  await attic.shows(/joined/)
  assert.deepEqual(
    { ...(await laptop.event('unreachable')) },
    { event: 'unreachable', address: '127.0.0.1:1', reason: 'nothing listens there' }
  )
  assert.deepEqual(await warnings(join(folder, 'laptop')), [
    'nobody answers at 127.0.0.1:1 (nothing listens there): this node keeps trying'
  ])
})

test('a terminal that is closed ends the daemon cleanly', { skip }, async t => {
  const folder = await temporaryFolder(t)
  const dataDir = join(folder, 'attic')
  const attic = runOnTerminal(t, 'dfs-node', ['--data-dir', dataDir, '--new', ...ALONE, '--log-level', 'debug'])
  await attic.shows(/Use it:/)
  attic.close()
  const isThere = (name: string): boolean => existsSync(join(dataDir, name))
  await until('the daemon has stopped', async () => !isThere('api.json') && !isThere('lock'))
})

test('a daemon without a terminal ignores the end of one, as under nohup', async t => {
  const folder = await temporaryFolder(t)
  const daemon = startProcess(t, ['--data-dir', join(folder, 'a'), '--new'])
  await daemon.event('ready')
  daemon.child.kill('SIGHUP')
  assert.equal(await daemon.stop('SIGTERM'), 0)
  assert.deepEqual(daemon.events.at(-1), { event: 'stopped' })
})

test('a user whom the system does not know, and who has no home, is told to name a data directory', {
  skip: process.getuid?.() === 0 && process.platform === 'linux' ? false : 'needs root, to be another user'
}, async () => {
  const asNobody = (program: string, ...args: string[]): { code: number | null; stderr: string; stdout: string } => {
    const bin = join(import.meta.dirname, `../../src/bin/${program}.js`)
    const child = spawnSync(process.execPath, [bin, ...args], {
      uid: 54_321,
      gid: 54_321,
      env: { PATH: process.env['PATH'] },
      encoding: 'utf8'
    })
    return { code: child.status, stderr: child.stderr, stdout: child.stdout }
  }
  for (const program of ['dfs', 'dfs-node']) {
    const help = asNobody(program, '--help')
    assert.deepEqual([help.code, help.stderr], [0, ''])
    const { code, stderr } = asNobody(program, ...(program === 'dfs' ? ['ls'] : ['--new']))
    assert.equal(code, 2)
    assert.match(stderr, /^this user has no home folder: name a data directory with --data-dir/)
  }
})
