import { ENTRY_ID_BYTES } from '../../format/entry.ts'
import { formatPath, type Path } from '../../format/path.ts'
import { toHex } from '../../util/bytes.ts'
import { InvalidInputError } from '../../util/errors.ts'
import { pushAll } from '../../util/push-all.ts'
import { isPastTooLong, type Placement } from '../author.ts'
import type { Change, Records } from '../change.ts'
import { DamagedEntryError, NotFoundError } from '../errors.ts'
import { checkReplace, refuseVersion } from './checks.ts'
import { attempt, type ChangeContext, deletionOf, findEntry } from './context.ts'
import { missingDirectories, parentAt } from './mkdir.ts'

export interface MoveOptions {
  noClobber?: boolean | undefined
  /** The number of copies wanted of the directories that have to be made. */
  replicas: number
}

interface Move extends MoveOptions {
  from: Path
  to: Path
  /** The directories that are missing on the way to `to`, the highest first. */
  missing: readonly Path[]
  isDirectory: boolean
}

/**
 * Moves the file or directory at a path to another path. That path must be free, or hold a file that may be replaced.
 * Directories are never merged. Missing directories are made in the same append, so if the move is refused, none of them
 * is visible.
 */
export async function move(context: ChangeContext, from: Path, to: Path, options: MoveOptions): Promise<Change> {
  if (from.length === 0) throw new InvalidInputError('the root directory cannot be moved')
  if (formatPath(to).startsWith(`${formatPath(from)}/`)) {
    throw new InvalidInputError('a directory cannot be moved into itself')
  }
  const { tree, locks } = context
  return attempt(context, async () => {
    const missing = await missingDirectories(context, to.slice(0, -1))
    const isDirectory = (await tree.resolve(from))?.kind === 'directory'
    const details = { from, to, missing, isDirectory, ...options }
    const locked = (): Promise<Records | undefined> =>
      locks.paths([...missing, from, to], () => moveLocked(context, details))
    const statements = await (isDirectory ? locks.directoryMove(locked) : locked())
    return statements === undefined ? undefined : { path: to, statements }
  })
}

/** Returns undefined if something that was found before the locks were taken has changed. */
async function moveLocked(
  context: ChangeContext,
  { from, to, missing, isDirectory, noClobber = false, replicas }: Move
): Promise<Records | undefined> {
  const { tree, append } = context
  const node = await tree.resolve(from)
  if (node === undefined) throw new NotFoundError('nothing is at this path')
  if ((node.kind === 'directory') !== isDirectory) return undefined
  refuseVersion(node)
  const parent = await parentAt(context, to.slice(0, -1), missing, replicas)
  if (parent === undefined) return undefined
  const name = to.at(-1) as string
  const target = parent.node === undefined ? undefined : await tree.child(parent.node, name)
  if (target !== undefined && formatPath(target.path) === formatPath(node.path)) return []
  if (target !== undefined) checkReplace(node, target, noClobber)
  const replaced = target?.kind === 'file' ? [target.id, ...target.rivals] : []
  const moved = node.kind === 'directory' ? node.ids : [node.id]
  const at = { parent: parent.id, name }
  return lockFamilies(context, moved, replaced, async () => {
    const records: Records = [...parent.made]
    for (const id of moved) pushAll(records, await moveEntry(context, id, at))
    for (const id of replaced) pushAll(records, await deletionOf(context, id))
    return append(records)
  })
}

async function moveEntry(context: ChangeContext, id: Uint8Array, at: Placement): Promise<Records> {
  const { author, bodies, chance } = context
  const found = await findEntry(context, id)
  if (found === undefined) return []
  const { row, shown } = found
  const carried = shown.content ?? shown.place
  const body = await bodies.open(carried)
  if (body === undefined) throw new DamagedEntryError('this entry cannot be read: it can only be removed')
  const moved = shown.isDeleted ? author.restore(row.state, at, body) : author.move(row.state, carried, body, at)
  if (moved !== undefined) return [moved]
  // Its past has grown too long for another put, so the entry continues under a new id.
  const renewed = chance.bytes(ENTRY_ID_BYTES)
  const deleted = author.delete(id, row.state, shown, body)
  const created = author.create(renewed, { ...body, ...at }, carried)
  if (body.kind === 'file') return [...deleted, created]
  return [created, ...(await moveChildren(context, id, renewed)), ...deleted]
}

/** Moves the children of a directory to its new id. */
async function moveChildren(context: ChangeContext, from: Uint8Array, to: Uint8Array): Promise<Records> {
  const records: Records = []
  for await (const { id, name } of context.tree.childrenOf(from))
    pushAll(records, await moveEntry(context, id, { parent: to, name }))
  return records
}

/**
 * Returns the entries that a move of this entry changes: the entry itself and, if it is a directory that needs a new
 * id, its children, each with the entries that it changes in turn.
 */
async function familyOf(context: ChangeContext, id: Uint8Array): Promise<Uint8Array[]> {
  const { tree } = context
  const found = await tree.entry(id)
  if (found === undefined) return [id]
  const { row, shown } = found
  const past = shown.isDeleted ? row.state.heads : [shown.content ?? shown.place]
  if (row.kind !== 'directory' || !isPastTooLong(past)) return [id]
  const family = [id]
  for await (const child of tree.childrenOf(id)) pushAll(family, await familyOf(context, child.id))
  return family
}

/**
 * Locks some entries, all entries that have to move along with them, and `others`. Returns undefined if, by the time
 * the locks are held, further entries have to move along.
 */
async function lockFamilies<T>(
  context: ChangeContext,
  ids: readonly Uint8Array[],
  others: readonly Uint8Array[],
  work: () => Promise<T>
): Promise<T | undefined> {
  const families = async (): Promise<Uint8Array[]> => (await Promise.all(ids.map(id => familyOf(context, id)))).flat()
  const locked = await families()
  const known = new Set(locked.map(toHex))
  return context.locks.entries([...locked, ...others], async () =>
    (await families()).every(id => known.has(toHex(id))) ? work() : undefined
  )
}
