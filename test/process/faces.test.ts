import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { chmod, mkdir, readdir, readFile, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { connected, type Daemon, startDaemon } from '../../scripts/lib/daemon.ts'
import { temporaryFolder, until } from '../fixtures/nodes.ts'
import { jsonLines, type Result, runProgram } from '../fixtures/program.ts'

const LOCAL = ['--no-mdns', '--listen', '/ip4/127.0.0.1/tcp/0', '--api', '127.0.0.1:0']

async function start(t: TestContext, dataDir: string, args: string[]): Promise<Daemon> {
  const daemon = await startDaemon({ name: 'one', dataDir, fromSource: true, args: [...LOCAL, ...args] })
  t.after(() => daemon.stop())
  return daemon
}

function dfsOf({ dataDir }: Daemon): (...args: string[]) => Promise<Result> {
  return (...args) => runProgram('dfs', ['--data-dir', dataDir, ...args])
}

/** Starts a network of one node, and returns `dfs` for it. */
async function setUp(
  t: TestContext
): Promise<{ folder: string; node: Daemon; dfs: (...args: string[]) => Promise<Result> }> {
  const folder = await temporaryFolder(t)
  const node = await start(t, join(folder, 'data'), ['--new'])
  return { folder, node, dfs: dfsOf(node) }
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const bytes of createReadStream(path)) hash.update(bytes as Buffer)
  return hash.digest('hex')
}

function linesOf(text: string | Buffer): string[] {
  return text.toString().trim().split('\n')
}

test('put, ls, stat, get, cat, mv, cp, rm, evict, status and peers print what they should and exit with 0', {
  timeout: 300_000
}, async t => {
  const { folder, dfs, node } = await setUp(t)
  const bytes = randomBytes(2_500_000)
  await writeFile(join(folder, 'a b.bin'), bytes, { mode: 0o640 })
  await utimes(join(folder, 'a b.bin'), 1_600_000_000, 1_600_000_000)
  const put = await dfs('--json', 'put', join(folder, 'a b.bin'))
  assert.equal(put.code, 0, put.stderr)
  const [stored] = jsonLines(put)
  assert.deepEqual(Object.keys(stored!), [
    'path',
    'size',
    'root',
    'version',
    'reached',
    'confirmed',
    'wanted',
    'owed',
    'warnings'
  ])
  assert.deepEqual([stored!['path'], stored!['reached']], ['/a b.bin', [node.peerId]])
  const [item] = jsonLines(await dfs('--json', 'ls'))
  const facts = { kind: 'file', size: 2_500_000, modified: '2020-09-13T12:26:40.000Z', mode: 0o640, conflict: false }
  assert.deepEqual(item, { path: '/a b.bin', ...facts })
  const [found] = jsonLines(await dfs('--json', 'stat', '/a b.bin'))
  const fields = [
    'path',
    'kind',
    'size',
    'root',
    'modified',
    'replicas',
    'versions',
    'conflict',
    'writtenBy',
    'conflicts'
  ]
  assert.deepEqual(Object.keys(found!), fields)
  assert.deepEqual(found!['replicas'], { wanted: 1, confirmed: 1 })
  const back = join(folder, 'back')
  await mkdir(back)
  const target = join(back, 'a b.bin')
  const from = [{ peerId: node.peerId, bytes: 2_500_000 }]
  const [got] = jsonLines(await dfs('--json', 'get', '/a b.bin', back))
  assert.deepEqual(got, { path: '/a b.bin', target, size: 2_500_000, from })
  assert.ok((await readFile(target)).equals(bytes))
  const { mode, mtimeMs } = await stat(target)
  assert.deepEqual([mode & 0o777, mtimeMs], [0o640, 1_600_000_000_000])
  assert.ok((await dfs('cat', '/a b.bin', '--range', '100-199')).stdout.equals(bytes.subarray(100, 200)))
  assert.ok((await dfs('cat', '/a b.bin', '--range', '2400000-')).stdout.equals(bytes.subarray(2_400_000)))
  assert.ok((await dfs('get', '/a b.bin', '-')).stdout.equals(bytes))
  const input = Buffer.from('from stdin')
  const stdin = await runProgram('dfs', ['--data-dir', node.dataDir, 'put', '-', '/in/put.txt'], { input })
  assert.equal(stdin.code, 0, stdin.stderr)
  assert.equal((await dfs('cat', 'in/put.txt')).stdout.toString(), 'from stdin')
  assert.equal((await dfs('mv', '/in/put.txt', '/in/moved.txt')).code, 0)
  assert.equal((await dfs('cp', '/in', '/copy')).code, 0)
  assert.equal((await dfs('cat', '/copy/moved.txt')).stdout.toString(), 'from stdin')
  assert.equal((await dfs('cp', '--no-clobber', '/a b.bin', '/in/moved.txt')).code, 1)
  // A path that ends in a slash means into a directory, which is made if nothing is there.
  assert.equal((await dfs('cp', '/in/moved.txt', '/made/')).code, 0)
  assert.equal((await dfs('mv', '/made', '/copy/')).code, 0)
  assert.equal((await dfs('cat', '/copy/made/moved.txt')).stdout.toString(), 'from stdin')
  const onFile = await dfs('cp', '/in/moved.txt', '/a b.bin/')
  assert.equal(onFile.code, 2)
  assert.match(onFile.stderr, /^\/a b\.bin\/: this is a file: leave out the slash at its end to replace it\n$/)
  assert.equal((await dfs('rm', '-r', '/copy/made')).code, 0)
  // A file that is put onto an existing directory goes into it.
  assert.equal((await dfs('put', join(folder, 'a b.bin'), '/in')).code, 0)
  assert.equal((await dfs('stat', '/in/a b.bin')).code, 0)
  assert.equal((await dfs('mkdir', '/x/y/z')).code, 0)
  const [removed] = jsonLines(await dfs('--json', 'rm', '-r', '/x'))
  assert.deepEqual(Object.keys(removed!), ['path', 'version', 'removedOn', 'waitingFor', 'out', 'freesAt'])
  assert.deepEqual(removed!['removedOn'], [node.peerId])
  const [evicted] = jsonLines(await dfs('--json', 'evict', '/copy'))
  assert.deepEqual(evicted, { path: '/copy', freed: { blocks: 0, bytes: 0 }, left: { blocks: 0, bytes: 0 } })
  const [status] = jsonLines(await dfs('--json', 'status'))
  assert.deepEqual([status!['files'], status!['peerId']], [4, node.peerId])
  assert.deepEqual(jsonLines(await dfs('--json', 'peers')), [[]])
})

