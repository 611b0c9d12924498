import { InvalidInputError } from '../../util/errors.ts'
import { tagOfContent } from '../content-tag.ts'
import { ChangedError, ExistsError, IsADirectoryError, NotADirectoryError } from '../errors.ts'
import type { TreeNode } from '../tree-node.ts'

/** The checks that a change makes on the nodes that it finds, before it signs anything. */

export interface TargetOptions {
  noClobber?: boolean | undefined
  /** The tag of the content that must be there now; null if there must be no file. */
  ifTag?: string | null | undefined
}

/** Throws if content must not be linked at the path of this node. */
export function checkTarget(node: TreeNode | undefined, { noClobber, ifTag }: TargetOptions): void {
  if (node?.kind === 'directory') throw new IsADirectoryError('this path is a directory')
  if (node === undefined) {
    if (typeof ifTag === 'string')
      throw new ChangedError('this path does not hold the version that the request names: look at it again')
    return
  }
  refuseVersion(node)
  if (noClobber === true) throw new ExistsError('something is at this path already')
  if (ifTag !== undefined && ifTag !== tagOfContent(node.record))
    throw new ChangedError('this path does not hold the version that the request names: look at it again')
}

/** Throws if a move must not replace `target` with `node`. */
export function checkReplace(node: TreeNode, target: TreeNode, noClobber: boolean): void {
  if (target.kind === 'directory' || noClobber) throw new ExistsError('something is at this path already')
  if (node.kind === 'directory') throw new NotADirectoryError('a directory cannot replace a file')
  refuseVersion(target)
}

/** Returns true for a conflict version of a file, which is a node that shows other content than the file's own. */
export function isVersion(node: TreeNode): boolean {
  return node.kind === 'file' && node.shown.content !== node.record
}

/** Throws an `InvalidInputError` for a conflict version, which can be neither moved nor written to. */
export function refuseVersion(node: TreeNode): void {
  if (isVersion(node)) throw new InvalidInputError('this is a conflict version: copy it, or remove it')
}
