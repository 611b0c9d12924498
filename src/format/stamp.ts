import { compareBytes, u64be } from '../util/bytes.ts'
import { FormatError } from './errors.ts'

/**
 * Hybrid logical clocks and stamps (Kulkarni et al., "Logical Physical Clocks and Consistent Snapshots in Globally
 * Distributed Databases", 2014). An hlc is 48 bits of milliseconds and 16 of counter; on the wire 8 bytes big-endian,
 * because a JavaScript number would become a float.
 */
export type Hlc = bigint

const HLC_BYTES = 8
const COUNTER_BITS = 16n
const HLC_MAX = (1n << 64n) - 1n

/** The hlc of a moment, in milliseconds since the Unix epoch; times before it count as the epoch. */
export function hlcAt(ms: number, counter = 0): Hlc {
  return (BigInt(Math.max(0, Math.floor(ms))) << COUNTER_BITS) | BigInt(counter)
}

/** Milliseconds since the Unix epoch. */
export function hlcMs(hlc: Hlc): number {
  return Number(hlc >> COUNTER_BITS)
}

export function encodeHlc(hlc: Hlc): Uint8Array {
  return u64be(hlc)
}

/** A `FormatError` unless it is 8 bytes. */
export function decodeHlc(bytes: Uint8Array): Hlc {
  if (bytes.byteLength !== HLC_BYTES) throw new FormatError(`an hlc is ${HLC_BYTES} bytes`)
  return new DataView(bytes.buffer, bytes.byteOffset, HLC_BYTES).getBigUint64(0)
}

/** The hlc of an act at `ms` that comes after all of `past`. After the greatest there is nothing: it stays there. */
export function hlcAfter(ms: number, ...past: readonly Hlc[]): Hlc {
  let hlc = hlcAt(ms)
  for (const before of past) if (before >= hlc) hlc = before + 1n
  return hlc > HLC_MAX ? HLC_MAX : hlc
}

/** Who said something when: compared by hlc, then author, then incarnation. */
export interface Stamp {
  hlc: Hlc
  /** The Ed25519 public key, 32 bytes. */
  author: Uint8Array
  /** 8 random bytes, drawn at an author's first write after each start; zeros for kinds without one. */
  incarnation: Uint8Array
}

export const INCARNATION_BYTES = 8
export const NO_INCARNATION: Uint8Array = new Uint8Array(INCARNATION_BYTES)

export function compareStamps(a: Stamp, b: Stamp): number {
  if (a.hlc !== b.hlc) return a.hlc < b.hlc ? -1 : 1
  return compareBytes(a.author, b.author) || compareBytes(a.incarnation, b.incarnation)
}
