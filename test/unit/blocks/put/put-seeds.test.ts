import { test } from 'node:test'
import { PutModel } from './put-model.ts'

const SEEDS = process.env['DFS_LONG'] === '1' ? 200_000 : 3_000
/** Seeds that once found a fault, and run each time. */
const PAST_SEEDS: readonly number[] = [11_498, 21_373, 93_347]

test(`${SEEDS} seeds: a put never says yes to too few copies while a member could help, and never stops`, t => {
  const only = process.env['DFS_SEED']
  const failed: number[] = []
  let first: unknown
  const all = Array.from({ length: SEEDS }, (_, i) => i + 1)
  for (const seed of only === undefined ? new Set([...PAST_SEEDS, ...all]) : [Number(only)]) {
    const model = new PutModel(seed)
    try {
      model.run()
    } catch (error) {
      if (failed.length === 0) t.diagnostic(`seed ${seed} (DFS_SEED=${seed} runs it alone):\n${model.trace.join('\n')}`)
      first ??= error
      failed.push(seed)
    }
  }
  if (failed.length === 0) return
  t.diagnostic(`${failed.length} of ${SEEDS} seeds failed`)
  throw first
})
