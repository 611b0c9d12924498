import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { test } from 'node:test'
import { SMALL_BODIES_BYTES_MAX } from '../../../src/http/constants.ts'
import { serveFake } from '../../fixtures/api.ts'
import { Fault } from '../../fixtures/fake-node.ts'
import { until } from '../../fixtures/nodes.ts'

const MIB = 1 << 20

test('every answer with a file forbids a browser to run it as a page', async t => {
  const { node, ask } = await serveFake(t)
  const cases: Array<[string | undefined, string, string]> = [
    ['text/html', 'text/html', 'attachment'],
    ['image/svg+xml', 'image/svg+xml', 'attachment'],
    ['image/png', 'image/png', 'inline'],
    ['video/mp4', 'video/mp4', 'inline'],
    ['application/pdf', 'application/pdf', 'inline'],
    ['text/plain; charset=utf-8', 'text/plain; charset=utf-8', 'inline'],
    ['text/plain\r\nx: y', 'application/octet-stream', 'attachment'],
    ['nonsense', 'application/octet-stream', 'attachment'],
    [undefined, 'application/octet-stream', 'attachment']
  ]
  for (const [type, sent, disposition] of cases) {
    node.set('/f', 'bytes', { type })
    for (const [method, headers, status] of [
      ['GET', {}, 200],
      ['HEAD', {}, 200],
      ['GET', { range: 'bytes=1-2' }, 206],
      ['GET', { 'if-none-match': '*' }, 304]
    ] as const) {
      const answer = await ask(method, '/v1/files/f', headers)
      assert.equal(answer.status, status)
      if (status !== 304) assert.equal(answer.headers['content-type'], sent)
      assert.equal(answer.headers['content-disposition'], disposition, `${type}`)
      assert.equal(answer.headers['content-security-policy'], 'sandbox')
      assert.equal(answer.headers['x-content-type-options'], 'nosniff')
      assert.equal(answer.headers['cache-control'], 'private, no-cache')
    }
  }
})

test('a range has its headers even if it spans the whole file, and HEAD ignores it', async t => {
  const { node, ask } = await serveFake(t)
  node.set('/f', '0123456789')
  const part = await ask('GET', '/v1/files/f', { range: 'bytes=3-5' })
  assert.deepEqual([part.status, part.text, part.headers['content-range']], [206, '345', 'bytes 3-5/10'])
  const all = await ask('GET', '/v1/files/f', { range: 'bytes=0-' })
  assert.deepEqual([all.status, all.headers['content-range']], [206, 'bytes 0-9/10'])
  const beyond = await ask('GET', '/v1/files/f', { range: 'bytes=10-' })
  assert.deepEqual([beyond.status, beyond.headers['content-range']], [416, 'bytes */10'])
  const head = await ask('HEAD', '/v1/files/f', { range: 'bytes=3-5' })
  assert.deepEqual([head.status, head.headers['content-length'], head.headers['content-range']], [200, '10', undefined])
  const { etag } = head.headers
  const same = await ask('GET', '/v1/files/f', { range: 'bytes=3-5', 'if-range': etag as string })
  assert.equal(same.text, '345')
  const other = await ask('GET', '/v1/files/f', { range: 'bytes=3-5', 'if-range': '"other"' })
  assert.deepEqual([other.status, other.text], [200, '0123456789'])
})

test('a range is of the content that was looked up, also if the file is replaced meanwhile', async t => {
  const { node, ask } = await serveFake(t)
  node.set('/f', 'old content')
  const get = node.get.bind(node)
  let lookups = 0
  node.get = async (path, options) => {
    lookups++
    const file = await get(path, options)
    node.set('/f', 'new content')
    return file
  }
  const { status, text } = await ask('GET', '/v1/files/f', { range: 'bytes=0-2' })
  assert.deepEqual([status, text, lookups], [206, 'old', 1])
})

test('a put passes its options on to the node', async t => {
  const { node, ask } = await serveFake(t)
  const modified = '2020-01-02T03:04:05.678Z'
  const query = `?replicas=all&ack=2&mode=640&noClobber=true&modified=${modified}`
  const { status, headers } = await ask('PUT', `/v1/files/d/f${query}`, { 'content-type': 'text/plain' }, 'bytes')
  assert.equal(status, 201)
  assert.equal(headers.etag, `"${node.files.get('/d/f')?.tag}"`)
  const { signal, ...options } = (node.calls[0]?.options ?? {}) as Record<string, unknown>
  assert.ok(signal instanceof AbortSignal)
  const wanted = { replicas: 'all', ack: 2, modified: new Date(modified), mode: 0o640, type: 'text/plain' }
  assert.deepEqual(options, { ...wanted, noClobber: true })
  for (const bad of ['replicas=x', 'ack=', 'mode=999', 'mode=17777', 'modified=yesterday'])
    assert.equal((await ask('PUT', `/v1/files/f?${bad}`, {}, 'x')).status, 400, bad)
  assert.equal((await ask('PUT', '/v1/files/f', { 'if-match': '"a"', 'if-none-match': '*' }, 'x')).status, 400)
  assert.equal((await ask('PUT', '/v1/files/f', { 'if-none-match': '"a"' }, 'x')).status, 400)
})

