import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { appendFile, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { connected, type Daemon, type DaemonOptions, startDaemon, until } from '../../scripts/lib/daemon.ts'
import { temporaryFolder } from '../fixtures/nodes.ts'

const never = new AbortController().signal
const MIB = 1 << 20

async function daemon(t: TestContext, options: DaemonOptions): Promise<Daemon> {
  const started = await startDaemon({
    ...options,
    fromSource: true,
    args: ['--no-mdns', '--api', '127.0.0.1:0', '--listen', '/ip4/127.0.0.1/tcp/0', ...(options.args ?? [])]
  })
  t.after(() => started.stop())
  return started
}

async function cluster(
  t: TestContext,
  size: number,
  args: string[] = []
): Promise<{ folder: string; daemons: Daemon[] }> {
  const folder = await temporaryFolder(t)
  const daemons: Daemon[] = []
  for (let i = 0; i < size; i++) {
    const first = daemons[0]
    const how = first === undefined ? ['--new'] : ['--bootstrap', first.multiaddrs[0] as string]
    const keys = ['--network-key-file', join(folder, 'key')]
    daemons.push(await daemon(t, { name: `n${i}`, dataDir: join(folder, `n${i}`), args: [...keys, ...how, ...args] }))
  }
  await connected(daemons)
  return { folder, daemons }
}

async function* random(bytes: number, hash: ReturnType<typeof createHash>): AsyncGenerator<Buffer> {
  for (let sent = 0; sent < bytes; sent += MIB) {
    const piece = randomBytes(Math.min(MIB, bytes - sent))
    hash.update(piece)
    yield piece
  }
}

async function digest(source: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of source) hash.update(piece)
  return hash.digest('hex')
}

async function all(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const part of source) parts.push(part)
  return Buffer.concat(parts)
}

test('a large file survives the node that stored it, whole and in ranges, in bounded memory', {
  timeout: 1_200_000
}, async t => {
  const isLong = process.env['DFS_LONG'] === '1'
  const size = (isLong ? 2048 : 96) * MIB + 12_345
  const { daemons } = await cluster(t, 3, ['--replicas', '2'])
  const [a, b, c] = daemons as [Daemon, Daemon, Daemon]
  const hash = createHash('sha256')
  const { reached, wanted } = await a.client.put('/large', random(size, hash), { size }, never)
  assert.equal(wanted, 2)
  assert.ok(reached.length >= 2)
  const expected = hash.digest('hex')
  const peaks = [await a.peakRss()]
  await a.kill()
  assert.equal(await digest((await c.client.get('/large', undefined, never)).body), expected)
  const whole = createHash('sha256')
  for (let from = 0; from < size; from += 700 * MIB + 1) {
    const to = Math.min(size, from + 700 * MIB + 1) - 1
    for await (const piece of (await b.client.get('/large', { range: { from, to } }, never)).body) whole.update(piece)
  }
  assert.equal(whole.digest('hex'), expected)
  const tail = await all((await c.client.get('/large', { range: { from: size - 5, to: undefined } }, never)).body)
  assert.equal(tail.byteLength, 5)
  peaks.push(await b.peakRss(), await c.peakRss())
  t.diagnostic(`peak RSS: ${peaks.map(peak => `${(peak / MIB).toFixed(0)} MiB`).join(', ')}`)
  // No process ever holds a whole file, so its memory does not grow with the file.
  if (isLong) for (const peak of peaks) assert.ok(peak < 300 * MIB)
})

test('a node that is killed at any moment comes back with everything that it acknowledged', {
  timeout: 300_000
}, async t => {
  const folder = await temporaryFolder(t)
  const options = { name: 'solo', dataDir: join(folder, 'solo'), args: ['--new'] }
  const kept = new Map<string, Buffer>()
  for (let round = 0; round < 4; round++) {
    const node = await daemon(t, options)
    for (const [path, bytes] of kept)
      assert.ok((await all((await node.client.get(path, undefined, never)).body)).equals(bytes))
    const enough = kept.size + 8 + 8 * round
    const writers = Array.from({ length: 8 }, async (_, w) => {
      for (let i = 0; kept.size < enough; i++) {
        const path = `/${round}/${w}-${i}`
        const bytes = randomBytes(i % 5 === 0 ? 200_000 : 3_000)
        await node.client.put(path, once(bytes), {}, never)
        kept.set(path, bytes)
      }
    })
    await Promise.race(writers)
    await node.kill()
    await Promise.allSettled(writers)
  }
  assert.ok(kept.size > 20)
})

