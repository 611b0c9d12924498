import { REPLICAS_ALL } from './entry.ts'

/** Encodes a number of copies for records and rows of the index. They cannot hold `Infinity`, which means every member. */
export function encodeReplicas(replicas: number): number {
  return Number.isFinite(replicas) ? replicas : REPLICAS_ALL
}

/** Returns the number of copies that a record or a row of the index states; `Infinity` for every member. */
export function decodeReplicas(stored: number): number {
  return stored === REPLICAS_ALL ? Number.POSITIVE_INFINITY : stored
}
