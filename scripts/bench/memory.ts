/**
 * Measures the most memory that a process takes under loads that produce more than anybody reads. `node
 * scripts/bench/memory.ts [puts|uploads|deaf|paused|directory]…`; without names, all of them. Linux.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  deafMembers,
  fullDirectory,
  pausedReaders,
  putsAtOnce,
  uploadsAtOnce
} from '../../test/fixtures/memory-load.ts'

const LOADS: Record<string, (folder: string) => Promise<number>> = {
  puts: putsAtOnce,
  uploads: uploadsAtOnce,
  deaf: deafMembers,
  paused: pausedReaders,
  directory: fullDirectory
}
const named = process.argv.slice(2)

for (const name of named.length > 0 ? named : Object.keys(LOADS)) {
  const folder = await mkdtemp(join(process.env['DFS_BENCH_DIR'] ?? tmpdir(), 'dfs-bench-'))
  try {
    const bytes = (await LOADS[name]?.(folder)) ?? Number.NaN
    console.log(`${name}: peak RSS ${(bytes / 2 ** 20).toFixed(0)} MiB`)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
