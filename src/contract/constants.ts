/** The bounds that both sides of the HTTP API need. */

/**
 * The largest file that may be in a bundle. A body up to this size is handled as one piece. It equals the bound with
 * the same name in fs/constants.ts, so that files that share a request also share the node's calls. The number is
 * repeated here, because this room may import only index.ts, and that import would make `dfs` load the whole node. A
 * test compares the two.
 */
export const SMALL_FILE_BYTES_MAX = 192 << 10

/**
 * The days for which a version is kept if no admin has set another number. It equals the bound in members/constants.ts,
 * and a test compares the two.
 */
export const VERSION_DAYS = 30

/** The largest file: 2^26 chunks of 1 MiB. It follows from bounds of rooms below, and a test compares them. */
export const FILE_BYTES_MAX = 2 ** 46
