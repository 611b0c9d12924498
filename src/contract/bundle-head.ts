import { z } from 'zod'

/**
 * The line that precedes the bytes of a file in a bundle: `size` is in bytes, and the other fields are as in the put of
 * a single file.
 */
export const bundleHeadSchema = z.strictObject({
  path: z.string(),
  size: z.number().int().nonnegative(),
  modified: z.string().optional(),
  mode: z.string().optional(),
  type: z.string().optional()
})

export type BundleHead = z.infer<typeof bundleHeadSchema>

export function encodeHead(head: BundleHead): Uint8Array {
  return Buffer.from(`${JSON.stringify(head)}\n`)
}
