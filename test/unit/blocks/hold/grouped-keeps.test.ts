import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { KEEP_GROUP_BYTES, KEEP_GROUP_MS } from '../../../../src/blocks/constants.ts'
import type { StoredBlock } from '../../../../src/blocks/hold/block-port.ts'
import { GroupedKeeps } from '../../../../src/blocks/hold/grouped-keeps.ts'
import { NoSpaceError } from '../../../../src/disk/errors.ts'
import { nameBlock } from '../../../../src/format/cid.ts'
import { ManualClock } from '../../../fixtures/clock.ts'

const [put, other] = [Buffer.alloc(48, 1), Buffer.alloc(48, 2)]
const claim = { put, claimMs: 1_000 }

function setup() {
  const clock = new ManualClock()
  /** The lengths of the blocks of each group, in the order in which the groups were written. */
  const groups: number[][] = []
  const claimed: Array<[number, number]> = []
  const state = { room: Number.POSITIVE_INFINITY }
  const local = {
    keepAll: async (blocks: readonly StoredBlock[], claimAll: () => Promise<void> = async () => {}): Promise<void> => {
      const lengths = blocks.map(({ bytes }) => bytes.byteLength)
      groups.push(lengths)
      await claimAll()
      const total = lengths.reduce((sum, length) => sum + length, 0)
      if (total > state.room) throw new NoSpaceError('full')
      state.room -= total
    }
  }
  const claims = {
    claimForPut: async (by: Uint8Array, multihashes: readonly Uint8Array[]): Promise<void> =>
      void claimed.push([by[0] as number, multihashes.length])
  }
  const keeps = new GroupedKeeps(local, claims, clock)
  const keep = (length: number, by = claim): Promise<void> => {
    const bytes = Buffer.alloc(length, length)
    return keeps.keep(nameBlock(bytes), bytes, by)
  }
  return { clock, keeps, keep, groups, claimed, state }
}

test('a block that no other follows is stored at once, and blocks of one turn together', async () => {
  const { keep, groups, claimed } = setup()
  await keep(1)
  await Promise.all([keep(2), keep(3), keep(4, { put: other, claimMs: 1_000 })])
  assert.deepEqual(groups, [[1], [2, 3, 4]])
  assert.deepEqual(claimed, [
    [1, 1],
    [1, 2],
    [2, 1]
  ])
})

test('a block waits while others are on their way, until they are here, or enough, or some time has passed', async () => {
  const { clock, keeps, keep, groups } = setup()
  const [first, second] = [keeps.expect(), keeps.expect()]
  const kept = keep(1)
  await nextTurn()
  first()
  first()
  await nextTurn()
  assert.deepEqual(groups, [])
  second()
  await kept
  assert.deepEqual(groups.splice(0), [[1]])
  const never = keeps.expect()
  await Promise.all([keep(2), keep(KEEP_GROUP_BYTES)])
  assert.deepEqual(groups.splice(0), [[2, KEEP_GROUP_BYTES]])
  const late = keep(3)
  await nextTurn()
  await clock.advance(KEEP_GROUP_MS - 1)
  assert.deepEqual(groups, [])
  await clock.advance(1)
  await late
  assert.deepEqual(groups, [[3]])
  never()
})

test('of a group for which there is no room, the blocks that fit are kept', async () => {
  const { keep, groups, state } = setup()
  state.room = 5
  const results = await Promise.allSettled([keep(2), keep(4), keep(3)])
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled']
  )
  assert.deepEqual(groups, [[2, 4, 3], [2], [4], [3]])
})
