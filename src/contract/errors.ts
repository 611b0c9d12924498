import { z } from 'zod'

/**
 * The form in which answers describe a failure: a stable code for programs and a sentence for people. `path` says what
 * the sentence is about, unless it is the path that the request names.
 */
export const failureSchema = z.object({ code: z.string(), message: z.string(), path: z.string().optional() })
export type Failure = z.infer<typeof failureSchema>

/** The body of an answer that refuses a request. It is also the last line of a stream that breaks off. */
export const errorSchema = z.object({ error: failureSchema })
