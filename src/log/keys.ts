import { indexKey } from '../disk/index-db.ts'
import { TABLES } from '../disk/tables.ts'
import { type Kind, MEMBERSHIP_KINDS } from '../format/kinds.ts'
import type { Statement } from '../format/statement.ts'

/** Keys of the table `statements`: the class, then the id. */

/** When two members meet, they compare the statements about membership first, since these authorize all others. */
export type StatementClass = 0 | 1
export const MEMBERSHIP: StatementClass = 0
export const REST: StatementClass = 1

export function classOf(kind: Kind): StatementClass {
  return MEMBERSHIP_KINDS.has(kind) ? MEMBERSHIP : REST
}

/** The key under which the index finds a statement. */
export function keyOf(statement: Pick<Statement, 'kind' | 'id'>): Uint8Array {
  return statementKey(classOf(statement.kind), statement.id)
}

/** The key of a statement; without an id, the prefix of all keys of its class. */
export function statementKey(statementClass: StatementClass, id: Uint8Array = new Uint8Array(0)): Uint8Array {
  return indexKey(TABLES.statements, Uint8Array.of(statementClass), id)
}

/** The id in a key that `statementKey` made. */
export function statementIdOf(key: Uint8Array): Uint8Array {
  return key.subarray(PREFIX_BYTES)
}

const PREFIX_BYTES = statementKey(REST).byteLength
