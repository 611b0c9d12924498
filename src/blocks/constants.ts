/**
 * The bounds of `/dfs/store/1.0.0` and `/dfs/get/1.0.0`, and of the work that this room does in the background. Some that
 * have one use are defined beside that use.
 */

import { SMALL_BLOCK_BYTES_MAX } from '../disk/constants.ts'
import { BLOCK_BYTES_MAX } from '../format/constants.ts'

export const STORE_PROTOCOL = '/dfs/store/1.0.0'
export const GET_PROTOCOL = '/dfs/get/1.0.0'

/** A block smaller than this travels inside the request that asks to keep it. */
export const INLINE_BLOCK_BYTES_MAX = SMALL_BLOCK_BYTES_MAX
/** Bytes of inline blocks, or of a bitmap, in one `keep`. */
export const KEEP_BYTES_MAX = 1 << 20
/** Blocks that one `keep` names: so many CIDs fit into its header. */
export const KEEP_CIDS_MAX = 512
/** Large blocks that one `keep` names: few, so that answers come while the next blocks are on their way. */
export const KEEP_LARGE_MAX = 4
/**
 * Batches of blocks under way to one member: this many of small blocks, and as many of large ones. A batch is one `keep` call
 * for each put that has blocks in it.
 */
export const KEEPS_IN_FLIGHT = 8
/** A keeper that neither answers nor pulls for this long, while somebody waits for it, is given up. */
export const KEEP_SILENCE_MS = 30_000
/**
 * How long the answer to one `keep` may take, beside the time for all bytes under way at `SLOWEST_BYTES_PER_S`: a keeper behind
 * a thin link pulls for a long time.
 */
export const KEEP_TIMEOUT_MS = 5 * 60_000
/** The longest claim that a keeper grants, and the one a put asks for. */
export const CLAIM_MS_MAX = 24 * 60 * 60_000
export const PUT_CLAIM_MS = 60 * 60_000
/** A claim is written for this much longer than asked, so that sending the same `keep` again costs no write. */
export const CLAIM_SLACK_MS = 30 * 60_000
/** How often a put that is still under way has its claims renewed. */
export const PUT_RENEW_MS = 20 * 60_000
/** A block is freed this long after its claim ran out: by then the records that came in time have been walked. */
export const CLAIM_GRACE_MS = 5 * 60_000
/** Memory for the chunks that puts count on us. A writer whose entry was dropped is answered `lacking` and sends it again. */
export const COUNTS_BYTES_MAX = 32 << 20
/** Roots whose puts are remembered until the references of their record are written. Beyond that, the claims run out. */
export const LINKED_PUTS_MAX = 8_192
/** Records that one hold may name. */
export const HOLD_RECORDS_MAX = 64
/** Chunks that one hold may name: so many proofs fit into the answer. */
export const HOLD_CHUNKS_MAX = 16_384
/** The most blocks that this member promises at the same time. Beyond that it promises no other. */
export const HOLDS_MAX = 262_144
/** How long a keeper is bound by a hold. A plan that relies on it may take half as long. */
export const HOLD_MS = 60 * 60_000
export const PLAN_MS = HOLD_MS / 2

export const GET_RESPONSE_BYTES_MAX = BLOCK_BYTES_MAX

/** Bytes of sealed blocks in memory, over all puts under way. Keepers pull from there, so our disk is not read for them. */
export const PUT_WINDOW_BYTES = 32 << 20
/** Blocks of one put that are not acknowledged yet. */
export const PUT_WINDOW_BLOCKS = 16
/** Blocks that a member was asked for and has not answered, while a put goes on without it. Beyond that it pulls them later. */
export const BEHIND_MAX = 64
/** Blocks that a put remembers, so that content that repeats itself is kept once. */
export const REPEATS_MAX = 1_024
/** How long a put waits for members that it does not need, so that they are counted too. */
export const STRAGGLERS_MS = 250
/** After waiting this long for members, a put says in its log which of them it waits for. */
export const PUT_SLOW_MS = 2_000
/** How often a put that lacks copies looks for members that have come. */
export const NEWCOMERS_MS = 1_000
/** Bytes being pulled at the same time, for any reason. Each pull counts as one chunk, although a block may be larger. */
export const PULL_BYTES_MAX = 24 << 20
/** Blocks that one get fetches ahead of its reader. */
export const GET_WINDOW_BLOCKS = 8

/** A source may take this long, and this many times its usual latency, before the next is asked too. It is not given up. */
export const HEDGE_MS = 1_500
export const HEDGE_LATENCIES = 3
/** Sources that are asked for one block at once. */
export const HEDGE_MAX = 4
/** Rounds down the ranking before a block counts as out of reach, and the pause between two of them. */
export const FETCH_ROUNDS = 3
export const FETCH_PAUSE_MS = 700
/** A member that served something wrong is asked last for this long. */
export const AVOID_MS = 60_000

/** The pause before a walk or handoff that did not finish is repeated. It doubles while that does not help. */
export const WALK_RETRY_MS = 10_000
export const WALK_RETRY_MS_MAX = 10 * 60_000
/** Records that wait in memory to be walked. Those that do not fit are found again in the index. */
export const WALK_QUEUE_MAX = 20_000
/** While a new record has waited longer than this to be walked, nothing is freed. */
export const UNCERTAIN_MS = 60_000
/** How long an evict waits for the records that have just come. */
export const CATCH_UP_MS = 10_000
/** Blocks of one manifest that are handled together. */
export const WALK_BATCH = 256
/** Blocks that walks pull at once, and records that are walked at once. */
export const WALK_PULLS = 8
export const WALKS_AT_ONCE = 16

/** How often expired claims are looked for, and how many are ended together. */
export const SWEEP_MS = 60_000
export const SWEEP_BATCH = 256
/** After this many blocks, the search for unclaimed ones lets other work run. */
export const ORPHANS_PAUSE_BLOCKS = 1_000
/** Chunks that an evict asks for in one hold: few, since the keeper pulls those that it lacks before it answers. */
export const EVICT_HOLD_BLOCKS = 16
/** The views of two members settle within a few status rounds. Until then a hold is asked for again. */
export const VIEW_TRIES = 6
export const VIEW_PAUSE_MS = 500
/** Blocks that may be read at the same time, to prove that they are here or to check a proof. */
export const PROOF_READS = 8
/** Hints that are followed up at once. */
export const HANDOFFS_AT_ONCE = 8
/** An evicted chunk is owed again after this long, or once it has been read. */
export const EVICTED_MS = 60 * 60_000
/** An explicit `--ack` that is not met by then is an error. Nothing is lost: the rest is delivered later. */
export const ACK_TIMEOUT_MS = 60_000

/** The number that a writer draws for a put. */
export const PUT_NUMBER_BYTES = 16
/** How long small puts share one number. */
export const SMALL_PUTS_SHARE_MS = 2_000
/** How long members may take to confirm what they hold of a file. */
export const CONFIRM_TIMEOUT_MS = 10_000
/** Blocks that may be written here at the same time because they were read from others and are owed. A walk finds the rest. */
export const READ_REPAIRS_MAX = 16

/** Bad blocks of our own disk that are remembered, so that each is reported once. */
export const BAD_BLOCKS_MAX = 1_024
