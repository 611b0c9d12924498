/** Every bound of `/dfs/join/1.0.0`, and of who is counted in. */

export const JOIN_PROTOCOL = '/dfs/join/1.0.0'
/** A chain of grants and no more: a stranger is on the other side. */
export const JOIN_BYTES_MAX = 4 * (16 << 10)
/** The whole exchange. */
export const JOIN_TIMEOUT_MS = 10_000
/** Strangers that may be in the middle of it at once. */
export const JOINING_MAX = 32
/** Of these, from one address; a /64 of IPv6 is one. */
export const JOINING_PER_ADDRESS_MAX = 2
/** Proofs that one of them may show in that time: each costs us the check of a few signatures. */
export const PROOFS_MAX = 4
/** A connection whose other end has not been admitted by then is ended. More than an exchange and the look at a copy take. */
export const STRANGER_MS = 30_000
/** How long the older of two with one peer id has to show that it is alive. */
export const ALIVE_TIMEOUT_MS = 5_000
/** A comparison that failed, or left something out, is begun again after this long, then later and later. */
export const COMPARE_RETRY_MS = 5_000
export const COMPARE_RETRY_MS_MAX = 10 * 60_000

export const NONCE_BYTES = 32
export const INSTANCE_BYTES = 16

/** The longest address that a status may state. */
export const ADDRESS_LENGTH_MAX = 256
/** A member is out once its status is this much older than the others', unless it asked for more. */
export const OUT_AFTER_MS = 10 * 60_000
export const OUT_AFTER_MS_MAX = 30 * 24 * 60 * 60_000
/** The status is renewed this many times in `outAfter`. */
export const STATUS_RENEWALS = 4
/** Weight, in bytes, of a member whose grant states no capacity. */
export const WEIGHT_MAX = 1_000_000_000_000

/** A higher-numbered member waits this long for the other to dial first. */
export const DIAL_YIELD_MS = 1_500
/** A peer of another network is not dialled again for this long. */
export const FOREIGN_MS = 10 * 60_000

/** How often the clocks of the others are asked for; and how many must disagree before ours counts as off. */
export const CLOCK_CHECK_MS = 5 * 60_000
export const CLOCK_WITNESSES_MIN = 2
/** Whoever refuses a stamp of ours has us ask for them at once, but not again before this. */
export const CLOCK_RECHECK_MS = 30_000
