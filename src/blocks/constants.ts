/**
 * The bounds of `/dfs/store/1.0.0` and `/dfs/get/1.0.0`, and of what several folders of this room do. `repair/` has
 * those of its background work. Some bounds that are used in one place only are defined there.
 */

import { SMALL_BLOCK_BYTES_MAX } from '../disk/constants.ts'
import { BLOCK_BYTES_MAX, CHUNK_BYTES } from '../format/constants.ts'

export const STORE_PROTOCOL = '/dfs/store/1.0.0'
export const GET_PROTOCOL = '/dfs/get/1.0.0'

/**
 * The only block of a small file travels inside the request that asks to keep it. Such a block is smaller than this. One
 * more round trip, as for a block that is pulled, would cost more than its bytes do.
 */
export const INLINE_BLOCK_BYTES_MAX = 256 << 10
/** Other blocks travel like that if they are smaller than this. */
export const PULLED_BYTES_MIN = SMALL_BLOCK_BYTES_MAX
/** The most bytes of inline blocks, or of a bitmap, in one `keep`. */
export const KEEP_BYTES_MAX = 1 << 20
/** The most blocks that one `keep` names. This many CIDs fit into its header. */
export const KEEP_CIDS_MAX = 512
/**
 * A group of blocks that are stored together begins to be written when it has this many bytes, or when its first block
 * has waited this long for others that are on their way.
 */
export const KEEP_GROUP_BYTES = 4 << 20
export const KEEP_GROUP_MS = 50
/**
 * The most bytes of large blocks that one `keep` names: four of the usual size, so that answers arrive while the next blocks are on their way.
 */
export const KEEP_LARGE_BYTES_MAX = 4 * (CHUNK_BYTES + 64)
/**
 * The most batches of small blocks, and of large ones, under way to one member. A batch becomes one `keep` call for each
 * put that has blocks in it. Those of large blocks are few, so that the blocks of a put that wait fill the next one.
 */
export const KEEPS_IN_FLIGHT = 8
export const LARGE_KEEPS_IN_FLIGHT = 4
/**
 * The most chunks that one `keep` names by a bitmap: a page of the file, which begins at a multiple of this. The chunks
 * of 64 full manifest nodes fit.
 */
export const PAGE_CHUNKS = 65_536
/** How long a keeper works on a page before it answers, so that its asker hears from it however large the file is. */
export const KEEP_PAGE_MS = 1_000
/**
 * For a file of several pages: how long a confirmed page still counts when the record is pushed, without being checked
 * again. If one other page is left, it is checked. If several are left, the push is answered `lacking`, and the writer
 * asks for their confirmation again.
 */
export const CONFIRMED_MS = 10 * 60_000
/** If a keeper neither answers nor pulls for this long while a caller waits for it, the client gives up on it. */
export const KEEP_SILENCE_MS = 30_000
/**
 * How long the answer to one `keep` may take, in addition to the time for all bytes under way at `SLOWEST_BYTES_PER_S`.
 * A keeper behind a slow link needs a long time to pull.
 */
export const KEEP_TIMEOUT_MS = 5 * 60_000
/** The longest claim that a keeper grants, and the length that a put asks for. */
export const CLAIM_MS_MAX = 24 * 60 * 60_000
export const PUT_CLAIM_MS = 60 * 60_000
/** A claim is written for this much longer than requested, so that repeating the same `keep` costs no write. */
export const CLAIM_SLACK_MS = 30 * 60_000
/** How often a put that is still under way renews its claims. */
export const PUT_RENEW_MS = 20 * 60_000
/**
 * The memory for noting which chunks each put counts on us for. If an entry was dropped, its writer is answered
 * `lacking` and sends it again.
 */
export const COUNTS_BYTES_MAX = 32 << 20
/**
 * The most roots whose puts are remembered until the references of their record are written. The claims of forgotten
 * puts simply expire.
 */
export const LINKED_PUTS_MAX = 8_192
/** The most records that one hold may name. */
export const HOLD_RECORDS_MAX = 64
/**
 * The most claims that are followed from one block up to its records. A block with more of them is neither evicted nor
 * freed as surplus: any writer can make as many as it likes, and each costs a read of the index.
 */
export const REFERENCES_MAX = 1_024
/** The most chunks that one hold may name. Each has to be read and hashed. */
export const HOLD_CHUNKS_MAX = 1_024
/**
 * The most promises to hold a block that this member makes at the same time, and the most to one peer. It makes no
 * further ones, so no peer can keep it from freeing more blocks than that for an hour.
 */
