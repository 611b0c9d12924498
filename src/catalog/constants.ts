/** The bounds of the catalog. */

/** An entry whose parent is unknown shows at `/` after this long. Until then the parent may still be on its way. */
export const ORPHAN_MS = 60 * 60_000
/** Bytes of the HMAC that stands for a name in the index. */
export const NAME_HASH_BYTES = 16
/** Opened bodies that are kept in memory, so that a repeated listing need not decrypt them again. */
export const BODIES_MAX = 8_192
/** Names of one directory whose bodies are read at the same time. */
export const LIST_BATCH = 64
/** The most entries of one directory that a listing sorts in memory. */
export const LIST_MAX = 1_000_000
/**
 * The most heads of an entry that are kept: far more than the members that ever write to one file at the same time. All
 * of them are in the row of the entry, which is replaced with every record.
 */
export const HEADS_MAX = 64
/**
 * The search for a cycle visits at most this many directories. Two moves at the same time make a cycle as long as both
 * their paths together.
 */
export const CYCLE_MAX = 1_024
/** Digits of an id in the name of an entry that cannot show under its own. */
export const TAG_DIGITS = 8
