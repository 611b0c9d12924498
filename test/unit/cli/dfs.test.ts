import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { isTemporaryName } from '../../../src/cli/temporary-name.ts'
import { setUpDfs } from '../../fixtures/dfs.ts'
import { Fault } from '../../fixtures/fake-node.ts'
import { temporaryFolder, until } from '../../fixtures/nodes.ts'
import { jsonLines, runProgram } from '../../fixtures/program.ts'

const MIB = 1 << 20

test('a get that breaks off leaves nothing, and reports the reason in words and as an exit code', async t => {
  const { node, folder, dfs } = await setUpDfs(t)
  const cases = [
    ['corrupt', 6],
    ['unreachable', 5],
    ['not-allowed', 4]
  ] as const
  for (const [code, exit] of cases) {
    for (const bytes of [0, MIB]) {
      node.set('/f', randomBytes(4 * MIB), { failsAfter: { bytes, error: new Fault(code, `because of ${code}`) } })
      const result = await dfs(['--json', 'get', '/f'])
      assert.equal(result.code, exit)
      assert.deepEqual(JSON.parse(result.stderr), { event: 'error', code, message: `/f: because of ${code}` })
      assert.equal(result.stdout.byteLength, 0)
      assert.deepEqual(await readdir(folder), [])
    }
  }
})

test('dfs exits with 5 if the node goes away during a get', async t => {
  const { node, folder, dfs, api } = await setUpDfs(t)
  const content = randomBytes(MIB)
  const breaksOff: NonNullable<typeof node.hooks.get> = async path => {
    delete node.hooks.get
    const file = await node.get(path)
    // The first request asks for the facts only.
    node.hooks.get = breaksOff
    async function* pieces(): AsyncGenerator<Uint8Array> {
      yield content.subarray(0, MIB / 2)
      await api.close()
    }
    return { ...file, [Symbol.asyncIterator]: pieces }
  }
  node.hooks.get = breaksOff
  node.set('/f', content)
  const result = await dfs(['get', '/f'])
  assert.equal(result.code, 5, result.stderr)
  assert.deepEqual(await readdir(folder), [])
})

test('dfs does not say that a change failed if the node goes away during it', async t => {
  const { node, dfs, api } = await setUpDfs(t)
  node.hooks.remove = async () => {
    await api.close()
    throw new Fault('aborted', 'nobody hears this')
  }
  node.set('/f', 'bytes')
  const result = await dfs(['rm', '/f'])
  assert.equal(result.code, 5, result.stderr)
  assert.match(result.stderr, /broke off: .* may have taken effect/)
  assert.match((await dfs(['rm', '/f'])).stderr, /no node runs|does not answer/)
})

test('rm, stat, evict and mkdir take several paths, and one that fails does not stop the others', async t => {
  const { node, dfs } = await setUpDfs(t)
  for (const name of ['/a', '/b', '/c']) node.set(name, 'bytes')
  const stat = await dfs(['--json', 'stat', '/a', '/nope', '/c'])
  assert.equal(stat.code, 3)
  assert.deepEqual(
    jsonLines(stat).map(({ path }) => path),
    ['/a', '/c']
  )
  assert.equal((await dfs(['evict', '/a', '/b'])).stdout.toString().match(/freed/g)?.length, 2)
  assert.equal((await dfs(['mkdir', '/x', '/y'])).code, 0)
  node.hooks.remove = async path => {
    if (path === '/b') throw new Fault('not-allowed', 'nobody may')
    node.files.delete(path)
    return { path, version: '00', removedOn: ['fake-peer'], waitingFor: [], out: [], freesAt: null }
  }
  const removed = await dfs(['rm', '/a', '/b', '/c'])
  assert.equal(removed.code, 4, removed.stderr)
  assert.equal(removed.stderr, '/b: nobody may\n1 could not be removed; all others were\n')
  assert.deepEqual([...node.files.keys()], ['/b'])
})

