import { randomBytes } from 'node:crypto'

/**
 * The source of randomness, as a port. Ids, nonces, keys and jitter come from here, so that a test can replay a run
 * from its seed.
 */
export interface Chance {
  /** Returns `length` unpredictable bytes. Keys are made from them, so only a test may use a predictable source. */
  bytes(length: number): Uint8Array
  /** Returns a number in [0, 1), for jitter and sampling. No secret depends on it. */
  fraction(): number
}

export const systemChance: Chance = {
  bytes: drawBytes,
  fraction: () => Math.random()
}

/** The kernel takes about as long for a page of random bytes as for sixteen of them. */
const DRAWN_BYTES = 4096
/** Ids and numbers. Keys, which are longer, are drawn on their own. */
const DRAWN_BYTES_MAX = 16
let drawn = Buffer.alloc(0)

function drawBytes(length: number): Uint8Array {
  if (length > DRAWN_BYTES_MAX) return randomBytes(length)
  if (drawn.byteLength < length) drawn = randomBytes(DRAWN_BYTES)
  const bytes = Buffer.from(drawn.subarray(0, length))
  drawn = drawn.subarray(length)
  return bytes
}