test('a put that fails in the middle of its body still answers with the reason', async t => {
  const { node, ask } = await serveFake(t)
  node.hooks.put = async (_path, source) => {
    for await (const _ of source as AsyncIterable<Uint8Array>) throw new Fault('no-space', 'this node is full')
    throw new Error('no bytes came')
  }
  const answer = await ask('PUT', '/v1/files/f', {}, randomBytes(32 * MIB))
  assert.equal(answer.status, 507)
  assert.deepEqual(JSON.parse(answer.text), { error: { code: 'no-space', message: 'this node is full' } })
  // The server does not take the rest of the body for a request.
  assert.equal((await ask('GET', '/healthz')).status, 200)
})

test('a refusal before the body is read reaches a client that goes on sending', async t => {
  const { ask } = await serveFake(t)
  assert.equal((await ask('PUT', '/v1/files/f', { authorization: '' }, randomBytes(32 * MIB))).status, 401)
  assert.equal((await ask('GET', '/healthz')).status, 200)
})

test('a download that fails midway is cut off, and its transfer says why', async t => {
  const { node, ask, open } = await serveFake(t)
  const error = new Fault('corrupt', 'no copy of a block is whole')
  node.set('/f', randomBytes(MIB), { failsAfter: { bytes: MIB / 2, error } })
  const response = await open('GET', '/v1/files/f')
  assert.equal(response.statusCode, 200)
  await assert.rejects(async () => {
    for await (const _ of response);
  })
  const transfer = await ask('GET', `/v1/transfers/${response.headers['dfs-transfer']}`)
  assert.deepEqual(JSON.parse(transfer.text), {
    done: true,
    from: [{ peerId: 'fake-peer', bytes: MIB / 2 }],
    error: { code: 'corrupt', message: 'no copy of a block is whole' }
  })
  assert.equal((await ask('GET', '/v1/transfers/none')).status, 404)
})

test('a failure before the first byte answers with its own status', async t => {
  const { node, ask } = await serveFake(t)
  node.set('/f', 'bytes', { failsAfter: { bytes: 0, error: new Fault('unreachable', 'nobody who has it is there') } })
  const answer = await ask('GET', '/v1/files/f')
  assert.equal(answer.status, 503)
  assert.deepEqual(JSON.parse(answer.text), { error: { code: 'unreachable', message: 'nobody who has it is there' } })
})

test('a file that ends too early breaks the connection', async t => {
  const { node, ask } = await serveFake(t)
  node.set('/f', 'bytes')
  const get = node.get.bind(node)
  node.hooks.get = async (path, options) => {
    delete node.hooks.get
    const file = await get(path, options)
    return { ...file, size: 9, range: { from: 0, to: 9 }, [Symbol.asyncIterator]: () => file[Symbol.asyncIterator]() }
  }
  await assert.rejects(ask('GET', '/v1/files/f'), { code: 'ECONNRESET' })
})

test('a client that goes away ends its download and its put', async t => {
  const { node, open, url, token } = await serveFake(t)
  node.set('/f', randomBytes(64 * MIB))
  const response = await open('GET', '/v1/files/f')
  const reading = node.calls.at(-1)?.options as { signal: AbortSignal }
  assert.equal(reading.signal.aborted, false)
  response.destroy()
  await until('the download ended', async () => reading.signal.aborted)

  let put: { error?: unknown; signal?: AbortSignal | undefined } = {}
  node.hooks.put = async (_path, source, options) => {
    put = { signal: options?.signal }
    try {
      for await (const _ of source as AsyncIterable<Uint8Array>);
      throw new Error('the body seemed to end')
    } catch (error) {
      put.error = error
      throw error
    }
  }
  const outgoing = request({
    hostname: url.hostname,
    port: url.port,
    method: 'PUT',
    path: '/v1/files/g',
    headers: { authorization: `Bearer ${token}` }
  })
  outgoing.on('error', () => {})
  outgoing.write(randomBytes(MIB))
  await until('the put began', async () => put.signal !== undefined)
  outgoing.destroy()
  await until('the put ended', async () => put.signal?.aborted === true && put.error !== undefined)
  assert.doesNotMatch(String(put.error), /seemed to end/)
})

