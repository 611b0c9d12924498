import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir, readdir, readFile, stat } from 'node:fs/promises'
import http, { createServer, type IncomingMessage, request, type Server } from 'node:http'
import { syncBuiltinESMExports } from 'node:module'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { VERBS } from '../../../src/contract/verbs.ts'
import { serveApi } from '../../../src/http/server.ts'
import type { AbortOptions } from '../../../src/index.ts'
import { serveFake } from '../../fixtures/api.ts'
import { FakeNode, Fault } from '../../fixtures/fake-node.ts'
import { temporaryFolder, until } from '../../fixtures/nodes.ts'

/** Every route: those of the table of verbs, those with handlers of their own, and one that does not exist. */
const ROUTES = [
  ...Object.values(VERBS).map(({ method, route }) => `${method} ${route.replace('*', 'f')}`),
  'GET /v1/files/f',
  'HEAD /v1/files/f',
  'PUT /v1/files/f',
  'POST /v1/files',
  'GET /v1/transfers/1',
  'GET /nothing'
]

test('only /healthz answers without the token, and no route answers a foreign host name or a web page', async t => {
  const { node, ask, url, token } = await serveFake(t)
  node.set('/f', 'bytes')
  for (const route of ROUTES) {
    const [method, path] = route.split(' ') as [string, string]
    for (const authorization of ['', token, `bearer ${token}`, `Bearer ${token}x`, 'Bearer '])
      assert.equal((await ask(method, path, { authorization })).status, 401, route)
    for (const host of ['evil.example', `evil.example:${url.port}`, `127.0.0.1:${Number(url.port) + 1}`, '127.0.0.1'])
      assert.equal((await ask(method, path, { host })).status, 403, `${route} as ${host}`)
    for (const origin of ['null', 'http://evil.example', url.origin])
      assert.equal((await ask(method, path, { origin })).status, 403, route)
  }
  assert.equal(node.calls.length, 0)
  assert.deepEqual(JSON.parse((await ask('GET', '/healthz', { authorization: '' })).text), { ok: true })
  assert.equal((await ask('GET', '/healthz', { host: 'evil.example' })).status, 403)
  for (const name of ['localhost', '127.0.0.1', '[::1]'])
    assert.equal((await ask('GET', '/v1/status', { host: `${name}:${url.port}` })).status, 200, name)
})

test('once /healthz answers, api.json is there', async t => {
  const reserved = createServer().listen(0, '127.0.0.1')
  await once(reserved, 'listening')
  const { port } = reserved.address() as AddressInfo
  await new Promise(resolve => reserved.close(resolve))
  for (let round = 0; round < 5; round++) {
    const dataDir = await temporaryFolder(t)
    const serving = serveApi(new FakeNode(), { dataDir, listen: { host: '127.0.0.1', port } })
    await until(
      'healthy',
      async () => (await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => undefined))?.ok === true
    )
    assert.match(await readFile(join(dataDir, 'api.json'), 'utf8'), /token/)
    await (await serving).close()
  }
})

test('the socket answers under any host name, but not without the token', async t => {
  const { socket, token } = await serveFake(t)
  const ask = (headers: Record<string, string>): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const outgoing = request({ socketPath: socket, path: '/v1/status', headers }, response => {
        response.resume()
        resolve(response.statusCode)
      })
      outgoing.on('error', reject).end()
    })
  assert.equal(await ask({ authorization: `Bearer ${token}` }), 200)
  assert.equal(await ask({}), 401)
  assert.equal(await ask({ authorization: `Bearer ${token}`, origin: 'http://evil.example' }), 403)
})

test('every error is answered with a code and a sentence of ours', async t => {
  const { node, ask } = await serveFake(t)
  const raised: Array<[Error, number, string, string]> = [
    [new Fault('not-found', 'nothing is at this path'), 404, 'not-found', 'nothing is at this path'],
    [new Fault('not-allowed'), 403, 'not-allowed', 'not-allowed'],
    [new Fault('no-space'), 507, 'no-space', 'no-space'],
    [new Fault('unreachable'), 503, 'unreachable', 'unreachable'],
    [new Fault('over-limit'), 429, 'over-limit', 'over-limit'],
    [new Fault('corrupt'), 500, 'corrupt', 'corrupt'],
    [new Error('/home/me/secret is not there'), 500, 'io', 'something went wrong'],
    [new DOMException('x', 'AbortError'), 499, 'aborted', 'aborted']
  ]
  for (const [error, status, code, message] of raised) {
    node.hooks.stat = async () => {
      throw error
    }
    const answer = await ask('GET', '/v1/stat/f')
    assert.equal(answer.status, status)
    assert.deepEqual(JSON.parse(answer.text), { error: { code, message } })
  }
  for (const path of ['/v1/files/%ff', '/v1/stat/%e9', '/v1/files/a%2fb']) {
    const answer = await ask('GET', path)
    assert.equal(answer.status, 400)
    assert.equal(JSON.parse(answer.text).error.code, 'invalid', path)
  }
  assert.equal((await ask('PATCH', '/v1/files/f')).status, 404)
})

