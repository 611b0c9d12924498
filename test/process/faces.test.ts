import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmod, mkdir, readdir, readFile, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Daemon, startDaemon } from '../../scripts/lib/daemon.ts'
import { temporaryFolder, until } from '../fixtures/nodes.ts'

const BIN = join(import.meta.dirname, '../../src/bin')

interface Result {
  code: number | null
  stdout: Buffer
  stderr: string
}

function run(
  program: string,
  args: string[],
  input?: Uint8Array | 'open',
  signalAfter?: () => Promise<void>
): Promise<Result> {
  const child = spawn(process.execPath, [join(BIN, `${program}.js`), ...args])
  const parts: Buffer[] = []
  let stderr = ''
  child.stdout.on('data', part => parts.push(part))
  child.stderr.setEncoding('utf8').on('data', text => {
    stderr += text
  })
  if (input === 'open') child.stdin.write(Buffer.alloc(1 << 20))
  else child.stdin.end(input)
  child.stdin.on('error', () => {})
  void signalAfter?.().then(() => child.kill('SIGINT'))
  return new Promise(resolve => child.once('close', code => resolve({ code, stdout: Buffer.concat(parts), stderr })))
}

async function daemon(
  t: TestContext,
  args: string[] = []
): Promise<{ folder: string; node: Daemon; dfs: (...args: string[]) => Promise<Result> }> {
  const folder = await temporaryFolder(t)
  const dataDir = join(folder, 'data')
  const node = await startDaemon({
    name: 'one',
    dataDir,
    fromSource: true,
    args: ['--new', '--no-mdns', '--listen', '/ip4/127.0.0.1/tcp/0', '--api', '127.0.0.1:0', ...args]
  })
  t.after(() => node.stop())
  return { folder, node, dfs: (...args) => run('dfs', ['--data-dir', dataDir, ...args]) }
}

function json(result: Result): Array<Record<string, unknown>> {
  return result.stdout
    .toString('utf8')
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as Record<string, unknown>)
}

test('put, ls, stat, get, cat, mv, cp, rm, evict, status, peers: what they print and how they end', {
  timeout: 120_000
}, async t => {
  const { folder, dfs, node } = await daemon(t)
  const bytes = randomBytes(2_500_000)
  await writeFile(join(folder, 'a b.bin'), bytes, { mode: 0o640 })
  await utimes(join(folder, 'a b.bin'), 1_600_000_000, 1_600_000_000)
  const put = await dfs('--json', 'put', join(folder, 'a b.bin'))
  assert.equal(put.code, 0, put.stderr)
  assert.deepEqual(Object.keys(json(put)[0]!), ['path', 'size', 'root', 'version', 'reached', 'wanted', 'owed'])
  assert.equal(json(put)[0]!['path'], '/a b.bin')
  const [item] = json(await dfs('--json', 'ls'))
  assert.deepEqual(item, {
    path: '/a b.bin',
    kind: 'file',
    size: 2_500_000,
    modified: '2020-09-13T12:26:40.000Z',
    conflict: false
  })
  assert.deepEqual(Object.keys(json(await dfs('--json', 'stat', '/a b.bin'))[0]!), [
    'path',
    'kind',
    'size',
    'root',
    'modified',
    'replicas',
    'versions',
    'conflict'
  ])
  const back = join(folder, 'back')
  await mkdir(back)
  const got = await dfs('--json', 'get', '/a b.bin', back)
  assert.deepEqual(json(got)[0], {
    path: '/a b.bin',
    target: join(back, 'a b.bin'),
    size: 2_500_000,
    from: [{ peerId: node.peerId, bytes: 2_500_000 }]
  })
  assert.ok((await readFile(join(back, 'a b.bin'))).equals(bytes))
  assert.equal((await stat(join(back, 'a b.bin'))).mode & 0o777, 0o640)
  assert.equal((await stat(join(back, 'a b.bin'))).mtimeMs, 1_600_000_000_000)
  assert.equal((await dfs('get', '/a b.bin', back)).code, 1)
  assert.equal((await dfs('get', '--force', '/a b.bin', back)).code, 0)
  assert.ok((await dfs('cat', '/a b.bin', '--range', '100-199')).stdout.equals(bytes.subarray(100, 200)))
  assert.ok((await dfs('get', '/a b.bin', '-')).stdout.equals(bytes))
  const stdin = await run('dfs', ['--data-dir', node.dataDir, 'put', '-', '/in/put.txt'], Buffer.from('from stdin'))
  assert.equal(stdin.code, 0, stdin.stderr)
  assert.equal((await dfs('cat', 'in/put.txt')).stdout.toString(), 'from stdin')
  assert.equal((await dfs('mv', '/in/put.txt', '/in/moved.txt')).code, 0)
  assert.equal((await dfs('cp', '/in', '/copy')).code, 0)
  assert.equal((await dfs('cat', '/copy/moved.txt')).stdout.toString(), 'from stdin')
  assert.equal((await dfs('mkdir', '/x/y/z')).code, 0)
  assert.deepEqual(json(await dfs('--json', 'rm', '-r', '/x'))[0]!['removedOn'], [node.peerId])
  assert.deepEqual(json(await dfs('--json', 'evict', '/in'))[0], {
    path: '/in',
    freed: { blocks: 0, bytes: 0 },
    left: { blocks: 0, bytes: 0 }
  })
  assert.equal(json(await dfs('--json', 'status'))[0]!['files'], 3)
  assert.deepEqual(json(await dfs('--json', 'peers')), [[]])
})

