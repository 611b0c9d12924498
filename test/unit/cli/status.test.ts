import assert from 'node:assert/strict'
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { longLine } from '../../../src/cli/commands/ls.ts'
import { setUpDfs } from '../../fixtures/dfs.ts'
import { jsonLines } from '../../fixtures/program.ts'

const AWAY = { peerId: 'p1', name: 'attic', since: new Date(Date.now() - 7_300_000) }

test('status of a path lists the files that are on too few machines and what they wait for, and exits with 1', async t => {
  const { node, dfs } = await setUpDfs(t)
  node.hooks.copies = async function* () {
    yield { path: '/d/safe', size: 1, wanted: 3, confirmed: 4, waitingFor: [] }
    yield { path: '/d/two', size: 1, wanted: 3, confirmed: 2, waitingFor: [AWAY] }
    yield { path: '/d/lost', size: 1, wanted: 3, confirmed: 0, waitingFor: [] }
  }
  const { code, stdout, stderr } = await dfs(['status', '/d'])
  assert.equal(code, 1)
  assert.deepEqual(stdout.toString().trim().split('\n'), [
    '/d/two  on 2 of 3, waiting for attic (…p1, last seen 2 h ago)',
    '/d/lost  on no machine that answers, of 3'
  ])
  assert.match(
    stderr,
    /^if attic \(…p1\) will not come back, an admin can say so: dfs members out p1\n2 of 3 files are not yet on enough machines/
  )
  const json = jsonLines(await dfs(['--json', 'status', '/d']))
  assert.deepEqual(
    json.map(({ path, confirmed }) => [path, confirmed]),
    [
      ['/d/two', 2],
      ['/d/lost', 0]
    ]
  )
})

test('status of paths on enough machines says so', async t => {
  const { node, dfs } = await setUpDfs(t)
  node.set('/a', 'a')
  node.set('/b', 'b')
  const { code, stdout } = await dfs(['status', '/'])
  assert.deepEqual([code, stdout.toString().trim()], [0, 'all 2 files are on enough machines'])
  assert.deepEqual(
    node.calls.map(({ call }) => call),
    ['copies /']
  )
})

test('status without a path counts the files that were put here and are on too few machines', async t => {
  const { node, dfs } = await setUpDfs(t)
  const now = await node.status()
  node.hooks.status = async () => ({ ...now, owed: { blocks: 5, bytes: 5_000, files: 2, waitingFor: [AWAY] } })
  const { stdout, stderr } = await dfs(['status'])
  assert.equal(stderr, '  if attic (…p1) will not come back, an admin can say so: dfs members out p1\n')
  const warning = 'attic (…p1) has been away for 2 h: run dfs members out p1'
  node.hooks.status = async () => ({ ...now, owed: { ...now.owed, waitingFor: [AWAY] }, warnings: [warning] })
  assert.equal((await dfs(['status'])).stderr, `  ! ${warning}\n`, 'what the node has said is not said again')
  assert.match(
    stdout.toString(),
    /2 files that were put here are not yet on enough machines, waiting for attic \(…p1, last seen 2 h ago\)/
  )
})

test('ls -l says which files are here, and asks for that only then', async t => {
  const { node, dfs } = await setUpDfs(t)
  const facts = { size: 3_000_000, modified: new Date(0), conflict: false }
  node.hooks.list = async function* (_path, { here } = {}) {
    yield { path: '/d', kind: 'directory', ...facts, size: 0 }
    yield { path: '/near', kind: 'file', ...facts, ...(here === true ? { here: true } : {}) }
    yield { path: '/far', kind: 'file', ...facts, ...(here === true ? { here: false } : {}) }
  }
  const columns = (await dfs(['ls', '-l'])).stdout
    .toString()
    .trim()
    .split('\n')
    .map(line => line.trim().split(/ {2,}/))
  assert.deepEqual(
    columns.map(([size, , here, name]) => [size, here, name]),
    [
      ['-', '-', 'd/'],
      ['3000000', 'here', 'near'],
      ['3000000', '-', 'far']
    ]
  )
  const items = jsonLines(await dfs(['--json', 'ls', '-l'])).map(({ path, here }) => [path, here])
  assert.deepEqual(items, [
    ['/d', undefined],
    ['/near', true],
    ['/far', false]
  ])
  assert.ok(jsonLines(await dfs(['--json', 'ls'])).every(item => !('here' in item)))
})

test('a person gets sizes in units from ls -l', () => {
  const item = { path: '/f', kind: 'file', size: 3_000_000, modified: '2026-01-02T03:04:05Z', conflict: false } as const
  assert.match(longLine({ ...item, here: true }, 'f', true), /^ {3}2\.9 MiB {2}2026-01-0\d \d\d:\d\d {2}here {2}f$/)
})

test('get takes several files and directories into a folder, and stat shows several', async t => {
  const { node, folder, dfs } = await setUpDfs(t)
  for (const name of ['/a', '/d/b', '/c']) node.set(name, `text of ${name}`)
  assert.equal((await dfs(['get', '/a', '/c', 'nowhere'])).code, 3)
  await mkdir(join(folder, 'into'))
  assert.equal((await dfs(['get', '/a', '/d', '/c', 'into'])).code, 0)
  assert.deepEqual((await readdir(join(folder, 'into'), { recursive: true })).sort(), ['a', 'c', 'd', 'd/b'])
  assert.equal(await readFile(join(folder, 'into/d/b'), 'utf8'), 'text of /d/b')
  const paths = jsonLines(await dfs(['--json', 'stat', '/a', '/d'])).map(({ path }) => path)
  assert.deepEqual(paths, ['/a', '/d'])
})
