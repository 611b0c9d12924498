import type { EntryBody } from '../../format/entry.ts'
import type { Path } from '../../format/path.ts'
import type { Chance } from '../../util/chance.ts'
import type { Clock } from '../../util/clock.ts'
import type { Logger } from '../../util/logger.ts'
import type { Author } from '../author.ts'
import type { Bodies } from '../bodies.ts'
import type { Records } from '../change.ts'
import { ChangedError } from '../errors.ts'
import type { Shown } from '../heads.ts'
import type { EntryRow } from '../rows/entry-row.ts'
import { rootNode, type Tree } from '../tree.ts'
import type { DirectoryNode } from '../tree-node.ts'
import type { TreeLocks } from './locks.ts'

/** The components, ports and locks that all changes to the tree share. */
export interface ChangeContext {
  tree: Tree
  bodies: Bodies
  author: Author
  clock: Clock
  chance: Chance
  locks: TreeLocks
  log: Logger
  /** Makes records durable in one batch, and returns them. */
  append: (records: Records) => Promise<Records>
}

/** The number of times that a change is tried if something that it relies on changes in the meantime. */
const ATTEMPTS_MAX = 8

/**
 * Repeats a change while it returns undefined, which means that something it relied on has changed. Throws a
 * `ChangedError` after `ATTEMPTS_MAX` attempts.
 */
export async function attempt<T>({ log }: ChangeContext, change: () => Promise<T | undefined>): Promise<T> {
  for (let count = 1; count <= ATTEMPTS_MAX; count++) {
    const result = await change()
    if (result !== undefined) return result
    log.trace('attempt %d of a change met another change', count)
  }
  throw new ChangedError('what is at this path keeps changing: try again')
}

/** Returns the directory at a path, or undefined if there is none or if the path is a file. */
export async function findDirectory({ tree }: ChangeContext, path: Path): Promise<DirectoryNode | undefined> {
  const node = path.length === 0 ? rootNode() : await tree.resolve(path)
  return node?.kind === 'directory' ? node : undefined
}

/** An entry as it is now, and the body of the record that placed it. */
export interface FoundEntry {
  row: EntryRow
  shown: Shown
  /** Undefined if that record cannot be opened. */
  body: EntryBody | undefined
}

export async function findEntry({ tree, bodies }: ChangeContext, id: Uint8Array): Promise<FoundEntry | undefined> {
  const found = await tree.entry(id)
  return found === undefined ? undefined : { ...found, body: await bodies.open(found.shown.place) }
}

/** Signs the records that delete an entry, covering all its heads. Returns none if there is no such entry. */
export async function deletionOf(context: ChangeContext, id: Uint8Array): Promise<Records> {
  const found = await findEntry(context, id)
  return found === undefined ? [] : context.author.delete(id, found.row.state, found.shown, found.body)
}
