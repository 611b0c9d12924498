import type { Path } from '../../format/path.ts'
import { compareBytes, equalBytes, toHex } from '../../util/bytes.ts'
import { pushAll } from '../../util/push-all.ts'
import type { Bodies } from '../bodies.ts'
import { TAG_DIGITS, TAG_DIGITS_MORE } from '../constants.ts'
import type { Entries } from '../entries.ts'
import type { Shown } from '../heads.ts'
import { conflictNames } from '../names.ts'
import { contentOf } from '../rows/record-rows.ts'
import type { DirectoryNode, FileNode, ListedNode, TreeNode } from '../tree-node.ts'
import type { Child, NameGroup, NameGroups } from './name-groups.ts'

export interface NodeBuilderOptions {
  entries: Entries
  bodies: Bodies
  groups: NameGroups
}

/** How a file is shown beside others with the same name. */
interface Precedence {
  /** True if the file keeps the name, because no other file or directory with the name comes before it. */
  isFirst: boolean
  /** The hash of the name; undefined if no directory shows the file. */
  nameHash: Uint8Array | undefined
}

/** A file that no directory shows is always a conflict. */
const UNREACHABLE: Precedence = { isFirst: false, nameHash: undefined }

/** A node whose name is not known yet. */
interface Unnamed {
  node: TreeNode
  /** The id in the node's name if it shows as a conflict; undefined if it has its own name. */
  tag: Uint8Array | undefined
}

/** Builds the nodes that show entries: it decides their names, their contents, and which of them are conflicts. */
export class NodeBuilder {
  readonly #options: NodeBuilderOptions

  constructor(options: NodeBuilderOptions) {
    this.#options = options
  }

