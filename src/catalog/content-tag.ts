import { type EntryRecord, rootOf } from '../format/entry.ts'
import { toHex } from '../util/bytes.ts'

/**
 * Returns a tag that identifies a file's content: the CID of the root or, for inline content, its siv in hex. A move or
 * a change of metadata does not change the tag.
 */
export function tagOfContent({ root }: Pick<EntryRecord, 'root'>): string | null {
  if (root === null) return null
  const named = rootOf(root)
  return 'cid' in named ? named.cid.toString() : toHex(named.siv)
}
