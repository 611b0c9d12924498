import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { before, type TestContext, test } from 'node:test'
import { serveApi } from '../../src/http/server.ts'
import { createNode, type DfsNode } from '../../src/index.ts'
import { temporaryFolder } from '../fixtures/nodes.ts'

/** What a client that builds its requests by hand gets from the API of a real node. */

interface Answer {
  status: number
  head: string
  body: string
}

interface AskOptions {
  /** Further headers, each with its line end. */
  headers?: string
  host?: string
  token?: string
  /** True for a client that goes away once it has sent this. */
  goes?: boolean
}

let node: DfsNode
let ask: (line: string, options?: AskOptions) => Promise<Answer>
const TYPES = { '/page': 'text/html', '/picture': 'image/png', '/drawing': 'image/svg+xml' }

before(async suite => {
  const t = suite as TestContext
  const dataDir = await temporaryFolder(t)
  node = await createNode({ dataDir, found: true, mdns: false, listen: ['/ip4/127.0.0.1/tcp/0'] })
  t.after(() => node.stop())
  const api = await serveApi(node, { dataDir, listen: { host: '127.0.0.1', port: 0 } })
  t.after(() => api.close())
  const { token } = JSON.parse(await readFile(join(dataDir, 'api.json'), 'utf8')) as { token: string }
  const port = Number(new URL(api.url).port)
  ask = (line, options = {}) => {
    const { headers = '', host = `127.0.0.1:${port}` } = options
    const authorization = `Authorization: Bearer ${options.token ?? token}\r\n`
    const [first, ...rest] = `${line}\r\n`.split('\r\n')
    const request = `${first} HTTP/1.1\r\nHost: ${host}\r\n${authorization}Connection: close\r\n${headers}${rest.join('\r\n')}\r\n`
    return new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => {
        if (options.goes === true) socket.end(request, 'latin1')
        else socket.write(request, 'latin1')
      })
      let text = ''
      socket.setEncoding('latin1').on('data', part => {
        text += part
      })
      socket.on('error', reject)
      socket.on('close', () => {
        const end = text.indexOf('\r\n\r\n')
        const status = Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0)
        resolve({ status, head: text.slice(0, end).toLowerCase(), body: text.slice(end + 4) })
      })
    })
  }
  await node.put('/abc', Buffer.from('hello'))
  for (const other of ['/es/abc', '/s/abc']) await node.put(other, Buffer.from('OTHER FILE'))
  await node.put('/caf\u00e9', Buffer.from('coffee'))
  await node.put('/a;b', Buffer.from('semicolon'))
  for (const [path, type] of Object.entries(TYPES)) await node.put(path, Buffer.from('<script>1</script>'), { type })
  await node.put('/evil', Buffer.from('x'), { type: 'text/plain\r\nset-cookie: a=b' })
})

test('a target means exactly the path that it spells', async () => {
  const found: Array<[string, string]> = [
    ['/v1/files/abc', 'hello'],
    ['/v1/files/%61bc', 'hello'],
    ['/v1/files/abc?x=/v1/files/es/abc', 'hello'],
    ['/v1/files/es/abc', 'OTHER FILE'],
    ['/v1/files/caf%C3%A9', 'coffee'],
    ['/v1/files/a;b', 'semicolon']
  ]
  for (const [target, body] of found) {
    const answer = await ask(`GET ${target}`)
    assert.deepEqual([answer.status, answer.body], [200, body], target)
  }
})

test('a target in any other form is refused', async () => {
  const refused: Array<[string, number]> = [
    // These spell the route differently, and the router would match them.
    ['/v1/%66iles/abc', 404],
    ['/v1/fil%65s/abc', 404],
    ['/%76%31/files/abc', 404],
    ['/v1/%73tatus', 404],
    ['/v1/%74ransfers/1', 404],
    ['/v1/%6cist/', 404],
    ['/V1/files/abc', 404],
    ['//v1/files/abc', 404],
    ['/v1//files/abc', 404],
    ['/v1/files', 404],
    ['/./v1/files/abc', 404],
    ['/v1/x/../files/abc', 404],
    ['/v1%2Ffiles/abc', 404],
    ['/v1/files%2Fabc', 404],
    ['/v1/status/', 404],
    ['/v1/transfers/__proto__', 404],
    ['/v1/stat/__proto__', 404],
    // No path of the network is written like this.
    ['/v1/files/x/%2e%2e/abc', 400],
    ['/v1/files/x/../abc', 400],
    ['/v1/files/./abc', 400],
    ['/v1/files//abc', 400],
    ['/v1/files/es%2Fabc', 400],
    ['/v1/files/abc%00', 400],
    ['/v1/files/%zz', 400],
    ['/v1/files/%ff', 400],
    // Not a path and a query in ASCII.
    ['/v1/files/abc#x', 400],
    ['/v1/files/caf\u00c3\u00a9', 400],
    ['http://evil.example/v1/files/abc', 400],
    ['http://127.0.0.1/v1/files/abc', 400]
  ]
  for (const [target, status] of refused) assert.equal((await ask(`GET ${target}`)).status, status, target)
  assert.ok([400, 404].includes((await ask('GET *')).status))
  assert.ok([400, 404].includes((await ask('OPTIONS *')).status))
  assert.equal((await ask('TRACE /v1/files/abc')).status, 404)
})