test('a listing is one object a line, and its last line says if it broke off', async t => {
  const { node, ask } = await serveFake(t)
  for (let i = 0; i < 1000; i++) node.set(`/file ${i}`, 'x')
  const whole = (await ask('GET', '/v1/list/?recursive=true')).text.trim().split('\n')
  assert.equal(whole.length, 1000)
  assert.deepEqual(Object.keys(JSON.parse(whole[7] as string)), ['path', 'kind', 'size', 'modified', 'conflict'])
  node.hooks.list = async function* () {
    yield { path: '/a', kind: 'file' as const, size: 1, modified: new Date(0), conflict: false }
    throw new Fault('corrupt', 'the index is broken')
  }
  const broken = (await ask('GET', '/v1/list/')).text.trim().split('\n')
  assert.equal(broken.length, 2)
  assert.deepEqual(JSON.parse(broken[1] as string), { error: { code: 'corrupt', message: 'the index is broken' } })
  node.hooks.list = async function* () {
    yield* []
    throw new Fault('not-found')
  }
  assert.equal((await ask('GET', '/v1/list/none')).status, 404)
})

test('HEAD says whether there is a listing, and lists nothing', async t => {
  const { node, ask } = await serveFake(t)
  let listed = 0
  let isEnded = false
  node.hooks.list = async function* (path) {
    if (path !== '/there') throw new Fault('not-found')
    try {
      for (; listed < 1000; listed++)
        yield { path: `/there/${listed}`, kind: 'file', size: 0, modified: new Date(0), conflict: false }
    } finally {
      isEnded = true
    }
  }
  const { status, text, headers } = await ask('HEAD', '/v1/list/there')
  assert.deepEqual([status, text, headers['content-type']], [200, '', 'application/x-ndjson'])
  assert.deepEqual([listed, isEnded], [0, true])
  assert.equal((await ask('HEAD', '/v1/list/none')).status, 404)
})

test('a listing is read no further than its reader takes it', async t => {
  const { node, url, token } = await serveFake(t)
  const name = 'x'.repeat(4096)
  let listed = 0
  node.hooks.list = async function* () {
    for (; listed < 100_000; listed++)
      yield { path: `/${name}`, kind: 'file', size: 0, modified: new Date(0), conflict: false }
  }
  const headers = { authorization: `Bearer ${token}` }
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request(new URL('/v1/list/', url), { headers }, resolve).on('error', reject).end()
  })
  // It goes on until the buffers of both sockets are full, and then no further.
  let before = -1
  await until('the server waits', async () => {
    if (listed === before) return true
    before = listed
    return false
  })
  assert.ok(listed < 50_000, `${listed} items were listed for a reader that takes none`)
  response.destroy()
})

test('a client that goes away ends every verb that it has begun', async t => {
  const { node, url, token } = await serveFake(t)
  const begun = new Map<string, AbortSignal | undefined>()
  /** Runs until its signal fires. */
  const wait = (verb: string, options: AbortOptions | undefined): Promise<never> => {
    const { promise, reject } = Promise.withResolvers<never>()
    options?.signal?.addEventListener('abort', () => reject(options.signal?.reason), { once: true })
    begun.set(verb, options?.signal)
    return promise
  }
  node.hooks.stat = (_path, options) => wait('GET /v1/stat/f', options)
  node.hooks.mkdir = (_path, options) => wait('POST /v1/mkdir/f', options)
  node.hooks.move = (_from, _to, options) => wait('POST /v1/move', options)
  node.hooks.copy = (_from, _to, options) => wait('POST /v1/copy', options)
  node.hooks.remove = (_path, options) => wait('DELETE /v1/files/f?recursive=true', options)
  node.hooks.evict = (_path, options) => wait('POST /v1/evict/f', options)
  let isListEnded = false
  node.hooks.list = async function* (_path, options) {
    try {
      yield { path: '/a', kind: 'file' as const, size: 1, modified: new Date(0), conflict: false }
      await wait('GET /v1/list/', options)
    } finally {
      isListEnded = true
    }
  }
  const verbs = ['GET /v1/stat/f', 'POST /v1/mkdir/f', 'POST /v1/move', 'POST /v1/copy', 'POST /v1/evict/f']
  for (const verb of [...verbs, 'DELETE /v1/files/f?recursive=true', 'GET /v1/list/']) {
    const [method, path] = verb.split(' ') as [string, string]
    const headers = { authorization: `Bearer ${token}` }
    const outgoing = request({ hostname: url.hostname, port: url.port, method, path, headers })
    outgoing.on('error', () => {})
    outgoing.end(path === '/v1/move' || path === '/v1/copy' ? '{"from":"/a","to":"/b"}' : undefined)
    await until(`${verb} began`, async () => begun.has(verb))
    assert.equal(begun.get(verb)?.aborted, false, verb)
    outgoing.destroy()
    await until(`${verb} ended`, async () => begun.get(verb)?.aborted === true)
  }
  await until('the listing ended', async () => isListEnded)
})