test('folders, with odd names, there and back', { timeout: 120_000 }, async t => {
  const { folder, dfs } = await daemon(t)
  const tree = join(folder, 'tree')
  await mkdir(join(tree, 'deep/er'), { recursive: true })
  await mkdir(join(tree, 'empty folder'))
  const names = ['plain', 'with space', 'quote"\'', '😀', '-dash', 'x'.repeat(255), 'deep/er/file', 'deep/empty']
  for (const name of names) await writeFile(join(tree, name), name === 'deep/empty' ? '' : name)
  await chmod(join(tree, 'plain'), 0o755)
  await symlink('/etc/passwd', join(tree, 'link'))
  const put = await dfs('put', tree, '/t')
  assert.equal(put.code, 1)
  assert.match(put.stderr, /^not put: link: it is neither a file nor a folder$/m)
  assert.equal((await dfs('ls', '-R', '/t')).stdout.toString().trim().split('\n').length, names.length + 3)
  const back = join(folder, 'back')
  assert.equal((await dfs('get', '/t', back)).code, 0)
  for (const name of names) assert.equal(await readFile(join(back, name), 'utf8'), name === 'deep/empty' ? '' : name)
  assert.equal((await stat(join(back, 'plain'))).mode & 0o777, 0o755)
  assert.ok((await stat(join(back, 'empty folder'))).isDirectory())
})

test('how it ends when it cannot be done: one line, and a code', { timeout: 120_000 }, async t => {
  const { folder, dfs, node } = await daemon(t)
  await writeFile(join(folder, 'file'), 'content')
  await dfs('put', join(folder, 'file'), '/d/file')
  const cases: Array<[string[], number]> = [
    [['cat', '/none'], 3],
    [['get', '/none'], 3],
    [['put', join(folder, 'none')], 3],
    [['rm', '/d'], 2],
    [['put', '-'], 2],
    [['mkdir', '/a/../b'], 2],
    [['put', join(folder, 'file'), '/d/..'], 2],
    [['put', '--no-clobber', join(folder, 'file'), '/d/file'], 1],
    [['versions', '/d'], 2],
    [['rm', '--purge', '/d'], 2],
    [['nonsense'], 2],
    [['cat', '/d/file', '--range', '9-2'], 2],
    [['put', join(folder, 'file'), '--replicas', 'many'], 2]
  ]
  for (const [args, code] of cases) {
    const result = await dfs(...args)
    assert.equal(result.code, code, `${args.join(' ')}: ${result.stderr}`)
    assert.ok(result.stderr.length > 0, args.join(' '))
  }
  const error = JSON.parse((await dfs('--json', 'cat', '/none')).stderr) as Record<string, unknown>
  assert.deepEqual(Object.keys(error), ['event', 'code', 'message'])
  assert.equal((await run('dfs', ['--data-dir', folder, 'status'])).code, 5)
  const running = await run('dfs-node', ['--data-dir', node.dataDir])
  assert.equal(running.code, 1)
  assert.match(running.stderr, /process \d+ is using this data directory/)
})

test('first starts: no key, a key that is made, a port that is taken', { timeout: 120_000 }, async t => {
  const folder = await temporaryFolder(t)
  const lone = await run('dfs-node', ['--data-dir', join(folder, 'x'), '--bootstrap', '/ip4/127.0.0.1/tcp/1'])
  assert.equal(lone.code, 4)
  assert.equal(lone.stderr.trim().split('\n').length, 1)
  assert.equal((await run('dfs-node', ['--join', 'x'])).code, 2)
  assert.equal(
    (
      await run('dfs-node', [
        '--api',
        '0.0.0.0:0',
        '--data-dir',
        join(folder, 'y'),
        '--no-mdns',
        '--listen',
        '/ip4/127.0.0.1/tcp/0'
      ])
    ).code,
    2
  )
  const taken = createServer().listen(0, '127.0.0.1')
  t.after(() => taken.close())
  await until('listening', async () => taken.listening)
  const { port } = taken.address() as AddressInfo
  const key = join(folder, 'key')
  const args = ['--data-dir', join(folder, 'z'), '--new', '--network-key-file', key, '--no-mdns']
  const busy = await run('dfs-node', [...args, '--listen', `/ip4/127.0.0.1/tcp/${port}`])
  assert.equal(busy.code, 1)
  assert.match(busy.stderr, new RegExp(`^port ${port} is taken by .*process \\d+.*--listen\\n$`))
  assert.equal((await stat(key)).mode & 0o777, 0o600)
  assert.match(await readFile(key, 'utf8'), /^[0-9a-f]{64}\n$/)
})

