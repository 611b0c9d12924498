import type { Path } from '../../format/path.ts'
import { batchesOf } from '../../util/batches.ts'
import { equalBytes, toHex } from '../../util/bytes.ts'
import type { VersionEnd } from '../author.ts'
import type { ChangeOptions } from '../change.ts'
import { ChangedError, NotADirectoryError } from '../errors.ts'
import type { ChildEntry } from '../tree.ts'
import type { ChangeContext } from './context.ts'
import type { FoundEntry } from './found.ts'
import { type RemoveInit, type Transaction, transact } from './transaction.ts'

export interface RemoveTreeOptions extends ChangeOptions {
  /** What the deletes do to the versions. */
  ends?: VersionEnd | undefined
  /** The incarnation of the deletes of one removal; a new one if left out. */
  removal?: Uint8Array | undefined
  signal?: AbortSignal | undefined
}

/** The directories that one path shows as one. */
interface Top {
  path: Path
  ids: readonly Uint8Array[]
}

/** An entry that was found below a directory that is removed. */
interface Target {
  id: Uint8Array
  /** The directory in which it was found; undefined for those at the top. */
  parent: Uint8Array | undefined
}

/** The most entries that one append deletes. */
const DELETE_BATCH = 256
/** The most children of one directory that are in memory at once. */
const PAGE = 256
/** The most walks of the tree. A further walk is needed if something was put into the tree during the last one. */
const WALKS_MAX = 16

/**
 * Deletes directories and everything below them. Each entry is deleted after everything below it, so whatever is left
 * after a failure can still be found and removed. Entries that are moved out before their turn comes are left alone;
 * entries that are put or moved in before the end are deleted too. It takes memory for one batch and for a page of each
 * directory on the way down. Throws a `ChangedError` if others keep putting something in.
 */
export async function removeTree(
  context: ChangeContext,
  top: Top,
  { removal = context.author.newRemoval(), ...rest }: RemoveTreeOptions
): Promise<void> {
  const options = { ...rest, removal }
  for (let walk = 1; walk <= WALKS_MAX; walk++) {
    const ids = await idsLeft(context, top)
    if (ids.length === 0) return
    await removeOnce(context, { ...top, ids }, options)
  }
  if ((await idsLeft(context, top)).length > 0)
    throw new ChangedError('others keep putting entries into this directory: try again')
}

/** Returns those of the directories that the path still shows. */
async function idsLeft({ tree }: Pick<ChangeContext, 'tree'>, { path, ids }: Top): Promise<Uint8Array[]> {
  try {
    const node = await tree.resolve(path)
    return node?.kind === 'directory' ? node.ids.filter(id => ids.some(top => equalBytes(id, top))) : []
  } catch (error) {
    if (error instanceof NotADirectoryError) return []
    throw error
  }
}

/** Deletes the heads of a file for which its row in the index had no room. They show once the others are deleted. */
export async function removeRest(
  context: ChangeContext,
  id: Uint8Array,
  { onAppended = async () => {}, signal, ends }: RemoveTreeOptions
): Promise<void> {
  for (let isLeft = true; isLeft; ) {
    const { value, records } = await transact(
      context,
      async tx => {
        const found = await tx.entry(id)
        if (found === undefined || found.shown.isDeleted) return false
        await tx.remove(found, { ends })
        return found.row.state.older > 0
      },
      signal
    )
    isLeft = value
    await onAppended(records, 0)
  }
}

async function removeOnce(context: ChangeContext, top: Top, options: RemoveTreeOptions): Promise<void> {
  const { signal, ends, removal, onAppended = async () => {} } = options
  for await (const targets of batchesOf(walk(context, top), DELETE_BATCH)) {
    signal?.throwIfAborted()
    const { value, records } = await transact(context, tx => deleteAll(context, tx, { top, targets, ends, removal }))
    if (records.length === 0) continue
    await onAppended(records, value.length)
    for (const { id, row } of value) if (row.state.older > 0) await removeRest(context, id, options)
  }
}

/** Deletes those of the entries that are still where they were found, and returns them. */
async function deleteAll(
  context: ChangeContext,
  tx: Transaction,
  { top, targets, ...init }: { top: Top; targets: readonly Target[] } & Pick<RemoveInit, 'ends' | 'removal'>
): Promise<FoundEntry[]> {
  const isBelow = new Map((await idsLeft(context, top)).map(id => [toHex(id), true]))
  const deleted: FoundEntry[] = []
  for (const { id, parent } of targets) {
    const found = await tx.entry(id)
    if (found === undefined || found.shown.isDeleted) continue
    if (!(parent === undefined ? isBelow.has(toHex(id)) : await isStillIn(context, found, parent, isBelow))) continue
    await tx.remove(found, init)
    deleted.push(found)
  }
  return deleted
}

/**
 * Returns true if an entry is still in this directory and the directory is still below the top. `isBelow` remembers the
 * answers for directories.
 */
async function isStillIn(
  { tree }: Pick<ChangeContext, 'tree'>,
  { row }: FoundEntry,
  parent: Uint8Array,
  isBelow: Map<string, boolean>
): Promise<boolean> {
  if (!equalBytes(row.parent, parent)) return false
  const way = new Set<string>()
  let at: Uint8Array | undefined = parent
  while (at !== undefined && !isBelow.has(toHex(at)) && !way.has(toHex(at))) {
    way.add(toHex(at))
    at = (await tree.entry(at))?.row.parent
  }
  const answer = at !== undefined && isBelow.get(toHex(at)) === true
  for (const key of way) isBelow.set(key, answer)
  return answer
}

/** A directory on the way down. */
interface Level extends Target {
  children: ChildEntry[]
  /** The row of the last child that was read; undefined if none was. */
  after: Uint8Array | undefined
  isEnd: boolean
}

/** Yields everything below some directories, and then the directories: each entry after all that is below it. */
async function* walk({ tree }: Pick<ChangeContext, 'tree'>, { ids }: Top): AsyncGenerator<Target> {
  for (const top of ids) {
    const way: Level[] = [levelOf(top, undefined)]
    // Two moves that arrive meanwhile may make a cycle.
    const onTheWay = new Set([toHex(top)])
    for (let level = way.at(-1); level !== undefined; level = way.at(-1)) {
      const { id, parent } = level
      const child = level.children.pop()
      if (child !== undefined) {
        if (child.kind === 'file') yield { id: child.id, parent: id }
        else if (!onTheWay.has(toHex(child.id))) {
          way.push(levelOf(child.id, id))
          onTheWay.add(toHex(child.id))
        }
      } else if (level.isEnd) {
        way.pop()
        onTheWay.delete(toHex(id))
        yield { id, parent }
      } else await readPage(tree, level)
    }
  }
}

function levelOf(id: Uint8Array, parent: Uint8Array | undefined): Level {
  return { id, parent, children: [], after: undefined, isEnd: false }
}

async function readPage(tree: ChangeContext['tree'], level: Level): Promise<void> {
  for await (const child of tree.childrenOf(level.id, level.after)) {
    level.children.push(child)
    level.after = child.key
    if (level.children.length === PAGE) return
  }
  level.isEnd = true
}
