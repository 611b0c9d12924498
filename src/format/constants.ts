/** The bounds of the formats. SPEC.md says what they mean. None of them may change without a new version. */

/** The number of plain bytes in a chunk of the fixed chunker. */
export const CHUNK_BYTES = 1 << 20
/** How files may be cut: every so many bytes, or where their content says so. */
export const CHUNKERS = ['fixed', 'fastcdc'] as const
export type ChunkerName = (typeof CHUNKERS)[number]
/** The most plain bytes, before padding, that any chunker may put in one chunk. */
export const CHUNK_BYTES_MAX = 4 << 20
/** The bytes that the seal adds: a commitment of 32 bytes before the ciphertext, and a GCM tag of 16 bytes after it. */
export const SEAL_OVERHEAD_BYTES = 48
/** The most bytes in one sealed block: the largest chunk, its length field and the seal. */
export const BLOCK_BYTES_MAX = CHUNK_BYTES_MAX + 64
/** Files up to this size travel inside the body of their record, so that a tiny file needs no block. */
export const INLINE_BYTES_MAX = 1024

/** The most links in one manifest node. */
export const FANOUT = 1024
/** The most levels of manifest nodes above the chunks. */
export const DEPTH_MAX = 4
export const NODE_BYTES_MAX = 128 << 10
export const MANIFEST_VERSION = 1

export const STATEMENT_BYTES_MAX = 16 << 10
export const STATEMENT_VERSION = 1
/**
 * How deep lists and maps may be nested. The limit is far below what would overflow the stack of any decoder, so that
 * all members accept the same values.
 */
export const NESTING_MAX = 64
/** The most grants between a statement and the root key. */
export const CHAIN_MAX = 4
/**
 * The most statements that prove a grant or an invite, itself included. A chain of grants rests on further statements
 * if its devices joined by invites: on these invites, and on the chains of those who signed them.
 */
export const SUPPORT_STATEMENTS_MAX = 20
/** The most characters of an invite token. An ordinary one has fewer than 3,000. */
export const TOKEN_LENGTH_MAX = 32 << 10
/** The most items in the `seen` of a put, and of a delete. */
export const SEEN_MAX = 128
export const SEEN_OF_DELETE_MAX = 256

/** The padded sizes of the smallest and of the largest entry body. */
export const BODY_BYTES_MIN = 256
export const BODY_BYTES_MAX = 8 << 10
/** The longest media type, and the longest target of a symbolic link. */
export const TYPE_BYTES_MAX = 255
export const TARGET_BYTES_MAX = 4096

export const PATH_PART_BYTES_MAX = 255
export const PATH_BYTES_MAX = 4096
/** The longest name of a device or a zone. */
export const LABEL_BYTES_MAX = 64
/** The most addresses in a status or in an invite token, and the longest address. */
export const ADDRESSES_MAX = 16
export const ADDRESS_BYTES_MAX = 256
/** The most epochs that one epoch may follow. Far fewer are ever opened at the same moment. */
export const PREVIOUS_EPOCHS_MAX = 16
/** The exact length of a handover's box: an X25519 key, an encrypted epoch key and a tag. */
export const HANDOVER_BOX_BYTES = 32 + 32 + 16
/** The most revocations that one epoch excludes. */
export const EXCLUDED_MAX = 256

/**
 * The bounds of numbers in statements and bodies. A number from another member goes into rows of the index, into dates
 * and into sums, so it is refused when it is decoded, and not where it is used.
 */

/** The most copies that a record may ask for, so that the number fits into one byte. 0 stands for every member. */
export const REPLICAS_MAX = 255
/** The most bytes that a member may offer: 1 PiB, which is more than one machine has. */
export const CAPACITY_BYTES_MAX = 2 ** 50
/** The largest size of a file in bytes: the greatest integer that JavaScript represents exactly, 8 PiB. */
export const FILE_BYTES_MAX = Number.MAX_SAFE_INTEGER
/**
 * The latest time that a JavaScript `Date` can hold, in ms since the Unix epoch. The earliest is the same number with a
 * minus sign.
 */
export const TIME_MS_MAX = 8_640_000_000_000_000
/** The longest time in ms that a member may be without a status before it counts as out: 30 days. */
export const OUT_AFTER_MS_MAX = 30 * 24 * 60 * 60_000
/** The most days for which a network may keep versions that have ended: a hundred years. */
export const VERSION_DAYS_MAX = 36_500
/** The most devices that one invite may admit. Without a number it admits any number. */
export const USES_MAX = 65_535
/** The most statements that the quota of a member may allow: far more than a whole network has. */
export const QUOTA_STATEMENTS_MAX = 1_000_000_000
/** The permission bits of a file: those of `chmod`, with setuid, setgid and sticky. */
export const MODE_MAX = 0o7777

/** How far a stamp may be ahead of this member's clock and still be accepted. */
export const FUTURE_MS_MAX = 5 * 60_000
/** The bytes of the id of an entry. */
export const ENTRY_ID_BYTES = 16
