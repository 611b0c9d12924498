import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { SettingItem, VersionItem } from '../../../src/index.ts'
import { setUpDfs } from '../../fixtures/dfs.ts'
import { Fault } from '../../fixtures/fake-node.ts'
import { jsonLines } from '../../fixtures/program.ts'
import { hasTerminal, runOnTerminal } from '../../fixtures/terminal.ts'

const AUTHOR = '12D3KooWlaptop0'
const at = (day: number): Date => new Date(2026, 0, day, 12, 0)

function version(digits: string, facts: Partial<VersionItem>): VersionItem {
  return {
    version: digits.repeat(8),
    size: 2_048,
    modified: at(1),
    written: at(2),
    author: AUTHOR,
    authorName: 'laptop',
    current: false,
    conflict: false,
    deleted: false,
    expires: null,
    expired: false,
    purged: false,
    ...facts
  }
}

const ALL = [
  version('aaaaaaaa', { current: true }),
  version('bbbbbbbb', { conflict: true, authorName: null }),
  version('cccccccc', { deleted: true, size: 0 }),
  version('dddddddd', { expires: at(30) }),
  version('eeeeeeee', { expires: at(3), expired: true }),
  version('ffffffff', { expires: at(3), expired: true, purged: true })
]

test('versions prints a line for each version and each delete, or their fields', async t => {
  const { node, dfs } = await setUpDfs(t)
  node.hooks.versions = async function* () {
    yield* ALL
  }
  const lines = (await dfs(['versions', '/f'])).stdout.toString().trimEnd().split('\n')
  assert.deepEqual(
    lines.map(line => line.split(/ {2,}/)),
    [
      ['VERSION', 'SIZE', 'WRITTEN', 'STATE', 'BY'],
      ['aaaaaaaa', '2.0 KiB', '2026-01-02 12:00', 'current', 'laptop'],
      ['bbbbbbbb', '2.0 KiB', '2026-01-02 12:00', 'conflict', '…Wlaptop0'],
      ['cccccccc', '-', '2026-01-02 12:00', 'removed', 'laptop'],
      ['dddddddd', '2.0 KiB', '2026-01-02 12:00', 'kept until 2026-01-30 12:00', 'laptop'],
      ['eeeeeeee', '2.0 KiB', '2026-01-02 12:00', 'gone', 'laptop'],
      ['ffffffff', '2.0 KiB', '2026-01-02 12:00', 'purged', 'laptop']
    ]
  )
  const printed = jsonLines(await dfs(['--json', 'versions', '/f']))
  assert.deepEqual(Object.keys(printed[0]!), Object.keys(ALL[0]!))
  assert.deepEqual(
    printed.map(({ expires }) => expires),
    ALL.map(({ expires }) => expires?.toISOString() ?? null)
  )
})

test('restore says what it has brought back, and what it has left alone', async t => {
  const { node, dfs } = await setUpDfs(t)
  const file = { path: '/f', kind: 'file' as const, restored: 'ab'.repeat(32), version: 'cd'.repeat(32) }
  node.hooks.restoring = async function* () {
    yield { ...file, files: 1, directories: 0, left: 0, gone: 0 }
  }
  assert.equal((await dfs(['restore', '/f', 'abab'])).stdout.toString(), '/f: restored version abababab\n')
  assert.deepEqual(
    node.calls.map(({ call, options }) => [call, (options as { version?: string }).version]),
    [['restoring /f', 'abab']]
  )
  const tree = { path: '/d', kind: 'directory' as const, restored: null, version: null }
  const cases: Array<[files: number, directories: number, left: number, text: string]> = [
    [1_200, 3, 0, '/d: restored 1,200 files and 3 directories\n'],
    [1, 1, 2, '/d: restored 1 file and 1 directory; left alone: 2 files whose names are in use again\n']
  ]
  for (const [files, directories, left, text] of cases) {
    node.hooks.restoring = async function* () {
      yield { ...tree, files: 1, directories: 0, left: 0, gone: 0 }
      yield { ...tree, files, directories, left, gone: 0 }
    }
    assert.equal((await dfs(['restore', '/d'])).stdout.toString(), text)
  }
  assert.deepEqual(jsonLines(await dfs(['--json', 'restore', '/d'])), [
    { ...tree, files: 1, directories: 1, left: 2, gone: 0 }
  ])
  node.hooks.restoring = async function* () {
    yield { ...tree, files: 3, directories: 1, left: 0, gone: 2 }
  }
  assert.equal(
    (await dfs(['restore', '/d'])).stdout.toString(),
    '/d: restored 3 files and 1 directory; left out: 2 files whose content is no longer kept\n'
  )
  node.hooks.restoring = async function* () {
    yield* []
    throw new Fault('expired', 'this version is gone')
  }
  const gone = await dfs(['restore', '/f'])
  assert.deepEqual([gone.code, gone.stderr], [4, '/f: this version is gone\n'])
})