test('folders with odd names come back as they were put', { timeout: 300_000 }, async t => {
  const { folder, dfs } = await setUp(t)
  const tree = join(folder, 'tree')
  await mkdir(join(tree, 'deep/er'), { recursive: true })
  await mkdir(join(tree, 'empty folder'))
  const names = ['plain', 'with space', 'quote"\'', '😀', '-dash', 'a\nline', '%2e', '..x', 'x'.repeat(255)]
  const all = [...names, 'deep/er/file', 'deep/empty']
  for (const name of all) await writeFile(join(tree, name), name === 'deep/empty' ? '' : name)
  await chmod(join(tree, 'plain'), 0o755)
  await symlink('/etc/passwd', join(tree, 'link'))
  const put = await dfs('put', tree, '/t')
  assert.equal(put.code, 0)
  assert.match(put.stdout.toString(), / 1 skipped \(1 symlink\)/)
  assert.equal(jsonLines(await dfs('--json', 'ls', '-R', '/t')).length, all.length + 3)
  const back = join(folder, 'back')
  assert.equal((await dfs('get', '/t', back)).code, 0)
  for (const name of all) assert.equal(await readFile(join(back, name), 'utf8'), name === 'deep/empty' ? '' : name)
  assert.equal((await stat(join(back, 'plain'))).mode & 0o777, 0o755)
  assert.ok((await stat(join(back, 'empty folder'))).isDirectory())
  // The same text in two forms of Unicode names one file.
  await writeFile(join(folder, 'e'), 'one')
  assert.equal((await dfs('put', join(folder, 'e'), '/caf\u00e9')).code, 0)
  assert.equal((await dfs('cat', '/cafe\u0301')).stdout.toString(), 'one')
  assert.equal((await dfs('put', join(folder, 'e'), `/${'y'.repeat(256)}`)).code, 2)
})

