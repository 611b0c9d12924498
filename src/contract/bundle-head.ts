/**
 * The line that precedes the bytes of a file in a bundle: `size` is in bytes, and the other fields are as in the put of
 * a single file.
 */
export interface BundleHead {
  path: string
  size: number
  modified?: string | undefined
  mode?: string | undefined
  type?: string | undefined
}

export function encodeHead(head: BundleHead): Uint8Array {
  return Buffer.from(`${JSON.stringify(head)}\n`)
}

const SLOT_BYTES = 48 << 10

/** Returns how many slots a file of this size takes, at either end of a bundle, so that the bytes are bounded too. */
export function slotsOfSmall(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / SLOT_BYTES))
}
