import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runHistory } from './history/schedule.ts'
import { runSeeds } from './run-seeds.ts'

/** An ordinary run uses a few seeds that take a few seconds each. */
const SEEDS = process.env['DFS_LONG'] === '1' ? Array.from({ length: 200 }, (_, i) => 1 + i) : [2, 17]
/** Seeds that once found a fault, and run each time. */
const PAST_SEEDS: readonly number[] = []
const MINUTE = 60_000
const only = process.env['DFS_SEED']

test('files are overwritten, removed, purged and restored for weeks: nothing comes back, nothing is lost unseen, and only what nothing needs is freed', {
  timeout: 60 * MINUTE
}, async () => {
  const seeds = only === undefined ? [...new Set([...PAST_SEEDS, ...SEEDS])] : [Number(only)]
  const failures = await runSeeds(seeds, seed => runHistory({ seed }))
  assert.equal(failures.length, 0, failures.join('\n\n'))
})
