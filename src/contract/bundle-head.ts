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

/**
 * How many of the files that are under way at once a file of this size counts as, at either end of a bundle: so the bytes
 * that wait are bounded too.
 */
export function slotsOfSmall(bytes: number): number {
  return Math.ceil(bytes / SLOT_BYTES)
}
