import { compareBytes, u64be } from '../util/bytes.ts'
import { FUTURE_MS_MAX } from './constants.ts'
import { FormatError } from './errors.ts'

/**
 * A hybrid logical clock (Kulkarni et al., "Logical Physical Clocks and Consistent Snapshots in Globally Distributed
 * Databases", 2014). An HLC has 48 bits of milliseconds and 16 bits of counter. On the wire it is 8 bytes, big-endian,
 * because a JavaScript number would be encoded as a float.
 */
export type Hlc = bigint

export const HLC_BYTES = 8
const COUNTER_BITS = 16n
const HLC_MAX = (1n << 64n) - 1n

/** Returns the HLC for a time, given in milliseconds since the Unix epoch. Earlier times count as the epoch. */
export function hlcAt(ms: number, counter = 0): Hlc {
  return (BigInt(Math.max(0, Math.floor(ms))) << COUNTER_BITS) | BigInt(counter)
}

/** Returns the time of an HLC in milliseconds since the Unix epoch. */
export function hlcMs(hlc: Hlc): number {
  return Number(hlc >> COUNTER_BITS)
}

/**
 * Returns true if the HLC is so far ahead of a clock that shows `nowMs`, in milliseconds since the Unix epoch, that a
 * statement with it does not count yet.
 */
export function isFarAhead(hlc: Hlc, nowMs: number): boolean {
  return hlcMs(hlc) > nowMs + FUTURE_MS_MAX
}

export function encodeHlc(hlc: Hlc): Uint8Array {
  return u64be(hlc)
}

/** Throws a `FormatError` unless there are 8 bytes. */
export function decodeHlc(bytes: Uint8Array): Hlc {
  if (bytes.byteLength !== HLC_BYTES) throw new FormatError(`an hlc is not ${HLC_BYTES} bytes long`)
  scratch.set(bytes)
  return scratchView.getBigUint64(0)
}

/** Reading through one view costs a tenth of making a view of the bytes. */
const scratch = new Uint8Array(HLC_BYTES)
const scratchView = new DataView(scratch.buffer)

/**
 * Returns the HLC for an event at time `ms` that comes after all of `past`. The greatest HLC has no successor, so it is
 * returned again.
 */
export function hlcAfter(ms: number, ...past: readonly Hlc[]): Hlc {
  let hlc = hlcAt(ms)
  for (const before of past) if (before >= hlc) hlc = before + 1n
  return hlc > HLC_MAX ? HLC_MAX : hlc
}

/** The author and the time of a statement. Stamps are compared by HLC, then by author, then by incarnation. */
export interface Stamp {
  hlc: Hlc
  /** The Ed25519 public key, 32 bytes. */
  author: Uint8Array
  /**
   * 8 random bytes that an author draws at each start, and at other times that SPEC.md names. All zeros for kinds that
   * have no incarnation.
   */
  incarnation: Uint8Array
}

export const INCARNATION_BYTES = 8
export const NO_INCARNATION: Uint8Array = new Uint8Array(INCARNATION_BYTES)

/** Returns a negative number if `a` is before `b`, a positive one if it is after, and 0 if they are equal. */
export function compareStamps(a: Stamp, b: Stamp): number {
  if (a.hlc !== b.hlc) return a.hlc < b.hlc ? -1 : 1
  return compareBytes(a.author, b.author) || compareBytes(a.incarnation, b.incarnation)
}