test('names from the network cannot make get write outside its target', async t => {
  const { node, folder, dfs } = await setUpDfs(t)
  await mkdir(join(folder, 'target/real'), { recursive: true })
  await mkdir(join(folder, 'outside'))
  await symlink(join(folder, 'outside'), join(folder, 'target/door'))
  const paths = ['/d/../../escaped', '/d/..', '/d/door', '/d/door/inside', '/d/real/good', '/d/a\0b', '/d//x']
  for (const path of [...paths, '/d/good']) node.set(path, 'bytes')
  node.hooks.list = async function* () {
    const facts = { size: 5, modified: new Date(0), conflict: false }
    for (const path of paths) yield { path, kind: path === '/d/door' ? 'directory' : 'file', ...facts }
    yield { path: '/d/good', kind: 'file', ...facts }
  }
  const result = await dfs(['get', '/d', 'target'])
  assert.equal(result.code, 1)
  assert.equal(result.stderr.trim().split('\n').length, paths.length)
  assert.deepEqual((await readdir(folder)).sort(), ['outside', 'target'])
  assert.deepEqual(await readdir(join(folder, 'outside')), [])
  assert.deepEqual((await readdir(join(folder, 'target'))).sort(), ['door', 'good', 'real'])
  assert.deepEqual(await readdir(join(folder, 'target/real')), ['good'])
})

test('get fetches every file of a directory that it can, and names the others; they decide the exit code', async t => {
  const { node, folder, dfs } = await setUpDfs(t)
  for (const name of ['a', 'b', 'c']) node.set(`/d/${name}`, `content of ${name}`)
  const { bytes } = node.files.get('/d/b') as { bytes: Uint8Array }
  node.set('/d/b', bytes, { failsAfter: { bytes: 0, error: new Fault('damaged', 'it is damaged') } })
  const result = await dfs(['--json', 'get', '/d', 'back'])
  assert.equal(result.code, 6)
  assert.deepEqual((await readdir(join(folder, 'back'))).sort(), ['a', 'c'])
  const errors = result.stderr
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as Record<string, string>)
  assert.deepEqual(
    errors.map(({ code }) => code),
    ['damaged', 'damaged']
  )
  assert.match(errors[0]?.['message'] ?? '', /\/d\/b: it is damaged/)
  // Several files are fetched at once, and each is printed when it is complete.
  const lines = jsonLines(result).map(({ path, target, size, from }) => [path, target, size, from])
  assert.deepEqual(
    lines.sort(([a], [b]) => String(a).localeCompare(String(b))),
    ['a', 'c'].map(name => [`/d/${name}`, `back/${name}`, 12, [{ peerId: 'fake-peer', bytes: 12 }]])
  )
})

test('get goes on after any number of files that cannot be written here', async t => {
  if (process.platform !== 'linux') return t.skip('needs a folder in which nobody can create a file')
  const { node, dfs } = await setUpDfs(t)
  // More files than dfs has connections to the daemon.
  for (let i = 0; i < 70; i++) node.set(`/d/no-file-${i}`, randomBytes(256 << 10))
  const { code, stderr } = await dfs(['get', '/d', '/proc'])
  assert.equal(code, 1)
  assert.equal(stderr.match(/^\/d\/no-file-\d+: /gm)?.length, 70)
})

test('get replaces local files only with --force, and follows a link to a folder that the user named', async t => {
  const { node, folder, dfs } = await setUpDfs(t)
  node.set('/f', 'new')
  await writeFile(join(folder, 'f'), 'old')
  assert.equal((await dfs(['get', '/f'])).code, 1)
  assert.equal(await readFile(join(folder, 'f'), 'utf8'), 'old')
  assert.equal((await dfs(['get', '--force', '/f'])).code, 0)
  assert.equal(await readFile(join(folder, 'f'), 'utf8'), 'new')
  await mkdir(join(folder, 'dir'))
  await symlink('dir', join(folder, 'link'))
  assert.equal((await dfs(['get', '/f', 'link'])).code, 0)
  assert.equal(await readFile(join(folder, 'dir/f'), 'utf8'), 'new')
  assert.equal((await dfs(['get', '/f', 'named'])).code, 0)
  assert.equal(await readFile(join(folder, 'named'), 'utf8'), 'new')
})

