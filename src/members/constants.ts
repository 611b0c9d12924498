/** The bounds of `/dfs/join/1.0.0`, of statuses, and of who counts as in. */

export const JOIN_PROTOCOL = '/dfs/join/1.0.0'
/** The most bytes in a body: enough for a chain of grants, and no more, since strangers may send this. */
export const JOIN_BYTES_MAX = 4 * (16 << 10)
/** How long the whole exchange may take. */
export const JOIN_TIMEOUT_MS = 10_000
/** Strangers that may be in the exchange at the same time. */
export const JOINING_MAX = 32
/** How many of these may come from one address. A /64 of IPv6 counts as one. */
export const JOINING_PER_ADDRESS_MAX = 2
/** Proofs that one stranger may show in one exchange. Each costs us the check of a few signatures. */
export const PROOFS_MAX = 4
/** We hang up on a peer that is not admitted after this time. An exchange with a check for a copy takes less. */
export const STRANGER_MS = 30_000
/** How long the older of two processes with one peer id has to show that it is alive. */
export const ALIVE_TIMEOUT_MS = 5_000
/** The pause before a comparison that failed or was incomplete is tried again. It doubles each time, up to the second. */
export const COMPARE_RETRY_MS = 5_000
export const COMPARE_RETRY_MS_MAX = 10 * 60_000

export const NONCE_BYTES = 32
export const INSTANCE_BYTES = 16

/** The longest address that a status may state. */
export const ADDRESS_LENGTH_MAX = 256
/** A member is out once its status is this much older than the others', unless the status asks for more. */
export const OUT_AFTER_MS = 10 * 60_000
export const OUT_AFTER_MS_MAX = 30 * 24 * 60 * 60_000
/** A member renews its status this many times in `outAfter`. */
export const STATUS_RENEWALS = 4
/** The view is computed again at least this often, since a member counts as out after a while without any news. */
export const VIEW_REFRESH_MS = 5_000
/** The greatest weight, in bytes, of a member whose grant states no capacity. */
export const WEIGHT_MAX = 1_000_000_000_000

/** When two members learn of each other, the one with the greater key waits this long for the other to dial. */
export const DIAL_YIELD_MS = 1_500
/** For how long we ignore announcements of a peer that is of another network. */
export const FOREIGN_MS = 10 * 60_000

/** How often we ask the others for the time. */
export const CLOCK_CHECK_MS = 5 * 60_000
/** How many members must disagree before our clock counts as off. */
export const CLOCK_WITNESSES_MIN = 2
/** When a member refuses a stamp of ours, we ask for the time at once, but at most once in this time. */
export const CLOCK_RECHECK_MS = 30_000
