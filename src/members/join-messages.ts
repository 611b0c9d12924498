import { z } from 'zod'
import { TIME_MS_MAX } from '../format/constants.ts'
import { bytesOf } from '../format/schemas.ts'
import { INSTANCE_BYTES, NONCE_BYTES } from './constants.ts'
import { proofFields } from './proof.ts'

/** The header fields of a request of `/dfs/join/1.0.0`. */
export const requestSchema = z.discriminatedUnion('do', [
  z.strictObject({ do: z.literal('hello') }),
  z.strictObject({ do: z.literal('prove'), ...proofFields }),
  z.strictObject({ do: z.literal('admitted') }),
  z.strictObject({ do: z.literal('alive') })
])

/** The header fields of the answers to `hello` and `alive`. The answer to `prove` is a proof. */
export const helloReply = z.object({ network: bytesOf(32), nonce: bytesOf(NONCE_BYTES) })
export const aliveReply = z.object({
  instance: bytesOf(INSTANCE_BYTES),
  now: z.number().int().nonnegative().max(TIME_MS_MAX)
})
