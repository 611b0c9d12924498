import type { EntryBody, EntryRecord } from '../format/entry.ts'
import type { Path } from '../format/path.ts'
import type { Shown } from './heads.ts'
import type { EntryRow } from './rows/entry-row.ts'

/** A directory at a path: one entry, or several of one name that show as one. */
export interface DirectoryNode {
  kind: 'directory'
  path: Path
  /** Never empty; the root's is `ROOT_ENTRY` alone. */
  ids: Uint8Array[]
  /** Milliseconds since the Unix epoch; 0 for the root. */
  mtime: number
  isConflict: boolean
}

/** A file at a path, in the version that shows there. */
export interface FileNode {
  kind: 'file'
  path: Path
  id: Uint8Array
  row: EntryRow
  shown: Shown
  /** The record whose content this is. */
  record: EntryRecord
  /** Undefined if the record does not open: there is a file, but this member cannot read it. */
  body: EntryBody | undefined
  isConflict: boolean
  /** Other files of the same name, which show as conflicts beside it. */
  rivals: Uint8Array[]
}

export type TreeNode = DirectoryNode | FileNode
