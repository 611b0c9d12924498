import { pipe } from 'it-pipe'
import type { KeptFile, Put } from '../blocks/blocks.ts'
import type { Content } from '../catalog/author.ts'
import { type Chunker, fixedChunker } from '../format/chunker.ts'
import { type BlockCid, decodeCid, RAW } from '../format/cid.ts'
import { CHUNK_BYTES_MAX } from '../format/constants.ts'
import { contentChunker } from '../format/fastcdc.ts'
import { type FileRoot, type Link, ManifestBuilder, type SealedBlock } from '../format/manifest.ts'
import type { Path } from '../format/path.ts'
import { encodeReplicas } from '../format/replicas.ts'
import { sealFile } from '../format/seal-file.ts'
import { NO_BYTES } from '../util/bytes.ts'
import { chunksInRange } from './chunks-in-range.ts'
import type { FsContext, ResolvedPutOptions } from './context.ts'
import { finishPut } from './finish-put.ts'
import { type FileFacts, inlineContent, type LinkTo } from './small-file.ts'
import type { PutResult } from './types.ts'

/**
 * A stretch of text that is durable, as plain data. It holds the key of its text, so it must be stored as privately as
 * the text itself.
 */
export interface UploadPart {
  /** The CID of the root of the part's own manifest; null for a part without bytes. */
  root: Uint8Array | null
  /** The key that opens the root, and the epoch whose key sealed it. */
  key: Uint8Array
  rootEpoch: Uint8Array
  size: number
  /** The most bytes of text in one of its chunks. */
  chunkBytesMax: number
  /** The number of the put that kept the part. The claims of the part carry it. */
  number: Uint8Array
}

/**
 * The way in which content of more than one small block comes into the network (`SmallFiles` puts the rest): `append`
 * keeps a part of it, `commit` makes a file of parts, and `abort` gives it up. A put appends one part and commits it; a
 * copy commits what is stored. An upload in many parts may append them in any order, also concurrently, and commits them
 * in the order of the file.
 *
 * Each part has a manifest of its own, so a part of any size is a few bytes of plain data, and memory is bounded by a
 * window of blocks. If there is one part, its manifest is that of the file. A commit of several parts reads their
 * manifests, builds the manifest of the file, and asks the owners of the blocks to keep them once more; they do not
 * pull blocks that they have.
 *
 * Nothing is visible before the commit. The state of an upload is its parts, which the caller stores. Each part has a
 * put and claims of its own. While the object is open, it renews the claims of the parts that it has appended and that
 * have not been committed yet. After a restart of the node, a new object can commit them. Claims that are not renewed
 * expire (`PUT_CLAIM_MS`). A commit claims all blocks of the file again. If it comes so late that a block is neither
 * here nor on a member that can be reached, it throws a `BlockUnreachableError`, and the caller has to append the parts
 * again.
 *
 * The caller must close the upload. Closing it frees nothing: claims on blocks that no record refers to expire.
 */
export class Upload {
  readonly #fs: FsContext
  readonly #resolved: ResolvedPutOptions
  readonly #linkTo: LinkTo | undefined
  readonly #puts = new Set<Put>()
  /** The puts that have kept a part since this upload was opened, by the text of the part's root. */
  readonly #appended = new Map<string, Put>()

  /** `linkTo` links the content elsewhere than at the path of the commit. */
  constructor(fs: FsContext, resolved: ResolvedPutOptions, { linkTo }: { linkTo?: LinkTo | undefined } = {}) {
    this.#fs = fs
    this.#resolved = resolved
    this.#linkTo = linkTo
  }

