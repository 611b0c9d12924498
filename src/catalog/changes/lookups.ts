import { equalBytes } from '../../util/bytes.ts'
import type { Tree } from '../tree.ts'
import type { DirectoryNode, TreeNode } from '../tree-node.ts'

/** The result of looking up a name in a directory. */
interface Lookup {
  parent: DirectoryNode
  name: string
  node: TreeNode | undefined
}

/**
 * Looks names up for one plan, and says whether everything that it found was there at one moment. Records arrive
 * between the reads of a look-up, and between look-ups. They may move a directory after it was found and before a name
 * in it is looked up. Or they may replace the entry that has a name during its look-up, so that neither the old nor the
 * new one is found.
 */
export class Lookups {
  readonly #tree: Pick<Tree, 'child'>
  readonly #done: Lookup[] = []

  constructor(tree: Pick<Tree, 'child'>) {
    this.#tree = tree
  }

  /** Returns the node that a directory shows under a name, or undefined. */
  async child(parent: DirectoryNode, name: string): Promise<TreeNode | undefined> {
    const node = await this.#tree.child(parent, name)
    this.#done.push({ parent, name, node })
    return node
  }

  /**
   * Looks all names up again. If each name still has the same entries, all of them had these at the moment when the
   * first round ended.
   */
  async areOfOneMoment(): Promise<boolean> {
    for (const { parent, name, node } of this.#done)
      if (!isSame(node, await this.#tree.child(parent, name))) return false
    return true
  }
}

/** Returns true if two nodes of one path show the same entries. */
function isSame(a: TreeNode | undefined, b: TreeNode | undefined): boolean {
  if (a?.kind === 'directory' && b?.kind === 'directory')
    return a.ids.length === b.ids.length && a.ids.every((id, i) => equalBytes(id, b.ids[i] as Uint8Array))
  return a?.kind === 'file' && b?.kind === 'file' ? equalBytes(a.id, b.id) : a === b
}
