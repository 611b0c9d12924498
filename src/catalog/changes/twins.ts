import { equalBytes } from '../../util/bytes.ts'
import { contentOf } from '../rows/record-rows.ts'
import type { DirectoryNode, FileNode } from '../tree-node.ts'
import type { Transaction } from './transaction.ts'

/**
 * Deletes the twins of a file that is removed or moved away: other files of its name with the same content, which nobody
 * sees. Otherwise they would show in its place. One that has other content by now is left alone.
 */
export async function removeTwins(
  tx: Transaction,
  node: FileNode,
  parent: DirectoryNode,
  init: Parameters<Transaction['remove']>[1] = {}
): Promise<void> {
  for (const twin of await tx.rivalsOf(node, parent, node.twins)) {
    const { content } = twin.shown
    if (content !== undefined && equalBytes(contentOf(content), contentOf(node.record))) await tx.remove(twin, init)
  }
}
