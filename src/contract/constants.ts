/** The bounds that both sides of the HTTP API know. */

/**
 * The largest file that may be in a bundle; a body up to this size is handled as one piece. It equals the bound of the same
 * name in fs/constants.ts, so that the files which share a request also share the node's calls. The number is repeated here
 * because a face may only import index.ts, and `dfs` would load the whole node for it; a test compares the two.
 */
export const SMALL_FILE_BYTES_MAX = 48 << 10
