/** Every bound of `/dfs/store/1.0.0` and `/dfs/get/1.0.0`, and of what this room has under way. */

import { SMALL_BLOCK_BYTES_MAX } from '../disk/constants.ts'
import { BLOCK_BYTES_MAX } from '../format/constants.ts'

export const STORE_PROTOCOL = '/dfs/store/1.0.0'
export const GET_PROTOCOL = '/dfs/get/1.0.0'

/** Blocks below this travel inside the request that asks to keep them. */
export const INLINE_BLOCK_BYTES_MAX = SMALL_BLOCK_BYTES_MAX
/** Inline blocks, or a bitmap, in one `keep`. */
export const KEEP_BYTES_MAX = 1 << 20
/** Blocks that one `keep` names: their names fit its header. */
export const KEEP_CIDS_MAX = 512
/** Large blocks that one `keep` names: few, so that answers come while the next are on their way. */
export const KEEP_LARGE_MAX = 4
/** `keep` calls under way to one member. */
export const KEEPS_IN_FLIGHT = 8
/** How long a keeper may give no sign of life, neither answer nor pull, while it is waited for. */
export const KEEP_SILENCE_MS = 30_000
/** How long the answer to one `keep` may take in all: a keeper behind a thin link pulls for long, and shows that it lives. */
export const KEEP_TIMEOUT_MS = 5 * 60_000
/** The longest claim that a keeper grants, and the one a put asks for. */
export const CLAIM_MS_MAX = 24 * 60 * 60_000
export const PUT_CLAIM_MS = 60 * 60_000
/** A claim is written for this much longer than asked, so that the same `keep` again need not write it again. */
export const CLAIM_SLACK_MS = 30 * 60_000
/** How often a put that is still under way has its claims renewed. */
export const PUT_RENEW_MS = 20 * 60_000
/** What ran out is freed this much later: by then the records that came in time have been walked. */
export const CLAIM_GRACE_MS = 5 * 60_000
/** Memory for what puts count on us for; a writer whose count is forgotten is told `lacking`, and counts again. */
export const COUNTS_BYTES_MAX = 32 << 20
/** Records accepted whose references are still to be made. */
export const ENDING_MAX = 8_192
/** Records that one hold may name. */
export const HOLD_RECORDS_MAX = 64
/** Chunks that one hold may be asked for: their proofs fit the answer. */
export const HOLD_LEAVES_MAX = 16_384
/** Promises remembered at once; beyond that none is given. */
export const HOLDS_MAX = 262_144
/** How long a hold binds its keeper; a plan that rests on it runs in half of that. */
export const HOLD_MS = 60 * 60_000
export const PLAN_MS = HOLD_MS / 2

export const GET_RESPONSE_BYTES_MAX = BLOCK_BYTES_MAX

/** Sealed blocks in memory over all puts under way: keepers pull them without our disk being read. */
export const PUT_WINDOW_BYTES = 32 << 20
/** Blocks of one put that are not yet acknowledged. */
export const PUT_WINDOW_BLOCKS = 16
/** Blocks that one member may still have to take while a put goes on without it; beyond that it pulls them later. */
export const BEHIND_MAX = 64
/** Blocks that a put remembers, so that a file that repeats itself is kept once. */
export const REPEATS_MAX = 1_024
/** How long a put waits for members that it could do without, so that they are counted too. */
export const STRAGGLERS_MS = 250
/** How often a put that lacks copies looks for members that have come. */
export const NEWCOMERS_MS = 1_000
/** Bytes being pulled at once, over all reasons. */
export const PULL_BYTES_MAX = 24 << 20
/** Blocks that one get has under way ahead of its reader. */
export const GET_WINDOW_BLOCKS = 8

/** A source that has not delivered by then, or in so many times its usual latency, is joined by the next; not given up. */
export const HEDGE_MS = 1_500
export const HEDGE_LATENCIES = 3
/** Sources asked for one block at once. */
export const HEDGE_MAX = 4
/** Rounds down the ranking before a block counts as out of reach, and the pause between. */
export const FETCH_ROUNDS = 3
export const FETCH_PAUSE_MS = 700
/** A member that served something wrong is asked last for this long. */
export const AVOID_MS = 60_000

/** What could not be finished is taken up again after this long, later and later while nothing helps, or when a member comes. */
export const WALK_RETRY_MS = 10_000
export const WALK_RETRY_MS_MAX = 10 * 60_000
/** Records that wait in memory to be walked; what does not fit is found again in the index. */
export const WALK_QUEUE_MAX = 20_000
/** While a record has waited longer than this for its references, nothing is freed. */
export const UNCERTAIN_MS = 60_000
/** How long an evict waits for the records that have just come. */
export const CATCH_UP_MS = 10_000
/** Leaves of one record looked at together. */
export const WALK_BATCH = 256
/** Blocks that walks pull at once, and records walked at once. */
export const WALK_PULLS = 8
export const WALKS_AT_ONCE = 16

/** How often claims that ran out are looked for, and how many are ended together. */
export const SWEEP_MS = 60_000
export const SWEEP_BATCH = 256
/** Blocks that are looked at for claims before others have their turn. */
export const ORPHANS_PAUSE_BLOCKS = 1_000
/** Chunks that one hold asks for: what its keeper lacks of them it pulls before it answers. */
export const EVICT_HOLD_BLOCKS = 16
/** Views of two members settle within a few status rounds; until then a hold is asked for again. */
export const VIEW_TRIES = 6
export const VIEW_PAUSE_MS = 500
/** Blocks read at once to prove or to check that they are here. */
export const PROOF_READS = 8
/** Deliveries that are looked at together. */
export const DELIVERIES_AT_ONCE = 8
/** What was evicted is owed again after this long, or once it has been read. */
export const EVICTED_MS = 60 * 60_000
/** An explicit `--ack` that is not met by then is an error; nothing is lost, the rest is delivered later. */
export const ACK_TIMEOUT_MS = 60_000

/** The number that a writer draws for a put. */
export const PUT_NUMBER_BYTES = 16
/** How long small puts share one number. */
export const SMALL_PUTS_SHARE_MS = 2_000
/** How long members may take to confirm what they hold of a file. */
export const CONFIRM_TIMEOUT_MS = 10_000
/** Blocks that were read from others and are written here because they are owed, at once; more are owed later. */
export const KEEPING_BACK_MAX = 16

/** Blocks of our own disk that are known to be bad, so that each is told of once. */
export const BAD_BLOCKS_MAX = 1_024
