import { CLAIM_MS_MAX, CLAIM_SLACK_MS } from '../constants.ts'

/** The bounds of the background work that walks records, pulls what is owed, and frees what is not needed. */

/**
 * How long a block is kept after its last claim expires. This gives repair time to walk any record that arrived before
 * the expiry and still needs the block.
 */
export const CLAIM_GRACE_MS = 5 * 60_000
/**
 * After this time without a block that this member owes, the owner of the node is told, if all members are connected. By
 * then each of them has been asked several times.
 */
export const LOST_AFTER_MS = 10 * 60_000
/** The most records that wait in memory to be walked. Records that do not fit are found again in the index. */
export const WALK_QUEUE_MAX = 20_000
/**
 * How long a record whose manifest nodes cannot be obtained stops this member from freeing blocks, and how long all such
 * records of one author may do so in any `STOP_WINDOW_MS`.
 */
export const STOP_MS_MAX = 7 * 24 * 60 * 60_000
export const STOP_WINDOW_MS = 30 * 24 * 60 * 60_000
/** The most spans of time that are remembered for one author. */
export const STOP_SPANS_MAX = 32
/** While any new record has waited longer than this to be walked, nothing is freed. */
export const UNCERTAIN_MS = 60_000
/** How long an evict waits for the walks of records that have just arrived. */
export const CATCH_UP_MS = 10_000
/** The records that background work walks before it notes how far it has come, and rests. */
export const WALKS_PER_STEP = 64
/** The first walk of a large file notes how far it has come after this many batches. */
export const WALK_NOTE_BATCHES = 64
/** If this many manifest nodes of a file cannot be obtained, a walk does not ask for the others. */
export const LACKING_NODES_MAX = 16
/**
 * How long a walk may fetch and pull. After that, another walk goes on where it stopped, so that one large file, or a slow
 * member, does not keep other records waiting. Less than `UNCERTAIN_MS`.
 */
export const WALK_TURN_MS = 30_000
/**
 * A view must stay the same for this long before all records are walked under it, because views change in quick
 * succession.
 */
export const VIEW_STANDS_MS = 60_000
/** Every record is walked at least this often: about 16 s of CPU for 100,000 records. */
export const ROUND_AGAIN_MS = 30 * 24 * 60 * 60_000
/**
 * How often a record is retried, if nobody connects, once it has been incomplete for so long that it no longer stops
 * freeing.
 */
export const WALK_OLD_MS = 24 * 60 * 60_000
/**
 * Background work rests for this many times the time that it worked: while a put or a read is under way, and otherwise.
 */
export const REST_BUSY = 19
export const REST_IDLE = 3
/**
 * How long surplus chunks stay while this member has room, how often it looks for those whose time has come, and how
 * long it waits before it tries again to free those that it could not free.
 */
export const SURPLUS_MS = 7 * 24 * 60 * 60_000
export const SURPLUS_LOOK_MS = 10 * 60_000
export const SURPLUS_AGAIN_MS = 24 * 60 * 60_000
/** How long after a vain attempt to make room on a full disk none is made. Each looks at the claims of all puts. */
export const MAKE_ROOM_MS = 10_000
/** How often the sweeper looks for expired claims, and how many it ends together. */
export const SWEEP_MS = 60_000
export const SWEEP_BATCH = 256
/**
 * How long a block that nothing claims is kept after an unclean stop. The index may have lost the claim of a put from
 * before the stop, and no such claim lasts longer than this.
 */
export const ORPHANS_WAIT_MS = CLAIM_MS_MAX + CLAIM_SLACK_MS + CLAIM_GRACE_MS
/** The search for unclaimed blocks lets other work run each time it has looked at this many blocks. */
export const ORPHANS_PAUSE_BLOCKS = 1_000
/**
 * The number of chunks that an evict asks for in one hold. They are few, since the keeper pulls the chunks that it
 * lacks before it answers.
 */
export const EVICT_HOLD_BLOCKS = 16
/**
 * How many times a hold is requested while the views of two members differ, and the pause in between. The views settle
 * within a few status rounds.
 */
export const VIEW_TRIES = 6
export const VIEW_PAUSE_MS = 500
/** The most blocks that are read concurrently, to prove that they are here or to check a proof. */
export const PROOF_READS = 8
/**
 * How long after an evict this member owes the chunk again, unless the chunk is read earlier: then it owes it from that
 * moment.
 */
export const EVICTED_MS = 60 * 60_000
