/** Every bound of the HTTP API. */

/** A path of 4,096 bytes, percent-encoded, and the other headers. */
export const HEADER_BYTES_MAX = 64 << 10
/** The body of a request that is not a file. */
export const JSON_BYTES_MAX = 64 << 10
/** Bodies up to this size are taken whole: all that counts as a small file. */
export const WHOLE_BODY_BYTES_MAX = 48 << 10
/** A line of a bundle, before the bytes of a file: a path and a few facts. */
export const BUNDLE_HEAD_BYTES_MAX = 64 << 10
/** Files of one bundle that are put at once. */
export const BUNDLED_AT_ONCE = 128
/** What a record has room for. */
export const TYPE_BYTES_MAX = 255
/** Transfers whose end can be asked for, and for how long. */
export const TRANSFERS_MAX = 4_096
export const TRANSFER_TTL_MS = 10 * 60_000
export const TOKEN_BYTES = 32
/** Longer than a client is silent between two commands of a script, so that it need not connect anew. */
export const KEEP_ALIVE_MS = 65_000
/** How long requests under way may take to end when the node stops. */
export const CLOSE_MS = 2_000
/** What every system lets the path of a socket be. */
export const SOCKET_PATH_BYTES_MAX = 100