test('get and cat fetch a version, also of a file that is not there any more', async t => {
  const { node, folder, dfs } = await setUpDfs(t)
  node.set('/d/f.txt', 'old')
  const asked: unknown[] = []
  const { get } = Object.getPrototypeOf(node) as typeof node
  node.hooks.get = async (path, options) => {
    asked.push([path, options?.version])
    const hooks = node.hooks
    node.hooks = {}
    const file = await get.call(node, path, options)
    node.hooks = hooks
    return file
  }
  node.hooks.stat = async () => {
    throw new Fault('not-found', 'nothing is at this path')
  }
  assert.equal((await dfs(['get', '/d/f.txt', '--version', 'abcd'])).code, 0)
  assert.deepEqual(await readdir(folder), ['f.txt'])
  assert.equal((await dfs(['--json', 'get', '/d/f.txt', 'g.txt', '--version', 'abcd'])).code, 0)
  assert.equal(await readFile(join(folder, 'g.txt'), 'utf8'), 'old')
  assert.equal((await dfs(['cat', '/d/f.txt', '--version', 'abcd'])).stdout.toString(), 'old')
  assert.equal((await dfs(['get', '/d/f.txt', '-', '--version', 'abcd'])).stdout.toString(), 'old')
  assert.deepEqual(asked, Array(4).fill(['/d/f.txt', 'abcd']))
  assert.equal((await dfs(['get', '/a', '/b', '.', '--version', 'abcd'])).code, 2)
})

test('ls --deleted prints what was removed, with -l also when', async t => {
  const { node, dfs } = await setUpDfs(t)
  node.hooks.list = async function* () {
    const removed = { modified: at(1), conflict: false, deletedAt: at(5), deletedBy: AUTHOR }
    yield { path: '/d/a', kind: 'directory', size: 0, ...removed }
    yield { path: '/d/f', kind: 'file', size: 2_048, expires: at(30), ...removed }
  }
  assert.equal((await dfs(['ls', '--deleted', '/d'])).stdout.toString(), 'a/\nf\n')
  assert.equal((await dfs(['ls', '--deleted', '-R', '/d'])).stdout.toString(), '/d/a/\n/d/f\n')
  const long = (await dfs(['ls', '-l', '--deleted', '/d'])).stdout.toString()
  assert.equal(long, '             -  removed 2026-01-05 12:00  a/\n          2048  removed 2026-01-05 12:00  f\n')
  assert.deepEqual(
    node.calls.map(({ options }) => (options as { deleted?: boolean }).deleted),
    [true, true, true]
  )
})

