import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { appendFile, chmod, mkdir, mkdtemp, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { FILE_CHUNKS_MAX } from '../../../src/blocks/constants.ts'
import { temporaryName } from '../../../src/cli/temporary-name.ts'
import { FILE_BYTES_MAX } from '../../../src/contract/constants.ts'
import { openFormat } from '../../../src/disk/data-directory.ts'
import { NodeFiles } from '../../../src/disk/node-files.ts'
import { setUpDfs } from '../../fixtures/dfs.ts'
import type { FakeNode } from '../../fixtures/fake-node.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { jsonLines } from '../../fixtures/program.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'
import { hasTerminal, runOnTerminal } from '../../fixtures/terminal.ts'

/** Writes files of one folder; the content of each is its own path. */
async function write(folder: string, ...paths: string[]): Promise<void> {
  for (const path of paths) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), path)
  }
}

function stored(node: FakeNode): Record<string, string> {
  const files = [...node.files].map(([path, { bytes }]) => [path, Buffer.from(bytes).toString()] as const)
  node.files.clear()
  return Object.fromEntries(files.sort(([a], [b]) => (a < b ? -1 : 1)))
}

test('put takes many sources; the last argument is the target if it starts with / or is nothing local', async t => {
  const { node, folder, dfs } = await setUpDfs(t)
  await write(folder, 'a', 'b', 'c', 'd/in')
  const cases: Array<[args: string[], Record<string, string>]> = [
    [['a'], { '/a': 'a' }],
    [['a', 'x'], { '/x': 'a' }],
    [['a', '/b'], { '/b': 'a' }],
    [['a', 'x/'], { '/x/a': 'a' }],
    [['a', 'b'], { '/a': 'a', '/b': 'b' }],
    [['a', 'b', 'c'], { '/a': 'a', '/b': 'b', '/c': 'c' }],
    [['a', 'b', 'x'], { '/x/a': 'a', '/x/b': 'b' }],
    [['a', 'b', '/c'], { '/c/a': 'a', '/c/b': 'b' }],
    [['d'], { '/d/in': 'd/in' }],
    [['d/', '/x'], { '/x/in': 'd/in' }],
    [['d', '/x/'], { '/x/d/in': 'd/in' }],
    [['d', 'a', './b', '/x'], { '/x/a': 'a', '/x/b': 'b', '/x/d/in': 'd/in' }],
    [['--', 'a', 'b'], { '/a': 'a', '/b': 'b' }]
  ]
  for (const [args, files] of cases) {
    const { code, stderr } = await dfs(['put', ...args])
    assert.deepEqual([code, stderr, stored(node)], [0, '', files], args.join(' '))
  }
  node.set('/there/file', 'x')
  await dfs(['put', 'a', '/there'])
  assert.deepEqual(stored(node), { '/there/a': 'a', '/there/file': 'x' })
})

test('put refuses sources that cannot go together, and a missing source does not stop the others', async t => {
  const { node, folder, dfs } = await setUpDfs(t)
  await write(folder, 'a', 'sub/a', 'b')
  for (const [args, words] of [
    [['a', '-'], /stdin/],
    [['-', 'a', '/x'], /stdin/],
    [['-', '/x/'], /path of a file/],
    [['--dry-run', '-', '/x'], /--dry-run says nothing about stdin/],
    [['a', 'sub/a', '/x'], /^sub\/a: a has the same name/]
  ] as const) {
    const { code, stderr } = await dfs(['put', ...args])
    assert.equal(code, 2, args.join(' '))
    assert.match(stderr, words)
  }
  assert.equal(node.files.size, 0)
  const alone = await dfs(['put', 'none'])
  assert.deepEqual([alone.code, alone.stderr], [3, 'none: no such local file or folder\n'])
  const { code, stderr, stdout } = await dfs(['put', 'a', 'none', 'b', '/x'])
  assert.equal(code, 3)
  assert.match(stderr, /^none: no such local file or folder\n1 could not be put/)
  assert.match(stdout.toString(), /^2 stored, 1 failed, 2 B in \d+ s\n$/)
  assert.deepEqual(stored(node), { '/x/a': 'a', '/x/b': 'b' })
})

