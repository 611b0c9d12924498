import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setUpDfs } from '../../fixtures/dfs.ts'
import { jsonLines } from '../../fixtures/program.ts'
import { hasTerminal, runOnTerminal } from '../../fixtures/terminal.ts'

test('rm says on how many members it has removed a file, and who will follow', async t => {
  const { node, dfs } = await setUpDfs(t)
  const result = { version: '00', freesAt: null }
  const away = { peerId: '12D3KooWlaptop0', name: 'laptop', since: new Date(Date.now() - 3 * 3_600_000) }
  const slow = { peerId: '12D3KooWbox00000', name: 'box', since: null }
  type Waiting = Array<typeof away | typeof slow>
  const cases: Array<[removedOn: string[], waitingFor: Waiting, out: Waiting, text: RegExp]> = [
    [['a'], [], [], /^removed\n$/],
    [['a', 'b'], [], [], /^removed on 2 of 2 members\n$/],
    [
      ['a', 'b'],
      [away],
      [],
      /^removed on 2 of 3 members; laptop \(…Wlaptop0, last seen 3 h ago\) will remove it when it is back\n$/
    ],
    [['a'], [away, slow], [], /^removed on 1 of 3 members; laptop .*, box .* will remove it when they are back\n$/],
    [['a'], [], [away], /^removed on 1 of 2 members; laptop .* is out, and will remove it if it comes back\n$/],
    [['a'], [slow], [], /^removed on 1 of 2 members; box \(…box00000\) has not confirmed it yet\n$/]
  ]
  for (const [removedOn, waitingFor, out, text] of cases) {
    node.hooks.remove = async path => ({ path, ...result, removedOn, waitingFor, out })
    const printed = await dfs(['rm', '/f'])
    assert.deepEqual([printed.code, printed.stderr], [0, ''])
    assert.match(printed.stdout.toString(), text)
  }
  assert.match((await dfs(['rm', '/f', '/g'])).stdout.toString(), /^\/f: removed .*\n\/g: removed .*\n$/)
  await dfs(['rm', '--purge', '/f'])
  const [{ purge } = {}] = node.calls.slice(-1).map(({ options }) => options as { purge?: boolean })
  assert.equal(purge, true)
})

test('rm says when the space returns, and with --purge whether the versions go at once or can still be kept', async t => {
  const { node, dfs } = await setUpDfs(t)
  const later = new Date(Date.now() + 7 * 86_400_000)
  const cases: Array<[args: string[], freesAt: Date | null, text: RegExp]> = [
    [[], later, /^removed; its space returns on \d{4}-\d\d-\d\d \d\d:\d\d\n$/],
    [[], null, /^removed\n$/],
    [['--purge'], new Date(0), /^removed; its versions are gone, and its space returns now\n$/],
    [['--purge'], null, /^removed; its versions are gone, and its space returns now\n$/],
    [
      ['--purge'],
      later,
      /^removed; its versions end and its space returns on \d{4}.*, unless somebody runs "dfs rm --cancel" before\n$/
    ],
    [['--cancel'], later, /^purge cancelled; its versions can be restored, and its space returns on \d{4}.*\n$/]
  ]
  for (const [args, freesAt, text] of cases) {
    node.hooks.remove = async path => ({ path, version: '00', removedOn: ['a'], waitingFor: [], out: [], freesAt })
    node.hooks.cancelPurge = node.hooks.remove
    const printed = await dfs(['rm', ...args, '/f'])
    assert.deepEqual([printed.code, printed.stderr], [0, ''])
    assert.match(printed.stdout.toString(), text)
  }
  const wrong = await dfs(['rm', '--cancel', '--purge', '/f'])
  assert.deepEqual([wrong.code, wrong.stderr], [2, '--cancel goes with neither --purge nor --wait\n'])
})

const laptop = { peerId: '12D3KooWlaptop0', name: 'laptop', since: null }
const states = [
  { path: '/f', version: '00', removedOn: ['a'], waitingFor: [laptop], out: [], freesAt: null },
  { path: '/f', version: '00', removedOn: ['a', 'b'], waitingFor: [], out: [], freesAt: null }
]

test('rm --wait prints what is known once the last member has acknowledged', async t => {
  const { node, dfs } = await setUpDfs(t)
  node.hooks.removing = async function* () {
    yield* states
  }
  assert.equal((await dfs(['rm', '--wait', '/f'])).stdout.toString(), 'removed on 2 of 2 members\n')
  const printed = jsonLines(await dfs(['--json', 'rm', '--wait', '/f']))
  assert.deepEqual(
    printed.map(({ removedOn }) => removedOn),
    [['a', 'b']]
  )
})

test('rm --wait shows on a terminal whom it waits for, and a user who ends the wait reads that it is removed', {
  skip: !hasTerminal
}, async t => {
  const { node, dataDir } = await setUpDfs(t)
  node.hooks.removing = async function* (_, { signal } = {}) {
    yield states[0] as (typeof states)[0]
    await new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)))
  }
  const terminal = runOnTerminal(t, 'dfs', ['--data-dir', dataDir, 'rm', '--wait', '/f'])
  await terminal.shows(/removed on 1 of 2 members; waiting for laptop/)
  terminal.press('\x03')
  assert.equal(await terminal.ended, 130)
  assert.match(terminal.text, /removed on 1 of 2 members; laptop .* has not confirmed it yet/)
})
