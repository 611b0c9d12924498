import { z } from 'zod'
import { bytesOf } from '../format/schemas.ts'
import { STATEMENT_ID_BYTES } from '../format/statement.ts'
import { ProtocolError } from '../wire/errors.ts'
import { IDS_MAX, LINEAGE_BYTES, PUSH_STATEMENTS_MAX, SYNC_BYTES_MAX } from './constants.ts'
import { VERDICTS } from './projection.ts'

/** The fields of the frames of `/dfs/sync/1.0.0`. SPEC.md describes them in words. */

const PUT_NUMBER_BYTES = 16
const SUM_BYTES = 32

const statementClass = z.union([z.literal(0), z.literal(1)])
const lineage = bytesOf(LINEAGE_BYTES)
const sequence = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER)
/**
 * A length above that of the largest statement is not refused here, because the statement is refused when it is
 * decoded.
 */
const lengths = z.array(z.number().int().positive().max(SYNC_BYTES_MAX)).max(PUSH_STATEMENTS_MAX)

export const requestSchema = z.discriminatedUnion('do', [
  z.strictObject({
    do: z.literal('push'),
    lengths,
    puts: z.array(bytesOf(PUT_NUMBER_BYTES).nullable()).max(PUSH_STATEMENTS_MAX)
  }),
  z.strictObject({ do: z.literal('list'), class: statementClass, after: bytesOf(STATEMENT_ID_BYTES).nullable() }),
  z.strictObject({ do: z.literal('news'), class: statementClass, lineage, after: sequence }),
  z.strictObject({ do: z.literal('fetch') }),
  z.strictObject({ do: z.literal('offer') }),
  z.strictObject({ do: z.literal('changed') })
])

export const pushReply = z.object({ verdicts: z.array(z.enum(VERDICTS)) })
export const fetchReply = z.object({ lengths })
/** A position of the member that answers, the totals of a class, and whether more pages follow. */
const page = { lineage, next: sequence, isEnd: z.boolean(), count: sequence, sum: bytesOf(SUM_BYTES) }
export const listReply = z.object(page)
export const newsReply = z.discriminatedUnion('known', [
  z.object({ known: z.literal(true), ...page }),
  z.object({ known: z.literal(false) })
])

/**
 * In an answer to a fetch, this takes the place of a statement that the member no longer has. No statement is this
 * short.
 */
export const GONE = Uint8Array.of(0)

/** Cuts a body into ids. Throws a `ProtocolError` if a list of ids cannot have the body's length. */
export function splitIds(body: Uint8Array): Uint8Array[] {
  if (body.byteLength % STATEMENT_ID_BYTES !== 0 || body.byteLength > IDS_MAX * STATEMENT_ID_BYTES)
    throw new ProtocolError('the body of a list of ids has an impossible length')
  const ids: Uint8Array[] = []
  for (let i = 0; i < body.byteLength; i += STATEMENT_ID_BYTES) ids.push(body.subarray(i, i + STATEMENT_ID_BYTES))
  return ids
}

/** Cuts a body into statements. Throws a `ProtocolError` if the lengths do not add up to the body's length. */
export function splitBody(body: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  const parts: Uint8Array[] = []
  let offset = 0
  for (const length of lengths) {
    parts.push(body.subarray(offset, offset + length))
    offset += length
  }
  if (offset !== body.byteLength) throw new ProtocolError('a body does not have the length that its header states')
  return parts
}
