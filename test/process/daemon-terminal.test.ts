import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { startProcess } from '../fixtures/daemon-process.ts'
import { temporaryFolder } from '../fixtures/nodes.ts'
import { hasTerminal, type OnTerminal, runOnTerminal } from '../fixtures/terminal.ts'

const skip = hasTerminal ? false : 'needs the terminal of util-linux'
const ALONE = ['--no-mdns', '--listen', '/ip4/127.0.0.1/tcp/0', '--api', '127.0.0.1:0']

function lines({ text }: OnTerminal): string[] {
  return text
    .replaceAll('\r\n', '\n')
    .replace(/[^\n]*\r\x1b\[K/g, '')
    .split('\n')
}

test('a person sees on the daemon´s terminal who joins and who goes away, and programs see JSON', { skip }, async t => {
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
