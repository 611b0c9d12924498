import { type EntryRecord, rootOf } from '../format/entry.ts'
import { toHex } from '../util/bytes.ts'

/**
 * Stands for a file's content: it changes with the content only. It is the root's CID, or the siv of inline content in
 * hex.
 */
export function tagOfContent({ root }: Pick<EntryRecord, 'root'>): string | null {
  if (root === null) return null
  const named = rootOf(root)
  return 'cid' in named ? named.cid.toString() : toHex(named.siv)
}
