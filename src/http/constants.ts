import { NDJSON_TYPE } from '../contract/ndjson.ts'

/** The bounds of the HTTP server. Those that clients must know too are in contract/constants.ts. */

/** Enough for a percent-encoded path of 4,096 bytes and the other headers. */
export const HEADER_BYTES_MAX = 64 << 10
/** The most bytes in the body of a request that is not a file. */
export const JSON_BYTES_MAX = 64 << 10
/** The most bytes in a line of a bundle. The line comes before the bytes of a file and holds a path and a few facts. */
export const BUNDLE_HEAD_BYTES_MAX = 64 << 10
/** The number of files of one bundle that are put concurrently; larger ones count several times (`slotsOfSmall`). */
export const BUNDLED_AT_ONCE = 256
/** The longest media type that fits into a record. */
export const TYPE_BYTES_MAX = 255
/** The number of ended transfers that are remembered, and how long a client can ask for each of them. */
export const TRANSFERS_MAX = 4_096
export const TRANSFER_TTL_MS = 10 * 60_000
export const TOKEN_BYTES = 32
/**
 * How long an idle connection is kept open. The pause between two commands of a script is shorter, so the client need
 * not connect again.
 */
export const KEEP_ALIVE_MS = 65_000
/** How long requests under way may take to end when the node stops. */
export const CLOSE_MS = 2_000
/** The longest socket path that every operating system accepts. */
export const SOCKET_PATH_BYTES_MAX = 100

/** The most bytes of small bodies in memory, over all requests. */
export const SMALL_BODIES_BYTES_MAX = 16 << 20
/** A file that a client has named is read in pieces of this size, of which each request has two in memory. */
export const NAMED_PIECE_BYTES = 1 << 20
/** How often the answer says how many bytes of such a file were read or written. */
export const PROGRESS_MS = 200

/**
 * How often an answer of server-sent events has a comment, so that proxies do not take it for dead, and the server finds
 * out that a client is gone.
 */
export const HEARTBEAT_MS = 15_000
/** How long a client should wait before it asks again, if server-sent events break off. */
export const EVENTS_RETRY_MS = 1_000

export const EVENTS_TYPE = 'text/event-stream'
/** The headers of an answer of server-sent events. */
export const EVENTS_HEADERS = {
  'content-type': EVENTS_TYPE,
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff'
}
/** The headers of an answer that is a stream of lines. */
export const NDJSON_HEADERS = { 'content-type': NDJSON_TYPE, 'x-content-type-options': 'nosniff' }
