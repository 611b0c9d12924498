import { z } from 'zod'

/** A byte string of just this length. */
export const bytesOf = (length: number) =>
  z.custom<Uint8Array>(value => value instanceof Uint8Array && value.byteLength === length)
