import { z } from 'zod'

/** Returns the schema of a byte string with exactly this length. */
export const bytesOf = (length: number) =>
  z.custom<Uint8Array>(value => value instanceof Uint8Array && value.byteLength === length)
