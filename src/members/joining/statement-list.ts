import { ProtocolError } from '../../wire/errors.ts'

/** Statements as they travel in the body of a message, with their lengths in its header. */
export interface StatementList {
  lengths: number[]
  body: readonly Uint8Array[]
}

export function packStatements(statements: readonly Uint8Array[]): StatementList {
  return { lengths: statements.map(bytes => bytes.byteLength), body: statements }
}

/**
 * Splits a body into its statements. The bytes are copied, because a statement that we keep must not hold the whole
 * message in memory. Returns undefined if the lengths are not those of the body.
 */
export function unpackStatements(body: Uint8Array, lengths: readonly number[]): Uint8Array[] | undefined {
  const statements: Uint8Array[] = []
  let offset = 0
  for (const length of lengths) {
    statements.push(Uint8Array.from(body.subarray(offset, offset + length)))
    offset += length
  }
  return offset === body.byteLength ? statements : undefined
}

/** Like `unpackStatements`, for an answer. Throws a `ProtocolError`. */
export function unpackReply(body: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  const statements = unpackStatements(body, lengths)
  if (statements === undefined) throw new ProtocolError('the statements of an answer have other lengths than it states')
  return statements
}
