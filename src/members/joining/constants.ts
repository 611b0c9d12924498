/** The bounds of letting a machine in: by approval, where a person reads a code, and by an invite. */

/**
 * How long a machine that asked to be let in may wait for a person. It keeps its place for all of this time, even if
 * its connection ends.
 */
export const ATTEMPT_MS = 10 * 60_000
/**
 * The number of machines that may wait at the same time, and of these from one address. An IPv6 /64 counts as one. A
 * stranger on the internet has few addresses. More may wait from an address of a private network or of this machine:
 * that is a household, or a lab with several machines on one host, where there are few strangers.
 */
export const ATTEMPTS_MAX = 32
export const ATTEMPTS_PER_ORIGIN_MAX = 2
export const ATTEMPTS_PER_PRIVATE_ORIGIN_MAX = 8
/**
 * The number of codes that strangers may draw in `ATTEMPT_MS`, in total and from one address. A code has 30 bits, so
 * the odds of one that fits by luck stay at 10^-5 a day.
 */
export const CODES_MAX = 64
export const CODES_PER_ORIGIN_MAX = 8
export const CODES_PER_PRIVATE_ORIGIN_MAX = 32
/** A machine that waits asks again with `wait`. Its answer takes this long unless somebody decides before. */
export const WAIT_MS = 20_000
/** How long the machine that sent a `wait` allows the answer to take. */
export const WAIT_TIMEOUT_MS = 30_000
/** How long an admin waits for another one to say which machines wait there, or to turn one away. */
export const ASK_ADMIN_MS = 2_000

/** How long an invite may be valid: from a minute to a year. */
export const INVITE_MS_MIN = 60_000
export const INVITE_MS_MAX = 365 * 24 * 60 * 60_000
export const INVITE_MS_DEFAULT = 24 * 60 * 60_000
/**
 * The most handovers that are remembered, so that a member that asks for a key again gets the same statement. They have
 * about 400 bytes each. If there are more, the oldest is forgotten, and signed again if it is asked for.
 */
export const HANDED_MAX = 1_024
/** How long the status warns after a sign that a second process runs with the same identity. */
export const DUPLICATE_MS = 10 * 60_000