test('no way to write a route gets around the token, and no host name but that of the API is accepted', async () => {
  for (const target of ['/v1/files/abc', '/v1/%66iles/abc', '/%68ealthz', '/healthz/', '/v1/files/abc#/healthz'])
    assert.equal((await ask(`GET ${target}`, { token: 'x' })).status, 401, target)
  assert.equal((await ask('GET /healthz', { token: 'x' })).status, 200)
  for (const target of ['/v1/files/abc', '/healthz'])
    assert.equal((await ask(`GET ${target}`, { host: 'evil.example' })).status, 403, target)
  assert.equal((await ask('GET /v1/files/abc', { headers: 'Origin: null\r\n' })).status, 403)
  for (const second of ['evil.example', '127.0.0.1'])
    assert.equal((await ask('GET /v1/files/abc', { headers: `HOST: ${second}\r\n` })).status, 400, second)
})

test('a stored media type adds no header, and no browser runs a stored page', async () => {
  const evil = await ask('GET /v1/files/evil')
  assert.match(evil.head, /^content-type: application\/octet-stream$/m)
  assert.doesNotMatch(evil.head, /cookie/)
  for (const [path, type] of Object.entries(TYPES)) {
    const { head } = await ask(`GET /v1/files${path}`)
    assert.ok(head.includes(`content-type: ${type}\r\n`), head)
    assert.match(head, /^content-security-policy: sandbox$/m)
    assert.match(head, /^x-content-type-options: nosniff$/m)
    assert.match(head, type === 'image/png' ? /^content-disposition: inline$/m : /^content-disposition: attachment$/m)
  }
})

test('ranges and conditions are answered as RFC 9110 says', async () => {
  const answers: Array<[string, number, string]> = [
    ['Range: bytes=1-3', 206, 'ell'],
    ['Range: bytes=0-0', 206, 'h'],
    ['Range: bytes=-3', 206, 'llo'],
    ['Range: bytes=-99', 206, 'hello'],
    ['Range: bytes=0-99999999999999999999999', 206, 'hello'],
    ['Range: bytes=3-1', 200, 'hello'],
    ['Range: bytes=0-1,3-4', 200, 'hello'],
    ['Range: lines=0-1', 200, 'hello'],
    ['If-None-Match: *', 304, ''],
    ['If-Match: "other"', 412, '']
  ]
  for (const [header, status, body] of answers) {
    const answer = await ask('GET /v1/files/abc', { headers: `${header}\r\n` })
    assert.equal(answer.status, status, header)
    if (status < 400) assert.equal(answer.body, body, header)
  }
  for (const range of ['5-', '-0', '99999999999999999999999-']) {
    const { status, head } = await ask('GET /v1/files/abc', { headers: `Range: bytes=${range}\r\n` })
    assert.equal(status, 416, range)
    assert.match(head, /^content-range: bytes \*\/5$/m)
  }
})

test('a put with a malformed body, query or time stores nothing', async () => {
  const put = 'PUT /v1/files/q'
  assert.equal((await ask(`${put}\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`)).status, 400)
  assert.notEqual((await ask(`${put}\r\nContent-Length: 30\r\n\r\nabc`, { goes: true })).status, 201)
  assert.notEqual((await ask(`${put}\r\nContent-Length: 100000\r\n\r\nabc`, { goes: true })).status, 201)
  assert.notEqual((await ask(`${put}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n`, { goes: true })).status, 201)
  for (const query of ['replicas=0', 'replicas=x', 'ack=256', 'modified=9999999999999', 'modified=1', 'mode=8'])
    assert.equal((await ask(`${put}?${query}\r\nContent-Length: 3\r\n\r\nabc`)).status, 400, query)
  assert.equal((await ask('GET /v1/files/q')).status, 404)
  const early = '-200000-01-01T00:00:00.000Z'
  assert.equal((await ask(`${put}?modified=${early}\r\nContent-Length: 3\r\n\r\nabc`)).status, 201)
  const { head, body } = await ask('GET /v1/files/q')
  assert.deepEqual([head.includes(`dfs-modified: ${early.toLowerCase()}`), body], [true, 'abc'])
})
