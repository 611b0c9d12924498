import type { IndexDb } from '../../disk/index-db.ts'
import { hlcMs, type Stamp } from '../../format/stamp.ts'
import { asBuffer, equalBytes } from '../../util/bytes.ts'
import { PURGE_WAIT_MS, SHORT_LIVED_MS } from '../constants.ts'
import { FirstSeen, type SeenBy } from './first-seen.ts'
import { beforeHlc, DEEDS, hasPurgesKey, seenByKey, stampOfPurge } from './keys.ts'

/** What the records of an entry say about the end of one version. It follows from the records and their arrivals. */
export interface Fate {
  /** When both the version and the first record that covers it had reached this member; null if none covers it. */
  endedAtMs: number | null
  /** True if its own author ended it soon after it had been written. */
  isShortLived: boolean
  /** When a purge ends the version for good, or did; null if none does. */
  purgedAtMs: number | null
  /** True if this purge is that of an admin, which does not wait. */
  isPurged: boolean
}

type Reader = Pick<IndexDb, 'get' | 'has' | 'range'>

/** Returns what becomes of the version `written`, which reached this member at `arrivedAtMs`. */
export async function fateOf(
  index: Reader,
  entry: Uint8Array,
  { written, arrivedAtMs }: { written: Stamp; arrivedAtMs: number }
): Promise<Fate> {
  const end = await new FirstSeen(index, entry, DEEDS.ends).of(written)
  const endedAtMs = end === undefined ? null : Math.max(arrivedAtMs, end.arrivedAtMs)
  const isShortLived = end !== undefined && isShort(written, arrivedAtMs, end)
  const fate = { endedAtMs, isShortLived, purgedAtMs: null, isPurged: false }
  if (!(await index.has(hasPurgesKey(entry)))) return fate
  const purge = await new FirstSeen(index, entry, DEEDS.purges).of(written)
  if (purge !== undefined) return { ...fate, purgedAtMs: Math.max(arrivedAtMs, purge.arrivedAtMs), isPurged: true }
  return { ...fate, purgedAtMs: await purgedLaterAtMs(index, entry, written) }
}

/**
 * Both the moments of arrival and the stamps must be close. A member that has been away receives at once what was
 * written over weeks, and an author may write any stamp.
 */
function isShort(written: Stamp, arrivedAtMs: number, end: SeenBy): boolean {
  return (
    equalBytes(written.author, end.author) &&
    end.arrivedAtMs - arrivedAtMs < SHORT_LIVED_MS &&
    hlcMs(end.hlc) - hlcMs(written.hlc) < SHORT_LIVED_MS
  )
}

/** Returns the earliest moment at which a purge that waits, and that nobody has cancelled, takes effect. */
async function purgedLaterAtMs(index: Reader, entry: Uint8Array, written: Stamp): Promise<number | null> {
  const cancels = new FirstSeen(index, entry, DEEDS.cancels)
  const prefix = seenByKey(entry, DEEDS.purgesLater, written)
  let first: number | null = null
  for await (const { key, value } of index.range(prefix, { after: beforeHlc(prefix, written.hlc) })) {
    const dueAtMs = Number(asBuffer(value).readBigUInt64BE()) + PURGE_WAIT_MS
    if (first !== null && first <= dueAtMs) continue
    const cancel = await cancels.of(stampOfPurge(key))
    if (cancel === undefined || cancel.arrivedAtMs >= dueAtMs) first = dueAtMs
  }
  return first
}
