import { type EntryRecord, readRecord } from '../format/entry.ts'
import type { Statement } from '../format/statement.ts'
import type { SignerRole } from '../log/projection.ts'

/** A record on its way into the index. */
export interface NewRecord {
  record: EntryRecord
  /** The role in which it was signed. */
  role: SignerRole
  /** When it reached this member, in ms since the Unix epoch. */
  arrivedAtMs: number
  /** The statement that it was read from. */
  statement: Statement<'entry'>
}

/**
 * Reads records out of statements. A statement is checked, projected and announced; the reader decodes it only once for
 * all three.
 */
export class RecordReader {
  readonly #nodeCodecs: readonly number[]
  readonly #records = new WeakMap<Statement, EntryRecord>()

  /** `nodeCodecs` are the codecs that manifest nodes may have. */
  constructor(nodeCodecs: readonly number[]) {
    this.#nodeCodecs = nodeCodecs
  }

  /** Throws a `FormatError` if the record breaks a rule of its kind. */
  read(statement: Statement<'entry'>, author: Uint8Array): EntryRecord {
    const known = this.#records.get(statement)
    if (known !== undefined) return known
    const record = readRecord(statement, author, this.#nodeCodecs)
    this.#records.set(statement, record)
    return record
  }
}
