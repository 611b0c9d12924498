import { type EntryBody, type EntryRecord, ROOT_ENTRY } from '../format/entry.ts'
import type { Path } from '../format/path.ts'
import type { Shown } from './heads.ts'
import type { EntryRow } from './rows/entry-row.ts'

interface Node {
  path: Path
  /** The hash of the name under which its directory has it; undefined for `/`, and for a node that no directory shows. */
  nameHash: Uint8Array | undefined
  isConflict: boolean
}

/** A directory at a path: one entry, or several entries with the same name that are shown as one. */
export interface DirectoryNode extends Node {
  kind: 'directory'
  /** The ids of these entries. Never empty; the root has only `ROOT_ENTRY`. */
  ids: Uint8Array[]
}

/** A file at a path, in the version that is shown there. */
export interface FileNode extends Node {
  kind: 'file'
  id: Uint8Array
  row: EntryRow
  shown: Shown
  /** The record whose content this node shows. */
  record: EntryRecord
  /** Undefined if the record cannot be opened. The file exists, but this member cannot read it. */
  body: EntryBody | undefined
  /** True if the body cannot be opened because the key of its epoch is not here. */
  isSealed: boolean
  /** Other files with the same name, which are shown beside it as conflicts. */
  rivals: Uint8Array[]
  /** Other files with the same name and the same content, which are not shown. */
  twins: Uint8Array[]
}

export type TreeNode = DirectoryNode | FileNode

/** A node of a listing. A directory has its time, in ms since the Unix epoch. Following a path does not need it. */
export type ListedNode = FileNode | (DirectoryNode & { mtime: number })

/** Returns the node of `/`. */
export function rootNode(): DirectoryNode {
  return { kind: 'directory', path: [], nameHash: undefined, ids: [ROOT_ENTRY], isConflict: false }
}
