import { z } from 'zod'

/** What a bundle says of a file, before its bytes: `size` in bytes; the rest as in a put of its own. */
export const bundleHeadSchema = z.strictObject({
  path: z.string(),
  size: z.number().int().nonnegative(),
  modified: z.string().optional(),
  mode: z.string().optional(),
  type: z.string().optional()
})

export type BundleHead = z.infer<typeof bundleHeadSchema>

/** The line that begins a file in a bundle. */
export function encodeHead(head: BundleHead): Uint8Array {
  return Buffer.from(`${JSON.stringify(head)}\n`)
}
