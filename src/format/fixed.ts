import { FormatError } from './errors.ts'

/** The length of ids, keys and nonces that are joined without their lengths. */
export const FIXED_BYTES = 32

/**
 * Throws a `FormatError` unless each value has 32 bytes. Values that are joined without their lengths, to be signed or
 * hashed, are kept apart by this alone.
 */
export function assertFixed(values: Readonly<Record<string, Uint8Array>>): void {
  for (const [name, value] of Object.entries(values)) {
    if (value.byteLength !== FIXED_BYTES) throw new FormatError(`${name} has ${value.byteLength} bytes in place of 32`)
  }
}
