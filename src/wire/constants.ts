/** Every bound of the wire. SPEC.md says which of them both sides must share. */

/** The encoded header of a frame. */
export const HEADER_BYTES_MAX = 64 << 10
/** Requests that one side may have under way on one stream. */
export const IN_FLIGHT_MAX = 16
/** How much is handed to a stream at once: yamux does not split, and a receiver buffers whole frames. */
export const SLICE_BYTES = 256 << 10
/** Window of a yamux stream. Above the 4 MiB at which an unread stream is reset it would be a trap. */
export const STREAM_WINDOW_BYTES = 2 << 20

/** Opening a stream: negotiation, and the first answer. */
export const OPEN_TIMEOUT_MS = 10_000
/** A call on a stream that delivers nothing for this long has failed. */
export const STALL_MS = 10_000
/** The slowest link that a transfer is sized for: a call may take its own time limit plus its bytes at this rate. */
export const SLOWEST_BYTES_PER_S = 16 << 10
/** A call that is answered from memory or one disk read. */
export const CALL_TIMEOUT_MS = 30_000
/** How often the clock of waiting calls is looked at. */
export const CALL_TICK_MS = 1_000

/** Wait before an address is dialled again: doubled from the first to the last, each varied by half. */
export const REDIAL_MS_MIN = 500
export const REDIAL_MS_MAX = 60_000
export const DIAL_TIMEOUT_MS = 10_000
/** Dials under way at once. */
export const DIALS_MAX = 16
/** Addresses remembered of one member, and tried. */
export const ADDRESSES_MAX = 16
/** Peers that mDNS may have us dial at once without being members, and how often each before it must be heard of again. */
export const DISCOVERED_MAX = 256
export const DISCOVERED_DIALS_MAX = 4

/** New connections a second from one address, and upgrades under way: libp2p's defaults starve a LAN behind one router. */
export const INBOUND_PER_S_MAX = 50
export const INBOUND_PENDING_MAX = 64
export const CONNECTIONS_MAX = 2_048
/** Streams of one protocol on one connection: one long-lived one each way, and some for a change-over. */
export const STREAMS_PER_PROTOCOL_MAX = 8

export const MDNS_SERVICE_TAG = '_dfs-node._udp.local'
export const MDNS_INTERVAL_MS = 10_000
