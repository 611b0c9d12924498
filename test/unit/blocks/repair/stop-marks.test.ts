import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HOLD_MS } from '../../../../src/blocks/constants.ts'
import { ORPHANS_WAIT_MS } from '../../../../src/blocks/repair/constants.ts'
import { endOrphans, loadStopMarks, notePromised } from '../../../../src/blocks/repair/stop-marks.ts'
import { NoSpaceError } from '../../../../src/disk/errors.ts'
import { IndexDb } from '../../../../src/disk/index-db.ts'
import { wasClosed } from '../../../../src/disk/index-marks.ts'
import { BlockCluster, type BlockMember } from '../../../fixtures/block-cluster.ts'
import { ManualClock } from '../../../fixtures/clock.ts'
import { silentLogger } from '../../../fixtures/logger.ts'
import { MemoryDatabase } from '../../../fixtures/memory-database.ts'
import { settle } from '../../../fixtures/pass-time.ts'

const HOUR = 3_600_000

async function setup() {
  const index = new IndexDb(new MemoryDatabase().asDatabase, silentLogger)
  await index.open()
  const clock = new ManualClock()
  return { index, clock, load: (wasClean: boolean) => loadStopMarks(index, clock, { wasClean }) }
}

test('the marks of an unclean stop outlive clean restarts, and another unclean stop begins them again', async () => {
  const { clock, load } = await setup()
  assert.deepEqual(await load(true), { orphansFromAtMs: undefined, promisedMs: 0 })
  const orphansFromAtMs = clock.now() + ORPHANS_WAIT_MS
  assert.deepEqual(await load(false), { orphansFromAtMs, promisedMs: HOLD_MS })
  clock.advance(HOUR / 2)
  assert.deepEqual(await load(true), { orphansFromAtMs, promisedMs: HOUR / 2 })
  assert.deepEqual(await load(false), { orphansFromAtMs: clock.now() + ORPHANS_WAIT_MS, promisedMs: HOLD_MS })
})

test('the mark of orphans is removed once they are freed, and a promise noted by a clean stop lasts as long as promised', async () => {
  const { index, clock, load } = await setup()
  await load(false)
  await endOrphans(index)
  await notePromised(index, clock, HOUR / 4)
  clock.advance(HOUR / 8)
  assert.deepEqual(await load(true), { orphansFromAtMs: undefined, promisedMs: HOUR / 8 })
  await notePromised(index, clock, 0)
  assert.equal((await load(true)).promisedMs, 0)
})

test('a clock that was set back does not make the marks last longer than they ever could', async () => {
  const { index, load } = await setup()
  await load(false)
  const earlier = new ManualClock(1_600_000_000_000)
  const marks = await loadStopMarks(index, earlier, { wasClean: true })
  assert.deepEqual(marks, { orphansFromAtMs: earlier.now() + ORPHANS_WAIT_MS, promisedMs: HOLD_MS })
})

test('a node whose index accepts no changes stops without an error, and its next start follows an unclean stop', async () => {
  const clock = new ManualClock()
  const cluster = await BlockCluster.start(clock, 1)
  const [member] = cluster.members as [BlockMember]
  await settle(5)
  const { batch } = member.database
  member.database.batch = async () => {
    throw Object.assign(new Error('IO error: No space left on device'), { code: 'LEVEL_IO_ERROR' })
  }
  await assert.rejects(member.store.index.batch([{ type: 'del', key: Buffer.from('x') }]), NoSpaceError)
  await member.stop()
  member.database.batch = batch
  await member.database.open()
  assert.equal(await wasClosed(member.store.index), false)
})