test('a node fetches a file from another node, which is killed and comes back', {
  timeout: 300_000
}, async t => {
  const folder = await temporaryFolder(t)
  const key = join(folder, 'key')
  const a = await start(t, join(folder, 'a'), ['--new', '--network-key-file', key])
  const joining = ['--network-key-file', key, '--bootstrap', a.multiaddrs[0] as string]
  const b = await start(t, join(folder, 'b'), joining)
  await connected([a, b])
  const [file, copy] = [join(folder, 'file'), join(folder, 'copy')]
  await writeFile(file, randomBytes(40_000_000))
  const [stored] = jsonLines(await dfsOf(a)('--json', 'put', file, '/file'))
  assert.deepEqual(new Set(stored!['reached'] as string[]), new Set([a.peerId, b.peerId]))
  const [{ freed } = {}] = jsonLines(await dfsOf(a)('--json', 'evict', '/file'))
  assert.ok((freed as { bytes: number }).bytes > 0)
  const [got] = jsonLines(await dfsOf(a)('--json', 'get', '/file', copy))
  assert.deepEqual(got!['from'], [{ peerId: b.peerId, bytes: 40_000_000 }])
  assert.equal(await digestOf(copy), await digestOf(file))
  const [peer] = jsonLines(await dfsOf(a)('--json', 'peers'))[0] as unknown as Array<Record<string, unknown>>
  assert.deepEqual(Object.keys(peer!), ['peerId', 'name', 'role', 'state', 'connected', 'lastSeen', 'latencyMs', 'via'])
  assert.deepEqual([peer!['peerId'], peer!['connected'], peer!['via']], [b.peerId, true, 'tcp+tls'])
  await b.kill()
  assert.equal((await dfsOf(b)('status')).code, 5)
  // A directory that already belongs to a member needs no key.
  const again = await start(t, join(folder, 'b'), [])
  assert.deepEqual([again.peerId, again.network], [b.peerId, a.network])
  assert.equal((await dfsOf(again)('get', '--force', '/file', copy)).code, 0)
  assert.equal(await digestOf(copy), await digestOf(file))
})

test('a command that fails prints one line and exits with its code', { timeout: 300_000 }, async t => {
  const { folder, dfs, node } = await setUp(t)
  await writeFile(join(folder, 'file'), 'content')
  await dfs('put', join(folder, 'file'), '/d/file')
  const cases: Array<[string[], number]> = [
    [['cat', '/none'], 3],
    [['get', '/none'], 3],
    [['put', join(folder, 'none')], 3],
    [['rm', '/d'], 2],
    [['mkdir', '/a/../b'], 2],
    [['mkdir', '/d/file/below'], 2],
    [['put', join(folder, 'file'), '/d/..'], 2],
    [['put', '--no-clobber', join(folder, 'file'), '/d/file'], 1],
    [['cat', '/d'], 2],
    [['cat', '/d/file', '--range', '7-'], 2]
  ]
  for (const [args, code] of cases) {
    const result = await dfs(...args)
    assert.equal(result.code, code, `${args.join(' ')}: ${result.stderr}`)
    assert.equal(linesOf(result.stderr).length, 1, result.stderr)
  }
  const error = JSON.parse((await dfs('--json', 'cat', '/none')).stderr) as Record<string, unknown>
  assert.deepEqual(Object.keys(error), ['event', 'code', 'message'])
  const running = await runProgram('dfs-node', ['--data-dir', node.dataDir])
  assert.equal(running.code, 1)
  assert.match(running.stderr, /process \d+ is using this data directory/)
})

test('a first start that founds a network creates its key, and reports a port that is taken', {
  timeout: 300_000
}, async t => {
  const folder = await temporaryFolder(t)
  const at = (name: string): string => join(folder, name)
  const key = at('key')
  // A flag that can never work is refused before anything is created.
  for (const bad of [
    ['--api', '0.0.0.0:0'],
    ['--api', '3002'],
    ['--capacity', 'much'],
    ['--join', 'x'],
    ['--log-level', 'loud'],
    ['--bootstrap', '10.0.0.2'],
    ['--bootstrap', '/ip4/10.0.0.2/3000'],
    ['--bootstrap', 'http://10.0.0.2:3000']
  ]) {
    const result = await runProgram('dfs-node', ['--data-dir', at('y'), '--new', '--network-key-file', key, ...bad])
    assert.deepEqual([result.code, linesOf(result.stderr).length], [2, 1], bad.join(' '))
    assert.deepEqual(await readdir(folder), [])
  }
  const taken = createServer().listen(0, '127.0.0.1')
  t.after(() => taken.close())
  await until('listening', async () => taken.listening)
  const { port } = taken.address() as AddressInfo
  const args = ['--data-dir', at('z'), '--new', '--network-key-file', key, '--no-mdns']
  const busy = await runProgram('dfs-node', [...args, '--listen', `/ip4/127.0.0.1/tcp/${port}`])
  assert.equal(busy.code, 1)
  assert.match(busy.stderr, new RegExp(`^port ${port} is taken by .*process \\d+.*--listen\\n$`))
  const noApi = await runProgram('dfs-node', [
    ...args,
    '--listen',
    '/ip4/127.0.0.1/tcp/0',
    '--api',
    `127.0.0.1:${port}`
  ])
  assert.equal(noApi.code, 1)
  assert.match(noApi.stderr, new RegExp(`^127\\.0\\.0\\.1:${port}: another program is using this port: .*--api\\n$`))
  assert.equal((await stat(key)).mode & 0o777, 0o600)
  assert.match(await readFile(key, 'utf8'), /^[0-9a-f]{64}\n$/)
})

