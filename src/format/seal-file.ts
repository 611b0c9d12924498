import type { KeyObject } from 'node:crypto'
import { returnBuffer, takeBuffer } from '../util/buffer-pool.ts'
import type { Chunk } from './chunker.ts'
import { type BlockCid, nameBlock, RAW } from './cid.ts'
import { SEAL_OVERHEAD_BYTES } from './constants.ts'
import { FormatError } from './errors.ts'
import { ManifestBuilder, type NodeCodec, type SealedBlock } from './manifest.ts'
import { paddedChunkLength, padInPlace, unpad } from './padding.ts'
import { NO_SALT, open, seal, sivOf } from './seal.ts'

export interface SealFileOptions {
  /** The `content` subkey of the epoch. */
  subkey: KeyObject
  salt?: Uint8Array
  codec?: NodeCodec
}

/**
 * Returns a function that turns chunks into sealed blocks. It yields each chunk as it comes, each manifest node as soon
 * as it is full, and the root last, with `root` set. The root comes last because a node contains the names and keys of
 * the blocks below it. A stream without chunks has no blocks. The function holds no chunk while it waits for the next,
 * only the links of one node of each level. The lease of a chunk passes to its block. If nobody takes it there, it is
 * released before the next chunk is requested.
 */
export function sealFile(options: SealFileOptions): (chunks: AsyncIterable<Chunk>) => AsyncGenerator<SealedBlock> {
  const { subkey, salt = NO_SALT } = options
  return async function* (chunks) {
    const manifest = new ManifestBuilder(options)
    let chunkIndex = 0
    for await (const chunk of chunks) {
      const lease = chunk.lease?.take()
      try {
        const { bytes, key } = seal(subkey, padChunk(chunk), { label: 'chunk', salt })
        returnBuffer(chunk.buffer)
        lease?.shrink(bytes.byteLength)
        const cid = nameBlock(bytes, RAW)
        const blocks: SealedBlock[] = [{ cid, bytes, chunkIndex: chunkIndex++, lease }]
        blocks.push(...manifest.add({ cid, key, size: chunk.length }))
        if (chunk.isLast) finish(manifest, blocks)
        yield* blocks
      } finally {
        lease?.release()
      }
    }
  }
}

/** Seals a file of one chunk, as `sealFile` does. Returns its only block, which is its root. */
export function sealSmall(
  { subkey, salt = NO_SALT }: Pick<SealFileOptions, 'subkey' | 'salt'>,
  text: Uint8Array
): { cid: BlockCid; bytes: Uint8Array; key: Uint8Array } {
  const buffer = takeBuffer(paddedChunkLength(text.byteLength))
  buffer.set(text)
  const { bytes, key } = seal(subkey, padChunk({ buffer, length: text.byteLength }), { label: 'chunk', salt })
  returnBuffer(buffer)
  return { cid: nameBlock(bytes, RAW), bytes, key }
}

/** Adds the remaining nodes. The last block is the root: the only chunk, or a node. */
function finish(manifest: ManifestBuilder, blocks: SealedBlock[]): void {
  const { nodes, root } = manifest.finish()
  blocks.push(...nodes)
  const last = blocks.at(-1)
  if (last !== undefined && root !== null) last.root = root
}

/** Returns the number of bytes in the sealed block of a chunk with this much text. */
export function sealedChunkLength(textBytes: number): number {
  return paddedChunkLength(textBytes) + SEAL_OVERHEAD_BYTES
}

/** Opens one chunk and removes its padding. Returns a view of its text. */
export function openChunk(key: Uint8Array, bytes: Uint8Array): Uint8Array {
  return unpad(open(key, bytes, { label: 'chunk' }), paddedChunkLength)
}

/** Opens one chunk and checks that it has the size that its parent states. */
export function openChunkOf(link: { key: Uint8Array; size: number }, bytes: Uint8Array): Uint8Array {
  const text = openChunk(link.key, bytes)
  if (text.byteLength !== link.size) throw new FormatError('a chunk has another size than its parent states')
  return text
}

/** Returns the memory of a text from `openChunkOf` to the pool. The caller must hold the only reference to it. */
export function returnText(text: Uint8Array): void {
  returnBuffer(new Uint8Array(text.buffer))
}

/** Returns the identity of content that travels inside a record: the SIV that a chunk with this text would have. */
export function inlineRoot(subkey: KeyObject, text: Uint8Array, salt: Uint8Array = NO_SALT): Uint8Array {
  const buffer = new Uint8Array(paddedChunkLength(text.byteLength))
  buffer.set(text)
  return sivOf(subkey, padChunk({ buffer, length: text.byteLength }), { label: 'chunk', salt })
}

function padChunk(chunk: Pick<Chunk, 'buffer' | 'length'>): Uint8Array {
  return padInPlace(chunk.buffer, chunk.length, paddedChunkLength(chunk.length))
}
