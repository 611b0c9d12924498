import assert from 'node:assert/strict'
import { request } from 'node:http'
import { test } from 'node:test'
import fc from 'fast-check'
import { type BundleHead, encodeHead } from '../../../src/contract/bundle-head.ts'
import { type BundledFile, readBundle } from '../../../src/http/bundle.ts'
import { BUNDLED_AT_ONCE } from '../../../src/http/constants.ts'
import { serveFake } from '../../fixtures/api.ts'
import { Fault } from '../../fixtures/fake-node.ts'
import { until } from '../../fixtures/nodes.ts'

type File = [head: Omit<BundleHead, 'size'>, content: string | Uint8Array]

function bundleOf(...files: File[]): Buffer {
  return Buffer.concat(
    files.flatMap(([head, content]) => {
      const bytes = Buffer.from(content)
      return [encodeHead({ ...head, size: bytes.byteLength }), bytes]
    })
  )
}

/** Reads a bundle in pieces that end at the given places. */
async function read(bundle: Buffer, ends: readonly number[] = []): Promise<Array<Omit<BundledFile, 'release'>>> {
  async function* pieces(): AsyncGenerator<Buffer> {
    let start = 0
    for (const end of [...ends, bundle.byteLength]) {
      yield bundle.subarray(start, end)
      start = end
    }
  }
  const files: Array<Omit<BundledFile, 'release'>> = []
  for await (const { item, head, bytes, release } of readBundle(pieces())) {
    files.push({ item, head, bytes: Buffer.from(bytes) })
    release()
  }
  return files
}

interface Line {
  item?: number
  result?: { path: string; size: number; tag: string }
  error?: { code: string; message: string }
}

function linesIn(text: string): Line[] {
  const parsed = text
    .split('\n')
    .slice(0, -1)
    .map(line => JSON.parse(line) as Line)
  return parsed.sort((a, b) => (a.item ?? Number.POSITIVE_INFINITY) - (b.item ?? Number.POSITIVE_INFINITY))
}

test('the encoding of a bundle is the frozen one', async () => {
  const bundle = bundleOf(
    [{ path: '/a', modified: '2026-01-02T03:04:05.678Z', mode: '644', type: 'text/plain' }, 'hello\n'],
    [{ path: '/ü/"\n' }, '']
  )
  const frozen =
    '{"path":"/a","modified":"2026-01-02T03:04:05.678Z","mode":"644","type":"text/plain","size":6}\nhello\n' +
    '{"path":"/ü/\\"\\n","size":0}\n'
  assert.equal(bundle.toString('utf8'), frozen)
  const [first, second] = await read(bundle)
  assert.deepEqual([first?.item, first?.head.path, Buffer.from(first?.bytes ?? []).toString()], [0, '/a', 'hello\n'])
  assert.deepEqual([second?.item, second?.head.path, second?.bytes.byteLength], [1, '/ü/"\n', 0])
})

test('a bundle is read in the same way, however it is cut into pieces', async () => {
  const file = fc.tuple(fc.record({ path: fc.string({ unit: 'binary' }) }), fc.uint8Array({ maxLength: 300 }))
  await fc.assert(
    fc.asyncProperty(fc.array(file, { maxLength: 6 }), fc.array(fc.nat(), { maxLength: 8 }), async (files, cuts) => {
      const bundle = bundleOf(...files.filter(([{ path }]) => path.isWellFormed()))
      const ends = cuts.map(cut => cut % (bundle.byteLength + 1)).sort((a, b) => a - b)
      assert.deepEqual(await read(bundle, ends), await read(bundle))
      const all = Array.from({ length: bundle.byteLength }, (_, i) => i)
      assert.deepEqual(await read(bundle, all), await read(bundle))
      assert.equal((await read(bundle)).length, files.filter(([{ path }]) => path.isWellFormed()).length)
    }),
    { numRuns: 50 }
  )
})