  /**
   * Returns the nodes of one name in a directory. A directory, or else a file, has the name itself; the others are
   * conflicts. No two nodes of a directory have the same name.
   */
  async ofGroup(group: NameGroup, { path, ids }: DirectoryNode): Promise<TreeNode[]> {
    const { name, hash: nameHash, directories, files } = group
    const unnamed: Unnamed[] = []
    files.sort(byPrecedence)
    if (directories.length > 0) unnamed.push({ node: directoryOf(group), tag: undefined })
    let first: TreeNode | undefined
    for (const [i, { entry }] of files.entries()) {
      const isFirst = i === 0 && directories.length === 0
      if (first !== undefined && (await this.#addOther(first as FileNode, entry)) === 'twin') continue
      const shown = await this.#file(entry, { isFirst, nameHash })
      if (isFirst) first = shown[0]?.node
      pushAll(unnamed, shown)
    }
    const isShared = sharedDigits(unnamed.flatMap(({ tag }) => tag ?? []))
    const nodes: TreeNode[] = []
    for (const { node, tag } of unnamed) {
      const isTaken = (taken: string, digits: string): Promise<boolean> | boolean =>
        isShared(digits) || this.#options.groups.has(ids, taken)
      const own = tag === undefined ? name : await freeName(name, tag, isTaken)
      if (own !== undefined) nodes.push({ ...node, path: [...path, own] })
    }
    return nodes
  }

  /** Returns the first of the nodes of `ofGroup`, which has the name itself, without making the others. */
  async first(group: NameGroup, { path }: DirectoryNode): Promise<TreeNode | undefined> {
    const { name, hash: nameHash, directories, files } = group
    const named = { path: [...path, name] }
    if (directories.length > 0) return { ...directoryOf(group), ...named }
    files.sort(byPrecedence)
    for (const [i, { entry }] of files.entries()) {
      const [first] = await this.#file(entry, { isFirst: true, nameHash })
      if (first === undefined) continue
      if (i === 0) for (const other of files.slice(1)) await this.#addOther(first.node as FileNode, other.entry)
      return { ...first.node, ...named }
    }
    return undefined
  }

  /** Returns the node of a conflict whose name is known; undefined if it is gone. */
  async conflict(id: Uint8Array, record: Uint8Array | undefined, path: Path): Promise<TreeNode | undefined> {
    if (record === undefined) return { ...this.ofUnreachableDirectory(id).node, path }
    for (const { node } of await this.#file(id, UNREACHABLE))
      if (node.kind === 'file' && equalBytes(node.record.id, record)) return { ...node, path }
    return undefined
  }

  /** Returns a file with the content that shows, as if it alone had its name; undefined if it is deleted. */
  async file(id: Uint8Array): Promise<FileNode | undefined> {
    const [first] = await this.#file(id, { isFirst: true, nameHash: undefined })
    return first?.node.kind === 'file' ? first.node : undefined
  }

  /** Returns a file that no directory shows, with its versions. They show at `/`, as conflicts, and have no names yet. */
  ofUnreachableFile(id: Uint8Array): Promise<Unnamed[]> {
    return this.#file(id, UNREACHABLE)
  }

  /** Returns a directory that no other directory shows. It shows at `/`, as a conflict, and has no name yet. */
  ofUnreachableDirectory(id: Uint8Array): Unnamed {
    return { node: { kind: 'directory', path: [], nameHash: undefined, ids: [id], isConflict: true }, tag: id }
  }

  /** Returns a node with everything that a listing says about it. A directory gets the latest time of its entries. */
  async listed(node: TreeNode): Promise<ListedNode> {
    if (node.kind === 'file') return node
    const bodies = await Promise.all(node.ids.map(id => this.#options.entries.placeBody(id)))
    return { ...node, mtime: bodies.reduce((latest, body) => Math.max(latest, body?.mtime ?? 0), 0) }
  }

  /**
   * Adds another file of the same name to the file that keeps the name: as a twin if its whole content is the same, so
   * that nobody has to choose between them, and otherwise as a rival.
   */
  async #addOther(file: FileNode, id: Uint8Array): Promise<'twin' | 'rival'> {
    const other = await this.#options.entries.get(id)
    const isTwin = other !== undefined && !other.row.isDamaged && !file.isConflict && isSameContent(file, other.shown)
    ;(isTwin ? file.twins : file.rivals).push(id)
    return isTwin ? 'twin' : 'rival'
  }

  /** Returns a file and its conflict versions. */
  async #file(id: Uint8Array, { isFirst, nameHash }: Precedence): Promise<Unnamed[]> {
    const { entries, bodies } = this.#options
    const found = await entries.get(id)
    if (found === undefined) return []
    const { row, shown } = found
    if (shown.content === undefined) return []
    const contents = [shown.content, ...shown.conflicts]
    return Promise.all(
      contents.map(async (record, i): Promise<Unnamed> => {
        const body = await bodies.open(record)
        const isConflict = i > 0 || !isFirst || row.isDamaged || body === undefined
        const isSealed = body === undefined && bodies.isSealed(record)
        const own = { path: [], nameHash, isConflict, isSealed, rivals: [], twins: [] }
        const node: FileNode = { kind: 'file', id, row, shown, record, body, ...own }
        return { node, tag: i > 0 ? record.id : isFirst ? undefined : id }
      })
    )
  }
}

/**
 * Returns the first of the names for a conflict that nothing else has. Returns undefined if all are taken: the conflict
 * shows once one of the entries that have these names is removed.
 */
async function freeName(
  name: string,
  tag: Uint8Array,
  isTaken: (name: string, digits: string) => Promise<boolean> | boolean
): Promise<string | undefined> {
  for (const candidate of conflictNames(name, tag))
    if (!(await isTaken(candidate.name, candidate.digits))) return candidate.name
  return undefined
}

function directoryOf({ hash: nameHash, directories }: NameGroup): DirectoryNode {
  const ids = directories.map(({ entry }) => entry).sort(compareBytes)
  return { kind: 'directory', path: [], nameHash, ids, isConflict: false }
}

function isSameContent({ record }: FileNode, { content, conflicts }: Shown): boolean {
  if (content === undefined || conflicts.length > 0 || record.root === null) return false
  return equalBytes(contentOf(record), contentOf(content))
}

/** Returns a function that says whether several ids begin with some digits. */
function sharedDigits(ids: readonly Uint8Array[]): (digits: string) => boolean {
  const counts = new Map<string, number>()
  for (const id of ids)
    for (const length of [TAG_DIGITS, TAG_DIGITS_MORE]) {
      const digits = toHex(id).slice(0, length)
      counts.set(digits, (counts.get(digits) ?? 0) + 1)
    }
  return digits => (counts.get(digits) ?? 0) > 1
}

// A file that can be read comes before one that cannot. Among the rest, the file that was placed there last comes
// first.
function byPrecedence(a: Child, b: Child): number {
  if (a.isDamaged !== b.isDamaged) return a.isDamaged ? 1 : -1
  return compareBytes(b.placed, a.placed) || compareBytes(a.entry, b.entry)
}