test('a put that is refused reports the reason, however much is still to be sent', async t => {
  const { node, folder, dfs } = await setUpDfs(t)
  node.set('/f', 'x')
  await writeFile(join(folder, 'big'), randomBytes(32 * MIB))
  const refused = await dfs(['--json', 'put', '--no-clobber', 'big', '/f'])
  assert.deepEqual([refused.code, JSON.parse(refused.stderr).code], [1, 'exists'])
  node.hooks.put = async (_path, source) => {
    for await (const _ of source as AsyncIterable<Uint8Array>) throw new Fault('no-space', 'full')
    throw new Error('no bytes came')
  }
  assert.equal((await dfs(['put', 'big', '/g'])).code, 7)
})

test('a put of stdin is refused before stdin has brought any bytes', async t => {
  const { node, dfs } = await setUpDfs(t)
  node.hooks.put = async () => {
    throw new Fault('not-allowed', 'a reader may not write')
  }
  const result = await dfs(['put', '-', '/f'], { input: 'open' })
  assert.deepEqual([result.code, result.stderr], [4, '/f: a reader may not write\n'])
})

test('put stores every file of a folder that it can, and names the others', async t => {
  const { node, folder, dfs } = await setUpDfs(t)
  await mkdir(join(folder, 'tree/sub'), { recursive: true })
  for (const name of ['a.txt', 'b', 'sub/c']) await writeFile(join(folder, 'tree', name), name)
  await writeFile(join(folder, 'tree/large'), randomBytes(5 * MIB), { mode: 0o750 })
  node.set('/there/b', 'already')
  const result = await dfs(['put', '--no-clobber', 'tree', '/there'])
  assert.equal(result.code, 1)
  assert.match(result.stderr, /^tree\/b: exists$/m)
  assert.deepEqual([...node.files.keys()].sort(), ['/there/a.txt', '/there/b', '/there/large', '/there/sub/c'])
  assert.deepEqual([node.files.get('/there/a.txt')?.type, node.files.get('/there/large')?.mode], ['text/plain', 0o750])
  assert.ok((await readFile(join(folder, 'tree/large'))).equals(node.files.get('/there/large')?.bytes as Buffer))
  node.hooks.put = async () => {
    throw new Fault('no-space', 'full')
  }
  assert.equal((await dfs(['put', 'tree'])).code, 7)
})

test('a get that a signal ends leaves nothing behind, and what a killed one leaves is gone after the next', async t => {
  const { node, folder, dfs } = await setUpDfs(t)
  node.set('/f', 'bytes')
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGKILL'] as const) {
    let isReading = false
    const get: typeof node.get = node.get.bind(node)
    node.hooks.get = async (path, options) => {
      delete node.hooks.get
      const file = await get(path, options)
      async function* pieces(): AsyncGenerator<Uint8Array> {
        yield randomBytes(MIB)
        isReading = true
        await new Promise(() => {})
      }
      return { ...file, size: 2 * MIB, range: { from: 0, to: 2 * MIB }, [Symbol.asyncIterator]: pieces }
    }
    const { code } = await dfs(['get', '/f'], {
      during: async child => {
        await until('reading', async () => isReading && (await readdir(folder)).length === 1)
        child.kill(signal)
      }
    })
    const isKilled = signal === 'SIGKILL'
    if (!isKilled) assert.equal(code, 130, signal)
    const left = await readdir(folder)
    assert.equal(left.length, isKilled ? 1 : 0, signal)
    assert.ok(left.every(isTemporaryName))
  }
  assert.equal((await dfs(['get', '/f'])).code, 0)
  assert.deepEqual(await readdir(folder), ['f'])
})

