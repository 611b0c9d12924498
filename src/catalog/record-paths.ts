import { PATH_BYTES_MAX } from '../format/constants.ts'
import { ROOT_ENTRY } from '../format/entry.ts'
import { equalBytes } from '../util/bytes.ts'
import { liveHeads, type Shown } from './heads.ts'
import type { EntryRow } from './rows/entry-row.ts'

interface Tree {
  entry(id: Uint8Array): Promise<{ row: EntryRow; shown: Shown } | undefined>
  nameOf(id: Uint8Array): Promise<string | undefined>
}

/** Returns true if an entry shows the content of a record, alone or as one of several. */
export async function isCurrent(tree: Pick<Tree, 'entry'>, entry: Uint8Array, record: Uint8Array): Promise<boolean> {
  const found = await tree.entry(entry)
  if (found === undefined) return false
  const { state } = found.row
  // An entry with more heads than its row has room for: any of its records may be one.
  return state.older > 0 || liveHeads(state).some(({ id }) => equalBytes(id, record))
}

/** Returns the names on the way to an entry that is not deleted; undefined if it shows nowhere. */
export async function pathOfEntry(tree: Tree, entry: Uint8Array): Promise<string[] | undefined> {
  const parts: string[] = []
  for (let at = entry; !equalBytes(at, ROOT_ENTRY); ) {
    const [found, name] = [await tree.entry(at), await tree.nameOf(at)]
    // No path has that many parts, so the directories are in a cycle.
    if (found === undefined || name === undefined || parts.length > PATH_BYTES_MAX) return undefined
    parts.unshift(name)
    at = found.row.parent
  }
  return parts
}
