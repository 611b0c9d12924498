import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { link, open, readFile, rename, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { encodeNamedFile, FILE_HEADER, type NamedFile, namedFile } from '../../../src/contract/named-file.ts'
import { type Served, serveFake } from '../../fixtures/api.ts'
import { Fault } from '../../fixtures/fake-node.ts'
import { temporaryFolder } from '../../fixtures/nodes.ts'

const MIB = 1 << 20

interface Setup extends Served {
  folder: string
  /** Sends a request that names a file, through the socket. Returns the status and the lines of the answer. */
  name(method: string, path: string, file: NamedFile): Promise<{ status: number; lines: Record<string, unknown>[] }>
}

async function setUp(t: TestContext): Promise<Setup> {
  const served = await serveFake(t)
  const { socket: socketPath, token } = served
  const name: Setup['name'] = async (method, path, file) => {
    const headers = { authorization: `Bearer ${token}`, [FILE_HEADER]: encodeNamedFile(file) }
    let text = ''
    const status = await new Promise<number>((resolve, reject) => {
      const outgoing = request({ socketPath, method, path, headers }, response => {
        response.setEncoding('utf8').on('data', part => {
          text += part
        })
        response.on('end', () => resolve(response.statusCode ?? 0))
      })
      outgoing.on('error', reject).end()
    })
    return {
      status,
      lines: text
        .trim()
        .split('\n')
        .map(line => JSON.parse(line))
    }
  }
  return { ...served, folder: await temporaryFolder(t), name }
}

/** Returns the code of the error in the last line. */
function codeOf(lines: readonly Record<string, unknown>[]): string | undefined {
  return (lines.at(-1)?.['error'] as { code: string } | undefined)?.code
}

async function named(path: string): Promise<NamedFile> {
  return namedFile(path, await stat(path, { bigint: true }))
}

test('a put reads a named file of several pieces by itself, and says how much it has read', async t => {
  const { node, folder, name } = await setUp(t)
  const bytes = randomBytes(3 * MIB + 12_345)
  const path = join(folder, 'a file')
  await writeFile(path, bytes)
  const { status, lines } = await name('PUT', '/v1/files/f?mode=640', await named(path))
  assert.equal(status, 200)
  const last = lines.at(-1) as { bytes: number; result: { path: string; size: number } }
  assert.deepEqual([last.bytes, last.result.path, last.result.size], [bytes.byteLength, '/f', bytes.byteLength])
  assert.ok(bytes.equals(node.files.get('/f')?.bytes ?? Buffer.alloc(0)))
  assert.equal(node.files.get('/f')?.mode, 0o640)
})

test('a named file is used only through the socket, and only if it is exactly as the client says', async t => {
  const { node, folder, name, ask } = await setUp(t)
  const path = join(folder, 'secret')
  await writeFile(path, 'bytes that a stranger may not see')
  const file = await named(path)
  const overTcp = await ask('PUT', '/v1/files/f', { [FILE_HEADER]: encodeNamedFile(file) })
  assert.equal(overTcp.status, 422)
  const guesses: Array<Partial<NamedFile>> = [
    { ctimeNs: `${BigInt(file.ctimeNs) + 1n}` },
    { mtimeNs: `${BigInt(file.mtimeNs) - 1n}` },
    { ino: `${BigInt(file.ino) + 1n}` },
    { dev: `${BigInt(file.dev) + 1n}` },
    { size: '1' },
    { path: `${path} that does not exist` }
  ]
  for (const guess of guesses) {
    const { status, lines } = await name('PUT', '/v1/files/f', { ...file, ...guess })
    assert.deepEqual([status, codeOf(lines)], [422, 'file-unusable'])
    assert.ok(!JSON.stringify(lines).includes(folder), 'no path is repeated')
  }
  await symlink(path, join(folder, 'link'))
  assert.equal((await name('PUT', '/v1/files/f', { ...file, path: join(folder, 'link') })).status, 422)
  assert.equal((await name('PUT', '/v1/files/f', { ...file, path: 'secret' })).status, 400)
  assert.deepEqual([...node.files.keys()], [])
})

test('a named file that changes while it is read is not put', async t => {
  const { node, folder, name } = await setUp(t)
  const path = join(folder, 'f')
  const changes: Array<() => Promise<void>> = [
    async () => writeFile(path, 'short'),
    async () => writeFile(path, 'longer', { flag: 'a' }),
    async () => utimes(path, 1, 1)
  ]
  for (const change of changes) {
    await writeFile(path, randomBytes(4 * MIB))
    node.hooks.put = async (_path, source) => {
      let pieces = 0
      for await (const _ of source as AsyncIterable<Uint8Array>) if (++pieces === 2) await change()
      throw new Error('the source should have failed')
    }
    const { lines } = await name('PUT', '/v1/files/f', await named(path))
    assert.equal(codeOf(lines), 'file-changed')
  }
})

test('a put of a named file that fails says why, and the connection serves the next request', async t => {
  const { node, folder, name } = await setUp(t)
  const path = join(folder, 'f')
  await writeFile(path, randomBytes(2 * MIB))
  node.hooks.put = async (_path, source) => {
    for await (const _ of source as AsyncIterable<Uint8Array>) throw new Fault('no-space', 'this node is full')
    throw new Error('no bytes came')
  }
  const { lines } = await name('PUT', '/v1/files/f', await named(path))
  assert.deepEqual(lines.at(-1), { error: { code: 'no-space', message: 'this node is full' } })
  node.hooks = {}
  assert.equal((await name('PUT', '/v1/files/f', await named(path))).status, 200)
})

test('a get fills a named file that the client has just created', async t => {
  const { node, folder, name } = await setUp(t)
  const bytes = randomBytes(MIB + 1)
  node.set('/f', bytes)
  const path = join(folder, 'new')
  await (await open(path, 'wx', 0o600)).close()
  const { lines } = await name('GET', '/v1/files/f', await named(path))
  const last = lines.at(-1) as { bytes: number; result: { from: Array<{ bytes: number }> } }
  assert.deepEqual([last.bytes, last.result.from[0]?.bytes], [bytes.byteLength, bytes.byteLength])
  assert.ok(bytes.equals(await readFile(path)))
})

test('a get does not write into a file that has bytes or another name, or that has been replaced', async t => {
  const { node, folder, name } = await setUp(t)
  node.set('/f', 'bytes')
  const path = join(folder, 'old')
  await writeFile(path, 'old bytes')
  assert.equal((await name('GET', '/v1/files/f', await named(path))).status, 422)
  assert.equal(await readFile(path, 'utf8'), 'old bytes')

  const linked = join(folder, 'linked')
  await writeFile(linked, '')
  await link(linked, join(folder, 'other name'))
  assert.equal((await name('GET', '/v1/files/f', await named(linked))).status, 422)

  const first = join(folder, 'first')
  await writeFile(first, '')
  const file = await named(first)
  await writeFile(join(folder, 'second'), '')
  await rename(join(folder, 'second'), first)
  assert.equal((await name('GET', '/v1/files/f', file)).status, 422)
  assert.equal((await stat(first)).size, 0)
})

test('a get into a named file that breaks off says why', async t => {
  const { node, folder, name } = await setUp(t)
  node.set('/f', randomBytes(MIB), {
    failsAfter: { bytes: MIB / 2, error: new Fault('corrupt', 'no copy of a block is whole') }
  })
  const path = join(folder, 'new')
  await writeFile(path, '')
  const { lines } = await name('GET', '/v1/files/f', await named(path))
  assert.deepEqual(lines.at(-1), { error: { code: 'corrupt', message: 'no copy of a block is whole' } })
})
