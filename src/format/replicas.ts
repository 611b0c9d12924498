import { REPLICAS_ALL } from './entry.ts'

/**
 * Encodes a number of copies for records and rows of the index. These cannot hold `Infinity`, which stands for every
 * member.
 */
export function encodeReplicas(replicas: number): number {
  return Number.isFinite(replicas) ? replicas : REPLICAS_ALL
}

/** Decodes the number of copies in a record or a row of the index. Returns `Infinity` if it stands for every member. */
export function decodeReplicas(stored: number): number {
  return stored === REPLICAS_ALL ? Number.POSITIVE_INFINITY : stored
}
