/**
 * `node scripts/data-directory.ts` makes `test/vectors/data-directory/`: the data directory of a member as this version
 * leaves it, and what it must show in `shows.json`. Every later version opens it. So make it again only beside a new
 * version of a format, and keep the one before. Its keys are worth nothing: they are of a network of this script alone.
 */
import { createHash } from 'node:crypto'
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createNode, type DfsNode, type NodeOptions } from '../src/index.ts'
import { until } from './lib/daemon.ts'
import { shows, showsDeleted } from './lib/shows.ts'

const target = join(import.meta.dirname, '../test/vectors/data-directory')
/** What a data directory has while no node runs on it, but for what any start makes again. */
const KEPT = ['format.json', 'keystore', 'segments', 'blocks', 'index']

const folder = await mkdtemp(join(tmpdir(), 'dfs-data-directory-'))
const options = (name: string): NodeOptions => ({
  dataDir: join(folder, name),
  name,
  listen: ['/ip4/127.0.0.1/tcp/0'],
  mdns: false,
  chunker: 'fastcdc',
  capacityBytes: 2 ** 40
})

/** Bytes that do not compress, and that are the same at each run. */
function content(name: string, length: number): Buffer {
  const parts: Buffer[] = []
  for (let i = 0; i * 32 < length; i++) parts.push(createHash('sha256').update(`${name} ${i}`).digest())
  return Buffer.concat(parts).subarray(0, length)
}

async function writeAll(attic: DfsNode, laptop: DfsNode): Promise<void> {
  await attic.put('/photos/several blocks', content('several', 600_000))
  await attic.put('/photos/large block', content('large', 80_000))
  await attic.put('/photos/small block', content('small', 10_000))
  await attic.put('/empty', Buffer.alloc(0))
  for (const text of ['one', 'two', 'three']) await attic.put('/notes', Buffer.from(text))
  await attic.put('/notes', content('notes', 5_000))
  await attic.put('/removed', content('removed', 3_000))
  await attic.remove('/removed')
  for (const name of ['a', 'b']) await attic.put(`/tree/below/${name}`, Buffer.from(name))
  await attic.remove('/tree', { recursive: true })
  await attic.put('/purged', content('purged', 4_000))
  await attic.remove('/purged', { purge: true })
  await attic.mkdir('/a directory/below')
  await attic.copy('/photos/large block', '/a directory/copy')
  await attic.put('/before', Buffer.from('moved'))
  await attic.move('/before', '/a directory/after')
  await attic.setSetting('versionDays', 90)
  await laptop.put('/laptop/file', content('laptop', 70_000))
  await laptop.put('/laptop/café 😀', Buffer.from('odd'))
}

async function writeConflict(attic: DfsNode, laptop: DfsNode): Promise<void> {
  await laptop.stop()
  await until('they are apart', async () => (await attic.status()).peersConnected === 0)
  await attic.put('/laptop/file', Buffer.from('by attic'))
  const again = await createNode({ ...options('laptop'), bootstrap: [] })
  await again.put('/laptop/file', Buffer.from('by laptop'))
  await again.stop()
  const third = await createNode({ ...options('laptop'), bootstrap: [attic.multiaddrs[0] as string] })
  await until('both versions are there', async () => (await attic.stat('/laptop/file')).conflict)
  await third.stop()
}

const attic = await createNode({ ...options('attic'), found: true })
const { token } = await attic.invite({ role: 'writer' })
const laptop = await createNode({ ...options('laptop'), join: token, bootstrap: [attic.multiaddrs[0] as string] })
await laptop.ready({ members: 1 })
await writeAll(attic, laptop)
await writeConflict(attic, laptop)
const [shown, deleted] = [await shows(attic), await showsDeleted(attic)]
const members = (await attic.members()).map(({ name, role }) => ({ name, role }))
const [madeAt, peerId] = [Date.now(), attic.peerId]
await attic.stop()

await rm(target, { recursive: true, force: true })
await mkdir(target)
for (const name of KEPT) await cp(join(folder, 'attic', name), join(target, 'attic', name), { recursive: true })
for (const name of await readdir(join(target, 'attic/index')))
  if (/^(LOCK|LOG)/.test(name)) await rm(join(target, 'attic/index', name))
await writeFile(join(target, 'shows.json'), `${JSON.stringify({ madeAt, peerId, members, shown, deleted }, null, 2)}\n`)
await rm(folder, { recursive: true })