test('each file of a bundle is put with its own facts and gets its own answer', async t => {
  const { node, ask } = await serveFake(t)
  node.set('/there', 'before')
  const files: File[] = [
    [{ path: '/a b/ü.txt', modified: '2026-01-02T03:04:05.678Z', mode: '640', type: 'text/plain' }, 'one'],
    [{ path: '/there' }, 'two'],
    [{ path: '/mode', mode: 'rwx' }, 'three'],
    [{ path: '/when', modified: 'noon' }, 'four'],
    [{ path: '/long', type: 'x'.repeat(256) }, 'five'],
    [{ path: '/empty' }, ''],
    [{ path: '/largest' }, Buffer.alloc(192 << 10, 7)]
  ]
  const answer = await ask('POST', '/v1/files?noClobber=true&replicas=2&ack=1', {}, bundleOf(...files))
  assert.deepEqual([answer.status, answer.headers['content-type']], [200, 'application/x-ndjson'])
  const lines = linesIn(answer.text)
  assert.deepEqual(
    lines.map(({ item, result, error }) => [item, result?.size ?? error?.code]),
    [
      [0, 3],
      [1, 'exists'],
      [2, 'invalid'],
      [3, 'invalid'],
      [4, 'invalid'],
      [5, 0],
      [6, 192 << 10]
    ]
  )
  const first = node.files.get('/a b/ü.txt')
  assert.deepEqual(
    [Buffer.from(first?.bytes ?? []).toString(), first?.modified.toISOString(), first?.mode, first?.type],
    ['one', '2026-01-02T03:04:05.678Z', 0o640, 'text/plain']
  )
  assert.deepEqual(node.files.get('/largest')?.bytes, Buffer.alloc(192 << 10, 7))
  assert.equal(Buffer.from(node.files.get('/there')?.bytes ?? []).toString(), 'before')
  for (const { options } of node.calls.filter(({ call }) => call.startsWith('put')))
    assert.deepEqual([(options as { replicas: number }).replicas, (options as { ack: number }).ack], [2, 1])
  for (const query of ['replicas=many', 'ack=-1'])
    assert.equal((await ask('POST', `/v1/files?${query}`, {}, bundleOf([{ path: '/x' }, 'x']))).status, 400)
})

test('the last line says what is wrong with a bundle, and the complete files before that are put', async t => {
  const { node, ask } = await serveFake(t)
  const whole = bundleOf([{ path: '/whole' }, 'whole'])
  const head = (fields: object): string => `${JSON.stringify(fields)}\n`
  const wrong: Array<string | Buffer> = [
    'no json\n',
    '\n',
    '[]\n',
    head({ path: '/f' }),
    head({ path: '/f', size: -1 }),
    head({ path: '/f', size: 1.5 }),
    head({ path: '/f', size: '1' }),
    head({ path: 7, size: 1 }),
    head({ path: '/f', size: 0, more: true }),
    head({ path: '/f', size: (192 << 10) + 1 }),
    head({ path: `/${'x'.repeat(65 << 10)}`, size: 0 }),
    'x'.repeat(65 << 10),
    Buffer.concat([Buffer.from('{"path":"/'), Buffer.from([0xff]), Buffer.from('","size":0}\n')]),
    // Cut off in a line, and in the bytes of a file.
    '{"path":"/f","si',
    `${head({ path: '/f', size: 5 })}abcd`
  ]
  for (const bytes of wrong) {
    node.files.clear()
    const answer = await ask('POST', '/v1/files', {}, Buffer.concat([whole, Buffer.from(bytes)]))
    const lines = linesIn(answer.text)
    const label = bytes.toString().slice(0, 60)
    assert.equal(answer.status, 200)
    assert.deepEqual([lines.length, lines[0]?.item, lines[0]?.result?.path], [2, 0, '/whole'], label)
    assert.deepEqual([lines[1]?.item, lines[1]?.error?.code], [undefined, 'invalid'], label)
    assert.deepEqual([...node.files.keys()], ['/whole'], label)
  }
  assert.equal((await ask('POST', '/v1/files', {}, '')).text, '')
})

test('a failure of the node answers its own file, in words of ours', async t => {
  const { node, ask } = await serveFake(t)
  node.hooks.put = async path => {
    throw path === '/full' ? new Fault('no-space') : new Error('/home/me/secret is not there')
  }
  const { text } = await ask('POST', '/v1/files', {}, bundleOf([{ path: '/full' }, 'a'], [{ path: '/odd' }, 'b']))
  assert.deepEqual(linesIn(text), [
    { item: 0, error: { code: 'no-space', message: 'no-space' } },
    { item: 1, error: { code: 'io', message: 'something went wrong' } }
  ])
})

test('a bundle has a bounded number of files under way, and a client that goes away ends them', async t => {
  const { node, url, token } = await serveFake(t)
  let underWay = 0
  let most = 0
  node.hooks.put = (_path, _source, options) => {
    most = Math.max(most, ++underWay)
    return new Promise((_resolve, reject) => {
      options?.signal?.addEventListener('abort', () => {
        underWay--
        reject(options.signal?.reason)
      })
    })
  }
  const headers = { authorization: `Bearer ${token}` }
  const { hostname, port } = url
  const outgoing = request({ hostname, port, method: 'POST', path: '/v1/files', headers })
  outgoing.on('error', () => {})
  const files = Array.from({ length: BUNDLED_AT_ONCE + 44 }, (_, i): File => [{ path: `/${i}` }, 'x'])
  outgoing.write(bundleOf(...files))
  await until('the puts are under way', async () => underWay === BUNDLED_AT_ONCE)
  assert.equal(most, BUNDLED_AT_ONCE)
  outgoing.destroy()
  await until('the puts have ended', async () => underWay === 0)
  assert.equal(most, BUNDLED_AT_ONCE)
})
