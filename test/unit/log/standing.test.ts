import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DOUBT_AFTER_MS } from '../../../src/log/constants.ts'
import { Standing } from '../../../src/log/standing.ts'

/** The totals of statements whose ids are these numbers. */
function totalsOf(...ids: readonly bigint[]) {
  const sum = BigInt.asUintN(
    256,
    ids.reduce((a, b) => a + b, 0n)
  )
  return { count: ids.length, sum: Buffer.from(sum.toString(16).padStart(64, '0'), 'hex') }
}

const LACKING = 2n ** 256n - 5n

test('a statement that stays missing causes a doubt even if others arrive between any two comparisons', () => {
  const standing = new Standing()
  const common: bigint[] = []
  const judge = (nowMs: number) => {
    common.push(2n ** 255n + BigInt(common.length))
    return standing.judge(totalsOf(...common), totalsOf(...common, LACKING), nowMs)
  }
  assert.deepEqual([judge(0), judge(1_000), judge(2_000)], ['moving', 'ask', 'moving'])
  assert.equal(judge(DOUBT_AFTER_MS), 'doubt')
  assert.equal(standing.isInDoubt, true)
})

test('statements that are on their way cause no doubt, whichever of the two members lacks them', () => {
  const standing = new Standing()
  for (let i = 1; i < 100; i++) {
    const [own, other] = [totalsOf(3n, BigInt(10 * i)), totalsOf(3n, BigInt(7 * i), BigInt(i))]
    assert.equal(standing.judge(own, other, i * DOUBT_AFTER_MS), 'moving')
  }
  assert.equal(standing.judge(totalsOf(3n), totalsOf(3n), 0), 'equal')
})
