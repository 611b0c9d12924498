/** The bounds of the wire. SPEC.md says which of them both sides must share. */

/** The most bytes in the encoded header of a frame. */
export const HEADER_BYTES_MAX = 64 << 10
/** Requests that one side may have under way on one stream. */
export const IN_FLIGHT_MAX = 16
/** How many bytes a stream is given at once. Yamux does not split them, and a receiver buffers whole frames of yamux. */
export const SLICE_BYTES = 256 << 10
/** Window of a yamux stream. It must stay below the 4 MiB at which libp2p resets an unread stream. */
export const STREAM_WINDOW_BYTES = 2 << 20

/** How long opening a stream may take: negotiation, and the first answer. */
export const OPEN_TIMEOUT_MS = 10_000
/** A call on a stream that delivers nothing for this long has failed. */
export const STALL_MS = 10_000
/** The slowest link that we allow for: a call may take its own time limit plus the time of its bytes at this rate. */
export const SLOWEST_BYTES_PER_S = 16 << 10
/** How long a call may take if it is answered from memory or by one disk read. */
export const CALL_TIMEOUT_MS = 30_000
/** How often a stream checks whether a wait has become too long. */
export const CALL_TICK_MS = 1_000

/**
 * The pause before an address is dialled again. It doubles from the first value to the second, and varies by half each
 * time.
 */
export const REDIAL_MS_MIN = 500
export const REDIAL_MS_MAX = 60_000
export const DIAL_TIMEOUT_MS = 10_000
/** Dials under way at once. */
export const DIALS_MAX = 16
/** Addresses of one member that are remembered and tried. */
export const ADDRESSES_MAX = 16
/** How many peers that are not members we dial at the same time because mDNS announced them. */
export const DISCOVERED_MAX = 256
/** How often we dial such a peer before it must be announced again. */
export const DISCOVERED_DIALS_MAX = 4

/** New connections a second from one address, and upgrades under way. libp2p's defaults starve a LAN behind one router. */
export const INBOUND_PER_S_MAX = 50
export const INBOUND_PENDING_MAX = 64
export const CONNECTIONS_MAX = 2_048
/** Streams of one protocol on one connection and in one direction: one is enough, and some more while it is replaced. */
export const STREAMS_PER_PROTOCOL_MAX = 8

export const MDNS_SERVICE_TAG = '_dfs-node._udp.local'
export const MDNS_INTERVAL_MS = 10_000
