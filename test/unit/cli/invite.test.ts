import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setUpDfs } from '../../fixtures/dfs.ts'
import { Fault, TOKEN } from '../../fixtures/fake-node.ts'
import { jsonLines } from '../../fixtures/program.ts'

const HOUR_MS = 3_600_000
const UTC = { env: { TZ: 'UTC' } }

test('invite writes the token into a new private file, and prints the command for the other machine', async t => {
  const { node, folder, dfs } = await setUpDfs(t)
  const first = await dfs(['invite', '--expires', '24h'], UTC)
  assert.equal(
    first.stdout.toString(),
    [
      'dfs-writer.invite  lets 1 machine in as writer, until 1970-01-02 00:00 local time. Copy it to the other machine, then run there:',
      '    npx dfs-node --join dfs-writer.invite',
      'Or from here: ssh HOST npx dfs-node --join - < dfs-writer.invite',
      ''
    ].join('\n')
  )
  assert.equal(await readFile(join(folder, 'dfs-writer.invite'), 'utf8'), `${TOKEN}\n`)
  if (process.platform !== 'win32') assert.equal((await stat(join(folder, 'dfs-writer.invite'))).mode & 0o777, 0o600)
  const second = await dfs(['invite', '--uses', 'unlimited'])
  assert.match(second.stdout.toString(), /^dfs-writer-2\.invite {2}lets any number of machines in as writer, /)
  const third = await dfs(['invite', '--role', 'storage', '--uses', '3'])
  assert.match(third.stdout.toString(), /^dfs-storage\.invite {2}lets 3 machines in as storage, /)
  const options = node.calls.map(({ options }) => ({ ...options, signal: undefined }))
  const base = { signal: undefined, expiresMs: undefined, uses: undefined, role: 'writer' }
  assert.deepEqual(options, [
    { ...base, expiresMs: 24 * HOUR_MS },
    { ...base, uses: 'unlimited' },
    { ...base, role: 'storage', uses: 3 }
  ])
})

test('dfs --json invite prints the file and the command, and never the token', async t => {
  const { dfs, folder } = await setUpDfs(t)
  await mkdir(join(folder, 'a b'))
  const out = join('a b', "it's.invite")
  const made = await dfs(['--json', 'invite', '--out', out, '--expires', '1h'])
  assert.deepEqual(jsonLines(made), [
    {
      file: out,
      command: `npx dfs-node --join 'it'\\''s.invite'`,
      role: 'writer',
      expires: '1970-01-01T01:00:00.000Z',
      uses: 1,
      id: 'aa'.repeat(32)
    }
  ])
  assert.equal(await readFile(join(folder, out), 'utf8'), `${TOKEN}\n`)
  const odd = await dfs(['--json', 'invite', '--out=-x'])
  assert.equal(jsonLines(odd)[0]?.['command'], 'npx dfs-node --join ./-x')
})

test('invite replaces no file, and asks the node for nothing if it cannot create one', async t => {
  const { node, folder, dfs } = await setUpDfs(t)
  await writeFile(join(folder, 'mine'), 'kept')
  const taken = await dfs(['--json', 'invite', '--out', 'mine'])
  assert.deepEqual([taken.code, JSON.parse(taken.stderr).code], [1, 'exists'])
  assert.equal(await readFile(join(folder, 'mine'), 'utf8'), 'kept')
  const nowhere = await dfs(['invite', '--out', 'none/x'])
  assert.deepEqual([nowhere.code, node.calls.length], [1, 0])
  assert.match(nowhere.stderr, /^none\/x: cannot create the invite there: no such file or folder$/m)
})

test('an invite that the node refuses leaves no file', async t => {
  const { node, folder, dfs } = await setUpDfs(t)
  node.hooks.invite = async () => {
    throw new Fault('not-allowed', 'only an admin makes invites')
  }
  const result = await dfs(['invite'])
  assert.deepEqual([result.code, result.stderr], [4, 'only an admin makes invites\n'])
  assert.deepEqual(await readdir(folder), [])
})