  /**
   * Seals and keeps a stretch of text as it arrives, on this disk and on as many members as `ack` asks for. Resolves
   * once all of it is durable there. `chunkBytes` is the size of its chunks; without it, this node's choice decides how
   * the text is cut. Throws what `Put.keep` throws; other parts are not affected.
   */
  async append(text: AsyncIterable<Uint8Array>, chunkBytes?: number): Promise<UploadPart> {
    const { codec, author } = this.#fs
    const { id: rootEpoch, content: subkey } = author.epoch
    const put = this.#open()
    const { number } = put
    try {
      const root = await pipe(text, this.#chunkerFor(put, chunkBytes), sealFile({ subkey, codec }), put.keep)
      if (root === null) {
        this.#close(put)
        return { root: null, key: NO_BYTES, rootEpoch, size: 0, chunkBytesMax: 0, number }
      }
      this.#appended.set(root.cid.toString(), put)
      const { key, size, chunkBytesMax } = root
      return { root: root.cid.bytes, key, rootEpoch, size, chunkBytesMax, number }
    } catch (error) {
      this.#close(put)
      throw error
    }
  }

  /**
   * Makes the file that consists of these parts visible at a path, and waits until the requested number of members have
   * acknowledged it. A part may occur several times, or not at all.
   */
  async commit(path: Path, facts: FileFacts, parts: readonly UploadPart[]): Promise<PutResult> {
    const filled = parts.filter(({ root }) => root !== null)
    const [first] = filled
    if (first === undefined) return this.#link(path, inlineContent(this.#fs.author.epoch, facts, NO_BYTES), null)
    if (filled.length === 1) return this.#commitPart(path, facts, first)
    const nodes = this.#open()
    try {
      return await this.#commitPart(path, facts, await this.#assemble(filled, nodes))
    } finally {
      this.#close(nodes)
    }
  }

  /**
   * Makes the content of a root visible at a path: of an appended part, or of another file. Keeps the blocks below the
   * root, unless an append has just done so, has the members confirm them, and links the root.
   */
  async commitRoot(path: Path, content: Content, root: BlockCid, chunkBytesMax?: number): Promise<PutResult> {
    const appended = this.#appended.get(root.toString())
    // A put serves one commit. Another commit of the same part keeps it again.
    this.#appended.delete(root.toString())
    const put = appended ?? this.#open()
    try {
      if (appended === undefined) await put.keepStored(root, cid => this.#read(cid))
      return await this.#link(path, content, await put.keepRoot(root), chunkBytesMax)
    } finally {
      this.#close(put)
    }
  }

  /**
   * Gives up these parts. Their claims on this disk end soon, and those on other members expire. The blocks of a part
   * stay if a file needs them.
   */
  abort(parts: readonly UploadPart[]): void {
    this.close()
    for (const { number } of parts) this.#fs.blocks.abandonPut(number)
  }

  /** Stops the renewal of claims. The parts can be committed as long as these last, also by this object. */
  close(): void {
    this.#appended.clear()
    for (const put of this.#puts) this.#close(put)
  }

  #open(): Put {
    const { copies: replicas, acks: ack, signal } = this.#resolved
    const put = this.#fs.blocks.openPut({ replicas, ack, signal })
    this.#puts.add(put)
    return put
  }

  #chunkerFor(put: Put, chunkBytes: number | undefined): Chunker {
    const { author, defaults } = this.#fs
    if (chunkBytes === undefined && defaults.chunker === 'fastcdc') return contentChunker(author.epoch.gear, put.lease)
    return fixedChunker(chunkBytes, put.lease)
  }

  #close(put: Put): void {
    this.#puts.delete(put)
    put.close()
  }

  #commitPart(path: Path, facts: FileFacts, part: UploadPart): Promise<PutResult> {
    const { root, key, rootEpoch, size, chunkBytesMax } = part
    const cid = this.#cidOf(root)
    return this.commitRoot(path, { ...facts, root: cid.bytes, key, rootEpoch, size }, cid, chunkBytesMax)
  }

  /** Builds the manifest of a file that consists of several parts, and keeps its nodes with `put`. */
  async #assemble(parts: readonly UploadPart[], put: Put): Promise<UploadPart> {
    const { author, codec } = this.#fs
    const { id: rootEpoch, content: subkey } = author.epoch
    const manifest = new ManifestBuilder({ subkey, codec })
    const chunks = (part: UploadPart) => this.#chunksOf(part)
    let root: FileRoot | null = null
    async function* nodes(): AsyncGenerator<SealedBlock> {
      for (const part of parts)
        for await (const { cid, key, size } of chunks(part)) yield* manifest.add({ cid, key, size })
      const end = manifest.finish()
      root = end.root
      yield* end.nodes
    }
    await put.keep(nodes())
    const { cid, key, size, chunkBytesMax } = root as unknown as FileRoot
    return { root: cid.bytes, key, rootEpoch, size, chunkBytesMax, number: put.number }
  }

  #chunksOf({ root, key, size }: UploadPart): AsyncGenerator<Link> {
    const read = (cid: BlockCid): Promise<Uint8Array> => this.#read(cid)
    return chunksInRange({ cid: this.#cidOf(root), key, size }, { from: 0, to: size }, { read, codec: this.#fs.codec })
  }

  #cidOf(root: UploadPart['root']): BlockCid {
    return decodeCid(root as Uint8Array, [RAW, this.#fs.codec.code])
  }

  async #read(cid: BlockCid): Promise<Uint8Array> {
    const { signal } = this.#resolved
    return (await this.#fs.blocks.read(cid, { signal })).bytes
  }

  async #link(
    path: Path,
    content: Content,
    kept: KeptFile | null,
    chunkBytesMax: number = CHUNK_BYTES_MAX
  ): Promise<PutResult> {
    const { copies, noClobber, ifTag, signal } = this.#resolved
    signal?.throwIfAborted()
    const rules = { replicas: encodeReplicas(copies), noClobber, ifTag }
    const change = await (this.#linkTo?.(content, rules) ?? this.#fs.catalog.link(path, content, rules))
    return finishPut(this.#fs, { change, content, kept, chunkBytesMax }, this.#resolved)
  }
}
