import type { Content } from '../catalog/author.ts'
import type { LinkChange } from '../catalog/change.ts'
import type { BlockCid } from '../format/cid.ts'
import { INLINE_BYTES_MAX } from '../format/constants.ts'
import type { Path } from '../format/path.ts'
import { inlineRoot, sealedChunkLength, sealSmall } from '../format/seal-file.ts'
import type { Epoch } from '../members/key-ring.ts'

/** The facts about a file other than its content. */
export type FileFacts = Pick<Content, 'mtime' | 'mode' | 'type'>

/** The only block of a small file. Nobody else holds its bytes. */
export interface OnlyBlock {
  cid: BlockCid
  bytes: Uint8Array
}

/** What is stored of a small file. It has no block if its text travels in its record. */
export interface SealedFile {
  content: Content
  block?: OnlyBlock | undefined
}

/** Links content to a file. */
export type LinkTo = (content: Content, options: { replicas: number }) => Promise<LinkChange>

/** A small file to put. */
export interface SmallFile {
  path: Path
  /** The length of its block; 0 if it has none. */
  blockBytes: number
  /** Seals its text, unless it is a copy of what is sealed already. */
  seal: (epoch: Epoch) => SealedFile
  /** Links the content elsewhere than at the path. */
  linkTo?: LinkTo | undefined
}

/** Returns a small file with a text that is not stored yet. */
export function smallFile(path: Path, text: Uint8Array, facts: FileFacts): SmallFile {
  const { byteLength: size } = text
  if (size <= INLINE_BYTES_MAX)
    return { path, blockBytes: 0, seal: epoch => ({ content: inlineContent(epoch, facts, text) }) }
  const seal = (epoch: Epoch): SealedFile => {
    const { key, ...block } = sealSmall({ subkey: epoch.content }, text)
    return { content: { ...facts, root: block.cid.bytes, key, rootEpoch: epoch.id, size }, block }
  }
  return { path, blockBytes: sealedChunkLength(size), seal }
}

/** Returns the content of a file whose text travels in its record. */
export function inlineContent({ id: rootEpoch, content: subkey }: Epoch, facts: FileFacts, text: Uint8Array): Content {
  return { ...facts, rootEpoch, root: inlineRoot(subkey, text), size: text.byteLength, content: text }
}
