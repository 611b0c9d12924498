import { equalBytes } from '../../util/bytes.ts'
import type { Shown } from '../heads.ts'
import type { EntryRow } from '../rows/entry-row.ts'
import type { DirectoryNode, FileNode, TreeNode } from '../tree-node.ts'

/** An entry as it is now. A record that is signed about it covers the heads of this row, and no others. */
export interface FoundEntry {
  id: Uint8Array
  row: EntryRow
  shown: Shown
}

/** A directory to put something into. */
export interface Parent {
  id: Uint8Array
  /** The directory as it is in the tree; undefined if it is one of those that this change makes. */
  node: DirectoryNode | undefined
}

/** Returns the entry of a node. */
export function foundIn({ id, row, shown }: FileNode): FoundEntry {
  return { id, row, shown }
}

/** Returns a directory as a parent for new entries. They go into the first of the entries that the node shows. */
export function parentIn(node: DirectoryNode): Parent {
  return { id: node.ids[0] as Uint8Array, node }
}

/**
 * Returns true if the row of an entry still places it where a directory showed it: under the name of this node. An entry
 * that no directory shows is shown at `/`, wherever its row places it.
 */
export function isAt({ ids }: DirectoryNode, { nameHash }: TreeNode, { row }: Pick<FoundEntry, 'row'>): boolean {
  if (nameHash === undefined) return true
  if (row.isHidden || row.name === undefined || !equalBytes(row.name, nameHash)) return false
  return ids.some(id => equalBytes(id, row.parent))
}
