import type { Stamp } from '../../format/stamp.ts'
import { asBuffer, concatBytes, u64be } from '../../util/bytes.ts'
import { decodeStampBytes, STAMP_BYTES, stampBytes } from '../rows/keys.ts'

/** Encodes stamps one after another. */
export function encodeStamps(stamps: readonly Stamp[]): Uint8Array {
  return concatBytes(...stamps.map(stampBytes))
}

export function decodeStamps(bytes: Uint8Array): Stamp[] {
  const stamps: Stamp[] = []
  for (let at = 0; at < bytes.byteLength; at += STAMP_BYTES)
    stamps.push(decodeStampBytes(bytes.subarray(at, at + STAMP_BYTES)))
  return stamps
}

export function encodeCount(count: number): Uint8Array {
  return u64be(count)
}

/** Decodes a count, which is 0 if there is no row. */
export function decodeCount(bytes: Uint8Array | undefined): number {
  return bytes === undefined ? 0 : Number(asBuffer(bytes).readBigUInt64BE())
}