test('the node reads no faster than the client', async t => {
  const { node, open } = await serveFake(t)
  let given = 0
  node.set('/f', '')
  const get = node.get.bind(node)
  node.hooks.get = async path => {
    delete node.hooks.get
    const size = 4096 * MIB
    async function* pieces(): AsyncGenerator<Uint8Array> {
      const piece = new Uint8Array(MIB)
      for (; given < size; given += MIB) yield piece
    }
    return { ...(await get(path)), size, range: { from: 0, to: size }, [Symbol.asyncIterator]: pieces }
  }
  const response = await open('GET', '/v1/files/f')
  let before = -1
  let looks = 0
  await until('the server asks the node for no more', async () => {
    looks = given === before ? looks + 1 : 0
    before = given
    return looks > 10
  })
  assert.ok(given < 64 * MIB, `${given} bytes were read for a reader who took none`)
  response.destroy()
})

test('the connection of a client that does not read is closed when the node needs the memory', async t => {
  const { node, open } = await serveFake(t)
  node.set('/f', '')
  const get = node.get.bind(node)
  let stalled: (() => void) | undefined
  let isEnded = false
  node.hooks.get = async (path, options) => {
    delete node.hooks.get
    stalled = options?.onStalled
    const size = 4096 * MIB
    async function* pieces(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield new Uint8Array(MIB)
      } finally {
        isEnded = true
      }
    }
    return { ...(await get(path)), size, range: { from: 0, to: size }, [Symbol.asyncIterator]: pieces }
  }
  const response = await open('GET', '/v1/files/f')
  const broken = new Promise(resolve => response.once('error', resolve))
  response.pause()
  stalled?.()
  await until('the server reads no more of the file', async () => isEnded)
  response.resume()
  assert.ok((await broken) instanceof Error)
})

test('an invalid time does not make a file unreadable', async t => {
  const { node, ask } = await serveFake(t)
  node.set('/f', 'bytes', { modified: new Date(Number.NaN) })
  const { status, headers } = await ask('GET', '/v1/files/f')
  assert.deepEqual([status, headers['dfs-modified']], [200, '1970-01-01T00:00:00.000Z'])
})

test('a version of a file is read with its own headers, whole or in part, and one that is gone is refused', async t => {
  const { node, ask } = await serveFake(t)
  node.set('/f', '0123456789')
  for (const [method, headers, text] of [
    ['GET', {}, '0123456789'],
    ['GET', { range: 'bytes=3-5' }, '345'],
    ['HEAD', {}, '']
  ] as const)
    assert.equal((await ask(method, '/v1/files/f?version=abcd', headers)).text, text)
  const asked = node.calls.map(({ call, options }) => [call, (options as { version?: string }).version])
  assert.deepEqual(asked, Array(3).fill(['get /f', 'abcd']))
  node.hooks.get = async () => {
    throw new Fault('expired', 'this version is gone')
  }
  const gone = await ask('GET', '/v1/files/f?version=abcd')
  assert.deepEqual(
    [gone.status, JSON.parse(gone.text)],
    [403, { error: { code: 'expired', message: 'this version is gone' } }]
  )
})

test('small bodies that come at the same time wait until there is memory for them, and one whose client goes away waits no more', async t => {
  const { node, ask, url, token } = await serveFake(t)
  const size = 192 << 10
  const most = Math.floor(SMALL_BODIES_BYTES_MAX / size)
  const gate = Promise.withResolvers<void>()
  let begun = 0
  node.hooks.put = async () => {
    begun++
    await gate.promise
    throw new Fault('no-space')
  }
  const putting = (path: string): ClientRequest => {
    const headers = { authorization: `Bearer ${token}`, 'content-length': size }
    const options = { hostname: url.hostname, port: url.port, method: 'PUT', path: `/v1/files/${path}`, headers }
    return request({ ...options, agent: false })
  }
  const put = async (path: string): Promise<number | undefined> => {
    const outgoing = putting(path).end('x'.repeat(size))
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
    response.resume()
    return response.statusCode
  }
  const all = Array.from({ length: most }, (_, i) => put(`${i}`))
  await until('as many are put as there is memory for', async () => begun === most)
  const gone = putting('gone').on('error', () => {})
  gone.write('x')
  const last = put('last')
  await new Promise(resolve => setTimeout(resolve, 100))
  assert.equal(begun, most)
  const json = JSON.stringify({ from: '/a', to: '/b' })
  assert.equal(
    (await ask('POST', '/v1/move', { 'content-type': 'application/json' }, json)).status,
    200,
    'a verb waits'
  )
  gone.destroy()
  gate.resolve()
  assert.deepEqual(new Set(await Promise.all([...all, last])), new Set([507]))
  assert.equal(begun, most + 1)
})
