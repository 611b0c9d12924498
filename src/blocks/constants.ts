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
/** How long a keeper may be silent over a `keep`: it pulls, verifies and syncs before it answers. */
export const KEEP_TIMEOUT_MS = 30_000
/** The longest claim that a keeper grants, and the one a put asks for. */
export const CLAIM_MS_MAX = 24 * 60 * 60_000
export const PUT_CLAIM_MS = 60 * 60_000
/** Records that one hold may name. */
export const HOLD_RECORDS_MAX = 64
/** How long a hold binds its keeper; a plan that rests on it runs in half of that. */
export const HOLD_MS = 60 * 60_000
export const PLAN_MS = HOLD_MS / 2

export const GET_RESPONSE_BYTES_MAX = BLOCK_BYTES_MAX

/** Sealed blocks of puts under way that are kept in memory, so that keepers need not wait for our disk. */
export const PUT_WINDOW_BYTES = 24 << 20
/** Blocks of one put that are not yet acknowledged. */
export const PUT_WINDOW_BLOCKS = 12
/** Bytes being pulled at once, over all reasons. */
export const PULL_BYTES_MAX = 24 << 20
/** Blocks that one get has under way ahead of its reader. */
export const GET_WINDOW_BLOCKS = 8

/** A source that has not delivered by then is joined by the next; it is not given up. */
export const HEDGE_MS = 1_500
/** Sources asked for one block at once. */
export const HEDGE_MAX = 4
/** Rounds down the ranking before a block counts as out of reach, and the pause between. */
export const FETCH_ROUNDS = 3
export const FETCH_PAUSE_MS = 700
/** A member that served something wrong is asked last for this long. */
export const AVOID_MS = 60_000

/** A walk that could not finish is taken up again after this long, or when a member comes. */
export const WALK_RETRY_MS = 10_000
/** Leaves of one record looked at together. */
export const WALK_BATCH = 256
/** Blocks that walks pull at once, and records walked at once. */
export const WALK_PULLS = 8
export const WALKS_AT_ONCE = 16

/** How often claims that ran out are looked for. */
export const SWEEP_MS = 60_000
/** What was evicted is owed again after this long, or once it has been read. */
export const EVICTED_MS = 60 * 60_000
/** An explicit `--ack` that is not met by then is an error; nothing is lost, the rest is delivered later. */
export const ACK_TIMEOUT_MS = 60_000

/** How long small puts share one number. */
export const SMALL_PUTS_SHARE_MS = 2_000
/** How long members may take to confirm what they hold of a file. */
export const CONFIRM_TIMEOUT_MS = 10_000
/** Blocks that were read from others and are written here because they are owed, at once; more are owed later. */
export const KEEPING_BACK_MAX = 16
