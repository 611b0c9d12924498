import { isCurrent as isCurrentIn, pathOfEntry } from '../catalog/record-paths.ts'
import { formatPath } from '../format/path.ts'
import type { FsContext } from './context.ts'

type Rooms = Pick<FsContext, 'tree' | 'entryOf'>

/** Returns true if a file shows the content of a record. */
export async function isCurrent({ tree, entryOf }: Rooms, record: Uint8Array): Promise<boolean> {
  const entry = await entryOf(record)
  return entry !== undefined && isCurrentIn(tree, entry, record)
}

/** Returns the path of the file that shows the content of a record; null if there is none, or if it shows nowhere. */
export async function pathOfRecord({ tree, entryOf }: Rooms, record: Uint8Array): Promise<string | null> {
  const entry = await entryOf(record)
  if (entry === undefined || !(await isCurrentIn(tree, entry, record))) return null
  const path = await pathOfEntry(tree, entry)
  return path === undefined ? null : formatPath(path)
}
