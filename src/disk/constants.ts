/** The bounds of the store. SPEC.md explains those that shape the bytes on disk. */

/** A segment is closed once it is this long. */
export const SEGMENT_BYTES = 64 << 20
/** The longest payload of a row: the largest small block with its name, or a statement. */
export const ROW_BYTES_MAX = 80 << 10
/**
 * What one group commit takes: bytes, and writes (each of one or more rows). One batch of a projection takes as many writes.
 * In a replay the second bound counts rows. Both are enough to fill a disk's queue, and little enough to wait for.
 */
export const COMMIT_BYTES_MAX = 16 << 20
export const COMMIT_ROWS_MAX = 4096
/** What a compaction moves at a time, while other writes wait. */
export const MOVE_BYTES_MAX = 1 << 20
export const MOVE_ROWS_MAX = 256
/** Segments kept open for reading. */
export const OPEN_SEGMENTS_MAX = 64
/** Segments that can still be read after they were removed. At most one is removed in `COMPACT_INTERVAL_MS`. */
export const RETIRED_SEGMENTS_MAX = 4
/** How many bytes are read at once when a whole segment is read. */
export const SCAN_BYTES = 1 << 20

/** Blocks of this length or more have a file of their own. Smaller ones are rows of a segment. */
export const SMALL_BLOCK_BYTES_MAX = 64 << 10
/** Block files being written at once. */
export const BLOCK_WRITES_MAX = 16
/** Block files whose sizes are read at once. */
export const SIZE_READS_MAX = 64
/** A segment with a smaller live share than this is compacted. */
export const COMPACT_BELOW = 0.5
/** The pause between compactions. */
export const COMPACT_INTERVAL_MS = 30_000

/** Rows in one leaf check, and the pause between two checks. */
export const LEAF_ROWS = 1024
export const LEAF_INTERVAL_MS = 60_000
/** The pause between two checks while all rows are checked for the first time after a start. */
export const LEAF_PAUSE_MS = 50

/**
 * Batches of the index in one chain. Each start reads up to this many rows. After this many batches LevelDB must write what
 * it has in memory to a table.
 */
export const CHAIN_LINKS_MAX = 4096
/** The most waiting batches, and the most bytes of them, that are written to the index as one batch. */
export const BATCH_ITEMS_MAX = 1024
export const BATCH_BYTES_MAX = 1 << 20

/** Share of the file system that stays free whatever the capacity is. */
export const RESERVE_SHARE = 0.05

/** The types of rows in a segment. A number keeps its meaning for ever. A new meaning gets a new number. */
export const ROW_STATEMENT = 1
export const ROW_BLOCK = 2
export const ROW_FREED = 3
export const ROW_CLAIM = 4
