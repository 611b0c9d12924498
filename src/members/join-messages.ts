import { z } from 'zod'
import { CODE_LENGTH } from '../format/approval.ts'
import { LABEL_BYTES_MAX, STATEMENT_BYTES_MAX, SUPPORT_STATEMENTS_MAX, TIME_MS_MAX } from '../format/constants.ts'
import { ROLES } from '../format/kinds.ts'
import { bytesOf } from '../format/schemas.ts'
import { utf8 } from '../util/bytes.ts'
import { INSTANCE_BYTES, NONCE_BYTES } from './constants.ts'
import { ATTEMPT_MS, ATTEMPTS_MAX } from './joining/constants.ts'
import { proofFields } from './proof.ts'

const label = z.string().refine(text => text !== '' && utf8(text).byteLength <= LABEL_BYTES_MAX)
const now = z.number().int().nonnegative().max(TIME_MS_MAX)
const code = z.string().length(CODE_LENGTH)
const key = bytesOf(32)
const signature = bytesOf(64)
/** The lengths of the statements in a body, in the order in which each can be checked. */
const lengths = z.array(z.number().int().positive().max(STATEMENT_BYTES_MAX)).max(SUPPORT_STATEMENTS_MAX)

/**
 * The roles that a machine may ask for. A machine becomes an admin only with an invite, or later, when an admin changes
 * its role.
 */
export const ASKED_ROLES = ['writer', 'reader', 'storage'] as const
export type AskedRole = (typeof ASKED_ROLES)[number]

/** The header fields of a request of `/dfs/join/1.0.0`. */
export const requestSchema = z.discriminatedUnion('do', [
  z.strictObject({ do: z.literal('hello'), commit: bytesOf(32).optional(), time: z.literal(true).optional() }),
  z.strictObject({
    do: z.literal('ask'),
    nonce: bytesOf(NONCE_BYTES),
    name: label,
    role: z.enum(ASKED_ROLES),
    x25519: key,
    now
  }),
  z.strictObject({ do: z.literal('wait') }),
  z.strictObject({ do: z.literal('withdraw') }),
  z.strictObject({
    do: z.literal('enter'),
    name: label,
    x25519: key,
    inviteSig: signature,
    subjectSig: signature,
    lengths: lengths.min(1),
    now
  }),
  z.strictObject({ do: z.literal('prove'), ...proofFields }),
  z.strictObject({ do: z.literal('admitted') }),
  z.strictObject({ do: z.literal('alive'), twice: z.literal(true).optional() }),
  z.strictObject({ do: z.literal('key'), epoch: bytesOf(32) }),
  z.strictObject({ do: z.literal('waiting') }),
  z.strictObject({ do: z.literal('deny'), code })
])
export type JoinRequest = z.output<typeof requestSchema>
export type RequestOf<D extends JoinRequest['do']> = Extract<JoinRequest, { do: D }>

/** The header fields of the answers. The answer to `prove` is a proof; those to the others have no fields. */
export const helloReply = z.object({ network: bytesOf(32), nonce: bytesOf(NONCE_BYTES), now: now.optional() })
export const aliveReply = z.object({ instance: bytesOf(INSTANCE_BYTES), now })

/** The answer to `ask`. `granted`: the machine has been let in already, so it gets no code. */
export const askReply = z.object({ state: z.literal('granted').optional() })

/** The fields of `busy` if a member has no place for another machine that waits. */
export const placesFields = z.object({
  /** The number of machines that wait there and use up the bound that keeps this machine out. */
  waiting: z.number().int().nonnegative().max(ATTEMPTS_MAX),
  /** The time until the first of their places is free. */
  freeMs: z.number().int().nonnegative().max(ATTEMPT_MS)
})

const WAIT_STATES = ['waiting', 'granted', 'denied', 'over'] as const
export const waitReply = z.object({ state: z.enum(WAIT_STATES), lengths })

export const ENTER_OUTCOMES = ['granted', 'expired', 'revoked', 'used-up', 'elsewhere'] as const
export const enterReply = z.object({ outcome: z.enum(ENTER_OUTCOMES), lengths })

/** A machine that waits at another admin to be let in. */
const waitingAttempt = z.object({
  peer: z.string().min(1).max(64),
  x25519: key,
  name: label,
  role: z.enum(ROLES),
  code,
  sinceMs: now,
  isHere: z.boolean()
})
export const waitingReply = z.object({ attempts: z.array(waitingAttempt).max(ATTEMPTS_MAX) })
export type WaitingAttempt = z.output<typeof waitingAttempt>
