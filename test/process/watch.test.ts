import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { type IncomingMessage, request } from 'node:http'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { connected, type Daemon, startDaemon } from '../../scripts/lib/daemon.ts'
import { API_FILE, type ApiFile, parseApiFile } from '../../src/contract/api-file.ts'
import { formatNetworkKey, generateNetworkKey, type WatchEvent } from '../../src/index.ts'
import { runProgram } from '../fixtures/program.ts'
import { temporaryFolder } from '../fixtures/temporary-folder.ts'
import { until } from '../fixtures/until.ts'
import { lineOf, WatchedTree } from '../fixtures/watched-tree.ts'

const LOCAL = ['--no-mdns', '--listen', '/ip4/127.0.0.1/tcp/0', '--api', '127.0.0.1:0']
const PUTS_MEASURED = 20

/** A client of server-sent events, which connects again where it was cut off. It applies what it is told to a map. */
class EventClient {
  readonly tree = new WatchedTree()
  /** When each path was last told of, by the monotonic clock. */
  readonly toldAtMs = new Map<string, number>()
  #lastId: string | undefined
  #response: IncomingMessage | undefined

  /** Connects to the API of a daemon. Call it again after a cut. */
  async connect(dataDir: string): Promise<void> {
    const { url, token } = parseApiFile(await readFile(join(dataDir, API_FILE), 'utf8')) as ApiFile
    const last = this.#lastId === undefined ? {} : { 'last-event-id': this.#lastId }
    const headers = { authorization: `Bearer ${token}`, accept: 'text/event-stream', ...last }
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request(`${url}/v1/watch/?recursive=true&list=true`, { headers }, resolve).on('error', reject).end()
    })
    assert.equal(response.statusCode, 200)
    this.#response = response
    let rest = ''
    response.setEncoding('utf8').on('data', (text: string) => {
      const blocks = (rest + text).split('\n\n')
      rest = blocks.pop() as string
      for (const block of blocks) this.#take(block)
    })
    response.on('error', () => {
      // The connection was cut.
    })
  }

  cut(): void {
    this.#response?.destroy()
  }

  #take(block: string): void {
    const fields = new Map(
      block
        .split('\n')
        .map((line): [string, string] => [line.split(': ')[0] as string, line.slice(line.indexOf(': ') + 2)])
    )
    const data = fields.get('data')
    if (data === undefined || fields.has('event')) return
    const event = JSON.parse(data) as WatchEvent
    this.tree.apply(event)
    this.toldAtMs.set(event.path, performance.now())
    this.#lastId = fields.get('id')
  }
}

async function start(t: TestContext, name: string, folder: string, bootstrap: readonly string[]): Promise<Daemon> {
  const args = [
    ...LOCAL,
    '--network-key-file',
    join(folder, 'key'),
    ...bootstrap.flatMap(address => ['--bootstrap', address])
  ]
  const daemon = await startDaemon({ name, dataDir: join(folder, name), fromSource: true, args })
  t.after(() => daemon.kill())
  return daemon
}

async function put({ client }: Daemon, path: string, text: string): Promise<void> {
  await client.put(path, Buffer.from(text), {})
}

/** Returns the size of a file, or undefined if it is not there. */
async function sizeAt({ client }: Daemon, path: string): Promise<number | undefined> {
  for await (const { size } of client.stream('list', { path, recursive: false })) return size
  return undefined
}

/** What a recursive listing and the versions of the files say. */
async function listed({ client }: Daemon): Promise<string[]> {
  const lines: string[] = []
  for await (const { path, kind, size } of client.stream('list', { path: '/', recursive: true })) {
    const { version } = await client.call('stat', { path })
    lines.push(`${path} ${lineOf({ kind, size, version })}`)
  }
  return lines.sort()
}

test('a client of server-sent events that is cut off, and whose daemon is killed, misses nothing that any member changes', {
  timeout: 240_000
}, async t => {
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'key'), formatNetworkKey(generateNetworkKey()), { mode: 0o600 })
  const other = await start(t, 'other', folder, [])
  let own = await start(t, 'own', folder, [other.multiaddrs[0] as string])
  await connected([own, other])
  const client = new EventClient()
  await client.connect(own.dataDir)
  const isSame = async (): Promise<boolean> =>
    JSON.stringify(client.tree.lines) === JSON.stringify(await listed(own).catch(() => undefined))

  const delays: number[] = []
  for (let i = 0; i < PUTS_MEASURED; i++) {
    await put(other, `/d/f${i}`, `${i}`)
    const doneAtMs = performance.now()
    await until('the change has been told', () => client.toldAtMs.has(`/d/f${i}`))
    delays.push((client.toldAtMs.get(`/d/f${i}`) as number) - doneAtMs)
  }
  delays.sort((a, b) => a - b)
  t.diagnostic(
    `told ${delays.at(-1)?.toFixed(0)} ms at most after the put of another member was done (negative: before)`
  )

  client.cut()
  await other.client.call('move', { from: '/d', to: '/e' })
  await put(other, '/d/new', 'x')
  await put(own, '/e/f0', 'changed here')
  await until('the other member has it', async () => (await sizeAt(other, '/e/f0')) === 12)
  await client.connect(own.dataDir)
  await until('the tree is the same after a cut', isSame)
  assert.ok(client.tree.events.some(({ change, from }) => change === 'moved' && from === '/d'))

  await own.kill()
  client.cut()
  await other.client.call('remove', { path: '/e/f1', recursive: false })
  await put(other, '/while-away', '1')
  own = await start(t, 'own', folder, [other.multiaddrs[0] as string])
  const before = client.tree.events.length
  await client.connect(own.dataDir)
  await until(
    'the tree is the same after the daemon was killed',
    async () => (await isSame()) && client.toldAtMs.has('/while-away')
  )
  const since = client.tree.events.slice(before).map(({ change, path }) => `${change} ${path}`)
  assert.ok(since.includes('removed /e/f1'), since.join(', '))
  assert.ok(!since.includes('reset /'), 'the cursor is still known')
})

test('dfs ls --watch lists, tells what another member does, and ends with the daemon', {
  timeout: 300_000
}, async t => {
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'key'), formatNetworkKey(generateNetworkKey()), { mode: 0o600 })
  const other = await start(t, 'other', folder, [])
  const own = await start(t, 'own', folder, [other.multiaddrs[0] as string])
  await connected([own, other])
  await put(own, '/d/a', '1')
  const { code, stdout, stderr } = await runProgram('dfs', ['--data-dir', own.dataDir, 'ls', '-R', '--watch', '/d'], {
    during: async child => {
      let printed = ''
      child.stdout.on('data', part => {
        printed += part
      })
      await until('the listing is printed', () => printed.includes('/d/a\n'))
      await put(other, '/d/b', '1')
      await until('the put is printed', () => printed.includes('created'))
      await other.client.call('move', { from: '/d/b', to: '/d/c' })
      await until('the move is printed', () => printed.includes('moved'))
      await own.stop()
    }
  })
  assert.deepEqual(stdout.toString().split('\n').slice(-3, -1), [
    'created   /d/b  (other)',
    'moved     /d/b -> /d/c  (other)'
  ])
  assert.deepEqual([code, stderr.includes('the node is stopping')], [5, true], stderr)
})
