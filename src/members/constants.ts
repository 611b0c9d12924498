/** The bounds of `/dfs/join/1.0.0`, of statuses, and of the rule that decides who is in. */

import type { ChunkerName } from '../format/constants.ts'

export const JOIN_PROTOCOL = '/dfs/join/1.0.0'
/** The most bytes in a body: enough for a chain of grants but no more, because strangers may send this. */
export const JOIN_BYTES_MAX = 4 * (16 << 10)
/** How long the whole exchange may take. */
export const JOIN_TIMEOUT_MS = 10_000
/** The number of strangers that may be in the exchange at the same time. */
export const JOINING_MAX = 32
/** The number of these that may come from one address. An IPv6 /64 counts as one address. */
export const JOINING_PER_ADDRESS_MAX = 2
/** The same for an address of a private network or of this machine: a lab may start several machines on one host. */
export const JOINING_PER_PRIVATE_ADDRESS_MAX = 8
/**
 * The number of times that a peer may say `hello` in one exchange. A machine that asks to be let in says it twice, and
 * again each time that it tries.
 */
export const HELLOS_MAX = 8
/** The number of proofs that a stranger may show in one exchange. For each proof we must verify a few signatures. */
export const PROOFS_MAX = 4
/**
 * We hang up on a peer that is not admitted within this time. An exchange takes less, even if it includes the check for
 * a copied data directory.
 */
export const STRANGER_MS = 30_000
/** If two processes have the same peer id, the older one has this long to show that it is alive. */
export const ALIVE_TIMEOUT_MS = 5_000
/** The pause before a failed or incomplete comparison is repeated. It doubles each time, up to the second value. */
export const COMPARE_RETRY_MS = 5_000
export const COMPARE_RETRY_MS_MAX = 10 * 60_000
/** The mean pause between two comparisons with a member chosen at random. Each pause is between half and one and a half of it. */
export const COMPARE_EVERY_MS = 30_000
/** A member may ask us to compare with it. We do so at most this often. */
export const COMPARE_PAUSE_MS = 5_000

export const NONCE_BYTES = 32
export const INSTANCE_BYTES = 16

/**
 * A member is out once its status is this much older than the others' statuses, unless the network's settings or its own
 * status say otherwise.
 */
export const OUT_AFTER_MS = 10 * 60_000
export const OUT_AFTER_MS_MIN = 1_000
/** How files are cut, unless the network's settings say otherwise: the lengths of fixed chunks say nothing about content. */
export const CHUNKER: ChunkerName = 'fixed'
/** The days for which a version is kept after it has ended, unless the network's settings say otherwise. */
export const VERSION_DAYS = 30
/**
 * What the log keeps of what was signed under one grant, unless the settings of the network say otherwise: as many
 * statements as the largest network has entries, and twice the bytes that these usually take. So no honest member ever
 * meets the limit, and a member that turns against the others can take at most this from each of their disks.
 */
export const QUOTA_STATEMENTS = 10_000_000
export const QUOTA_BYTES = 16 * 2 ** 30
/** The least that an admin may set, so that a mistyped number cannot make the network read-only. */
export const QUOTA_STATEMENTS_MIN = 100
export const QUOTA_BYTES_MIN = 2 ** 20
export const DAY_MS = 24 * 60 * 60_000
/** The number of copies of a file, unless its owner or the settings of the network ask for another. */
export const REPLICAS_DEFAULT = 3
/** How many times a member renews its status within its `outAfter`. */
export const STATUS_RENEWALS = 4
/** The view is recomputed at least this often, because a member becomes out with the passing of time alone. */
export const VIEW_REFRESH_MS = 5_000
/** The highest weight, in bytes, of a member whose grant states no capacity. */
export const WEIGHT_MAX = 1_000_000_000_000

/** When two members learn of each other, the one with the greater key waits this long for the other to dial. */
export const DIAL_YIELD_MS = 1_500
/** How long we ignore the announcements of a peer that belongs to another network. */
export const FOREIGN_MS = 10 * 60_000
/** A peer that is not a member and announces the same addresses again is dialled again after this time. */
export const STRANGER_AGAIN_MS = 10 * 60_000

/** How often we ask the others for the time. */
export const CLOCK_CHECK_MS = 5 * 60_000
/**
 * The number of members whose clocks must disagree with ours before we regard our clock as wrong. If only one
 * disagrees, its clock is as likely to be the wrong one.
 */
export const CLOCK_WITNESSES_MIN = 2
/** When a member refuses a stamp of ours, we ask for the time immediately, but at most once per this interval. */
export const CLOCK_RECHECK_MS = 30_000

/** Our clock was set if it moves by this much against the monotonic clock between two looks. */
export const CLOCK_JUMP_MS = 60_000
/** How long a refusal because of clocks is shown as a warning. */
export const CLOCK_REFUSAL_MS = 10 * 60_000

/** How often we look whether news of a member is missing here. */
export const NEWS_CHECK_MS = 60_000
/**
 * How long news that a status names may be missing here before we doubt that the others pass everything on. A member
 * pushes its statuses and its other statements separately, and a member that did not get a push compares within
 * minutes.
 */
export const NEWS_GRACE_MS = 5 * 60_000
/** While news of a member is missing, whole logs are compared at most this often. */
export const NEWS_COMPARE_MS = 60 * 60_000
/**
 * The number of members whose whole logs are compared then: the author, if it is here, and others. With two, one member
 * that withholds the news is not enough to hide it.
 */
export const NEWS_COMPARE_PEERS = 2

/** While the key of an epoch is missing, this member asks another one for it at most this often. */
export const KEY_REQUEST_MS = 30_000
/**
 * How long a node that has no key of the network waits for one before it says that it is ready. A newcomer gets its key
 * when its log has been compared with that of the member which let it in, most of the time within a second.
 */
export const KEY_WAIT_MS = 10_000
/**
 * The most handovers for this member that wait in memory until they can be used: far more than a network has members
 * and epochs. Any member that reads may sign any number of them.
 */
export const HANDOVERS_MAX = 1_024
