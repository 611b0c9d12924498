/** The bounds of the log and of `/dfs/sync/1.0.0`. */

export const SYNC_PROTOCOL = '/dfs/sync/1.0.0'
/** The most bytes in the body of a frame: statements or ids. */
export const SYNC_BYTES_MAX = 1 << 20
/** The most statements in one push, and in one answer to a fetch. */
export const PUSH_STATEMENTS_MAX = 256
/** The most ids in one list, offer or fetch. */
export const IDS_MAX = 8_192
/**
 * The most pages of ids that a member may send for one class in one comparison: more than the largest allowed network
 * needs.
 */
export const LISTS_MAX = 8_192
/** The bytes of a lineage, which is drawn at each start. */
export const LINEAGE_BYTES = 16
/**
 * The number of starts that a member remembers. A member whose cursor names an earlier start asks for everything again.
 */
export const LINEAGES_MAX = 256
/**
 * The most statements of one member and class that are held. They were refused with a verdict that may change, and are
 * fetched again later. If there are more, the comparison stops, and a later one begins with the same page.
 */
export const HELD_MAX = 2 * IDS_MAX
/** The most statements lost by damage that one comparison asks for. The next one begins with the others. */
export const LOST_MAX = IDS_MAX
/** How long the others wait for a member that is slow to send statements before they go on without it. */
export const FETCH_TURN_MS = 5_000
/**
 * Two members that have exchanged everything but have different totals may still be exchanging. There is a doubt only
 * if the difference has been the same for this long.
 */
export const DOUBT_AFTER_MS = 5 * 60_000
/**
 * While there is a doubt, all ids of the member are listed again at most this often, since a list takes 32 bytes for
 * each statement.
 */
export const LIST_AGAIN_MS = 60 * 60_000
/** The most pushes that may be under way to one peer. */
export const PUSHES_IN_FLIGHT = 4
/**
 * How long the peer may take to verify a batch, check it and sync it to disk. All calls that share a stream have this
 * timeout.
 */
export const SYNC_TIMEOUT_MS = 30_000

/** How long news waits before it is passed on, so that news which arrives in the meantime can travel with it. */
export const PASS_ON_MS = 200
/**
 * The verb that signs a statement pushes it. If it has not begun to push it to a member after this long, the statement
 * is offered to that member.
 */
export const EXPECTED_MS = 5_000
/** The most statements that wait for one peer. If there are more, the peer is asked to compare instead. */
export const NEWS_MAX = 16_384
/**
 * How long after a statement fails to reach a connected peer that peer is asked to compare. The delay doubles each time
 * that it does not answer.
 */
export const BEHIND_RETRY_MS = 15_000
export const BEHIND_RETRY_MS_MAX = 10 * 60_000

/**
 * The most signatures that a node verifies concurrently. Each verification occupies a thread of libuv's pool for a
 * tenth of a millisecond.
 */
export const VERIFY_AT_ONCE = 64

/** How long a member may take to say whether it has a statement. */
export const HOLDERS_TIMEOUT_MS = 5_000

/**
 * The most statements of one author, and of all authors together, that wait for their time. Further ones are refused
 * with `clock-off` and fetched again later. An early statement takes at most 16 KiB on the disk and a few hundred bytes
 * in memory.
 */
export const EARLY_OF_AUTHOR_MAX = 256
export const EARLY_MAX = 4_096
/** How often the log looks for early statements whose time has come. */
export const EARLY_CHECK_MS = 10_000
/** The most statements set aside that the status names one by one, so that its warning stays short. */
export const ASIDES_NAMED_MAX = 8

/**
 * The most damaged statements that are noted at the same time. Further ones are noted once some of these have arrived
 * again.
 */
export const LOST_NOTED_MAX = 65_536
/** The most damaged stretches whose statements are looked for, since each search reads a segment. */
export const SEARCHES_MAX = 1_024

/**
 * A member may sign as much as its quota, and an eighth more of what does not make the catalog grow: deletes and moves.
 * Others accept from it a quarter more than its quota, because they may not have forgotten yet what it has forgotten.
 */
export const QUOTA_OWN = 9 / 8
export const QUOTA_OF_OTHERS = 5 / 4
/**
 * The statements about membership that a member may sign beyond that, and their bytes. So a member whose quota is used
 * up by files can still let machines in and hand keys over.
 */
export const QUOTA_OF_MEMBERSHIP = { statements: 4_096, bytes: 4_096 * 1_024 }
/** From then on a first comparison with a member counts as catching up with it. Most take a few milliseconds. */
export const CATCHING_UP_MS = 1_000
