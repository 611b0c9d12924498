import { type EntryRecord, rootOf } from '../format/entry.ts'
import { toHex } from '../util/bytes.ts'

/** Stands for a file's content: changes with it and with nothing else. The root's CID, or the siv of inline content. */
export function tagOfContent({ root }: Pick<EntryRecord, 'root'>): string | null {
  if (root === null) return null
  const named = rootOf(root)
  return 'cid' in named ? named.cid.toString() : toHex(named.siv)
}
