/** Every bound of `/dfs/sync/1.0.0`. */

export const SYNC_PROTOCOL = '/dfs/sync/1.0.0'
/** Body of a frame: statements or ids. */
export const SYNC_BYTES_MAX = 1 << 20
/** Statements in one push, and in one answer to a fetch. */
export const PUSH_STATEMENTS_MAX = 256
/** Ids in one list, offer or fetch. */
export const IDS_MAX = 8_192
/** Lists that a member may give of one class: more than a network of the largest size fills. */
export const LISTS_MAX = 8_192
/** Pushes under way to one peer. */
export const PUSHES_IN_FLIGHT = 4
/** How long the other side may take to verify, check and sync a batch; one patience for all calls that share a stream. */
export const SYNC_TIMEOUT_MS = 30_000

/** News is passed on this long after it came, together with what came meanwhile. */
export const PASS_ON_MS = 200
/** Who makes a statement has it pushed. One that has gone to a member by no push after this long is offered to it. */
export const EXPECTED_MS = 5_000
/** What one peer has still to be told; beyond that it is not noted one by one, and everything is offered. */
export const NEWS_MAX = 16_384
/** What did not reach a peer that stayed connected is offered again after this long, then later and later. */
export const BEHIND_RETRY_MS = 15_000
export const BEHIND_RETRY_MS_MAX = 10 * 60_000

/** Signatures being checked at once; each holds a thread of libuv's pool for a tenth of a millisecond. */
export const VERIFY_AT_ONCE = 64

/** How long a member may take to say whether it has a statement. */
export const HOLDERS_TIMEOUT_MS = 5_000
