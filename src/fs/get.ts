import { pipe } from 'it-pipe'
import type { Fetched } from '../blocks/blocks.ts'
import { GET_WINDOW_BLOCKS } from '../blocks/constants.ts'
import { tagOfContent } from '../catalog/content-tag.ts'
import { DamagedEntryError, IsADirectoryError, NO_KEY, NoKeyError } from '../catalog/errors.ts'
import { cidOf } from '../catalog/projection.ts'
import type { FileNode } from '../catalog/tree-node.ts'
import type { BlockCid } from '../format/cid.ts'
import type { EntryBody, EntryRecord } from '../format/entry.ts'
import { FormatError, SealError } from '../format/errors.ts'
import type { Link } from '../format/manifest.ts'
import { formatPath, type Path } from '../format/path.ts'
import { type PeerId, peerIdOf } from '../format/peer-id.ts'
import { decodeReplicas } from '../format/replicas.ts'
import { openChunkOf, returnText, sealedChunkLength } from '../format/seal-file.ts'
import { toHex } from '../util/bytes.ts'
import { InvalidInputError } from '../util/errors.ts'
import { type ChunkRef, chunksInRange, type Span } from './chunks-in-range.ts'
import type { FsContext } from './context.ts'
import { type Ahead, readAhead } from './read-ahead.ts'
import { resolvePath } from './resolve.ts'
import type { GetOptions, OpenFile, Range } from './types.ts'
import { resolvePast } from './versions.ts'

/**
 * Opens a file. The returned object has the file's metadata from the start. Its bytes are fetched while the caller
 * reads, and each byte is verified before the caller gets it.
 */
export async function openFile(fs: FsContext, path: Path, options: GetOptions = {}): Promise<OpenFile> {
  if (options.version !== undefined) return openVersion(fs, path, options.version, options)
  const node = await resolvePath(fs, path, options.signal)
  if (node.kind === 'directory') throw new IsADirectoryError('this path is a directory')
  const { record, shown } = node
  return new FileReader(fs, { path: node.path, record, replicas: shown.replicas }, readableBody(node), options)
}

/** Opens a version of a file, which may be deleted. */
async function openVersion(fs: FsContext, path: Path, version: string, options: GetOptions): Promise<OpenFile> {
  const { versions } = fs.past
  const { record, body } = await versions.read(
    await versions.find(await resolvePast(fs, path, options.signal), version)
  )
  options.signal?.throwIfAborted()
  return new FileReader(fs, { path, record, replicas: record.replicas }, body, options)
}

/** The record whose content is read, and how many copies of it there should be. */
interface ContentToRead {
  path: Path
  record: EntryRecord
  replicas: number
}

/**
 * Returns the body of a file's record. Throws a `NoKeyError` if the key that opens it is not here, and a
 * `DamagedEntryError` if the body cannot be used.
 */
export function readableBody({ body, record, isSealed }: FileNode): EntryBody {
  if (isSealed) throw new NoKeyError(NO_KEY)
  const isWhole = body !== undefined && (cidOf(record) === undefined ? body.content : body.key) !== undefined
  if (!isWhole) throw new DamagedEntryError('the record of this file is damaged: its content cannot be read')
  return body
}

interface FetchedChunk extends Fetched {
  ref: ChunkRef
}

/** Numbers the readers of this process, as the owners of leases. */
let readers = 0

/** One file that is being read. It keeps nothing open unless it is being iterated. */
class FileReader implements OpenFile {
  readonly path: string
  readonly size: number
  readonly range: Span
  readonly root: string | null
  readonly version: string
  readonly tag: string
  readonly modified: Date
  readonly type: string | undefined
  readonly mode: number | undefined
  readonly #fs: FsContext
  readonly #body: EntryBody
  readonly #root: BlockCid | undefined
  readonly #options: GetOptions
  readonly #content: ContentToRead
  readonly #author: PeerId
  readonly #replicas: number
  readonly #bytesByPeer = new Map<PeerId, number>()