test('config prints the settings in words that it also takes, and sets them', async t => {
  const { node, dfs } = await setUpDfs(t)
  const setBy = { peerId: AUTHOR, name: 'attic' }
  const items: SettingItem[] = [
    { key: 'replicas', value: 'all', default: false, setBy, setAt: at(7) },
    { key: 'ack', value: null, default: true, setBy: null, setAt: null },
    { key: 'outAfter', value: 5_400_000, default: true, setBy: null, setAt: null },
    { key: 'versionDays', value: 30, default: true, setBy: null, setAt: null }
  ]
  node.hooks.settings = async () => items
  const lines = (await dfs(['config'])).stdout.toString().trimEnd().split('\n')
  assert.deepEqual(
    lines.map(line => line.split(/ {2,}/)),
    [
      ['replicas', 'all', 'set by attic, 2026-01-07 12:00'],
      ['ack', '2 if possible', 'default'],
      ['outAfter', '90m', 'default'],
      ['versionDays', '30', 'default']
    ]
  )
  assert.equal((await dfs(['config', 'outAfter'])).stdout.toString(), '90m\n')
  const [all] = jsonLines(await dfs(['--json', 'config']))
  assert.deepEqual(all!['versionDays'], { value: 30, default: true, setBy: null, setAt: null })
  assert.equal(jsonLines(await dfs(['--json', 'config', 'replicas']))[0]!['value'], 'all')
  const none = await dfs(['config', 'colour'])
  assert.deepEqual(
    [none.code, none.stderr],
    [2, 'colour: there is no such setting: the settings are replicas, ack, outAfter, versionDays\n']
  )
  const noneToSet = await dfs(['config', 'colour', 'red'])
  assert.deepEqual([noneToSet.code, noneToSet.stderr], [2, none.stderr])
  node.calls.length = 0
  assert.equal((await dfs(['config', 'outAfter', '2h'])).stdout.toString(), 'outAfter is 2h now\n')
  assert.equal((await dfs(['config', 'replicas', 'all'])).stdout.toString(), 'replicas is all now\n')
  assert.equal((await dfs(['config', 'versionDays', '90'])).stdout.toString(), 'versionDays is 90 now\n')
  assert.deepEqual(
    node.calls.map(({ call }) => call).filter(call => call.startsWith('setSetting')),
    ['setSetting outAfter 7200000', 'setSetting replicas all', 'setSetting versionDays 90']
  )
  assert.equal((await dfs(['config', 'replicas', 'many'])).code, 2)
  const many = await dfs(['config', 'versionDays', 'many'])
  assert.deepEqual(
    [many.code, many.stderr],
    [2, 'versionDays: "many" is not a number of days: give a whole number, such as 90\n']
  )
})

async function setUpVersionDays(t: TestContext) {
  const setup = await setUpDfs(t)
  setup.node.hooks.settings = async () => [{ key: 'versionDays', value: 30, default: true, setBy: null, setAt: null }]
  const sets = (): string[] => setup.node.calls.map(({ call }) => call).filter(call => call.startsWith('setSetting'))
  return { ...setup, sets }
}

test('config lowers versionDays only with --yes if nobody can be asked', async t => {
  const { node, dfs, sets } = await setUpVersionDays(t)
  const none = await dfs(['config', 'versionDays', '0'])
  assert.deepEqual(
    [none.code, none.stderr],
    [
      2,
      'this ends every version that was replaced or removed, for good and on all members: give --yes if you want that\n'
    ]
  )
  const fewer = await dfs(['--json', 'config', 'versionDays', '1'])
  assert.equal(fewer.code, 2)
  assert.match(fewer.stderr, /replaced or removed more than 1 day ago, for good and on all members/)
  assert.deepEqual(sets(), [])
  assert.equal((await dfs(['config', 'versionDays', '0', '--yes'])).code, 0)
  assert.equal((await dfs(['config', 'versionDays', '30'])).code, 0)
  assert.deepEqual(sets(), ['setSetting versionDays 0', 'setSetting versionDays 30'])
  node.hooks.settings = async () => [{ key: 'versionDays', value: 90, default: false, setBy: null, setAt: null }]
  assert.match((await dfs(['config', 'versionDays', 'default'])).stderr, /more than 30 days ago/)
  assert.equal((await dfs(['config', 'versionDays', 'default', '--yes'])).code, 0)
  assert.deepEqual(sets().slice(2), ['setSetting versionDays default'])
  // The node refuses a member that is no admin, and says why.
  node.hooks.networkInfo = async () => ({ network: '', words: '', role: 'writer', members: 2, holdsKey: false })
  assert.equal((await dfs(['config', 'versionDays', '7'])).code, 0)
  assert.deepEqual(sets().slice(3), ['setSetting versionDays 7'])
})

test('config asks on a terminal before it lowers versionDays', async t => {
  if (!hasTerminal) return t.skip('needs the script command of util-linux')
  const { dataDir, sets } = await setUpVersionDays(t)
  for (const [answer, code] of [
    ['', 1],
    ['yes', 0]
  ] as const) {
    const terminal = runOnTerminal(t, 'dfs', ['--data-dir', dataDir, 'config', 'versionDays', '7'])
    await terminal.shows(/more than 7 days ago, for good and on all members\. Type "yes": /)
    assert.deepEqual(sets(), [])
    terminal.type(answer)
    assert.equal(await terminal.ended, code)
    if (code === 1) assert.match(terminal.text, /nothing was changed: versionDays is still 30/)
  }
  assert.deepEqual(sets(), ['setSetting versionDays 7'])
})