test('a put of a folder says in one line what it stored and skipped; links and pipes are not failures', async t => {
  const { node, folder, dfs } = await setUpDfs(t)
  await write(folder, 'tree/a', 'tree/sub/b', `tree/${temporaryName()}`)
  await symlink('a', join(folder, 'tree/link'))
  await symlink('..', join(folder, 'tree/sub/up'))
  const isLinux = process.platform === 'linux'
  if (isLinux) execFileSync('mkfifo', [join(folder, 'tree/pipe')])
  const { code, stdout, stderr } = await dfs(['put', 'tree'])
  assert.deepEqual([code, stderr], [0, ''])
  const skipped = isLinux
    ? '4 skipped (1 unfinished get, 2 symlinks, 1 pipe)'
    : '3 skipped (1 unfinished get, 2 symlinks)'
  assert.equal(stdout.toString().replace(/\d+ s\n$/, ''), `2 stored, ${skipped}, 16 B in `)
  assert.deepEqual(Object.keys(stored(node)), ['/tree/a', '/tree/sub/b'])
})

test('a put of a folder counts a name that is not UTF-8 once, as a failure', async t => {
  if (process.platform !== 'linux') return t.skip('needs a disk that takes any bytes as a name')
  const { folder, dfs } = await setUpDfs(t)
  await write(folder, 'tree/a')
  await writeFile(Buffer.concat([Buffer.from(`${folder}/tree/`), Buffer.from([0x66, 0xff])]), 'x')
  const { code, stdout } = await dfs(['put', 'tree'])
  assert.equal(code, 1)
  assert.match(stdout.toString(), /^1 stored, 1 failed, 6 B in \d+ s\n$/)
})

test('a put of a folder skips files whose size, time and mode, or whose content, have not changed', async t => {
  const { node, folder, dfs } = await setUpDfs(t)
  await write(folder, 'tree/a', 'tree/b', 'tree/c', 'tree/sub/d', 'tree/sub/e')
  assert.match((await dfs(['put', 'tree'])).stdout.toString(), /^5 stored, 38 B in/)
  const puts = (): string[] => node.calls.flatMap(({ call }) => (call.startsWith('put') ? [call] : [])).sort()
  node.calls.length = 0
  assert.match((await dfs(['put', 'tree'])).stdout.toString(), /^0 stored, 5 unchanged, 0 B in/)
  assert.deepEqual(puts(), [])
  assert.ok(!node.calls.some(({ call }) => call === 'mkdir /tree/sub'))

  await writeFile(join(folder, 'tree/a'), 'tree/A')
  await utimes(join(folder, 'tree/b'), 1, 1)
  await chmod(join(folder, 'tree/c'), 0o600)
  await appendFile(join(folder, 'tree/sub/d'), '!')
  const { stdout } = await dfs(['put', 'tree'])
  assert.match(stdout.toString(), /^2 stored, 3 unchanged, 17 B in/)
  assert.deepEqual(puts(), ['put /tree/a', 'put /tree/b', 'put /tree/c', 'put /tree/sub/d'])
  assert.equal(node.files.get('/tree/b')?.modified.getTime(), 1000)
  // A user who asks for copies gets them for every file.
  node.calls.length = 0
  await dfs(['put', 'tree', '--ack', '1'])
  assert.equal(puts().length, 5)
})

test('a put of a folder says how many files still wait for more copies', async t => {
  const { node, folder, dfs } = await setUpDfs(t)
  await write(folder, 'tree/a', 'tree/b')
  const owed = { blocks: 0, bytes: 0, waitingFor: [] }
  node.hooks.put = async path => {
    const facts = { path, size: 6, root: null, version: '00', tag: 't', unchanged: false, owed, warnings: [] }
    return { ...facts, reached: ['fake-peer'], confirmed: path.endsWith('a') ? 1 : 2, wanted: 2 }
  }
  const { stdout } = await dfs(['put', 'tree'])
  assert.match(stdout.toString(), /^2 stored, 12 B in \d+ s; 1 file still waits for more copies: see dfs status\n$/)
})

test('a put of a folder says of each member that is away how to give it up, once', async t => {
  const { node, folder, dfs } = await setUpDfs(t)
  await write(folder, 'tree/a', 'tree/b', 'tree/c')
  const away = (name: string) => ({ peerId: `12D3KooW${name}end`, name, since: new Date(0) })
  const waited: Record<string, string[]> = { '/tree/a': ['e', 'f'], '/tree/b': ['f', 'e'], '/tree/c': ['f', 'g'] }
  node.hooks.put = async path => {
    const owed = { blocks: 1, bytes: 6, waitingFor: (waited[path] as string[]).map(away) }
    const facts = { path, size: 6, root: null, version: '00', tag: 't', unchanged: false, owed, warnings: [] }
    return { ...facts, reached: ['fake-peer'], confirmed: 1, wanted: 3 }
  }
  const { stderr } = await dfs(['put', 'tree'])
  const lines = stderr.trimEnd().split('\n')
  for (const name of ['e', 'f', 'g']) assert.equal(lines.filter(line => line.includes(`${name} (`)).length, 1, stderr)
})

