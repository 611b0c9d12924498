import { NDJSON_TYPE } from '../contract/ndjson.ts'

/** The bounds of the HTTP server. Those that clients share are in contract/constants.ts. */

/** A path of 4,096 bytes, percent-encoded, and the other headers. */
export const HEADER_BYTES_MAX = 64 << 10
/** The body of a request that is not a file. */
export const JSON_BYTES_MAX = 64 << 10
/** A line of a bundle, before the bytes of a file: a path and a few facts. */
export const BUNDLE_HEAD_BYTES_MAX = 64 << 10
/** Files of one bundle that are put at once. */
export const BUNDLED_AT_ONCE = 128
/** A record has room for a media type of this length. */
export const TYPE_BYTES_MAX = 255
/** How many ended transfers a client can ask for, and for how long. */
export const TRANSFERS_MAX = 4_096
export const TRANSFER_TTL_MS = 10 * 60_000
export const TOKEN_BYTES = 32
/** A client pauses for less than this between two commands of a script, so it need not connect again. */
export const KEEP_ALIVE_MS = 65_000
/** How long requests under way may take to end when the node stops. */
export const CLOSE_MS = 2_000
/** Every operating system accepts the path of a socket up to this length. */
export const SOCKET_PATH_BYTES_MAX = 100

/** The headers of an answer that is a stream of lines. */
export const NDJSON_HEADERS = { 'content-type': NDJSON_TYPE, 'x-content-type-options': 'nosniff' }
