/** What a simulation of one seed ends with. */
interface Run {
  world: { trace: readonly string[] }
  fault: unknown
}

/**
 * Runs some seeds one after another. Returns a text for each that fails, with what it found, its trace, and the setting
 * that runs it alone. A rejection that nobody handles is a failure too.
 */
export async function runSeeds(seeds: readonly number[], run: (seed: number) => Promise<Run>): Promise<string[]> {
  const failures: string[] = []
  const rejections: unknown[] = []
  const onRejection = (reason: unknown): void => {
    rejections.push(reason)
  }
  process.on('unhandledRejection', onRejection)
  try {
    for (const seed of seeds) {
      const { world, fault } = await run(seed)
      const [rejection] = rejections.splice(0)
      const found = fault ?? rejection
      if (found === undefined) continue
      const why = found instanceof Error ? (found.stack ?? found.message) : String(found)
      failures.push(`seed ${seed} (DFS_SEED=${seed} runs it alone): ${why}\n${world.trace.join('\n')}`)
    }
  } finally {
    process.off('unhandledRejection', onRejection)
  }
  return failures
}
