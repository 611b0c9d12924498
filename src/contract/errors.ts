import { z } from 'zod'

/** A failure as answers describe it: a stable code for programs and a sentence for people. */
export const failureSchema = z.object({ code: z.string(), message: z.string() })
export type Failure = z.infer<typeof failureSchema>

/** The body of an answer that refuses a request, and the last line of a stream that breaks off. */
export const errorSchema = z.object({ error: failureSchema })