test('an index that was deleted or garbled is rebuilt, and nothing is lost', { timeout: 300_000 }, async t => {
  const folder = await temporaryFolder(t)
  const options = { name: 'solo', dataDir: join(folder, 'solo'), args: ['--new'] }
  const files = Array.from({ length: 60 }, (_, i) => ({ path: `/d${i % 3}/f${i}`, bytes: randomBytes(i * 1_000) }))
  let node = await daemon(t, options)
  for (const { path, bytes } of files) await node.client.put(path, once(bytes), {}, never)
  await node.client.call('remove', { path: files[5]!.path, recursive: false })
  files.splice(5, 1)
  const check = async (): Promise<void> => {
    for (const { path, bytes } of files)
      assert.ok((await all((await node.client.get(path, undefined, never)).body)).equals(bytes))
    assert.equal((await node.client.call('status', {})).files, files.length)
  }
  await node.stop()
  await rm(join(options.dataDir, 'index'), { recursive: true })
  node = await daemon(t, options)
  await check()
  await node.stop()

  const index = join(options.dataDir, 'index')
  const tables = (await readdir(index)).filter(name => /\.(ldb|log)$/.test(name))
  for (const name of tables) {
    const bytes = await readFile(join(index, name))
    if (bytes.byteLength > 100) bytes[Math.floor(bytes.byteLength / 2)]! ^= 0x40
    await writeFile(join(index, name), bytes)
  }
  node = await daemon(t, options)
  // The damage may be noticed only when the byte is read.
  await until('all is there again', async () => {
    await check()
    return true
  })
  await node.stop()
  await appendFile(
    join(options.dataDir, 'segments', (await readdir(join(options.dataDir, 'segments')))[0] as string),
    'torn'
  )
  node = await daemon(t, options)
  await check()
})

test('a member that lost its index frees nothing until it has compared, however often it is killed in between', {
  timeout: 300_000
}, async t => {
  const { folder, daemons } = await cluster(t, 2)
  const [a, b] = daemons as [Daemon, Daemon]
  const bytes = randomBytes(200_000)
  await a.client.put('/f', once(bytes), { ack: '2' }, never)
  await Promise.all([a.kill(), b.kill()])
  await rm(join(folder, 'n1', 'index'), { recursive: true })
  const start = (i: number, args: string[] = []): Promise<Daemon> =>
    daemon(t, { name: `n${i}`, dataDir: join(folder, `n${i}`), args })
  const isHeld = async (node: Daemon): Promise<boolean> =>
    (await node.client.call('status', {})).warnings.some(warning => /frees nothing .*still missing: 1/.test(warning))
  for (let i = 0; i < 3; i++) {
    const again = await start(1)
    assert.ok(await isHeld(again), `after start ${i + 1}`)
    assert.ok((await all((await again.client.get('/f', undefined, never)).body)).equals(bytes))
    await again.kill()
  }
  const other = await start(0)
  const again = await start(1, ['--bootstrap', other.multiaddrs[0] as string])
  await until('the doubt has ended', async () => !(await isHeld(again)))
  await again.kill()
  assert.ok(!(await isHeld(await start(1))))
})

test('neither names nor content appear on any disk or in any log', { timeout: 300_000 }, async t => {
  const { folder, daemons } = await cluster(t, 2)
  const [a, b] = daemons as [Daemon, Daemon]
  const marker = 'MARKERofTHEuser'
  const content = Buffer.from(`${marker} `.repeat(20_000))
  await a.client.put(`/${marker}/${marker}.txt`, once(content), { type: `text/${marker}` }, never)
  await a.client.put(`/${marker}/small`, once(Buffer.from(marker)), {}, never)
  await b.client.call('move', { from: `/${marker}/small`, to: `/${marker}/${marker} moved` })
  await a.client.get(`/${marker}/none`, undefined, never).catch(() => {})
  await a.client.call('evict', { path: `/${marker}` }, never)
  for await (const _ of (await a.client.get(`/${marker}/${marker}.txt`, undefined, never)).body);
  await Promise.all([a.stop(), b.stop()])
  let looked = 0
  for (const name of await readdir(folder, { recursive: true })) {
    const bytes = await readFile(join(folder, name)).catch(() => Buffer.alloc(0))
    looked += bytes.byteLength
    assert.ok(!bytes.includes(marker) && !name.includes(marker), name)
  }
  assert.ok(looked > content.byteLength)
  for (const { log } of [a, b]) assert.ok(!log().includes(marker))
})

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes
}
