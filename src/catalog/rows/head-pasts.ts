import type { IndexDb } from '../../disk/index-db.ts'
import type { IndexSink } from '../../disk/index-sink.ts'
import type { EntryRecord } from '../../format/entry.ts'
import type { Stamp } from '../../format/stamp.ts'
import { equalBytes } from '../../util/bytes.ts'
import { encodePast } from './head-codec.ts'
import { headPastKey, textOf } from './keys.ts'

/**
 * The rows for what each head of an entry has seen. They exist only if the entry's own row has several heads. A head
 * may have seen `SEEN_OF_DELETE_MAX` items, and the row may have `HEADS_MAX` heads. If the row held all of this, each
 * new record would write all of it again. The past of a single head is in the row, so nearly every entry needs no other
 * row.
 */

/** Returns the heads whose pasts have rows of their own. */
function withOwnRow(heads: readonly EntryRecord[]): readonly EntryRecord[] {
  return hasOwnRows(heads) ? heads : []
}

/** Returns true if the pasts of these heads are in rows of their own, and not in that of the entry. */
export function hasOwnRows(heads: readonly unknown[]): boolean {
  return heads.length > 1
}

/** Writes the rows that change if an entry has the heads `after` in place of the heads `before`. */
export function writeHeadPasts(
  sink: IndexSink,
  entry: Uint8Array,
  before: readonly EntryRecord[],
  after: readonly EntryRecord[]
): void {
  const [old, now] = [withOwnRow(before), withOwnRow(after)]
  const isIn = (heads: readonly EntryRecord[], { id }: EntryRecord): boolean =>
    heads.some(head => equalBytes(head.id, id))
  for (const head of old) if (!isIn(now, head)) sink.del(headPastKey(entry, head.stamp))
  for (const head of now) if (!isIn(old, head)) sink.put(headPastKey(entry, head.stamp), encodePast(head.seen))
}

/** Reads the rows of some heads. Returns a look-up of their values, or undefined if one of them is not there. */
export async function readHeadPasts(
  index: Pick<IndexDb, 'getMany'>,
  entry: Uint8Array,
  stamps: readonly Stamp[]
): Promise<((stamp: Stamp) => Uint8Array | undefined) | undefined> {
  const keys = stamps.map(stamp => headPastKey(entry, stamp))
  const byKey = new Map<string, Uint8Array>()
  for (const [i, value] of (await index.getMany(keys)).entries()) {
    if (value === undefined) return undefined
    byKey.set(textOf(keys[i] as Uint8Array), value)
  }
  return stamp => byKey.get(textOf(headPastKey(entry, stamp)))
}
