import { type EntryBody, type EntryRecord, ROOT_ENTRY } from '../format/entry.ts'
import type { Path } from '../format/path.ts'
import type { Shown } from './heads.ts'
import type { EntryRow } from './rows/entry-row.ts'

/** A directory at a path: one entry, or several entries with the same name that are shown as one. */
export interface DirectoryNode {
  kind: 'directory'
  path: Path
  /** The ids of these entries. Never empty; the root has only `ROOT_ENTRY`. */
  ids: Uint8Array[]
  /** Milliseconds since the Unix epoch; 0 for the root. */
  mtime: number
  isConflict: boolean
}

/** A file at a path, in the version that is shown there. */
export interface FileNode {
  kind: 'file'
  path: Path
  id: Uint8Array
  row: EntryRow
  shown: Shown
  /** The record whose content this node shows. */
  record: EntryRecord
  /** Undefined if the record cannot be opened. The file exists, but this member cannot read it. */
  body: EntryBody | undefined
  isConflict: boolean
  /** Other files with the same name, which are shown beside it as conflicts. */
  rivals: Uint8Array[]
}

export type TreeNode = DirectoryNode | FileNode

/** Returns the node of `/`. */
export function rootNode(): DirectoryNode {
  return { kind: 'directory', path: [], ids: [ROOT_ENTRY], mtime: 0, isConflict: false }
}
