import { FormatError } from './errors.ts'

/** The length of ids, keys and nonces that are joined without their lengths. */
const FIXED_BYTES = 32

/**
 * Throws a `FormatError` unless each value has 32 bytes. The values are joined without their lengths before they are
 * signed or hashed, so only their fixed length keeps them apart.
 */
export function assertFixed(values: Readonly<Record<string, Uint8Array>>): void {
  for (const [name, value] of Object.entries(values)) {
    if (value.byteLength !== FIXED_BYTES) throw new FormatError(`${name} has ${value.byteLength} bytes instead of 32`)
  }
}
