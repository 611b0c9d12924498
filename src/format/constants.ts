/** The bounds of the formats. SPEC.md says what they mean. None may change without a new version. */

/** Plain bytes in a chunk of the fixed chunker. */
export const CHUNK_BYTES = 1 << 20
/** The most plain bytes, before padding, that any chunker may put in one chunk. */
export const CHUNK_BYTES_MAX = 4 << 20
/** What the seal adds: a commitment of 32 bytes in front, and a GCM tag of 16 bytes behind. */
export const SEAL_OVERHEAD_BYTES = 48
/** The most bytes in one sealed block: the largest chunk, its length field, the seal. */
export const BLOCK_BYTES_MAX = CHUNK_BYTES_MAX + 64
/** Files up to this size travel inside the body of their record. */
export const INLINE_BYTES_MAX = 1024

/** The most links in one manifest node. */
export const FANOUT = 1024
/** The most levels of manifest nodes above the chunks. */
export const DEPTH_MAX = 4
export const NODE_BYTES_MAX = 128 << 10
export const MANIFEST_VERSION = 1

export const STATEMENT_BYTES_MAX = 16 << 10
export const STATEMENT_VERSION = 1
/** How deep lists and maps may be nested. It is far less than the stack of any decoder holds, so that all members agree. */
export const NESTING_MAX = 64
/** The most grants between a statement and the root key. */
export const CHAIN_MAX = 4
/** The most items in the `seen` of a put, and of a delete. */
export const SEEN_MAX = 128
export const SEEN_OF_DELETE_MAX = 256

/** Padded size of the smallest entry body, and of the largest. */
export const BODY_BYTES_MIN = 256
export const BODY_BYTES_MAX = 8 << 10
/** The longest media type, and the longest target of a symbolic link. */
export const TYPE_BYTES_MAX = 255
export const TARGET_BYTES_MAX = 4096

export const PATH_PART_BYTES_MAX = 255
export const PATH_BYTES_MAX = 4096
/** The longest name of a device or a zone. */
export const LABEL_BYTES_MAX = 64

/** How far a stamp may be ahead of this member's clock and still count. */
export const FUTURE_MS_MAX = 5 * 60_000
