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
  bytes: length => randomBytes(length),
  fraction: () => Math.random()
}
