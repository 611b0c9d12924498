import { hash } from 'node:crypto'
import { decodeAnyStatement, type SomeStatement } from '../format/statement.ts'
import { asBuffer, concatBytes, u64be } from '../util/bytes.ts'
import { SIGNER_ROLES, type Signer } from './projection.ts'

/**
 * The payload of a statement's row: sequence (8) ‖ moment of arrival (8) ‖ role of the signer (1) ‖ author (32) ‖
 * statement.
 *
 * The first four are facts that this member noted when it accepted the statement. They are part of the row, so that they
 * survive a rebuild of the index, and so that no row has to be read before another.
 */

const ROLE_AT = 16
const AUTHOR_AT = 17
const STATEMENT_AT = 49
const ARRIVED_AT = 8

/** The facts in a row about its statement. */
export interface RowFacts extends Signer {
  sequence: number
  arrivedAtMs: number
}

/** A statement as it is written to a row. */
export interface RowStatement extends RowFacts {
  statement: SomeStatement
}

/** A row that was read. */
export interface DecodedRow extends RowFacts {
  /** The id of the statement: the hash of its bytes. */
  id: Uint8Array
  /** The reason why the statement cannot be read, if there is one. An earlier release may have had wider bounds. */
  statement: SomeStatement | Error
}

export function encodeStatementRow({ sequence, arrivedAtMs, role, author, statement }: RowStatement): Uint8Array {
  const code = Uint8Array.of(SIGNER_ROLES.indexOf(role))
  return concatBytes(u64be(sequence), u64be(Math.max(0, Math.floor(arrivedAtMs))), code, author, statement.bytes)
}

/** The bytes that a row has besides its statement. */
export const ROW_FACTS_BYTES = STATEMENT_AT

/** Returns the bytes of the statement in a row, without decoding it. */
export function statementBytesIn(payload: Uint8Array): Uint8Array {
  return payload.subarray(STATEMENT_AT)
}

/**
 * Decodes a row whose checksum was verified. It never throws: a row is durable, so its statement was accepted once, and
 * one statement that cannot be read must not stop the node.
 */
export function decodeStatementRow(payload: Uint8Array): DecodedRow {
  const row = asBuffer(payload)
  const bytes = payload.subarray(STATEMENT_AT)
  const facts = {
    sequence: Number(row.readBigUInt64BE(0)),
    arrivedAtMs: Number(row.readBigUInt64BE(ARRIVED_AT)),
    role: SIGNER_ROLES[row[ROLE_AT] as number] ?? 'storage',
    author: payload.subarray(AUTHOR_AT, STATEMENT_AT)
  }
  try {
    const statement = decodeAnyStatement(bytes)
    return { ...facts, id: statement.id, statement }
  } catch (error) {
    return { ...facts, id: hash('sha256', bytes, 'buffer'), statement: error as Error }
  }
}
