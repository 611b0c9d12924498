import { indexKey } from '../disk/index-db.ts'
import { decodePlace, encodePlace, PLACE_BYTES, type Place } from '../disk/place.ts'
import { TABLES } from '../disk/tables.ts'
import { MEMBERSHIP_KINDS } from '../format/kinds.ts'
import type { SomeStatement } from '../format/statement.ts'
import { asBuffer, concatBytes, NO_BYTES, u64be } from '../util/bytes.ts'

/** Keys and values of the table `statements`, and keys of the table `forgotten`. */

/** When two members meet, they compare the statements about membership first, since these authorize all others. */
export type StatementClass = 0 | 1
export const MEMBERSHIP: StatementClass = 0
export const REST: StatementClass = 1

/** Returns the class of a kind. A kind that this program does not know is never needed to authorize another. */
export function classOf(kind: SomeStatement['kind']): StatementClass {
  return kind !== 'unknown' && MEMBERSHIP_KINDS.has(kind) ? MEMBERSHIP : REST
}

/** The key under which the index finds a statement. */
export function keyOf(statement: Pick<SomeStatement, 'kind' | 'id'>): Uint8Array {
  return statementKey(classOf(statement.kind), statement.id)
}

/** The key of a statement; without an id, the prefix of all keys of its class. */
export function statementKey(statementClass: StatementClass, id: Uint8Array = NO_BYTES): Uint8Array {
  return indexKey(TABLES.statements, Uint8Array.of(statementClass), id)
}

/** The id in a key that `statementKey` made. */
export function statementIdOf(key: Uint8Array): Uint8Array {
  return key.subarray(PREFIX_BYTES)
}

/** The class in a key that `statementKey` made. */
export function classOfKey(key: Uint8Array): StatementClass {
  return key[1] === MEMBERSHIP ? MEMBERSHIP : REST
}

const PREFIX_BYTES = statementKey(REST).byteLength

/** The facts that the index holds about a statement. */
export interface Entry {
  place: Place
  /** The number under which the statement was accepted. */
  sequence: number
  /** True if a later statement has covered this one, so that it does not count in the totals. */
  isCovered: boolean
}

/** The value of a statement's row. */
export function encodeEntry({ place, sequence, isCovered }: Entry): Uint8Array {
  return concatBytes(encodePlace(place), u64be(sequence), isCovered ? COVERED : NO_BYTES)
}

export function decodeEntry(value: Uint8Array): Entry {
  return {
    place: decodePlace(value),
    sequence: Number(asBuffer(value).readBigUInt64BE(PLACE_BYTES)),
    isCovered: value.byteLength > PLACE_BYTES + SEQUENCE_BYTES
  }
}

const SEQUENCE_BYTES = 8
const COVERED = Uint8Array.of(1)

/**
 * The key of the row that says that a statement was forgotten. Half of the id is enough: nobody can make two statements
 * whose ids have the same first 16 bytes. These rows stay for ever, so they are short.
 */
export function forgottenKey(id: Uint8Array): Uint8Array {
  return indexKey(TABLES.forgotten, id.subarray(0, FORGOTTEN_ID_BYTES))
}

const FORGOTTEN_ID_BYTES = 16
