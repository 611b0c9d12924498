import type { IndexDb, IndexOp } from '../../disk/index-db.ts'
import { type EntryRecord, type Seen, seenKey } from '../../format/entry.ts'
import { decodeHlc, encodeHlc } from '../../format/stamp.ts'
import { concatBytes, equalBytes } from '../../util/bytes.ts'
import { type EntryState, raise } from '../heads.ts'
import { seenRowKey } from './keys.ts'

/**
 * The rows for what the records of an entry have seen, one for each author and incarnation. Any writer can add any
 * number of them, so adding a record reads only the rows that the record names.
 */

const HLC_BYTES = 8

/** Loads the part of an entry's past that is needed to add these records, and puts it into the state. */
export async function loadPast(
  index: Pick<IndexDb, 'getMany'>,
  entry: Uint8Array,
  state: EntryState,
  records: readonly EntryRecord[]
): Promise<void> {
  const named = new Map<string, Pick<Seen, 'author' | 'incarnation'>>()
  for (const { stamp, written, seen } of records)
    for (const of of [stamp, written, ...seen]) named.set(seenKey(of.author, of.incarnation), of)
  const all = [...named.values()]
  const values = await index.getMany(all.map(of => seenRowKey(entry, of)))
  for (const [i, { author, incarnation }] of all.entries()) {
    const value = values[i]
    if (value === undefined) continue
    const [covered, deleted] = [value.subarray(0, HLC_BYTES), value.subarray(HLC_BYTES)]
    raise(state.covered, { author, incarnation, hlc: decodeHlc(covered) })
    if (deleted.byteLength > 0) raise(state.deletedPast, { author, incarnation, hlc: decodeHlc(deleted) })
  }
}

/**
 * Returns true if the rows hold what a record has seen. This is so for a head; what other records have seen, heads that
 * cover them have seen too.
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

/** Returns the changes that store what the records of a state have seen. */
export function pastOps(entry: Uint8Array, { covered, deletedPast }: EntryState): IndexOp[] {
  return [...covered].map(([key, seen]) => {
    const deleted = deletedPast.get(key)
    const value = concatBytes(encodeHlc(seen.hlc), ...(deleted === undefined ? [] : [encodeHlc(deleted.hlc)]))
    return { type: 'put', key: seenRowKey(entry, seen), value }
  })
}