test('a first start with a wrong network key is undone, and a member refuses a wrong key', {
  timeout: 300_000
}, async t => {
  const folder = await temporaryFolder(t)
  const [key, wrong] = [join(folder, 'key'), join(folder, 'wrong')]
  await writeFile(wrong, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600 })
  const a = await start(t, join(folder, 'a'), ['--new', '--network-key-file', key])
  const dataDir = join(folder, 'b')
  const bootstrap = ['--bootstrap', a.multiaddrs[0] as string]
  const foreign = await runProgram('dfs-node', [
    ...['--data-dir', dataDir, '--log-level', 'silent', '--network-key-file', wrong],
    ...LOCAL,
    ...bootstrap
  ])
  assert.equal(foreign.code, 4, foreign.stderr)
  assert.match(foreign.stderr, /^the node that answered belongs to another network: .*--bootstrap.*\n$/)
  assert.equal(foreign.stdout.byteLength, 0)
  assert.deepEqual((await readdir(folder)).sort(), ['a', 'key', 'wrong'])
  const b = await start(t, dataDir, ['--network-key-file', key, ...bootstrap])
  await connected([a, b])
  assert.deepEqual(
    (await a.client.call('peers', {})).map(({ peerId }) => peerId),
    [b.peerId]
  )
  await b.stop()
  const refused = await runProgram('dfs-node', ['--data-dir', dataDir, '--network-key-file', wrong])
  assert.equal(refused.code, 2)
  assert.match(refused.stderr, /another network/)
  // A member with --new whose key file is gone draws no new key, because it would not be its network's.
  const gone = join(folder, 'gone')
  const again = await start(t, dataDir, ['--new', '--network-key-file', gone])
  assert.equal(again.network, a.network)
  assert.ok(!(await readdir(folder)).includes('gone'))
})

test('the daemon says ready and stopped to people and to scripts, and Ctrl-C ends it cleanly', {
  timeout: 300_000
}, async t => {
  const folder = await temporaryFolder(t)
  const events: string[] = []
  for (const json of [true, false]) {
    const args = ['--data-dir', json ? 'machine' : 'person', '--new', ...LOCAL, ...(json ? ['--json'] : [])]
    const result = await runProgram('dfs-node', args, {
      cwd: folder,
      during: async child => {
        let text = ''
        child.stdout.on('data', part => {
          text += part
        })
        await until('up', async () => text.includes('"ready"') || text.includes('Add a machine'))
        // A data directory that was named by a relative path is found from any folder.
        const dataDir = join(folder, json ? 'machine' : 'person')
        assert.equal((await runProgram('dfs', ['--data-dir', dataDir, 'status'], { cwd: '/' })).code, 0)
        child.kill('SIGINT')
      }
    })
    assert.deepEqual([result.code, result.stderr], [0, ''])
    events.push(result.stdout.toString())
    assert.ok(!(await readdir(join(folder, json ? 'machine' : 'person'))).some(name => name.startsWith('api.')))
  }
  const [machine, person] = events as [string, string]
  const [ready, stopped] = linesOf(machine).map(line => JSON.parse(line) as Record<string, unknown>)
  assert.deepEqual(Object.keys(ready!), ['event', 'peerId', 'network', 'multiaddrs', 'api'])
  assert.match(String((ready!['multiaddrs'] as string[])[0]), /^\/ip4\/127\.0\.0\.1\/tcp\/\d+\/p2p\/12D3/)
  assert.deepEqual(stopped, { event: 'stopped' })
  assert.match(person, /dfs(\.js)? --data-dir \S+\/person status/)
  assert.match(
    person,
    /npx dfs-node --bootstrap \/ip4\/127\S+\n {16}It shows a code\. .* members approve CODE --role writer/
  )
})

