import { createSecretKey, type KeyObject } from 'node:crypto'
import { pipe } from 'it-pipe'
import { tagOfContent } from '../../../src/catalog/content-tag.ts'
import { fixedChunker } from '../../../src/format/chunker.ts'
import { CHUNK_BYTES, INLINE_BYTES_MAX } from '../../../src/format/constants.ts'
import { deriveNetwork, epochSubkeys } from '../../../src/format/network-key.ts'
import { inlineRoot, sealFile } from '../../../src/format/seal-file.ts'
import { SMALL_FILE_BYTES_MAX } from '../../../src/fs/constants.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'

/** A block of a content, as it must be on a disk. */
export interface BlockOfContent {
  bytes: Uint8Array
  multihash: Uint8Array
}

/** Something to put. No two contents are equal, so the tag of a file says which put it comes from. */
export interface Content {
  n: number
  bytes: Uint8Array
  tag: string
  blocks: readonly BlockOfContent[]
}

/** Makes contents, and seals them as every member of the network must. */
export class Contents {
  readonly #subkey: KeyObject
  readonly #seed: number
  readonly all: Content[] = []

  constructor(networkKey: Uint8Array, seed: number) {
    this.#subkey = createSecretKey(epochSubkeys(deriveNetwork(networkKey).epochKey).content)
    this.#seed = seed
  }

  async make(sizeBytes: number): Promise<Content> {
    const n = this.all.length
    const bytes = bytesOf(this.#seed * 1_000 + n, sizeBytes)
    const content =
      sizeBytes <= INLINE_BYTES_MAX
        ? { n, bytes, tag: tagOfContent({ root: inlineRoot(this.#subkey, bytes) }) as string, blocks: [] }
        : { n, bytes, ...(await this.#seal(bytes)) }
    this.all.push(content)
    return content
  }

  async #seal(bytes: Uint8Array): Promise<{ tag: string; blocks: BlockOfContent[] }> {
    const chunk = fixedChunker(bytes.byteLength <= SMALL_FILE_BYTES_MAX ? bytes.byteLength : CHUNK_BYTES)
    const blocks: BlockOfContent[] = []
    let tag = ''
    for await (const block of pipe([bytes], chunk, sealFile({ subkey: this.#subkey }))) {
      blocks.push({ bytes: Uint8Array.from(block.bytes), multihash: block.cid.multihash.bytes })
      if (block.root) tag = tagOfContent({ root: block.cid.bytes }) as string
    }
    return { tag, blocks }
  }
}

/** Some bytes that do not repeat. They are cheap, since there are many of them. */
function bytesOf(seed: number, sizeBytes: number): Uint8Array {
  const start = seededChance(seed).bytes(Math.min(sizeBytes, 512))
  const bytes = Buffer.alloc(sizeBytes)
  for (let at = 0, n = 0; at < sizeBytes; at += start.byteLength, n++) {
    bytes.set(start.subarray(0, sizeBytes - at), at)
    if (at + 4 <= sizeBytes) bytes.writeUInt32LE(n, at)
  }
  return bytes
}
