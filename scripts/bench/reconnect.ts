/**
 * Measures how many bytes two members that have the same log send each other when they reconnect. Both are in one
 * process, on disks and connections in memory, with a log of ENTRIES entries:
 *
 *     node scripts/bench/reconnect.ts [ENTRIES …]
 *
 * DFS_ROOT names another checkout to measure.
 */
import { join } from 'node:path'
import type { Host } from '../../src/wire/host.ts'

const root = process.env['DFS_ROOT'] ?? join(import.meta.dirname, '../..')
const load = (path: string): Promise<typeof import('../../test/fixtures/member.ts')> => import(join(root, path))
const { adminSecrets, TestMember } = await load('test/fixtures/member.ts')
const { LocalMember } = (await load(
  'src/members/local-member.ts'
)) as never as typeof import('../../src/members/local-member.ts')
const { ManualClock } = (await load('test/fixtures/clock.ts')) as never as typeof import('../../test/fixtures/clock.ts')
const { MemoryNetwork } = (await load(
  'test/fixtures/memory-host.ts'
)) as never as typeof import('../../test/fixtures/memory-host.ts')
const { timePassesUntil } = (await load(
  'test/fixtures/pass-time.ts'
)) as never as typeof import('../../test/fixtures/pass-time.ts')
const { seededChance } = (await load(
  'test/fixtures/seeded-chance.ts'
)) as never as typeof import('../../test/fixtures/seeded-chance.ts')

const AT_ONCE = 1_000
const KEY = Buffer.alloc(32, 7)

/** Counts what a host sends, by protocol. */
function counted<T extends Host>(host: T, bytes: Map<string, number>): T {
  const count = <S extends Awaited<ReturnType<Host['open']>>>(stream: S, protocol: string): S => {
    const write = stream.write.bind(stream)
    stream.write = parts => {
      const sent = parts.reduce((sum, part) => sum + part.byteLength, 0)
      bytes.set(protocol, (bytes.get(protocol) ?? 0) + sent)
      return write(parts)
    }
    return stream
  }
  const { open, handle } = { open: host.open.bind(host), handle: host.handle.bind(host) }
  host.open = async (peer, protocol, options) => count(await open(peer, protocol, options), protocol)
  host.handle = (protocol, handler) => handle(protocol, stream => handler(count(stream, protocol)))
  return host
}

async function measure(entries: number): Promise<void> {
  const clock = new ManualClock()
  const chance = seededChance(1)
  const network = new MemoryNetwork({ clock })
  const bytes = new Map<string, number>()
  const start = async (name: string, bootstrap: string[]) => {
    const secrets = adminSecrets(KEY, clock, chance, name)
    const plain = network.host(name, new LocalMember(secrets, clock, chance).peerId)
    const member = await TestMember.open({ secrets, host: counted(plain, bytes), clock, chance, bootstrap })
    return { member, plain }
  }
  const a = await start('a', [])
  const b = await start('b', ['/memory/a'])
  for (let written = 0; written < entries; written += AT_ONCE) await a.member.write(chance, AT_ONCE)
  await a.member.start()
  await b.member.start()
  const both = [a.member, b.member]
  const isCompared = (): boolean => both.every(({ members }) => members.compared.size === 1)
  const wait = { stepMs: 20, msMax: 10 * 60 * 60_000 }
  await timePassesUntil(clock, 'compared', isCompared, wait)
  // After some rounds, each of them has seen that the other has every entry.
  const end = clock.now() + 2 * 60_000
  await timePassesUntil(clock, 'later', () => clock.now() >= end)
  network.cut(a.plain, b.plain)
  await timePassesUntil(clock, 'apart', () => both.every(({ members }) => members.admitted.length === 0))
  bytes.clear()
  network.heal(a.plain, b.plain)
  await timePassesUntil(clock, 'compared again', isCompared, wait)
  const total = [...bytes.values()].reduce((sum, count) => sum + count, 0)
  const parts = [...bytes].map(([protocol, count]) => `${protocol} ${count}`).join(', ')
  console.log(`${entries} entries: ${total} bytes on a reconnect (${parts})`)
  for (const member of both) await member.stop()
}

const sizes = process.argv.slice(2).map(Number)
for (const entries of sizes.length > 0 ? sizes : [10_000, 100_000]) await measure(entries)
