import type { EntryBody } from '../../format/entry.ts'
import { formatPath, type Path } from '../../format/path.ts'
import { equalBytes } from '../../util/bytes.ts'
import { InvalidInputError } from '../../util/errors.ts'
import { isPastTooLong, type Placement } from '../author.ts'
import type { ChangeOptions } from '../change.ts'
import { ExistsError, NotFoundError } from '../errors.ts'
import type { DirectoryNode, TreeNode } from '../tree-node.ts'
import { checkReplace, refuseVersion } from './checks.ts'
import type { ChangeContext } from './context.ts'
import { type FoundEntry, foundIn, type Parent, parentIn } from './found.ts'
import { assertMoveFits, assertPathFits } from './path-room.ts'
import { type Transaction, transact } from './transaction.ts'
import { removeTwins } from './twins.ts'

export interface MoveOptions extends ChangeOptions {
  signal?: AbortSignal | undefined
  noClobber?: boolean | undefined
  /** The number of copies wanted for directories that have to be made. */
  replicas: number
}

/** A directory that continues under a new id, so that everything below the old one has to move too. */
interface Continued {
  from: Uint8Array
  to: Uint8Array
  /** The last child that was looked at. */
  after?: Uint8Array | undefined
}

/** The work that one plan of a move leaves for the next. */
interface Moving {
  target: Path
  continued: Continued[]
}

/** The most children that one append moves to the new id of their directory. */
const CHILDREN_AT_ONCE = 256

/**
 * Moves the file or directory at a path to another path, and returns that path. As in a shell, if there is a directory
 * at `to`, the new path is inside it. The new path must be free, or hold a file that may be replaced. Directories are
 * never merged. Missing directories are made in the same append, so if the move is refused, none of them is visible.
 *
 * This is one append, with a record for each entry of that name, unless the past of a directory has grown too long: then
 * the directory continues under a new id, and all that is directly below it moves too. That takes an append for each
 * `CHILDREN_AT_ONCE` children. If it fails half-way, both directories are there, and each child is in one of them.
 */
export async function move(context: ChangeContext, from: Path, to: Path, options: MoveOptions): Promise<Path> {
  if (from.length === 0) throw new InvalidInputError('the root directory cannot be moved')
  const { onAppended = async () => {}, signal } = options
  const first = await transact(context, tx => moveNode(context, tx, { from, to, options }), signal)
  await onAppended(first.records, 1)
  let { continued } = first.value
  while (continued.length > 0) {
    const next = await transact(context, tx => moveChildren(context, tx, continued))
    await onAppended(next.records, 0)
    continued = next.value
  }
  return first.value.target
}

async function moveNode(
  context: ChangeContext,
  tx: Transaction,
  { from, to, options: { noClobber = false, replicas } }: { from: Path; to: Path; options: MoveOptions }
): Promise<Moving> {
  const found = await tx.resolve(from)
  if (found === undefined) throw new NotFoundError('nothing is at this path')
  const { node } = found
  refuseVersion(node)
  if (node.kind === 'directory') tx.lockDirectoryMoves()
  const { target, parent, there } = await targetOf(tx, { from, to, node, replicas })
  if (formatPath(target).startsWith(`${formatPath(from)}/`))
    throw new InvalidInputError('a directory cannot be moved into itself')
  if (there !== undefined && formatPath(there.path) === formatPath(node.path)) return { target, continued: [] }
  if (there !== undefined) checkReplace(node, there, noClobber)
  assertPathFits(target)
  if (node.kind === 'directory') await assertMoveFits(context, node, target)
  const at = { parent: parent.id, name: target.at(-1) as string }
  const moved = node.kind === 'file' ? [foundIn(node)] : await tx.entriesOf(node, found.parent)
  if (node.kind === 'file') await removeTwins(tx, node, found.parent)
  const continued: Continued[] = []
  for (const entry of moved) await moveEntry(context, tx, { entry, at, continued })
  if (there?.kind === 'file') {
    // The file that is moved may itself be a rival of the one that it replaces.
    const rivals = await tx.rivalsOf(there, parent.node as DirectoryNode)
    for (const replaced of [foundIn(there), ...rivals])
      if (!moved.some(({ id }) => equalBytes(id, replaced.id))) await tx.remove(replaced)
  }
  return { target, continued: await moveChildren(context, tx, continued) }
}

