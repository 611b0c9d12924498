import { equalBytes, toHex } from '../../util/bytes.ts'
import type { Cycles } from './cycles.ts'
import type { DirectoryChanges } from './directory-changes.ts'
import type { PendingRows } from './pending-rows.ts'

export interface ShownAgainContext {
  rows: PendingRows
  changes: DirectoryChanges
  cycles: Cycles
}

/** Directories whose own place in the tree may change, because what they show has changed. */
class Queue {
  readonly #directories = new Map<string, Uint8Array>()

  add(directory: Uint8Array): void {
    this.#directories.set(toHex(directory), directory)
  }

  /** Yields each directory. A directory that is added again after it was yielded is yielded again. */
  *all(): Generator<Uint8Array> {
    for (const [key, directory] of this.#directories) {
      this.#directories.delete(key)
      yield directory
    }
  }
}

/**
 * Shows deleted directories again that have something to show below them now, and hides those that have nothing to show
 * any more. So the index always says whether a deleted directory shows, and nobody has to search below it.
 *
 * A directory that ends a cycle shows at `/`, so it gives its parent nothing to show. Without the cycles, the
 * directories are a forest, so there is exactly one result, whatever the order. First every directory that must show is
 * shown, and then every directory that has nothing to show is hidden. Therefore the work ends, even if there is a cycle
 * that is too long to be found.
 */
export async function showAgain(context: ShownAgainContext): Promise<void> {
  const { rows, cycles } = context
  const changed: Uint8Array[] = []
  for (const { entry, old, row } of rows.all()) {
    if (old?.name !== undefined && !equalBytes(old.parent, row.parent)) changed.push(old.parent)
    changed.push(row.parent)
    // Only a directory can hide.
    if (row.kind === 'directory') changed.push(entry)
  }
  for await (const entry of cycles.changed()) {
    const row = await rows.after(entry)
    if (row !== undefined) changed.push(row.parent)
  }
  for (const isHidden of [false, true]) {
    const queue = new Queue()
    for (const directory of changed) queue.add(directory)
    for (const directory of queue.all()) {
      const parent = await setHidden(context, directory, isHidden)
      if (parent === undefined) continue
      queue.add(parent)
      changed.push(parent, directory)
    }
  }
}

/** Returns the parent of a directory if this hides it or shows it again; undefined if it stays as it is. */
async function setHidden(
  { rows, changes, cycles }: ShownAgainContext,
  directory: Uint8Array,
  isHidden: boolean
): Promise<Uint8Array | undefined> {
  const row = await rows.after(directory)
  if (row?.kind !== 'directory' || !row.isDeleted || row.isHidden === isHidden) return undefined
  if ((await changes.showsAny(directory, cycles.ends)) === isHidden) return undefined
  await rows.setHidden(directory, isHidden)
  return row.parent
}
