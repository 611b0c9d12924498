/** The bounds of the wire. SPEC.md says which of them must be the same on both sides. */

/** The most bytes in the encoded header of a frame. */
export const HEADER_BYTES_MAX = 64 << 10
/** The number of requests that one side may have under way on one stream. */
export const IN_FLIGHT_MAX = 16
/**
 * The number of streams of one protocol on which a peer may ask at the same time, over all connections. One is enough;
 * the second is for the moment in which it is replaced. It bounds what one peer can make us hold.
 */
export const ASKING_STREAMS_MAX = 2
/**
 * The most bytes that are passed to a stream in one write. Yamux does not split a write, and a receiver buffers whole
 * yamux frames.
 */
export const SLICE_BYTES = 256 << 10
/** The window of a yamux stream. It must stay below the 4 MiB at which libp2p resets an unread stream. */
export const STREAM_WINDOW_BYTES = 2 << 20

/** How long opening a stream may take, including the negotiation and the first answer. */
export const OPEN_TIMEOUT_MS = 10_000
/** A call on a stream that delivers nothing for this long has failed. */
export const STALL_MS = 10_000
/**
 * The slowest link that we allow for: a call may take its own time limit plus the time that its bytes take at this
 * rate.
 */
export const SLOWEST_BYTES_PER_S = 16 << 10
/**
 * The least rate at which a peer must deliver bulk data, measured over `RATE_WINDOW_MS` during which requests wait all
 * the time. It is a quarter of the slowest link: the uplink of one member may be shared by four that pull from it.
 * Below it a block of 1 MiB would take longer than four minutes, and everybody is better off with another source.
 */
export const LEAST_BYTES_PER_S = SLOWEST_BYTES_PER_S / 4
export const RATE_WINDOW_MS = 30_000
/** An answer without a body counts as this many bytes: a peer that quickly says that it has nothing is not slow. */
export const EMPTY_ANSWER_CREDIT_BYTES = 64 << 10
/** How long a call may take if it is answered from memory or by one disk read. */
export const CALL_TIMEOUT_MS = 30_000
/** How often a stream checks whether a wait has become too long. */
export const CALL_TICK_MS = 1_000

/**
 * The pause before an address is dialled again. It doubles each time, from the first value up to the second, and varies
 * at random by up to half.
 */
export const REDIAL_MS_MIN = 500
export const REDIAL_MS_MAX = 60_000
export const DIAL_TIMEOUT_MS = 10_000
/** The number of concurrent dials. */
export const DIALS_MAX = 16
/** The number of addresses of one member that are remembered and tried. */
export const ADDRESSES_MAX = 16
/** The number of non-members that we dial concurrently because mDNS announced them. */
export const DISCOVERED_MAX = 256
/** How many times we dial such a peer before it must be announced again. */
export const DISCOVERED_DIALS_MAX = 4

/**
 * The number of new connections per second from one address, and of connections being upgraded. libp2p's defaults are
 * too low for a LAN behind one router.
 */
export const INBOUND_PER_S_MAX = 50
export const INBOUND_PENDING_MAX = 64
export const CONNECTIONS_MAX = 2_048
/**
 * The number of streams of one protocol on one connection in one direction. One is enough, and a few more are needed
 * while it is being replaced.
 */
export const STREAMS_PER_PROTOCOL_MAX = 8

export const MDNS_SERVICE_TAG = '_dfs-node._udp.local'
export const MDNS_INTERVAL_MS = 10_000
/** The same announcement of a peer is reported again after this time. It is the time from one query to the next. */
export const ANNOUNCED_AGAIN_MS = MDNS_INTERVAL_MS
/**
 * The number of peers whose last announcement is remembered. Announcements of other peers may be reported too often.
 */
export const ANNOUNCERS_MAX = 1_024

/**
 * How many connections per second we accept from all addresses together where no member was recently connected, and how
 * many at once after a quiet time. Each costs a TLS handshake, 3 to 5 ms of a core.
 */
export const STRANGER_ARRIVALS_PER_S = 4
export const STRANGER_ARRIVALS_BURST = 16
/**
 * How long an address counts as one of a member after a member was admitted there, or has left. It spans a long weekend,
 * so that a laptop that was shut comes back at once even if another machine behind its router fails all the time.
 */
export const MEMBER_ADDRESS_MS = 7 * 24 * 60 * 60_000
/** How long a machine that waits for a person is expected at an address, and failures there are remembered. */
export const WELCOME_MS = 10 * 60_000
/**
 * The pause after a connection from such an address has ended and nobody was admitted there. The first one is free,
 * since a newcomer first looks at who answers, and then comes back. Then the pause doubles each time, from the first
 * value up to the second. A member of which we know nothing may be behind the same address, so even the longest pause is
 * short.
 */
export const ARRIVAL_PAUSE_MS_MIN = 2_000
export const ARRIVAL_PAUSE_MS_MAX = 15_000
/**
 * The number of addresses of members that are remembered, and of strangers. The one that was used longest ago is
 * forgotten.
 */
export const ORIGINS_MAX = 1_024