interface Target {
  /** The new path of the node that is moved. */
  target: Path
  parent: Parent
  /** The node that is there now; undefined if there is none. */
  there: TreeNode | undefined
}

/** Finds the new path of a node that is moved to `to`. Each name is read once. */
async function targetOf(
  tx: Transaction,
  { from, to, node, replicas }: { from: Path; to: Path; node: TreeNode; replicas: number }
): Promise<Target> {
  const found = await tx.resolve(to)
  if (found === undefined) return { target: to, parent: await tx.parent(to.slice(0, -1), replicas), there: undefined }
  if (found.node.kind === 'file' || formatPath(from) === formatPath(to))
    return { target: to, parent: parentIn(found.parent), there: found.node }
  const name = from.at(-1) as string
  const there = await tx.child(found.node, name)
  if (there?.kind === 'directory' && node.kind === 'file') throw new ExistsError('a directory has this name already')
  return { target: [...found.node.path, name], parent: parentIn(found.node), there }
}

interface EntryMove {
  entry: FoundEntry
  at: Placement
  /** The list in which to note a directory that continues under a new id. */
  continued: Continued[]
}

async function moveEntry(
  { author, bodies }: ChangeContext,
  tx: Transaction,
  { entry, at, continued }: EntryMove
): Promise<void> {
  const { row, shown } = entry
  const carried = shown.content ?? shown.place
  const body = await bodies.need(carried)
  const isTooLong = isPastTooLong(shown.isDeleted ? row.state.heads : [carried])
  if (!isTooLong) {
    tx.change(entry, () => [
      shown.isDeleted ? author.restore(row.state, at, body) : author.move(row.state, carried, body, at)
    ])
    return
  }
  const id = tx.continueAs(body, carried, at)
  if (body.kind === 'directory') continued.push({ from: entry.id, to: id })
  // A move has seen one head, so its delete has too: conflict versions stay where they are.
  else await tx.remove(entry, { covered: [carried] })
}

/**
 * Moves children of directories to their new ids, at most `CHILDREN_AT_ONCE`. A directory that has no more of them is
 * deleted. Returns the directories that are left.
 */
async function moveChildren(
  context: ChangeContext,
  tx: Transaction,
  continued: readonly Continued[]
): Promise<Continued[]> {
  const left = [...continued]
  let room = CHILDREN_AT_ONCE
  for (let at = left[0]; at !== undefined && room > 0; at = left[0]) {
    const { from, to } = at
    let after = at.after
    let isEnd = true
    for await (const { id, key } of context.tree.childrenOf(from, after)) {
      if (room === 0) {
        isEnd = false
        break
      }
      room--
      after = key
      const entry = await tx.entry(id)
      const body = await placeIn(context, entry, from)
      if (entry !== undefined && body !== undefined)
        await moveEntry(context, tx, { entry, at: { parent: to, name: body.name }, continued: left })
    }
    left.shift()
    if (!isEnd) left.unshift({ from, to, after })
    else {
      const old = await tx.entry(from)
      if (old !== undefined && !old.shown.isDeleted) await tx.remove(old)
    }
  }
  return left
}

/** Returns the body of the record that places an entry, if that can be read and the entry is in this directory. */
async function placeIn(
  { bodies }: ChangeContext,
  entry: FoundEntry | undefined,
  parent: Uint8Array
): Promise<EntryBody | undefined> {
  if (entry === undefined || !equalBytes(entry.row.parent, parent)) return undefined
  return bodies.open(entry.shown.place)
}
