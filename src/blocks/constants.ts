/**
 * The bounds of `/dfs/store/1.0.0` and `/dfs/get/1.0.0`, and of this room's background work. Some bounds that are used
 * in one place only are defined there.
 */

import { SMALL_BLOCK_BYTES_MAX } from '../disk/constants.ts'
import { BLOCK_BYTES_MAX, CHUNK_BYTES } from '../format/constants.ts'

export const STORE_PROTOCOL = '/dfs/store/1.0.0'
export const GET_PROTOCOL = '/dfs/get/1.0.0'

/** A block smaller than this travels inside the request that asks to keep it. */
export const INLINE_BLOCK_BYTES_MAX = SMALL_BLOCK_BYTES_MAX
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
 * How long a block is kept after its last claim expires. This gives repair time to walk any record that arrived before
 * the expiry and still needs the block.
 */
export const CLAIM_GRACE_MS = 5 * 60_000
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
/** The most puts of other members of which it is remembered that their writer has given them up. */
export const GIVEN_UP_MAX = 4_096

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
/** The number of handoff hints processed concurrently. */
export const HANDOFFS_AT_ONCE = 8
/**
 * How long after an evict this member owes the chunk again, unless the chunk is read earlier: then it owes it from that
 * moment.
 */
export const EVICTED_MS = 60 * 60_000
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