  constructor(fs: FsContext, content: ContentToRead, body: EntryBody, options: GetOptions) {
    const { path, record, replicas } = content
    this.#fs = fs
    this.#content = content
    this.#body = body
    this.#root = cidOf(record)
    this.#options = options
    this.#author = peerIdOf(record.stamp.author)
    this.#replicas = decodeReplicas(replicas)
    this.path = formatPath(path)
    this.size = body.size
    this.range = spanOf(options.range, body.size)
    this.root = this.#root?.toString() ?? null
    this.version = toHex(record.id)
    this.tag = tagOfContent(record) as string
    this.modified = new Date(body.mtime)
    this.type = body.type
    this.mode = body.mode
  }

  get from(): Array<{ peerId: string; bytes: number }> {
    return [...this.#bytesByPeer].map(([peerId, bytes]) => ({ peerId, bytes }))
  }

  part(range: Range): OpenFile {
    return new FileReader(this.#fs, this.#content, this.#body, { ...this.#options, range })
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      yield* this.#read()
    } catch (cause) {
      if (!(cause instanceof FormatError) && !(cause instanceof SealError)) throw cause
      throw new DamagedEntryError('file content does not match its record', { cause })
    }
  }

  async *#read(): AsyncGenerator<Uint8Array> {
    if (this.#root === undefined) {
      yield this.#readInline(this.#body.content as Uint8Array)
      return
    }
    const { blocks, codec } = this.#fs
    const { signal } = this.#options
    const root: Link = { cid: this.#root, key: this.#body.key as Uint8Array, size: this.size }
    const readNode = async (cid: BlockCid): Promise<Uint8Array> =>
      (await blocks.read(cid, { signal, author: this.#author })).bytes
    const ahead = readAhead<ChunkRef, FetchedChunk>({
      window: GET_WINDOW_BLOCKS,
      memory: blocks.memory.gets,
      owner: `reader ${++readers}`,
      bytesOf: ({ size }) => sealedChunkLength(size),
      work: (ref, signal, onComing) => this.#fetch(ref, signal, onComing),
      discard: ({ release }) => release(),
      signal
    })
    yield* pipe(chunksInRange(root, this.range, { read: readNode, codec }), ahead, source => this.#open(source))
  }

  async #fetch(ref: ChunkRef, signal: AbortSignal, onComing: () => void): Promise<FetchedChunk> {
    const [author, replicas, bytesMax] = [this.#author, this.#replicas, sealedChunkLength(ref.size)]
    const options = { signal, author, replicas, bytesMax, onLength: onComing }
    return { ref, ...(await this.#fs.blocks.read(ref.cid, options)) }
  }

  #readInline(content: Uint8Array): Uint8Array {
    const { from, to } = this.range
    if (content.byteLength !== this.size) throw new FormatError('inline content is not of the stated size')
    this.#noteBytes(this.#fs.members.self.peerId, to - from)
    return content.subarray(from, to)
  }

  /** Decrypts and verifies chunks, and yields the part of each that was asked for. */
  async *#open(source: AsyncIterable<Ahead<FetchedChunk>>): AsyncGenerator<Uint8Array> {
    const { onStalled = () => {}, reusesPieces = false } = this.#options
    for await (const { result, lease } of source) {
      const { ref, bytes, from, release } = result
      // From here on the lease covers the text. Opening needs memory for the sealed bytes and the text, but only for a
      // moment in which nothing else runs.
      const text = openChunkOf(ref, bytes)
      release()
      this.#noteBytes(from, ref.to - ref.from)
      lease.lend(onStalled)
      yield text.subarray(ref.from, ref.to)
      lease.endLoan()
      if (reusesPieces) returnText(text)
    }
  }

  #noteBytes(peer: PeerId, bytes: number): void {
    this.#bytesByPeer.set(peer, (this.#bytesByPeer.get(peer) ?? 0) + bytes)
  }
}

function spanOf(range: Range | undefined, size: number): Span {
  if (range === undefined) return { from: 0, to: size }
  const { from, to = size - 1 } = range
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to) || from < 0 || to < from)
    throw new InvalidInputError('a range must go from a byte to the same or a later one')
  if (from >= size) throw new InvalidInputError(`a range must begin within the file, which has ${size} bytes`)
  return { from, to: Math.min(to, size - 1) + 1 }
}
