/** Every bound of the HTTP API. */

/** A path of 4,096 bytes, percent-encoded, and the other headers. */
export const HEADER_BYTES_MAX = 64 << 10
/** The body of a request that is not a file. */
export const JSON_BYTES_MAX = 64 << 10
/** Transfers whose end can be asked for, and for how long. */
export const TRANSFERS_MAX = 4_096
export const TRANSFER_TTL_MS = 10 * 60_000
export const TOKEN_BYTES = 32
/** How long requests under way may take to end when the node stops. */
export const CLOSE_MS = 2_000
/** What a system lets the path of a socket be. */
export const SOCKET_PATH_BYTES_MAX = 100
