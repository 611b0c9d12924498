import type { IndexDb } from '../../disk/index-db.ts'
import type { IndexSink } from '../../disk/index-sink.ts'
import { type EntryRecord, type Seen, seenKey } from '../../format/entry.ts'
import { decodeHlc, encodeHlc, HLC_BYTES } from '../../format/stamp.ts'
import { concatBytes, equalBytes, NO_BYTES } from '../../util/bytes.ts'
import { type EntryState, raise } from '../heads.ts'
import { seenRowKey } from './keys.ts'

/**
 * The rows for what the records of an entry have seen, one for each author and incarnation. Any writer can add any
 * number of them, so adding a record reads only the rows that the record names.
 */

/** The most rows that are read at once. */
const ROWS_AT_ONCE = 4_096

/** Loads what the records of an entry have seen of some authors and incarnations, and puts it into the state. */
export async function loadPast(
  index: Pick<IndexDb, 'getMany'>,
  entry: Uint8Array,
  { covered, deletedPast }: Pick<EntryState, 'covered' | 'deletedPast'>,
  named: Iterable<Pick<Seen, 'author' | 'incarnation'>>
): Promise<void> {
  const distinct = new Map<string, Pick<Seen, 'author' | 'incarnation'>>()
  for (const of of named) distinct.set(seenKey(of.author, of.incarnation), of)
  for (const some of chunksOf([...distinct.values()], ROWS_AT_ONCE)) {
    const values = await index.getMany(some.map(of => seenRowKey(entry, of)))
    for (const [i, { author, incarnation }] of some.entries()) {
      const value = values[i]
      if (value === undefined) continue
      const deleted = value.subarray(HLC_BYTES)
      raise(covered, { author, incarnation, hlc: decodeHlc(value.subarray(0, HLC_BYTES)) })
      if (deleted.byteLength > 0) raise(deletedPast, { author, incarnation, hlc: decodeHlc(deleted) })
    }
  }
}

/**
 * Returns true if the rows hold what a record has seen. This must be true for a head. Other records need no check,
 * because the heads that cover them have seen the same.
 */
export async function hasPast(
  index: Pick<IndexDb, 'getMany'>,
  { id, entry, seen }: EntryRecord,
  { heads }: EntryState
): Promise<boolean> {
  if (!heads.some(head => equalBytes(head.id, id))) return true
  const values = await index.getMany(seen.map(of => seenRowKey(entry, of)))
  return seen.every(({ hlc }, i) => {
    const value = values[i]
    return value !== undefined && decodeHlc(value.subarray(0, HLC_BYTES)) >= hlc
  })
}

/** Writes the rows of those items of a state's past that have changed. */
export function writePast(
  sink: IndexSink,
  entry: Uint8Array,
  { covered, deletedPast }: Pick<EntryState, 'covered' | 'deletedPast'>,
  changed: Iterable<string>
): void {
  for (const key of changed) {
    const seen = covered.get(key) as Seen
    const deleted = deletedPast.get(key)
    sink.put(
      seenRowKey(entry, seen),
      concatBytes(encodeHlc(seen.hlc), deleted === undefined ? NO_BYTES : encodeHlc(deleted.hlc))
    )
  }
}

function* chunksOf<T>(list: readonly T[], length: number): Generator<T[]> {
  for (let start = 0; start < list.length; start += length) yield list.slice(start, start + length)
}
