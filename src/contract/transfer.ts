import { z } from 'zod'
import { failureSchema } from './errors.ts'

/** The state of a download: how it ended, or that it is still under way. */
export const transferSchema = z.object({
  done: z.boolean(),
  /** The members that delivered bytes, and how many. It is empty until `done` is true. */
  from: z.array(z.object({ peerId: z.string(), bytes: z.number() })),
  error: failureSchema.optional()
})
export type Transfer = z.infer<typeof transferSchema>
