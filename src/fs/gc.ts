import type { FsContext } from './context.ts'
import type { GcOptions, GcResult } from './space-types.ts'

/** Frees now what this node would free in time, or says with `dryRun` what that is. */
export async function collectGarbage(
  { blocks }: Pick<FsContext, 'blocks'>,
  { dryRun = false, signal }: GcOptions = {}
): Promise<GcResult> {
  signal?.throwIfAborted()
  const { freeing } = blocks
  const plan = dryRun ? await freeing.plan(signal) : null
  const sums = plan === null ? [await freeing.run(signal)] : Object.values(plan)
  return {
    blocks: sums.reduce((sum, { blocks }) => sum + blocks, 0),
    bytes: sums.reduce((sum, { bytes }) => sum + bytes, 0),
    dryRun,
    plan: plan === null ? null : { ...plan },
    certain: freeing.isCertain,
    unreadable: freeing.unreadableNodes
  }
}
