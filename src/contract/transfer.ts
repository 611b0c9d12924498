import { z } from 'zod'
import { failureSchema } from './errors.ts'

/** The state of a download: how it ended, or how far it has come. */
export const transferSchema = z.object({
  done: z.boolean(),
  /** Who delivered how much so far; complete once `done`. */
  from: z.array(z.object({ peerId: z.string(), bytes: z.number() })),
  error: failureSchema.optional()
})
export type Transfer = z.infer<typeof transferSchema>
