/** The bounds of the verbs. */

/** Files up to this size are read whole before anything is stored, and small files that are put together share calls. */
export const SMALL_FILE_BYTES_MAX = 48 << 10
/** Files of a tree that are copied at once. */
export const TREE_AT_ONCE = 8
/** The most members that a number of copies may name; for more there is `all`. */
export const COPIES_MAX = 1_000
/** How long a change without blocks waits for the members that are connected to acknowledge it. */
export const PUSH_WAIT_MS = 5_000
