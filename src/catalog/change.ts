import type { Path } from '../format/path.ts'
import type { Statement } from '../format/statement.ts'

/** Records that a change signed, in the order in which they were appended. */
export type Records = Array<Statement<'entry'>>

/** What a change did. All of it is durable on this member; the caller pushes it to the others. */
export interface Change {
  /** The path as it is now, in NFC. */
  path: Path
  /** Every record that was signed; those of directories made on the way come first. */
  statements: Records
}

/** A change that one record stands for. */
export interface RecordChange extends Change {
  /** The last of the statements. */
  record: Statement<'entry'>
}