test('changes to the tree pass their fields on, and refuse malformed ones', async t => {
  const { node, ask } = await serveFake(t)
  await ask('POST', '/v1/mkdir/a%20b')
  await ask('POST', '/v1/move', {}, '{"from":"/a","to":"/b","noClobber":true}')
  await ask('POST', '/v1/copy', {}, '{"from":"/a","to":"/b"}')
  await ask('DELETE', '/v1/files/f?recursive=true')
  await ask('POST', '/v1/evict/f')
  assert.deepEqual(
    node.calls.map(({ call }) => call),
    ['mkdir /a b', 'move /a /b', 'copy /a /b', 'remove /f', 'evict /f']
  )
  const [, moved, , removed] = node.calls.map(({ options }) => options as Record<string, unknown>)
  assert.equal(moved?.['noClobber'], true)
  assert.equal(removed?.['recursive'], true)
  for (const body of ['', '{', '[]', '{"from":"/a"}', '{"from":"/a","to":"/b","more":1}', '{"from":1,"to":2}'])
    assert.equal((await ask('POST', '/v1/move', {}, body)).status, 400, body)
  assert.equal((await ask('POST', '/v1/move', {}, ' '.repeat(65 << 10))).status, 413)
  node.set('/f', 'x')
  assert.equal((await ask('DELETE', '/v1/files/f', { 'if-match': '"other"' })).status, 412)
})

test('a connection that the system cannot accept does not end the API', async t => {
  const servers: Server[] = []
  const { createServer: create } = http
  http.createServer = ((...args: Parameters<typeof create>) => {
    const server = create(...args)
    servers.push(server)
    return server
  }) as typeof create
  syncBuiltinESMExports()
  const { ask } = await serveFake(t)
  http.createServer = create
  syncBuiltinESMExports()
  const listening = servers.filter(server => server.listening)
  assert.equal(listening.length, 2)
  // What Node does when the process has no file handle left.
  for (const server of listening) server.emit('error', Object.assign(new Error('accept EMFILE'), { code: 'EMFILE' }))
  assert.equal((await ask('GET', '/healthz')).status, 200)
})

test('api.json is private, new at each start, and removed when the API closes', async t => {
  const { api, dataDir, socket, token } = await serveFake(t)
  assert.equal((await stat(join(dataDir, 'api.json'))).mode & 0o777, 0o600)
  assert.equal((await stat(socket)).mode & 0o777, 0o600)
  assert.equal(dirname(socket), dataDir)
  await api.close()
  assert.deepEqual(await readdir(dataDir), [])
  const again = await serveApi(new FakeNode(), { dataDir, listen: { host: '127.0.0.1', port: 0 } })
  t.after(() => again.close())
  const { token: other } = JSON.parse(await readFile(join(dataDir, 'api.json'), 'utf8')) as { token: string }
  assert.equal(Buffer.from(other, 'base64url').byteLength, 32)
  assert.notEqual(other, token)
})

test('if its path would be too long, the socket is in a private folder that is removed with it', async t => {
  const dataDir = join(await temporaryFolder(t), 'x'.repeat(120))
  await mkdir(dataDir)
  const api = await serveApi(new FakeNode(), { dataDir, listen: { host: '127.0.0.1', port: 0 } })
  const { socket } = JSON.parse(await readFile(join(dataDir, 'api.json'), 'utf8')) as { socket: string }
  const folder = dirname(socket)
  assert.ok(folder.startsWith(process.env['XDG_RUNTIME_DIR'] || tmpdir()))
  assert.equal((await stat(folder)).mode & 0o777, 0o700)
  await api.close()
  await assert.rejects(stat(folder), { code: 'ENOENT' })
})

test('a given port that is taken is an error; in place of the default port another is used and remembered', async t => {
  const dataDir = await temporaryFolder(t)
  const start = async (listen?: { host: string; port: number }) => {
    const api = await serveApi(new FakeNode(), { dataDir, listen })
    t.after(() => api.close())
    return { api, port: Number(new URL(api.url).port) }
  }
  const first = await start()
  const { port } = first
  await first.api.close()
  const second = await start()
  assert.equal(second.port, port)
  await second.api.close()
  const other = createServer().listen(port, '127.0.0.1')
  await new Promise(resolve => other.once('listening', resolve))
  t.after(() => other.close())
  await assert.rejects(start({ host: '127.0.0.1', port }), {
    code: 'port-taken',
    message: `127.0.0.1:${port}: another program is using this port: stop it, or give another --api`
  })
  assert.ok(!(await readdir(dataDir)).includes('api.json'))
  const third = await start()
  assert.notEqual(third.port, port)
  assert.equal(Number(await readFile(join(dataDir, 'api-port'), 'utf8')), third.port)
})

test('the API refuses to listen beyond loopback', async t => {
  const dataDir = await temporaryFolder(t)
  for (const host of ['0.0.0.0', '::', '192.168.1.2', 'example.org'])
    await assert.rejects(serveApi(new FakeNode(), { dataDir, listen: { host, port: 0 } }), { code: 'invalid' })
  assert.deepEqual(await readdir(dataDir), [])
})
