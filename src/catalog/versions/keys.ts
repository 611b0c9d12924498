import { indexKey } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import { ENTRY_ID_BYTES, type Seen } from '../../format/entry.ts'
import { encodeHlc, HLC_BYTES, type Hlc, type Stamp } from '../../format/stamp.ts'
import { asBuffer, concatBytes, NO_BYTES, u64be } from '../../util/bytes.ts'
import { decodeStampBytes, STAMP_BYTES, stampBytes } from '../rows/keys.ts'

/** Keys of the rows about versions. `SPEC.md` says what each of them holds. */

/** What a record does to the versions that it has seen. The number is a part of the key. */
export const DEEDS = {
  /** It covers them, and carries none of them. */
  ends: 0,
  /** It ends them at once, and for good. */
  purges: 1,
  /** It ends them for good after a time in which others can save them. */
  purgesLater: 2,
  /** It saves the versions of the deletes that it has seen. */
  cancels: 3
} as const
export type Deed = (typeof DEEDS)[keyof typeof DEEDS]
/** Deeds for which only the first record that has seen a stamp matters. */
export type FirstDeed = Exclude<Deed, typeof DEEDS.purgesLater>

/** Comes after all deeds. */
const HAS_PURGES = 0xff
/** Comes after all that may follow an hlc in a key. */
const AFTER_ALL = new Uint8Array(STAMP_BYTES + 1).fill(0xff)
const ENTRY_AT = 1
const ENTRY_END = ENTRY_AT + ENTRY_ID_BYTES
const TIME_BYTES = 8

/**
 * Returns the key of the row for records of one deed that have seen a stamp of this author and incarnation. Without an
 * hlc, returns the prefix of all of them.
 */
export function seenByKey(
  entry: Uint8Array,
  deed: Deed,
  { author, incarnation }: Pick<Seen, 'author' | 'incarnation'>,
  ...rest: readonly Uint8Array[]
): Uint8Array {
  return indexKey(TABLES.firstSeen, entry, Uint8Array.of(deed), author, incarnation, ...rest)
}

/**
 * Returns the last possible key under this prefix before the first one with an hlc; undefined if there can be none. Keys
 * have more bytes after the hlc, or none.
 */
export function beforeHlc(prefix: Uint8Array, hlc: Hlc): Uint8Array | undefined {
  return hlc === 0n ? undefined : concatBytes(prefix, encodeHlc(hlc - 1n), AFTER_ALL)
}

/** Returns the hlc in a key that `seenByKey` made with nothing but an hlc after the incarnation. */
export function hlcOfSeenBy(key: Uint8Array): Hlc {
  return asBuffer(key).readBigUInt64BE(key.byteLength - HLC_BYTES)
}

/** Returns the stamp of the delete in the key of a purge that takes effect later. */
export function stampOfPurge(key: Uint8Array): Stamp {
  return decodeStampBytes(key.subarray(key.byteLength - STAMP_BYTES))
}

/** Returns the key under which a delete that purges later has seen an hlc of an author and incarnation. */
export function laterPurgeKey(entry: Uint8Array, { hlc, ...of }: Seen, by: Stamp): Uint8Array {
  return seenByKey(entry, DEEDS.purgesLater, of, encodeHlc(hlc), stampBytes(by))
}

/** Returns the key of the row which says that some delete of the entry purges. */
export function hasPurgesKey(entry: Uint8Array): Uint8Array {
  return indexKey(TABLES.firstSeen, entry, Uint8Array.of(HAS_PURGES))
}

/** Returns the key of a record that carries the content of a version; without an id, the prefix of all of them. */
export function carrierKey(entry: Uint8Array, written?: Stamp, id: Uint8Array = NO_BYTES): Uint8Array {
  return indexKey(TABLES.carriers, entry, ...(written === undefined ? [] : [stampBytes(written), id]))
}

/** Returns the version that a key of a carrier belongs to. */
export function versionOfCarrier(key: Uint8Array): Stamp {
  return decodeStampBytes(key.subarray(ENTRY_END, ENTRY_END + STAMP_BYTES))
}

/** Returns the id in the key of a carrier. */
export function idOfCarrier(key: Uint8Array): Uint8Array {
  return key.subarray(ENTRY_END + STAMP_BYTES)
}

/** Returns the key of the news about a version, or about all versions of an entry. Without an entry, a prefix. */
export function newsKey(entry: Uint8Array = NO_BYTES, written?: Stamp): Uint8Array {
  return indexKey(TABLES.versionNews, entry, written === undefined ? NO_BYTES : stampBytes(written))
}

/** A version, or all versions of an entry. */
export interface Subject {
  entry: Uint8Array
  written: Stamp | undefined
}

export function subjectOfNews(key: Uint8Array): Subject {
  return subjectAfter(key, ENTRY_AT)
}

/** Returns the key of a version that has ended. */
export function endedKey(endedAtMs: number, entry: Uint8Array, written: Stamp): Uint8Array {
  return indexKey(TABLES.endedVersions, u64be(endedAtMs), entry, stampBytes(written))
}

/** Returns the prefix of all versions that have ended, those that ended first before the others. */
export function endedPrefix(): Uint8Array {
  return indexKey(TABLES.endedVersions)
}

/** Returns the key of an entry that has versions which a purge ends at a time. */
export function duePurgeKey(dueAtMs: number, entry: Uint8Array): Uint8Array {
  return indexKey(TABLES.duePurges, u64be(dueAtMs), entry)
}

/** Returns the prefix of all purges that take effect later, the earliest first. */
export function duePurgePrefix(): Uint8Array {
  return indexKey(TABLES.duePurges)
}

/** Returns the time and the subject in a key that `endedKey` or `duePurgeKey` made. */
export function timedSubject(key: Uint8Array): Subject & { atMs: number } {
  const atMs = Number(asBuffer(key).readBigUInt64BE(ENTRY_AT))
  return { atMs, ...subjectAfter(key, ENTRY_AT + TIME_BYTES) }
}

/** Returns the key of the list of versions of an entry that lived for a short time. */
export function shortVersionsKey(entry: Uint8Array): Uint8Array {
  return indexKey(TABLES.shortVersions, entry)
}

/** Returns the key of the number of versions of an entry that are no longer kept. */
export function droppedKey(entry: Uint8Array): Uint8Array {
  return indexKey(TABLES.droppedVersions, entry)
}

function subjectAfter(key: Uint8Array, at: number): Subject {
  const end = at + ENTRY_ID_BYTES
  const stamp = key.subarray(end, end + STAMP_BYTES)
  return { entry: key.subarray(at, end), written: stamp.byteLength === 0 ? undefined : decodeStampBytes(stamp) }
}