test('Ctrl-C in the middle of a put leaves nothing behind', { timeout: 300_000 }, async t => {
  const { folder, dfs, node } = await setUp(t)
  const cut = await runProgram('dfs', ['--data-dir', node.dataDir, 'put', '-', '/cut'], {
    input: 'open',
    during: async child => {
      const before = (await node.client.call('status', {})).disk.used
      child.stdin.write(randomBytes(8 << 20))
      await until('the node stores', async () => (await node.client.call('status', {})).disk.used > before)
      child.kill('SIGINT')
    }
  })
  assert.equal(cut.code, 130)
  assert.equal((await dfs('stat', '/cut')).code, 3)
  assert.deepEqual(await readdir(folder), ['data'])
})

test('the API of a real node answers conditions, ranges and odd paths', { timeout: 300_000 }, async t => {
  const { node } = await setUp(t)
  const { url, token } = JSON.parse(await readFile(join(node.dataDir, 'api.json'), 'utf8')) as Record<string, string>
  assert.equal((await stat(join(node.dataDir, 'api.json'))).mode & 0o777, 0o600)
  const ask = async (method: string, path: string, headers: Record<string, string> = {}, body?: string) => {
    const { promise, resolve, reject } = Promise.withResolvers<{
      status: number
      headers: Record<string, unknown>
      text: string
    }>()
    const { hostname, port } = new URL(url as string)
    const all = { authorization: `Bearer ${token}`, ...headers }
    const outgoing = request({ hostname, port, method, path, headers: all }, response => {
      let text = ''
      response.setEncoding('latin1').on('data', part => {
        text += part
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }))
    })
    outgoing.on('error', reject)
    outgoing.end(body)
    return promise
  }
  assert.equal((await ask('GET', '/healthz', { authorization: '' })).status, 200)
  assert.equal((await ask('GET', '/v1/status', { authorization: 'Bearer x' })).status, 401)
  assert.equal((await ask('GET', '/v1/status', { host: 'evil.example' })).status, 403)
  assert.equal((await ask('GET', '/v1/status', { origin: 'http://evil.example' })).status, 403)
  const page = '/v1/files/p%20q/page.html'
  const put = await ask('PUT', page, { 'content-type': 'text/html' }, '<script>')
  assert.equal(put.status, 201)
  const { tag } = JSON.parse(put.text) as { tag: string }
  const got = await ask('GET', page)
  assert.deepEqual([got.headers['etag'], got.headers['content-type']], [`"${tag}"`, 'text/html'])
  assert.deepEqual(
    [got.headers['content-disposition'], got.headers['content-security-policy']],
    ['attachment', 'sandbox']
  )
  const part = await ask('GET', page, { range: 'bytes=1-3' })
  assert.deepEqual([part.status, part.text, part.headers['content-range']], [206, 'scr', 'bytes 1-3/8'])
  assert.equal((await ask('GET', page, { range: 'bytes=-2' })).text, 't>')
  assert.equal((await ask('GET', page, { range: 'bytes=8-' })).status, 416)
  assert.equal((await ask('GET', page, { 'if-none-match': `"${tag}"` })).status, 304)
  assert.equal((await ask('PUT', page, { 'if-none-match': '*' }, 'x')).status, 412)
  assert.equal((await ask('PUT', page, { 'if-match': '"other"' }, 'x')).status, 412)
  assert.equal((await ask('PUT', page, { 'if-match': `"${tag}"` }, 'changed')).status, 201)
  const head = await ask('HEAD', page)
  assert.deepEqual([head.status, head.headers['content-length'], head.text], [200, '7', ''])
  for (const path of ['..', '%2e%2e', 'a%2fb', 'a//b', '%ff', '%00'])
    assert.equal((await ask('GET', `/v1/files/${path}`)).status, 400, path)
  assert.equal((await ask('DELETE', '/v1/files/p%20q')).status, 409)
  assert.equal((await ask('DELETE', '/v1/files/p%20q?recursive=true')).status, 200)
  assert.equal((await ask('GET', page)).status, 404)
})
