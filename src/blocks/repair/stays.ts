import type { PeerId } from '../../format/peer-id.ts'
import type { Clock } from '../../util/clock.ts'
import type { FreeGuard } from './free-guard.ts'
import type { IncompleteRecords } from './free-stops.ts'
import type { PutEnds } from './put-ends.ts'
import type { Surplus, SurplusLeft } from './surplus.ts'
import type { Sweeper } from './sweep.ts'

/** Why something stays here that would be freed otherwise. */
export type Stay =
  /** It is not certain which blocks are needed. */
  | { reason: 'uncertain' }
  /** Manifests of an author are incomplete, so it is not certain which blocks are needed. */
  | { reason: 'incomplete'; author: PeerId }
  /** Promises to other members from before the last stop may last, so no copies are freed until then. */
  | { reason: 'promised'; untilAtMs: number }
  /** The members that owe these copies did not prove that they hold theirs. */
  | { reason: 'unproven'; blocks: number; bytes: number }
  /** Nothing claims some blocks since an unclean stop, and until then it is not certain that nothing needs them. */
  | { reason: 'unclean'; untilAtMs: number }
  /** Puts that are under way, or that other members have not said to be over, keep blocks until then at the latest. */
  | { reason: 'puts'; untilAtMs: number }

export interface StaysOptions {
  clock: Clock
  guard: Pick<FreeGuard, 'promisedMs'>
  surplus: Pick<Surplus, 'noted'>
  putEnds: Pick<PutEnds, 'until'>
  sweeper: Pick<Sweeper, 'orphansFromAtMs'>
  mayFree: () => boolean
  incomplete: () => readonly IncompleteRecords[]
}

/** Returns why blocks stay, after a run or instead of one. `left` is what a run could not free. */
export async function whyStays(options: StaysOptions, left: SurplusLeft, signal?: AbortSignal): Promise<Stay[]> {
  const { clock, guard, surplus, putEnds, sweeper, mayFree, incomplete } = options
  const stays: Stay[] = []
  if (!mayFree()) {
    const stopping = incomplete().filter(({ isStopping }) => isStopping)
    for (const { author } of stopping) stays.push({ reason: 'incomplete', author })
    if (stopping.length === 0) stays.push({ reason: 'uncertain' })
  }
  const { promisedMs } = guard
  if (promisedMs > 0 && (await hasAny(surplus.noted())))
    stays.push({ reason: 'promised', untilAtMs: clock.now() + promisedMs })
  if (sweeper.orphansFromAtMs !== undefined) stays.push({ reason: 'unclean', untilAtMs: sweeper.orphansFromAtMs })
  const { records, blocks, bytes } = left
  if (records > 0) stays.push({ reason: 'unproven', blocks, bytes })
  const { othersAtMs } = await putEnds.until(signal)
  if (othersAtMs !== null) stays.push({ reason: 'puts', untilAtMs: othersAtMs })
  return stays
}

async function hasAny(items: AsyncIterable<unknown>): Promise<boolean> {
  for await (const _ of items) return true
  return false
}
