import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ReplicaPlacer } from '../../../../src/blocks/put/placer.ts'
import { Ranking } from '../../../../src/blocks/rank.ts'
import { nameBlock } from '../../../../src/format/cid.ts'
import { makeView } from '../../../../src/members/view.ts'
import { DeadlineError } from '../../../../src/util/errors.ts'
import { ManualClock } from '../../../fixtures/clock.ts'
import { RecordingLogger } from '../../../fixtures/logger.ts'
import { settle } from '../../../fixtures/pass-time.ts'

/** Members that owe every block, and are asked by a fake whose answers the test gives. */
function placing(keepBlock: (peer: string) => Promise<'kept' | 'full'>) {
  const peers = ['self', 'a', 'b']
  const statuses = peers.map((peer, i) => ({
    peer,
    key: Buffer.alloc(32, i),
    hlc: 1n,
    role: 'writer' as const,
    weight: 1_000_000_000,
    zone: null,
    state: 'in' as const,
    outAfterMs: 600_000
  }))
  const ranking = new Ranking(makeView(statuses, new Set()))
  const logger = new RecordingLogger()
  const placer = new ReplicaPlacer({
    self: 'self',
    clock: new ManualClock(),
    log: logger.forComponent('placer'),
    storeClient: { keepBlock },
    ranking: () => ranking,
    admitted: () => ['a', 'b'],
    isAvoided: () => false,
    putNumber: Buffer.alloc(16, 0xab),
    replicas: 3,
    needed: () => 1
  })
  const ask = (chunkIndex: number) => {
    const bytes = Buffer.from([chunkIndex])
    return placer.ask({ cid: nameBlock(bytes), chunkIndex, sizeBytes: 1, inline: bytes })
  }
  return { placer, ask, lines: logger.lines }
}

test('answers that come after the counts were handed over change nothing', async () => {
  const { promise: late, resolve } = Promise.withResolvers<'kept' | 'full'>()
  const { placer, ask } = placing(async peer => (peer === 'a' ? 'kept' : late))
  await ask(0).enough
  assert.deepEqual(placer.counts?.peers, ['a'])
  assert.equal(placer.isBusy, true)
  const counts = placer.finish()
  assert.equal(counts.owed(new Set(['a'])), 1)
  resolve('full')
  await placer.stragglers()
  assert.deepEqual(counts.peers, ['a'])
  assert.equal(counts.owed(new Set(['a'])), 1)
  assert.equal(placer.counts, undefined)
  assert.throws(() => placer.finish(), TypeError)
})

test('a member that fails is not asked again for a while, and the log says it once', async () => {
  const asked: string[] = []
  const { placer, ask, lines } = placing(async peer => {
    asked.push(peer)
    if (peer === 'b') throw new DeadlineError('the peer neither answers nor pulls')
    return 'kept'
  })
  await Promise.all([ask(0).enough, ask(1).enough])
  await settle()
  assert.equal(placer.isAvoided('b'), true)
  await ask(2).enough
  assert.deepEqual(asked.toSorted(), ['a', 'a', 'a', 'b', 'b'])
  assert.equal(lines.filter(line => /^placer put abababab: asks (a, b|b, a) to keep blocks$/.test(line)).length, 1)
  const failures = lines.filter(line => line.startsWith('placer put abababab: b is lost: DeadlineError'))
  assert.equal(failures.length, 1)
})
