/** Every bound of the catalog. */

/** An entry whose parent is not known shows at `/` after this long: until then its parent may be on its way. */
export const ORPHAN_MS = 60 * 60_000
/** Bytes of the HMAC under which a name stands in the index. */
export const NAME_HASH_BYTES = 16
/** Bodies kept open, so that a listing which is repeated does not decrypt again. */
export const BODIES_MAX = 8_192
/** Entries of one directory whose bodies are read together. */
export const LIST_BATCH = 64
/** Entries of one directory that a listing sorts in memory. */
export const LIST_MAX = 1_000_000
/**
 * Heads of an entry that are looked at: far more members than ever write to one file without a word between them. Each
 * is in the row of the entry, which is written anew with every record.
 */
export const HEADS_MAX = 64
/**
 * Directories of a cycle that is looked for. Two moves at the same time close one as long as both their paths together;
 * what has no cycle is walked this far up at most.
 */
export const CYCLE_MAX = 1_024
/** Digits of an id in the name of what cannot show under its own. */
export const TAG_DIGITS = 8
