/**
 * Runs seeds of the simulator of whole nodes: `node scripts/simulate.ts FROM [TO] [--history] [--json] [--first]
 * [--log FILE]`. With `--history`, files are overwritten, removed, purged and restored while days pass. A single seed prints its trace; with `--log`, the trace and what its nodes logged go to a file, in the order in which
 * they happened. `--json` prints one object a seed; `--first` ends with the first seed that finds something.
 */
import { writeFileSync } from 'node:fs'
import { runHistory } from '../test/simulation/history/schedule.ts'
import { runSeed } from '../test/simulation/whole/schedule.ts'

const args = process.argv.slice(2)
const logAt = args.indexOf('--log')
const logFile = logAt < 0 ? undefined : args[logAt + 1]
const isJson = args.includes('--json')
const isHistory = args.includes('--history')
const [from = 1, to = from] = args.filter(arg => /^\d+$/.test(arg)).map(Number)
const rejections: unknown[] = []
process.on('unhandledRejection', reason => rejections.push(reason))

const found = new Map<string, number[]>()
const startedAtMs = performance.now()
for (let seed = from; seed <= to; seed++) {
  const before = process.cpuUsage()
  const { world, fault, hash } = await (isHistory ? runHistory : runSeed)({ seed, isLogging: logFile !== undefined })
  const [rejection] = rejections.splice(0)
  const error = fault ?? rejection
  const kind = error === undefined ? null : ((error as { kind?: string }).kind ?? 'unhandled')
  const message = error === undefined ? 'ok' : String((error as Error).message).split('\n')[0]
  if (kind !== null) found.set(kind, [...(found.get(kind) ?? []), seed])
  // Processor time, so that seeds can be compared on a machine that does other work too.
  const { user, system } = process.cpuUsage(before)
  const ms = Math.round((user + system) / 1_000)
  if (isJson) console.log(JSON.stringify({ seed, kind, message, ms, hash }))
  else
    console.log(
      `${seed} ${message} (${ms} ms, ${(world.time.nowMs / 60_000).toFixed(1)} min of theirs, ${hash.slice(0, 8)})`
    )
  if (kind !== null && args.includes('--first')) break
  if (from !== to) continue
  if (!isJson) console.log(world.trace.join('\n'))
  if (!isJson && error instanceof Error) console.log(error.stack)
  if (logFile !== undefined) writeFileSync(logFile, world.log)
}
if (!isJson && from !== to) {
  console.log(`${(((to - from + 1) * 1_000) / (performance.now() - startedAtMs)).toFixed(2)} seeds a second`)
  for (const [kind, seeds] of found) console.log(`${kind}: ${seeds.length} (${seeds.slice(0, 20).join(' ')})`)
}
