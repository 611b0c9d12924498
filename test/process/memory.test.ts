import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { deafMembers, pausedReaders, putsAtOnce, uploadsAtOnce } from '../fixtures/memory-load.ts'
import { temporaryFolder } from '../fixtures/temporary-folder.ts'

/** With `DFS_LONG=1`, as `npm run test:long` sets it, full size; else a version short enough for every day. */
const isLong = process.env['DFS_LONG'] === '1'
/** Each of these took more than this before puts, gets and answers had a budget (scripts/bench/memory.ts). */
const RSS_MAX = 300 << 20
const options = { timeout: 300_000 }

const LOADS: Record<string, (folder: string) => Promise<number>> = {
  'twenty puts at once onto a slow disk': folder => putsAtOnce(folder, 20, isLong ? 16 : 4),
  'twenty uploads at once': folder => uploadsAtOnce(folder, 20, isLong ? 32 : 8),
  'four members that ask for blocks and read no answer': folder => deafMembers(folder, 4, isLong ? 192 : 64),
  'forty downloads that pause': folder => pausedReaders(folder, 40, isLong ? 192 : 64)
}

for (const [what, load] of Object.entries(LOADS)) {
  test(`a process stays below ${RSS_MAX >> 20} MiB under ${what}`, options, async (t: TestContext) => {
    const peak = await load(await temporaryFolder(t))
    t.diagnostic(`${(peak / 2 ** 20).toFixed(0)} MiB`)
    assert.ok(peak < RSS_MAX, `${(peak / 2 ** 20).toFixed(0)} MiB were resident`)
  })
}
