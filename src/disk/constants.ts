import { BLOCK_BYTES_MAX } from '../format/constants.ts'

/** The bounds of the store. SPEC.md explains those that affect the bytes on disk. */

/** A segment is closed once it has this many bytes. */
export const SEGMENT_BYTES = 64 << 20
/** The same for a segment of large blocks, which is larger so that beginning one costs little beside filling it. */
export const LARGE_SEGMENT_BYTES = 256 << 20
/** The largest payload of a row. It has room for the largest small block with its name, and for a statement. */
export const ROW_BYTES_MAX = 80 << 10
/** Code, length and 32 bytes of digest. This store accepts no multihash of another length. */
export const MULTIHASH_BYTES = 34
/** The largest large block with its name. */
export const LARGE_ROW_BYTES_MAX: number = BLOCK_BYTES_MAX + MULTIHASH_BYTES
/**
 * The most bytes, and the most writes (each of one or more rows), in one group commit. One batch of a projection takes
 * at most as many writes. Both bounds are large enough to fill a disk's queue, and small enough for a caller to wait
 * for.
 */
export const COMMIT_BYTES_MAX = 16 << 20
export const COMMIT_ROWS_MAX = 4096
/**
 * The most rows that are projected into one batch of the index, unless one write has more. It bounds the memory of a
 * batch, because one record may need a few hundred rows of the index.
 */
export const PROJECT_ROWS_MAX = 512
/**
 * The bytes of rows that a replay has in memory at a time. With `PROJECT_ROWS_MAX` it bounds the memory of a rebuild,
 * however many rows there are: objects that live as long as a larger batch leave the young generation, and V8 collects
 * them only once the heap has grown.
 */
export const REPLAY_BYTES_MAX = 1 << 20
/** The number of bytes that a compaction moves at a time, while other writes wait. */
export const MOVE_BYTES_MAX = 4 << 20
export const MOVE_ROWS_MAX = 256
/** The most dead rows of a segment whose notes in the index are looked at once it has been removed, and how many at once. */
export const GONE_ROWS_MAX = 65_536
export const GONE_ROWS_AT_ONCE = 1_024
/** Less free space than this at the first start is not kept as the capacity of the node. */
export const CAPACITY_BYTES_MIN = SEGMENT_BYTES
/** The number of segments that are kept open for reading. */
export const OPEN_SEGMENTS_MAX = 64
/** The number of bytes in one read when a whole segment is read. */
export const SCAN_BYTES = 1 << 20

/**
 * Blocks of this length or more are in segments of their own, whose rows are padded to whole pages. Padding would cost
 * too much for smaller ones.
 */
export const SMALL_BLOCK_BYTES_MAX = 64 << 10
/**
 * Reads and writes past the page cache must be aligned to this in memory, in the file and in length. No file system
 * requires a larger alignment.
 */
export const PAGE_BYTES = 4096
/** The most buffers of `SLOT_BYTES` for reads and writes past the page cache, over all files. */
export const SLOTS_MAX = 16
/** The most of them that one call writes. */
export const SLOTS_AT_ONCE = 8
/** Large enough that a block of the usual size needs only one read. */
export const SLOT_BYTES: number = (1 << 20) + 2 * PAGE_BYTES
/** Shorter reads go through the page cache. */
export const PAST_CACHE_BYTES_MIN = 64 << 10
/** A read that repeats one of the last reads goes through the page cache, because it may be repeated again. */
export const RECENT_READS_MAX = 32
/** A segment with a smaller live share than this is compacted. */
export const COMPACT_BELOW = 0.5
/** The same for segments of small rows: there is little of them, so copying more of it costs little. */
export const COMPACT_SMALL_BELOW = 0.65
/** The same if the store is full, or takes more space than it may hold. */
export const COMPACT_BELOW_IF_SHORT = 0.9
/** The dead bytes that the last segment may have, if they are most of it, before another one begins. */
export const WASTE_BYTES_MAX = 2 << 20
/** The pause after a round that found nothing to compact. */
export const COMPACT_INTERVAL_MS = 10_000
/** After a compaction the pause is at least this, and this many times as long as the compaction took. */
export const COMPACT_PAUSE_MS = 1_000
export const COMPACT_REST = 3