test('an invite that cannot be written leaves no file, and is ended again', async t => {
  if (process.platform !== 'linux') return t.skip('needs a limit on the size of files')
  const { node, folder, dataDir } = await setUpDfs(t)
  const program = join(import.meta.dirname, '../../../src/bin/dfs.js')
  // A write beyond the limit fails as on a full disk.
  const line = `trap '' XFSZ; ulimit -f 0; exec "${process.execPath}" "${program}" invite`
  const child = spawn('sh', ['-c', line], { cwd: folder, env: { ...process.env, DFS_DATA_DIR: dataDir } })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', text => {
    stderr += text
  })
  const code = await new Promise(resolve => child.once('close', resolve))
  assert.deepEqual(
    [code, stderr],
    [1, 'dfs-writer.invite: cannot write the invite there: the file is larger than this disk allows\n']
  )
  assert.deepEqual(await readdir(folder), [])
  assert.equal(node.calls.at(-1)?.call, `revokeInvite ${'aa'.repeat(32)}`)
})

test('invite --list shows the invites, and --revoke ends one by its id or its file', async t => {
  const { node, folder, dfs } = await setUpDfs(t)
  const expires = new Date(0)
  node.hooks.invites = async () => [
    { id: 'ab'.repeat(32), role: 'writer', expires, uses: null, used: 2, state: 'open' },
    { id: 'cd'.repeat(32), role: 'storage', expires, uses: 3, used: 3, state: 'used-up' }
  ]
  const listed = await dfs(['invite', '--list'], UTC)
  assert.deepEqual(listed.stdout.toString().trimEnd().split('\n'), [
    'ID        ROLE     STATE    USED            UNTIL (LOCAL TIME)',
    'abababab  writer   open     2 of unlimited  1970-01-01 00:00',
    'cdcdcdcd  storage  used-up  3 of 3          1970-01-01 00:00'
  ])
  const [items] = jsonLines(await dfs(['--json', 'invite', '--list'])) as unknown as [unknown[]]
  assert.equal(items.length, 2)
  node.hooks.revokeInvite = async () => ({ id: 'ab'.repeat(32) })
  const byId = await dfs(['invite', '--revoke', 'ABABABAB'])
  assert.equal(byId.stdout.toString(), 'invite abababab lets nobody in any more; those whom it let in stay\n')
  assert.equal(node.calls.at(-1)?.call, 'revokeInvite abababab')
  await writeFile(join(folder, 'cafecafe'), `${TOKEN}\n`)
  assert.equal((await dfs(['invite', '--revoke', './cafecafe'])).code, 0)
  assert.equal(node.calls.at(-1)?.call, `revokeInvite ${TOKEN}`)
  await writeFile(join(folder, 'text'), 'no invite', { mode: 0o600 })
  await writeFile(join(folder, 'long'), `${TOKEN}${'x'.repeat(40_000)}`, { mode: 0o600 })
  for (const file of ['text', 'long', 'none', '.']) {
    const result = await dfs(['--json', 'invite', '--revoke', file])
    const expected = file === 'none' ? [3, 'not-found'] : [2, 'usage']
    assert.deepEqual([result.code, JSON.parse(result.stderr).code], expected, file)
  }
  const given = await dfs(['invite', '--revoke', `${TOKEN}${'x'.repeat(400)}`])
  assert.equal(given.code, 2)
  assert.ok(!given.stderr.includes(TOKEN), 'an invite given in the place of its file is not repeated')
})

test('an invite is never printed, and an id that is too short is called so', async t => {
  const { dfs } = await setUpDfs(t)
  const printed = await dfs(['invite', '--out', '-'])
  assert.deepEqual([printed.code, /never printed/.test(printed.stderr)], [2, true], printed.stderr)
  const short = await dfs(['invite', '--revoke', 'abc'])
  assert.deepEqual([short.code, /an id has at least \d+ digits/.test(short.stderr)], [2, true], short.stderr)
})
