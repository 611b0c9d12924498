/** Every bound of `/dfs/sync/1.0.0`. */

export const SYNC_PROTOCOL = '/dfs/sync/1.0.0'
/** Body of a frame: statements or ids. */
export const SYNC_BYTES_MAX = 1 << 20
/** Statements in one push, and in one answer to a fetch. */
export const PUSH_STATEMENTS_MAX = 256
/** Ids in one list, offer or fetch. */
export const IDS_MAX = 8_192
/** Pushes under way to one peer. */
export const PUSHES_IN_FLIGHT = 4
/** How long the other side may take to verify, check and sync a batch. */
export const PUSH_TIMEOUT_MS = 30_000

/** News is passed on this long after it came, together with what came meanwhile. */
export const PASS_ON_MS = 200
/** More waiting than this for one peer is not offered one by one: the next comparison brings it. */
export const PASS_ON_MAX = 16_384

/** Signatures being checked at once; each holds a thread of libuv's pool for a tenth of a millisecond. */
export const VERIFY_AT_ONCE = 64

/** How long a member may take to say whether it has a statement. */
export const HOLDERS_TIMEOUT_MS = 5_000
