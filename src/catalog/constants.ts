/** The bounds of the catalog. */

/**
 * How long an entry whose parent is unknown stays hidden before it is shown at `/`. Until then, the parent may still be
 * on its way.
 */
export const ORPHAN_MS = 60 * 60_000
/** The number of bytes of the HMAC that stands for a name in the index. */
export const NAME_HASH_BYTES = 16
/** The number of names whose hashes are kept in memory: more than are changed at the same time. */
export const NAME_HASHES_MAX = 1_024
/** The number of opened bodies that are kept in memory, so that a repeated listing need not decrypt them again. */
export const BODIES_MAX = 8_192
/** The number of names in one directory whose entries are read concurrently. */
export const LIST_BATCH = 64
/**
 * The most names of one directory that a listing holds in memory, sorted: about 10 MiB. For a larger directory, it
 * reads all names again after each group of this many.
 */
export const LIST_NAMES_MAX = 65_536
/** The same limit for the deepest of many nested listings. */
export const LIST_NAMES_MIN = 1_024
/** The number of names that a listing sorts at a time, so that it never blocks the event loop for long. */
export const LIST_SORT = 4_096
/** The most rows that a listing holds at once, over all the directories that show as one. */
export const LIST_ROWS = 1_024
/** The most deleted entries of one name that are in memory at once. */
export const DELETED_AT_ONCE = 1_024
/** The most deleted directories of one name that show as one. Those that were deleted last come first. */
export const DELETED_DIRECTORIES_MAX = 1_024
/** The most entries whose versions are merged into one list. Older entries of the same name follow after these. */
export const MERGED_ENTRIES_MAX = 64
/** The fewest digits of the id of a record that name a version. */
export const VERSION_DIGITS_MIN = 4
/**
 * The most heads in the row of an entry. This is far more than the number of members that ever write to one file at the
 * same time. There is a limit because the row is rewritten for every record. Older heads are kept in rows of their own.
 */
export const HEADS_MAX = 64
/**
 * The most records of one entry that wait for the records whose content they carry, counted together with the items
 * that they have seen. This is far more than honest members need, because the record with the content soon arrives. All
 * of them may begin to count at once, in one batch.
 */
export const WAITING_SEEN_MAX = 16_384
/**
 * The most directories that the search for a cycle visits. Two simultaneous moves can make a cycle as long as both
 * their paths together, and a path has at most `PATH_BYTES_MAX` / 2 parts.
 */
export const CYCLE_MAX = 4_096
/**
 * The most entries below a directory that a move to a longer path looks at, which takes about a tenth of a second. The
 * second value is how many entries of one directory it looks at before it goes down.
 */
export const MOVE_LOOK_MAX = 8_192
export const MOVE_PAGE = 256
/** How often the node looks for entries that it could open. It also looks whenever a key arrives. */
export const OPEN_EVERY_MS = 60_000
/** The number of entries that are opened in one batch of the index once their key has arrived. */
export const OPEN_AT_ONCE = 256
/** The most entries that are opened to find out whether a key belongs to their epoch. */
export const PROBES_MAX = 8
/**
 * The number of neighbours from which these are drawn. Somebody who knows the ids of entries can place forged ones
 * right before them, so that the first entry after a random id would always be a forged one.
 */
export const DRAWN_FROM_MAX = 1_024
/** The number of digits of an id in the name of an entry that cannot be shown under its own name. */
export const TAG_DIGITS = 8
/** The number of digits if the name with fewer is taken. If this one is taken too, the name has the whole id. */
export const TAG_DIGITS_MORE = 16
/**
 * The most bytes of the feed: about 100,000 changes of files with short paths. A watcher that is further behind has to list again.
 */
export const FEED_BYTES_MAX = 16 << 20
/**
 * The most files of one name in a directory whose conflicts the feed tells one by one. If there are more, it says that
 * the directory has to be listed again, since each change would cost a look at all of them.
 */
export const FEED_CONFLICTS_MAX = 16
/** The number of directories whose paths the feed remembers: more than those in which members write at the same time. */
export const FEED_PATHS_MAX = 4_096
/** How often a watcher looks for entries that show at `/` because their parent has not arrived in time. */
export const FEED_ORPHANS_EVERY_MS = 60_000
/** A version that its own author ended within this time is short-lived. */
export const SHORT_LIVED_MS = 60 * 60_000
/** The most short-lived versions of one entry that are kept: the last ones. */
export const SHORT_LIVED_MAX = 10
/** How long after its arrival the purge of a writer takes effect, unless somebody cancels it. */
export const PURGE_WAIT_MS = 7 * 24 * 60 * 60_000
/** The number of versions that are looked at in one batch of the index. Records that arrive meanwhile wait for it. */
export const VERSIONS_AT_ONCE = 128
/** How long news about versions is gathered before the worker looks at it, so that a burst of writes is few batches. */
export const VERSION_NEWS_MS = 500
/** How often the worker looks for versions whose time is over. */
export const EXPIRE_EVERY_MS = 10 * 60_000
