import { randomBytes } from 'node:crypto'

/** Chance, as a port: ids, nonces, keys and jitter come from here, so that a run can be replayed from its seed. */
export interface Chance {
  /** `length` unpredictable bytes. Keys are drawn from this: only a test may replace it with something guessable. */
  bytes(length: number): Uint8Array
  /** A number in [0, 1), for jitter and sampling; no secret depends on it. */
  fraction(): number
}

export const systemChance: Chance = {
  bytes: length => randomBytes(length),
  fraction: () => Math.random()
}