/**
 * The most bytes, and the most rows, that are overwritten in one round of the erasure. The pause after a round is at
 * least this, and this many times as long as the round took, so that puts and gets hardly notice it.
 */
export const ERASE_BYTES_MAX = 16 << 20
export const ERASE_ROWS_MAX = 256
export const ERASE_PAUSE_MS = 100
export const ERASE_REST = 3
/** The pause after a round that found nothing to erase. A block that is freed meanwhile waits at most this long. */
export const ERASE_INTERVAL_MS = 10_000

/** Rows in one leaf check, and the pause between two checks. */
export const LEAF_ROWS = 1024
export const LEAF_INTERVAL_MS = 60_000
/** The pause between two checks while all rows are checked for the first time after a start. */
export const LEAF_PAUSE_MS = 50
/** While all rows are checked for the first time, the pause is at least this many times as long as the last check took. */
export const LEAF_REST = 3

/**
 * The number of batches of the index in one chain. Each start reads up to this many rows. After this many batches,
 * LevelDB must write the contents of its memory to a table.
 */
export const CHAIN_LINKS_MAX = 4096
/** The most waiting batches, and the most bytes in them, that are written to the index as one batch. */
export const BATCH_ITEMS_MAX = 1024
export const BATCH_BYTES_MAX = 1 << 20
/**
 * The most rows of the index that are read synchronously. Larger reads run on another thread, so that they do not block
 * the event loop.
 */
export const SYNC_ROWS_MAX = 32

/** The share of the file system that is kept free, whatever the capacity is. */
export const RESERVE_SHARE = 0.05

/**
 * The bytes of the file that keeps space for a full disk. LevelDB needs up to about 5 MiB to open: it writes its log, of
 * at most 4 MiB, to a table.
 */
export const RESERVE_BYTES = 8 << 20
/** A smaller disk has no such file, because it would take too large a part of the disk. */
export const RESERVE_DISK_BYTES_MIN = 32 << 20
/**
 * A start and a reopening of the index need this many free bytes, a little more than LevelDB needs. If fewer are free,
 * the reserve is removed.
 */
export const START_FREE_BYTES = 6 << 20
/** The pause before the index is opened again after a failed batch, and the longest pause after failed attempts. */
export const REOPEN_PAUSE_MS = 1_000
export const REOPEN_PAUSE_MS_MAX = 60_000
/**
 * The size of the probe, the file that shows whether the disk accepts writes. It is larger than any block of a usual
 * file system.
 */
export const PROBE_BYTES = 64 << 10

/**
 * The types of rows in a segment, at most 126: a void row of type 127 would look like a footer. The meaning of a number
 * never changes. A new meaning gets a new number.
 */
export const ROW_STATEMENT = 1
export const ROW_BLOCK = 2
export const ROW_FREED = 3
export const ROW_CLAIM = 4
/** A statement that is stamped too far ahead, and waits for its time. */
export const ROW_EARLY = 5
/** A block of at least `SMALL_BLOCK_BYTES_MAX`. Only these rows have a body, and only they are in segments of large blocks. */
export const ROW_LARGE_BLOCK = 6
/**
 * The types of rows whose order relative to each other does not matter: the projection of one reads and writes no row
 * of the index that another one does. Rows of any other type stay where they are. A freed row, for example, must stay
 * behind the block that it frees.
 */
export const ROWS_IN_ANY_ORDER: ReadonlySet<number> = new Set([ROW_STATEMENT, ROW_BLOCK, ROW_CLAIM])

/** How often a node looks whether its index has become much larger than its rows. */
export const INDEX_COMPACT_INTERVAL_MS = 15_000
/** About how much room a row of the index takes on the disk. */
export const INDEX_ROW_BYTES = 128
/** The index is compacted once deleted rows take this share of it, and no fewer bytes than this. */
export const INDEX_DEAD_SHARE = 0.1
export const INDEX_DEAD_BYTES_MIN = 1 << 20