test('Ctrl-C ends a put and a get, and leaves nothing behind', async t => {
  const { node, folder, dfs } = await setUpDfs(t)
  let isReading = false
  const never = new Promise<never>(() => {})
  node.set('/f', 'bytes')
  node.hooks.get = async (path, options) => {
    delete node.hooks.get
    const file = await node.get(path, options)
    async function* pieces(): AsyncGenerator<Uint8Array> {
      yield randomBytes(MIB)
      isReading = true
      await never
    }
    return { ...file, size: 2 * MIB, range: { from: 0, to: 2 * MIB }, [Symbol.asyncIterator]: pieces }
  }
  const get = await dfs(['get', '/f'], {
    during: async child => {
      await until('reading', async () => isReading && (await readdir(folder)).length === 1)
      child.kill('SIGINT')
    }
  })
  assert.equal(get.code, 130)
  assert.deepEqual(await readdir(folder), [])
  let signal: AbortSignal | undefined
  node.hooks.put = async (_path, source, options) => {
    for await (const _ of source as AsyncIterable<Uint8Array>) signal = options?.signal
    throw new Error('the body seemed to end')
  }
  const put = await dfs(['put', '-', '/g'], {
    input: 'open',
    during: async child => {
      child.stdin.write('bytes')
      await until('the put began', async () => signal !== undefined)
      child.kill('SIGINT')
    }
  })
  assert.deepEqual([put.code, put.stderr], [130, ''])
  await until('the node was told', async () => signal?.aborted === true)
})

test('dfs exits with 0 if the reader of its output closes early', async t => {
  const { node, dfs } = await setUpDfs(t)
  for (let i = 0; i < 20_000; i++) node.set(`/a file with number ${i}`, 'x')
  node.set('/big', randomBytes(16 * MIB))
  for (const args of [
    ['ls', '/'],
    ['--json', 'ls', '/'],
    ['cat', '/big']
  ]) {
    const result = await dfs(args, {
      during: async child => {
        child.stdout.once('data', () => child.stdout.destroy())
      }
    })
    assert.deepEqual([result.code, result.stderr], [0, ''], args.join(' '))
  }
})

test('dfs exits with its own code if nobody reads its errors', async t => {
  const dataDir = await temporaryFolder(t)
  const during = async ({ stderr }: { stderr: { destroy(): unknown } }): Promise<void> => {
    stderr.destroy()
  }
  assert.equal((await runProgram('dfs', ['--data-dir', dataDir, 'status'], { during })).code, 5)
})

test('a flag that says where the node is wins over the environment, and --api needs --token-file', async t => {
  const { dfs, url, token, folder, dataDir } = await setUpDfs(t)
  await writeFile(join(folder, 'token'), `${token}\n`)
  await writeFile(join(folder, 'other'), 'not it')
  const byAddress = ['--api', url.origin, '--token-file']
  assert.equal((await dfs([...byAddress, 'token', 'status'])).code, 0)
  assert.equal((await dfs([...byAddress, 'other', 'status'])).code, 4)
  assert.equal((await dfs([...byAddress, 'none', 'status'])).code, 3)
  assert.equal((await dfs(['--api', url.origin, 'status'])).code, 2)
  assert.equal((await dfs(['--api', 'https://x', '--token-file', 'token', 'status'])).code, 2)
  assert.equal((await dfs(['--data-dir', dataDir, ...byAddress, 'token', 'status'])).code, 2)
  const nobody = { DFS_API_URL: 'http://127.0.0.1:1', DFS_TOKEN_FILE: 'token' }
  assert.equal((await dfs(['status'], { env: nobody })).code, 5)
  assert.equal((await dfs(['--data-dir', dataDir, 'status'], { env: nobody })).code, 0)
  assert.equal((await dfs(['status'], { env: { DFS_DATA_DIR: folder } })).code, 5)
})

