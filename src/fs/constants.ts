import { REPLICAS_MAX } from '../format/constants.ts'

/** The bounds of the verbs. */

/**
 * Files up to this size are read whole before anything is stored. Small files that are put at about the same time share
 * calls.
 */
export const SMALL_FILE_BYTES_MAX = 192 << 10
/**
 * Small files that wait at the same time are sealed and linked together, at most so many and of so many bytes, so that
 * sealing them does not hold up other work for long. While one group waits for the disk, the next is sealed.
 */
export const SMALL_BATCH_FILES_MAX = 64
export const SMALL_BATCH_BYTES_MAX = 1 << 20
export const SMALL_BATCHES_AT_ONCE = 2
/** The number of files of a tree that are copied concurrently. Small ones then fill a group. */
export const TREE_AT_ONCE = 64
/** The most deleted entries that one append of a purge deletes once more. */
export const ENDED_AT_ONCE = 256
/** The most directories that one append restores. */
export const DIRECTORIES_AT_ONCE = 256
/** The largest number of copies that a caller may ask for; a caller that wants more asks for `all`. */
export const COPIES_MAX = REPLICAS_MAX
/** How long a change without blocks waits for the connected members to acknowledge it. */
export const PUSH_WAIT_MS = 5_000
/** The most appends of one verb whose pushes to the members may wait for their answers. */
export const PUSHES_AHEAD = 2

/**
 * The most records of one verb whose acknowledgement a caller can wait for. Their ids stay in memory meanwhile, 32 bytes
 * each.
 */
export const ACKNOWLEDGED_MAX = 1_000_000
/** The most records that a member is asked about at once. */
export const ACKNOWLEDGED_AT_ONCE = 4_096
/** How long a caller that waits for members pauses before they are asked again. */
export const ACKNOWLEDGED_POLL_MS = 500
/** How often a copy or a restore of a directory says how far it has come. */
export const REPORT_MS = 500
/**
 * A watcher that has been told nothing during this many batches of changes, because they were all about other paths, is
 * told the newest cursor, so that its own does not become too old.
 */
export const UNTOLD_MAX = 256
