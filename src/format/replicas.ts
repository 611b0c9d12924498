import { REPLICAS_ALL } from './entry.ts'

/** A number of copies, `Infinity` for every member, as records and rows of the index state it: they cannot hold `Infinity`. */
export function encodeReplicas(replicas: number): number {
  return Number.isFinite(replicas) ? replicas : REPLICAS_ALL
}

/** The number of copies that a record or a row of the index states; `Infinity` for every member. */
export function decodeReplicas(stored: number): number {
  return stored === REPLICAS_ALL ? Number.POSITIVE_INFINITY : stored
}