test('a dry run stores nothing and lists what would be stored', async t => {
  const { node, folder, dfs } = await setUpDfs(t)
  await write(folder, 'tree/a', 'tree/b', 'file')
  await dfs(['put', 'tree'])
  await appendFile(join(folder, 'tree/b'), '!')
  node.calls.length = 0
  const { code, stdout } = await dfs(['put', '--dry-run', 'tree'])
  assert.equal(code, 0)
  assert.match(stdout.toString(), /^\/tree\/b {2}7 B\n1 would be stored, 1 unchanged, 7 B\n$/)
  assert.deepEqual(jsonLines(await dfs(['--json', 'put', '--dry-run', 'tree'])), [
    { action: 'put', path: '/tree/b', size: 7 }
  ])
  assert.equal((await dfs(['put', '--dry-run', 'file', '/x'])).stdout.toString(), '/x  4 B\n')
  assert.deepEqual(
    node.calls.filter(({ call }) => /^(put|mkdir)/.test(call)),
    []
  )
})

test('--exclude and .dfsignore leave files out, with the rules of a .gitignore', async t => {
  const { node, folder, dfs } = await setUpDfs(t)
  await write(
    folder,
    'tree/keep',
    'tree/a.log',
    'tree/sub/b.log',
    'tree/sub/keep.log',
    'tree/build/out',
    'tree/sub/build'
  )
  await write(folder, 'tree/A.LOG', 'tree/deep/root', 'tree/root')
  await writeFile(join(folder, 'tree/.dfsignore'), '# comment\r\n*.log\r\nbuild/\n/root\n')
  await writeFile(join(folder, 'tree/sub/.dfsignore'), '!keep.log\n')
  const { stdout } = await dfs(['put', 'tree', '/t'])
  assert.match(stdout.toString(), /^7 stored, 4 skipped \(4 excluded\), /)
  const kept = ['.dfsignore', 'A.LOG', 'deep/root', 'keep', 'sub/.dfsignore', 'sub/build', 'sub/keep.log']
  assert.deepEqual(
    Object.keys(stored(node)),
    kept.map(name => `/t/${name}`)
  )
  const second = await dfs(['put', '-v', 'tree', '/t', '--exclude', 'sub', '--exclude', '.*', '--exclude', '!a.log'])
  assert.deepEqual(
    Object.keys(stored(node)),
    ['A.LOG', 'a.log', 'deep/root', 'keep'].map(name => `/t/${name}`)
  )
  assert.match(second.stdout.toString(), /^tree\/sub {2}skipped: excluded$/m)
  assert.match(second.stdout.toString(), /^\/t\/keep {2}9 B {2}on 1 of 1$/m)
})

test('a data directory is never put: not one that a walk meets, and not one that the user names', async t => {
  const { node, folder, dfs } = await setUpDfs(t)
  await write(folder, 'home/file', 'home/lost/keystore', 'home/other/format.json')
  await mkdir(join(folder, 'home/lost/segments'))
  const dataDir = join(folder, 'home/.local/share/dfs-node')
  await mkdir(dataDir, { recursive: true })
  await openFormat(new NodeFiles(dataDir), seededChance(1), silentLogger)
  const { code, stderr } = await dfs(['put', 'home'])
  assert.equal(code, 0)
  assert.match(stderr, /^home\/\.local\/share\/dfs-node: skipped, it is the data directory of a dfs-node$/m)
  assert.match(stderr, /^home\/lost: skipped/m)
  assert.deepEqual(Object.keys(stored(node)), ['/home/file', '/home/other/format.json'])
  const named = await dfs(['put', 'home/.local/share/dfs-node', '/x'])
  assert.match(named.stderr, /^home\/\.local\/share\/dfs-node: skipped/)
  assert.deepEqual(stored(node), {})
})

test('a single file that cannot be stored costs one line that begins with its name', async t => {
  if (process.platform !== 'linux') return t.skip('needs /proc')
  const { node, folder, dfs } = await setUpDfs(t)
  const made = await dfs(['put', '/proc/self/status', '/x'])
  assert.deepEqual([made.code, made.stderr.split(': ')[0]], [2, '/proc/self/status'])
  await symlink('round', join(folder, 'round'))
  const round = await dfs(['put', 'round', '/x'])
  assert.match(round.stderr, /^round: /)
  assert.ok(round.code !== 0)
  assert.equal(node.files.size, 0)
})

