import type { Content } from '../catalog/author.ts'
import type { Path } from '../format/path.ts'
import { inlineRoot } from '../format/seal-file.ts'
import type { Epoch } from '../members/key-ring.ts'

/** The facts about a file other than its content. */
export type FileFacts = Pick<Content, 'mtime' | 'mode' | 'type'>

/** A small file to put. */
export interface SmallFile {
  path: Path
  text: Uint8Array
  facts: FileFacts
}

/** Returns the content of a file whose text travels in its record. */
export function inlineContent({ id: rootEpoch, content: subkey }: Epoch, facts: FileFacts, text: Uint8Array): Content {
  return { ...facts, rootEpoch, root: inlineRoot(subkey, text), size: text.byteLength, content: text }
}
