/** The bounds of a machine that asks to be let in. */

/**
 * The number of times that the code on the screen may change. Then nobody has approved any code for `ATTEMPT_MS` each,
 * so it is likely that nobody will. The machine gives up, so that it stops using up places and codes of the members
 * that it asks, and so that a person who comes late does not approve a machine that was forgotten.
 */
export const CODES_CHANGED_MAX = 3
/** How long a first start looks for networks nearby. */
export const LOOK_MS = 5_000
/**
 * The number of peers nearby that are asked for their network, or to let this machine in with its invite, in total and
 * at one host (an IPv6 /64 counts as one). There may be several at one host, because a lab runs several members on one.
 */
export const FOUND_PEERS_MAX = 128
export const FOUND_PER_HOST_MAX = 8
/** If nobody has answered for this long, the machine says so. It goes on trying. */
export const SILENCE_MS = 10_000
/** How long `hello`, `ask` and `enter` may take. An `enter` waits for the disk of a member and for other newcomers. */
export const ENTRY_CALL_MS = 20_000
/**
 * How long the first dial of an address may take, if there are others to try. It doubles with each round, up to that of
 * any dial.
 */
export const FIRST_DIAL_MS = 2_500
/** The pause before all addresses are tried again. It doubles each time, from the first value up to the second. */
export const ROUND_RETRY_MS = 1_000
export const ROUND_RETRY_MS_MAX = 30_000
/** The same for a member that is busy with other newcomers. */
export const BUSY_RETRY_MS = 2_000
export const BUSY_RETRY_MS_MAX = 60_000
/** The least time between two `wait` calls, in case a member answers them at once. */
export const WAIT_PAUSE_MS = 1_000
/** How long a machine that is stopped waits for the members that it asked to drop its request. */
export const WITHDRAW_MS = 1_000