test('Ctrl-C in the middle of a transfer leaves nothing behind', { timeout: 120_000 }, async t => {
  const { folder, dfs, node } = await daemon(t)
  const waiting = async (): Promise<void> => {
    await new Promise(resolve => setTimeout(resolve, 1_500))
  }
  const cut = await run('dfs', ['--data-dir', node.dataDir, 'put', '-', '/cut'], 'open', waiting)
  assert.equal(cut.code, 130)
  assert.equal((await dfs('stat', '/cut')).code, 3)
  assert.deepEqual(await readdir(folder), ['data'])
})

test('the API: tokens, hosts, origins, conditions, ranges and headers', { timeout: 120_000 }, async t => {
  const { node } = await daemon(t)
  const { url, token } = JSON.parse(await readFile(join(node.dataDir, 'api.json'), 'utf8')) as {
    url: string
    token: string
  }
  assert.equal((await stat(join(node.dataDir, 'api.json'))).mode & 0o777, 0o600)
  const ask = async (method: string, path: string, headers: Record<string, string> = {}, body?: string) => {
    const { promise, resolve, reject } = Promise.withResolvers<{
      status: number
      headers: Record<string, unknown>
      text: string
    }>()
    const { hostname, port } = new URL(url)
    const outgoing = request(
      { hostname, port, method, path, headers: { authorization: `Bearer ${token}`, ...headers } },
      response => {
        let text = ''
        response.setEncoding('latin1').on('data', part => {
          text += part
        })
        response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }))
      }
    )
    outgoing.on('error', reject)
    outgoing.end(body)
    return promise
  }
  assert.equal((await ask('GET', '/healthz', { authorization: '' })).status, 200)
  assert.equal((await ask('GET', '/v1/status', { authorization: 'Bearer x' })).status, 401)
  assert.equal((await ask('GET', '/v1/status', { host: 'evil.example' })).status, 403)
  assert.equal((await ask('GET', '/v1/status', { origin: 'http://evil.example' })).status, 403)
  const page = await ask('PUT', '/v1/files/p%20q/page.html', { 'content-type': 'text/html' }, '<script>')
  assert.equal(page.status, 201)
  const { tag } = JSON.parse(page.text) as { tag: string }
  const got = await ask('GET', '/v1/files/p%20q/page.html')
  assert.equal(got.headers['content-security-policy'], 'sandbox')
  assert.equal(got.headers['x-content-type-options'], 'nosniff')
  assert.equal(got.headers['content-disposition'], 'attachment')
  assert.equal(got.headers['etag'], `"${tag}"`)
  const part = await ask('GET', '/v1/files/p%20q/page.html', { range: 'bytes=1-3' })
  assert.deepEqual([part.status, part.text, part.headers['content-range']], [206, 'scr', 'bytes 1-3/8'])
  assert.equal((await ask('GET', '/v1/files/p%20q/page.html', { range: 'bytes=-2' })).text, 't>')
  assert.equal((await ask('GET', '/v1/files/p%20q/page.html', { range: 'bytes=8-' })).status, 416)
  assert.equal((await ask('GET', '/v1/files/p%20q/page.html', { 'if-none-match': `"${tag}"` })).status, 304)
  assert.equal((await ask('PUT', '/v1/files/p%20q/page.html', { 'if-none-match': '*' }, 'x')).status, 412)
  assert.equal((await ask('PUT', '/v1/files/p%20q/page.html', { 'if-match': '"other"' }, 'x')).status, 412)
  assert.equal((await ask('PUT', '/v1/files/p%20q/page.html', { 'if-match': `"${tag}"` }, 'changed')).status, 201)
  const head = await ask('HEAD', '/v1/files/p%20q/page.html')
  assert.deepEqual([head.status, head.headers['content-length'], head.text], [200, '7', ''])
  for (const path of ['..', '%2e%2e', 'a%2fb', 'a//b', '%ff', '%00'])
    assert.equal((await ask('GET', `/v1/files/${path}`)).status, 400, path)
  assert.equal((await ask('DELETE', '/v1/files/p%20q')).status, 409)
  assert.equal((await ask('DELETE', '/v1/files/p%20q?recursive=true')).status, 200)
  assert.equal((await ask('GET', '/v1/files/p%20q/page.html')).status, 404)
})
