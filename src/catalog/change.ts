import type { Path } from '../format/path.ts'
import type { Statement } from '../format/statement.ts'
import type { DirectoryNode } from './tree-node.ts'

/** Records that a change signed, in the order in which they were appended. */
export type Records = Array<Statement<'entry'>>

/** The result of a change. All of it is durable on this member; the caller pushes it to the others. */
export interface Change {
  /** The path as it is now, in NFC. */
  path: Path
  /** Every record that the change signed. The records of directories made along the way come first. */
  statements: Records
}

/** A change whose result is one record. */
export interface RecordChange extends Change {
  /** The last of the statements. */
  record: Statement<'entry'>
}

/** The result of linking content to a path. */
export interface LinkChange extends RecordChange {
  /** True if the file had this content before. */
  isSameContent: boolean
}

/** The error of one of several links. */
export interface LinkFailure {
  error: unknown
}

/** A deleted file, where a path finds it. */
export interface DeletedFile {
  id: Uint8Array
  /** The directories in which the path finds it, deleted or not. */
  parent: DirectoryNode
  name: string
}

/** For a change that may sign any number of records, so that it cannot return them all. */
export interface ChangeOptions {
  /**
   * Called after each append, with its records and with the number of requested entries that it changed. The change
   * goes on once this resolves.
   */
  onAppended?: ((records: Records, entries: number) => Promise<void>) | undefined
}
