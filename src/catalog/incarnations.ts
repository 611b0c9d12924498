import { INCARNATION_BYTES } from '../format/stamp.ts'
import type { Chance } from '../util/chance.ts'

/**
 * The first bit of an incarnation says what it was drawn for: 1 for the deletes of one recursive removal, 0 for all
 * other records. The rest is random. So a restore does not take all single removals since a start for one removal.
 */
const REMOVAL_BIT = 0x80

/** Draws an incarnation for records of all kinds. */
export function newIncarnation(chance: Chance): Uint8Array {
  return marked(chance.bytes(INCARNATION_BYTES), false)
}

/** Draws an incarnation for the deletes of one recursive removal. */
export function newRemovalIncarnation(chance: Chance): Uint8Array {
  return marked(chance.bytes(INCARNATION_BYTES), true)
}

/** Returns an incarnation of random bytes that says the same as another about what it is for. */
export function markedAs(other: Uint8Array, bytes: Uint8Array): Uint8Array {
  return marked(bytes.subarray(0, INCARNATION_BYTES), isRemoval(other))
}

/** Returns true if a recursive removal has this incarnation. */
export function isRemoval(incarnation: Uint8Array): boolean {
  return ((incarnation[0] as number) & REMOVAL_BIT) !== 0
}

function marked(bytes: Uint8Array, isForRemoval: boolean): Uint8Array {
  const rest = (bytes[0] as number) & ~REMOVAL_BIT
  return Uint8Array.of(isForRemoval ? rest | REMOVAL_BIT : rest, ...bytes.subarray(1))
}