test('wrong usage exits with 2 and one line; a command or flag that is not built says so', async t => {
  const { node, dfs } = await setUpDfs(t)
  node.set('/f', 'x')
  const cases: Array<[string[], RegExp]> = [
    [[], /dfs --help/],
    [['frobnicate'], /dfs frobnicate: there is no such command: see dfs --help/],
    [['lst'], /dfs lst: there is no such command: did you mean dfs ls\?/],
    [['stauts'], /did you mean dfs status\?/],
    [['doctor'], /dfs doctor is not built yet/],
    [['get', '/f', '/g', '.', '--version', '2'], /--version is for one file/],
    [['ls', '--nonsense'], /--nonsense: dfs ls has no such flag/],
    [['ls', '/a', '/b'], /dfs ls takes one argument, and was given 2/],
    [['put'], /dfs put: SOURCE is missing: see dfs put --help/],
    [['rm', '-r', ''], /^dfs rm: PATH is empty/],
    [['put', '-'], /needs the path/],
    [['cat', '/f', '--range', '9-2'], /FIRST-LAST/],
    [['put', 'x', '--replicas', 'many'], /number of copies/]
  ]
  for (const [args, words] of cases) {
    const result = await dfs(args)
    assert.equal(result.code, 2, args.join(' '))
    assert.match(result.stderr, words)
    assert.equal(result.stderr.trim().split('\n').length, 1)
    const { event, code } = JSON.parse((await dfs(['--json', ...args])).stderr)
    assert.deepEqual([event, code], ['error', 'usage'])
  }
  assert.equal(node.calls.length, 0)
  const help = (await dfs(['--help', 'ls'])).stdout.toString()
  for (const word of ['put', 'evict', 'members', 'invite', 'network', '--token-file'])
    assert.ok(help.includes(word), word)
  for (const word of ['vouch', 'rekey']) assert.ok(!help.includes(word), word)
  assert.match((await dfs(['--version'])).stdout.toString(), /^\d+\.\d+\.\d+\n$/)
})

test('a command below another refuses what it cannot do before the node is asked', async t => {
  const { node, dfs } = await setUpDfs(t)
  const cases: Array<[string[], RegExp]> = [
    [['members', 'remove', 'laptop', '--now'], /dfs members remove is not built yet/],
    [['members', 'vouch', 'laptop'], /dfs members vouch is not built yet/],
    [['network', 'rekey', '--confirm', 'x'], /dfs network rekey is not built yet/],
    [['members', 'frobnicate'], /dfs members has no such command: it has approve, deny, role, out/],
    [['members', 'aprove'], /dfs members has no such command: did you mean dfs members approve\?/],
    [['members', 'approve', ''], /^dfs members approve: CODE is empty/],
    [['members', 'out'], /dfs members out: PEER is missing/],
    [['invite', '--out', ''], /^--out is empty/],
    [['members', 'approve'], /dfs members approve: CODE is missing/],
    [['members', 'approve', 'K7Q2ZD', '--role', 'owner'], /^--role: "owner" is not a role: give one of admin, writer/],
    [['members', 'role', 'laptop', 'owner'], /^ROLE: "owner" is not a role/],
    [['invite', '--role', 'owner'], /"owner" is not a role/],
    [['invite', '--expires', '366d'], /^--expires: "(366d|59s)" is out of bounds: give a time from 1m to 365d/],
    [['invite', '--expires', '59s'], /^--expires: "(366d|59s)" is out of bounds: give a time from 1m to 365d/],
    [['invite', '--uses', '0'], /^--uses: "0" is not a number of uses: give "unlimited", or a number from 1 to 65535/],
    [['invite', '--uses', '65536'], /^--uses: "65536" is not a number of uses/],
    [['invite', '--list', '--role', 'writer'], /--list takes no other flag/],
    [['invite', '--revoke', '01234567', '--uses', '2'], /--revoke takes no other flag/],
    [['invite', '--revoke', ''], /empty/],
    [['invite', '--expires', 'never'], /^--expires: "never" is not a time/],
    [['put', '--replicas', '0', 'x'], /^--replicas: "0" is not a number of copies/],
    [['put', '--ack', 'x', 'x'], /^--ack: "x" is not a number of copies/],
    [['cat', '/x', '--range', '9-3'], /^--range: "9-3" is not a range/]
  ]
  for (const [args, words] of cases) {
    const result = await dfs(args)
    assert.deepEqual([result.code, result.stdout.toString()], [2, ''], args.join(' '))
    assert.match(result.stderr, words)
  }
  assert.equal(node.calls.length, 0)
})

