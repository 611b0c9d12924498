import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { putIdOf } from '../../../../src/blocks/hold/claims.ts'
import { Holds } from '../../../../src/blocks/hold/holds.ts'
import { releasedBlockKey } from '../../../../src/blocks/hold/release-rows.ts'
import { Sweeper } from '../../../../src/blocks/repair/sweep.ts'
import { NoSpaceError } from '../../../../src/disk/errors.ts'
import { nameBlock } from '../../../../src/format/cid.ts'
import { peerIdOf } from '../../../../src/format/peer-id.ts'
import { freerOf, openClaims } from '../../../fixtures/claims-store.ts'
import { RecordingLogger } from '../../../fixtures/logger.ts'
import { settle } from '../../../fixtures/pass-time.ts'

const MINUTE = 60_000
const put = putIdOf(peerIdOf(Buffer.alloc(32, 1)), Buffer.alloc(16, 1))
const bytes = Buffer.from('a block that some put stored')
const cid = nameBlock(bytes)

async function setup(t: TestContext) {
  const open = await openClaims()
  const { clock, claims, local, store, blockstore } = open
  const holds = new Holds(clock)
  const logger = new RecordingLogger()
  const state = { mayFree: true, isVerified: true, underWay: false, errors: [] as unknown[], orphansFreed: 0 }
  const sweeper = new Sweeper({
    clock,
    logger,
    claims,
    local,
    holds,
    freer: freerOf(open, { holds, mayFree: () => state.mayFree }).freer,
    isUnderWay: () => state.underWay,
    mayFree: () => state.mayFree,
    isVerified: () => state.isVerified,
    onOrphansFreed: async () => {
      state.orphansFreed++
    },
    onError: error => state.errors.push(error)
  })
  t.after(async () => {
    await sweeper.stop()
    await store.close()
  })
  const keep = (claimMs: number): Promise<void> => local.keep(cid, bytes, { put, claimMs })
  const pass = async (minutes: number): Promise<void> => {
    for (let i = 0; i < minutes; i++) {
      clock.advance(MINUTE)
      await settle(20)
    }
  }
  return { clock, sweeper, local, claims, holds, logger, state, keep, pass, blockstore, store }
}

test('the sweeper frees a block within a minute after its claim and the grace have passed', async t => {
  const { sweeper, local, keep, pass, logger } = await setup(t)
  await keep(10 * MINUTE)
  sweeper.start({ orphansFromAtMs: undefined })
  // The claim is written for half an hour more than asked, and ended five minutes late.
  await pass(45)
  assert.ok(await local.has(cid))
  await pass(1)
  assert.ok(!(await local.has(cid)))
  assert.ok(logger.lines.some(line => line === 'dfs:blocks:sweep claims that ran out: 1, blocks freed: 1'))
})

test('a sweep that may not free leaves the claim, and a later one frees the block', async t => {
  const { sweeper, local, state, keep, pass } = await setup(t)
  await keep(MINUTE)
  state.mayFree = false
  sweeper.start({ orphansFromAtMs: undefined })
  await pass(60)
  assert.ok(await local.has(cid))
  state.mayFree = true
  await pass(1)
  assert.ok(!(await local.has(cid)))
})

test('the claims of a put that is under way do not end, and a promise alone keeps no block', async t => {
  const { sweeper, local, holds, state, keep, pass } = await setup(t)
  await keep(MINUTE)
  state.underWay = true
  sweeper.start({ orphansFromAtMs: undefined })
  await pass(60)
  assert.ok(await local.has(cid))
  state.underWay = false
  // Promises are made about blocks that a record needs here. If none does any more, a promise must not keep the block
  // here.
  holds.grant(cid, 'a', 10 * MINUTE)
  await pass(2)
  assert.ok(!(await local.has(cid)))
})

test('blocks without a claim are freed once all is certain after an unclean stop, and at no other time', async t => {
  for (const mayHaveOrphans of [false, true]) {
    const { clock, sweeper, local, state, pass } = await setup(t)
    await local.keep(cid, bytes)
    Object.assign(state, { mayFree: false, isVerified: false })
    sweeper.start({ orphansFromAtMs: mayHaveOrphans ? clock.now() + 5 * MINUTE : undefined })
    await pass(6)
    state.mayFree = true
    await pass(1)
    assert.ok(await local.has(cid), 'the index was not verified')
    Object.assign(state, { mayFree: false, isVerified: true })
    await pass(1)
    assert.ok(await local.has(cid), 'it is not certain which blocks are needed')
    state.mayFree = true
    await pass(1)
    assert.equal(await local.has(cid), !mayHaveOrphans)
    await local.keep(cid, bytes)
    await pass(3)
    assert.ok(await local.has(cid), 'the search for such blocks is done once')
    assert.equal(state.orphansFreed, mayHaveOrphans ? 1 : 0)
  }
})

test('blocks without a claim stay after an unclean stop for as long as a claim that was lost could last', async t => {
  const { clock, sweeper, local, pass } = await setup(t)
  await local.keep(cid, bytes)
  sweeper.start({ orphansFromAtMs: clock.now() + 10 * MINUTE })
  await pass(9)
  assert.ok(await local.has(cid))
  await pass(1)
  assert.ok(!(await local.has(cid)))
})

test('a sweep that fails is reported and repeated a minute later', async t => {
  const { sweeper, claims, state, keep, local, pass } = await setup(t)
  await keep(MINUTE)
  const expired = claims.expired.bind(claims)
  t.mock.method(claims, 'expired', () => {
    throw new Error('the index cannot be read')
  })
  sweeper.start({ orphansFromAtMs: undefined })
  await pass(60)
  assert.equal(state.errors.length, 60)
  t.mock.method(claims, 'expired', expired)
  await pass(1)
  assert.equal(state.errors.length, 60)
  assert.ok(!(await local.has(cid)))
})

test('a block whose claim has ended but which could not be removed is left to the releaser', async t => {
  const { sweeper, local, state, keep, pass, blockstore, store } = await setup(t)
  await keep(MINUTE)
  t.mock.method(blockstore, 'delete', async () => {
    throw new NoSpaceError('the disk is full')
  })
  sweeper.start({ orphansFromAtMs: undefined })
  await pass(60)
  assert.ok(state.errors.length > 0)
  assert.ok(await local.has(cid))
  assert.ok(await store.index.has(releasedBlockKey(cid)))
  assert.equal(sweeper.mayHaveOrphans, false)
})