export const HOLDS_MAX = 262_144
export const HOLDS_PEER_MAX = HOLDS_MAX / 4
/**
 * How fast blocks are hashed to prove them to one peer. SHA-256 hashes more than ten times as much per second (DESIGN),
 * so no peer takes more than a tenth of a processor. A plan to free 100 GB takes a quarter of an hour.
 */
export const PROOF_BYTES_PER_S = 128 << 20
/** The most bytes that are hashed ahead of that rate. */
export const PROOF_BURST_BYTES = 64 << 20
/** How long a hold binds a keeper. A plan that relies on the hold may take half as long. */
export const HOLD_MS = 60 * 60_000
export const PLAN_MS = HOLD_MS / 2

export const GET_RESPONSE_BYTES_MAX = BLOCK_BYTES_MAX

/**
 * The most bytes of chunks in memory, over all puts under way, from the first byte that arrives until the sealed block
 * is durable here and on enough members. Keepers pull blocks from there, so we need not read our disk for them.
 */
export const PUT_BYTES_MAX = 32 << 20
/** The most of these bytes for one put. The rest is for puts that have nothing in memory. */
export const PUT_OWN_BYTES_MAX = 20 << 20
/**
 * The most blocks of one put that are not acknowledged yet. Chunks of the usual size use up `PUT_OWN_BYTES_MAX` before
 * that, and smaller ones need more blocks for the same number of bytes.
 */
export const PUT_WINDOW_BLOCKS = 64
/**
 * The most blocks that a member may leave unanswered while a put goes on without it. It is not asked for further blocks
 * then, and pulls them later.
 */
export const BEHIND_MAX = 64
/**
 * The bytes of small blocks that a member may leave unanswered, over all puts. While there are more, a put asks it to
 * keep blocks only if it cannot succeed without it. The member pulls what it owes later.
 */
export const BEHIND_BYTES = 16 << 20
/** The most blocks that a put remembers, so that repeated content is stored only once. */
export const REPEATS_MAX = 1_024
/** How long a put waits for members that it does not need, so that it can count them too. */
export const STRAGGLERS_MS = 250
/**
 * If a member shows no sign of life for `SILENCE_MS`, and for `SILENCE_GAPS` times as long as it is usually quiet, a
 * put asks the next in rank too. The silent member may still answer.
 */
export const SILENCE_MS = 2_000
export const SILENCE_GAPS = 4
/**
 * A member that is quiet for this long is asked whether it is there. If it has not answered when `SILENCE_MS` are over,
 * it counts as silent even if it is usually slow.
 */
export const ASK_MS = 1_000
/** If more bytes than this are being sent to a member, it may be quiet because they take so long. */
export const FEW_BYTES = 64 << 10
/** How long a silent member may take to answer the question whether it is there. */
export const THERE_MS = 2_000
/** How long a silent member still counts as silent once nobody waits for it. After that it is asked again. */
export const SILENT_AGAIN_MS = 10_000
/**
 * How much longer a member may be quiet for each chunk that it is asked to confirm, because it looks each of them up.
 */
export const CONFIRM_CHUNK_MS = 0.25
/**
 * An uplink is thin if blocks leave it more slowly than this while members wait for them. Then a put sends each block
 * once, and its keepers pass it on. A put is sealed, sent and stored several times as fast, so over a wide uplink the
 * processors and disks decide, and passing blocks on would only cost a disk read more.
 */
export const WIDE_BYTES_PER_S = 32 << 20
/** How long blocks are sent before it is known how wide the uplink is, and how much of that time is remembered. */
export const UPLINK_SAMPLE_MS = 250
export const UPLINK_MEMORY_MS = 1_000
/** The longest time between two blocks that counts. Over the slowest uplinks it says only that they are thin. */
export const UPLINK_GAP_MS_MAX = 1_000
/**
 * As long as the width of the uplink is not known, this many blocks go to each of their keepers from here at the same
 * time, so that a small file waits for one keeper after another only where that pays.
 */
export const UNKNOWN_UPLINK_BLOCKS = 4
/**
 * The most blocks of a put that members pull from one of its keepers at the same time: those of two `keep` calls, so that
 * the second is on its way while the first is written.
 */
export const CHAIN_SERVES_MAX = 8
/**
 * While members wait for others to have a block, a put looks at them again after this time, or after the time in which
 * the blocks of `CHAIN_LOOK_KEEPS` calls leave here, if that is longer, but no longer than the last value. A member that
 * is as fast as our uplink answers one call at least in that time.
 */