test('the help gives each command one line in a group, and each flag without a default that says nothing', async t => {
  const { dfs } = await setUpDfs(t)
  const help = (await dfs(['--help'])).stdout.toString()
  const lines = help.split('\n')
  for (const heading of ['Files:', 'Copies and this machine:', 'Who is in:', 'Examples:']) {
    const start = lines.indexOf(heading)
    assert.ok(start > 0, heading)
    for (const line of lines.slice(start + 1, lines.indexOf('', start))) assert.match(line, /^ {2}\S/, heading)
  }
  assert.match(help, /^Exit codes: 0 done, [^.]*130 interrupted\.$/m)
  assert.match(help, /DFS_DATA_DIR, DFS_API_URL and DFS_TOKEN_FILE/)
  const daemon = (await runProgram('dfs-node', ['--help'])).stdout.toString()
  for (const words of [
    'How to get in, at the first start:',
    'default 127.0.0.1:3002',
    'Examples:',
    'Exit codes:',
    'DFS_DATA_DIR'
  ])
    assert.ok(daemon.includes(words), words)
  for (const text of [help, daemon, (await dfs(['get', '--help'])).stdout.toString()])
    assert.doesNotMatch(text, /default: (false|true|\[)/)
})

test('the help of each command lists its arguments, flags and exit codes', async t => {
  const { dfs } = await setUpDfs(t)
  const cases: Array<[string, RegExp]> = [
    [
      'put',
      /<source...> \[path\][\s\S]*--no-clobber[\s\S]*^Exit codes: [^.]*3 not\sfound, [^.]*7 no\sspace, 130\sinterrupted\.$/m
    ],
    ['get', /<path\.\.\.>[\s\S]*--force[\s\S]*^Exit codes: [^.]*6\sdamaged, 7 no space/m],
    ['members', /approve[\s\S]*deny[\s\S]*role/],
    ['network', /recovery/],
    ['peers', /^Exit codes: 0 done, 1 failed, 2 wrong usage, 4 not allowed, 5 unreachable, 130\sinterrupted\.$/m]
  ]
  for (const [command, words] of cases) {
    const { code, stdout } = await dfs([command, '--help'])
    assert.equal(code, 0)
    assert.match(stdout.toString(), words)
  }
})

test('every help text fits into 80 columns, and no example of it is wrapped', async t => {
  const { dfs } = await setUpDfs(t)
  // The default of --data-dir has the length of the home folder, and one long word is not broken.
  const env = { HOME: '/home/ann', XDG_DATA_HOME: '' }
  const texts = [(await runProgram('dfs-node', ['--help'], { env })).stdout.toString()]
  const alone = [
    'put',
    'get',
    'ls',
    'rm',
    'versions',
    'restore',
    'gc',
    'fsck',
    'members',
    'invite',
    'config',
    'service'
  ]
  for (const args of [[], ...alone.map(name => [name]), ['members', 'out'], ['network', 'recovery']])
    texts.push((await dfs([...args, '--help'], { env })).stdout.toString())
  for (const text of texts) {
    for (const line of text.split('\n')) assert.ok(line.length <= 80, line)
    const [, examples = ''] = /^Examples?:\n([\s\S]*?)\n\n/m.exec(text) ?? []
    for (const line of examples.split('\n')) assert.match(line, /^$|^ {2}/)
  }
})
