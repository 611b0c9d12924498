import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePath } from '../../../src/format/path.ts'
import type { FsContext } from '../../../src/fs/context.ts'
import { removePath, removingPath } from '../../../src/fs/remove.ts'
import type { RemoveResult } from '../../../src/fs/types.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { settle } from '../../fixtures/pass-time.ts'

const path = parsePath('/a')

/** A member with two others, of which `near` is connected from the start. A removal appends `count` records. */
function fakeFs(count = 1) {
  const has = new Set<string>()
  const admitted = new Set(['near'])
  const out = new Set<string>()
  const asked: string[] = []
  const clock = new ManualClock()
  const members = ['self', 'near', 'far'].map(peer => ({ peer, name: `${peer}'s name` }))
  const records = Array.from({ length: count }, (_, i) => ({ id: Buffer.alloc(32, i), fields: { op: 'put' } }))
  const fs = {
    clock,
    logger: silentLogger,
    lastSeen: () => new Date(0),
    blocks: { untilSilent: (_peer: unknown, work: () => Promise<unknown>) => work() },
    catalog: {
      remove: async (_: unknown, { onAppended }: { onAppended: (r: unknown, n: number) => Promise<void> }) => {
        await onAppended(records, count)
        return records.at(-1)
      }
    },
    members: {
      all: members,
      self: { peerId: 'self' },
      member: (peer: string) => members.find(member => member.peer === peer),
      isAdmitted: (peer: string) => admitted.has(peer),
      get admitted() {
        return [...admitted]
      },
      get view() {
        return { members: members.map(({ peer }) => ({ peer, isOut: out.has(peer) })) }
      }
    },
    sync: {
      push: async () => 'ok',
      hasAll: async (peer: string, ids: readonly Uint8Array[]) => {
        asked.push(`${peer} ${ids.length}`)
        return has.has(peer)
      }
    }
  }
  return { fs: fs as unknown as FsContext, clock, members, admitted, has, out, asked }
}

async function pass(clock: ManualClock): Promise<void> {
  await settle()
  clock.advance(1_000)
  await settle()
}

const names = ({ removedOn, waitingFor }: RemoveResult) => [removedOn, waitingFor.map(({ name }) => name)]

test('a removal is acknowledged by a member that was away only once that member says so itself', async () => {
  const { fs, clock, admitted, has, asked } = fakeFs(9)
  const states = removingPath(fs, path)
  assert.deepEqual(names((await states.next()).value), [['self', 'near'], ["far's name"]])
  const next = states.next()
  await pass(clock)
  assert.deepEqual(asked, [], 'a member that is away is not asked')
  admitted.add('far')
  await pass(clock)
  await pass(clock)
  assert.deepEqual(asked, ['far 9', 'far 9'])
  has.add('far')
  await pass(clock)
  assert.deepEqual(names((await next).value), [['self', 'near', 'far'], []])
  assert.equal((await states.next()).done, true)
})

test('a removal does not wait for a member that is out, was out from the start, or is removed meanwhile', async () => {
  for (const leave of ['out', 'removed'] as const) {
    const { fs, clock, out, members } = fakeFs()
    const states = removingPath(fs, path)
    await states.next()
    const end = states.next()
    await pass(clock)
    if (leave === 'out') out.add('far')
    else members.pop()
    await pass(clock)
    assert.deepEqual(names((await end).value), [['self', 'near'], []])
    assert.equal((await states.next()).done, true)
  }
  const { fs, out } = fakeFs()
  out.add('far')
  const result = await removePath(fs, path, { wait: true })
  assert.deepEqual(names(result), [['self', 'near'], []])
  assert.deepEqual(
    result.out.map(({ peerId }) => peerId),
    ['far']
  )
})

test('a wait for other members can be aborted, and one that nobody asked for does not begin', async () => {
  const { fs, clock, asked, admitted } = fakeFs()
  const cut = new AbortController()
  const waiting = removePath(fs, path, { wait: true, signal: cut.signal })
  await pass(clock)
  cut.abort()
  await assert.rejects(waiting, { name: 'AbortError' })
  admitted.add('far')
  assert.deepEqual(names(await removePath(fs, path)), [['self', 'near', 'far'], []])
  assert.deepEqual(asked, [])
})