export const CHAIN_LOOK_MS = 250
export const CHAIN_LOOK_KEEPS = 2
export const CHAIN_LOOK_MS_MAX = 1_000
/** After waiting this long for members, a put logs which of them it is waiting for. */
export const PUT_SLOW_MS = 2_000
/** How often a put that lacks copies looks for newly connected members. */
export const NEWCOMERS_MS = 1_000
/**
 * The most bytes of blocks being pulled, for any reason, and the most for one peer: the pulls that it asked for. The
 * rest is for peers for which nothing is being pulled.
 */
export const PULL_BYTES_MAX = 32 << 20
export const PULL_PEER_BYTES_MAX = 20 << 20
/** The most blocks that one get fetches ahead of its reader. */
export const GET_WINDOW_BLOCKS = 8
/**
 * The most bytes of blocks in memory, over all gets. Each get has the block that its reader is at; the rest is for blocks
 * that are read ahead. So only if some fifty readers pause does another one have to wait.
 */
export const GET_BYTES_MAX = 48 << 20
/**
 * The most bytes of blocks that are being sent to members, and the most to one member. A member that does not read its
 * answers takes up no more than its share, and the rest is for members to which nothing is being sent.
 */
export const SERVE_BYTES_MAX = 32 << 20
export const SERVE_PEER_BYTES_MAX = 20 << 20
/**
 * If there is no memory for an answer after this long, and nothing is being sent to the asker, the asker is told to ask
 * others. This is half of the time for which an asker waits.
 */
export const SERVE_WAIT_MS = 5_000
/** The most bytes of blocks that are received a second time because the first source is slow. */
export const HEDGE_BYTES_MAX = 8 << 20
/**
 * How long a put may wait for its source, or a get for its reader, with a block in hand while others wait for memory.
 * It is the time after which web servers give up a client that does not read.
 */
export const LENT_MS_MAX = 60_000

/**
 * If a source takes longer than this, and longer than this many times its usual latency, the next source is asked too.
 * The slow source may still deliver the block.
 */
export const HEDGE_MS = 1_500
export const HEDGE_LATENCIES = 3
/** The most sources that are asked for one block concurrently. */
export const ASKED_AT_ONCE_MAX = 16
/** The number of rounds down the ranking before a block counts as out of reach, and the pause between two rounds. */
export const FETCH_ROUNDS = 3
export const FETCH_PAUSE_MS = 700
/** How long a member that served something wrong is asked only after all others. */
export const AVOID_MS = 60_000

/** The pause before an unfinished walk or handoff is repeated. It doubles as long as repeating does not help. */
export const WALK_RETRY_MS = 10_000
export const WALK_RETRY_MS_MAX = 10 * 60_000
/**
 * The most chunks of one file: 64 TiB in chunks of 1 MiB. A manifest that states more is refused when its root is read.
 * It bounds the manifest nodes that one walk remembers, to 65,600.
 */
export const FILE_CHUNKS_MAX = 2 ** 26
/** The number of blocks of one manifest that are handled together. */
export const WALK_BATCH = 256
/** The most blocks that walks pull concurrently, and the most records that are walked concurrently. */
export const WALK_PULLS = 8
export const WALKS_AT_ONCE = 16

/** The most puts of other members of which it is remembered that their writer has given them up. */
export const GIVEN_UP_MAX = 4_096

/** The number of handoff hints processed concurrently. */
export const HANDOFFS_AT_ONCE = 8
/**
 * How long a put waits for an explicit `--ack` before it fails. Nothing is lost: the missing copies are delivered
 * later.
 */
export const ACK_TIMEOUT_MS = 60_000

/** The number that a writer draws for a put. */
export const PUT_NUMBER_BYTES = 16
/** How long small puts share one number. */
export const SMALL_PUTS_SHARE_MS = 2_000
/** How long members may take to confirm which chunks of a page of a file they hold. */
export const CONFIRM_TIMEOUT_MS = 10_000
/**
 * The number of bad blocks on our own disk that are remembered, so that each is reported once and none counts as a copy.
 * This many take about 16 MiB of memory. A block that was forgotten counts as a copy until it is read again.
 */
export const BAD_BLOCKS_MAX = 65_536
/**
 * The number of blocks of a strange length that are remembered once they have been read and verified. A block that was
 * forgotten is read again.
 */
export const ODD_BLOCKS_MAX = 4_096