test('a file with an extreme time or size costs one line, and nothing more', async t => {
  const { node, dfs } = await setUpDfs(t)
  // Most disks refuse such values, but a file system in memory takes them.
  const folder = await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'dfs-test-'))
  t.after(() => rm(folder, { recursive: true }))
  await write(folder, 'tree/a', 'tree/far', 'tree/old', 'tree/z')
  const old = new Date(-100_000_000_000)
  await utimes(join(folder, 'tree/old'), old, old)
  const lines: string[] = []
  spawnSync('touch', ['-d', '@8640000000001', join(folder, 'tree/far')])
  if (Number.isNaN((await stat(join(folder, 'tree/far'))).mtime.getTime()))
    lines.push('tree/far: its time is beyond the years that can be stored: it is stored with the time of now')
  else t.diagnostic('this file system has no such times')
  if (spawnSync('truncate', ['-s', '7E', join(folder, 'tree/huge')]).status === 0)
    lines.push('tree/huge: it is larger than a file may be (64 TiB)', '1 could not be put; all others were')
  else await rm(join(folder, 'tree/huge'), { force: true })
  const { stderr } = await dfs(['put', join(folder, 'tree'), '/tree'])
  assert.deepEqual(stderr.replaceAll(`${folder}/`, '').split('\n').filter(Boolean).sort(), lines.sort())
  assert.equal(node.files.get('/tree/old')?.modified.getTime(), old.getTime())
  assert.deepEqual(Object.keys(stored(node)), ['/tree/a', '/tree/far', '/tree/old', '/tree/z'])
  assert.equal(FILE_BYTES_MAX, FILE_CHUNKS_MAX * 2 ** 20)
})

test('the result of a folder is one object a file for a script, and a summary on stderr', async t => {
  const { folder, dfs } = await setUpDfs(t)
  await write(folder, 'tree/a', 'tree/b')
  await symlink('a', join(folder, 'tree/link'))
  const first = await dfs(['--json', 'put', 'tree'])
  const paths = jsonLines(first).map(({ path }) => path)
  assert.deepEqual(paths.sort(), ['/tree/a', '/tree/b'])
  const summary = { event: 'summary', stored: 2, unchanged: 0, skipped: { symlink: 1 }, failed: 0, bytes: 12 }
  assert.deepEqual(JSON.parse(first.stderr), summary)
  const second = await dfs(['--json', 'put', 'tree'])
  assert.deepEqual([second.code, second.stdout.toString()], [0, ''])
  assert.deepEqual(JSON.parse(second.stderr), { ...summary, stored: 0, unchanged: 2, bytes: 0 })
})

test('a put of a folder shows one live line on a terminal: files, bytes, rate and time left', {
  skip: hasTerminal ? false : 'needs the script of util-linux'
}, async t => {
  const { node, folder, dataDir } = await setUpDfs(t)
  await write(folder, 'tree/a')
  await writeFile(join(folder, 'tree/large'), Buffer.alloc(32 << 20))
  const line = /put 1 of 2 files {2}[\d.]+ [KM]iB of 32\.0 MiB {2}[\d.]+ \w+\/s {2}.+ left/
  // The line is drawn while bytes flow.
  const slowly: FakeNode['put'] = async (path, source, options) => {
    if (!(source instanceof Uint8Array))
      for await (const _ of source as AsyncIterable<Uint8Array>)
        if (!line.test(terminal.text)) await new Promise(resolve => setTimeout(resolve, 10))
    delete node.hooks.put
    const result = node.put(path, new Uint8Array(1), options)
    node.hooks.put = slowly
    return result
  }
  node.hooks.put = slowly
  const terminal = runOnTerminal(t, 'dfs', ['put', 'tree'], { cwd: folder, env: { DFS_DATA_DIR: dataDir } })
  assert.equal(await terminal.ended, 0)
  assert.match(terminal.text, line)
  assert.match(terminal.text, /2 stored, 2 B in \d+ s/)
})

test('put says once why members do not take what it stores, and a script finds it in the result', async t => {
  const { node, folder, dfs } = await setUpDfs(t)
  await write(folder, 'd/a', 'd/b')
  node.putWarnings = ['the clock of attic is 24 h ahead']
  const one = await dfs(['put', 'd/a'])
  assert.deepEqual([one.code, one.stderr], [0, 'warning: the clock of attic is 24 h ahead\n'])
  const many = await dfs(['put', 'd'])
  assert.deepEqual([many.code, many.stderr], [0, 'warning: the clock of attic is 24 h ahead\n'])
  const [result] = jsonLines(await dfs(['put', '--json', 'd/a']))
  assert.deepEqual(result?.['warnings'], node.putWarnings)
})
