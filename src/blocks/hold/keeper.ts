import { LRUCache } from 'lru-cache'
import { NoSpaceError } from '../../disk/errors.ts'
import { type BlockCid, blockKey, isNode, verifyBlock } from '../../format/cid.ts'
import { CHUNK_BYTES } from '../../format/constants.ts'
import { rootOf } from '../../format/entry.ts'
import { FormatError } from '../../format/errors.ts'
import type { NodeCodec } from '../../format/manifest.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { AnyStatement } from '../../format/statement.ts'
import type { Verdict } from '../../log/log.ts'
import { toHex } from '../../util/bytes.ts'
import { isAbort } from '../../util/errors.ts'
import type { Limiter } from '../../util/limiter.ts'
import { ProtocolError, RefusedError } from '../../wire/errors.ts'
import { Bitmap } from '../bitmap.ts'
import { COUNTS_BYTES_MAX, ENDING_MAX, WALK_BATCH } from '../constants.ts'
import { BlockCorruptError, BlockUnreachableError } from '../errors.ts'
import type { Fetcher } from '../fetch/fetcher.ts'
import { type ManifestBlock, walkManifest } from '../manifest-walk.ts'
import type { KeepBlocks, KeepRoot, KeepState } from '../protocol/store-messages.ts'
import { type Claims, type PutId, putIdOf } from './claims.ts'
import type { LocalBlocks } from './local-blocks.ts'

export interface KeeperOptions {
  local: LocalBlocks
  claims: Claims
  fetcher: Fetcher
  pulls: Limiter
  codec: NodeCodec
  /** Whether a peer may have us store bytes. */
  mayStore: (peer: PeerId) => boolean
}

/** What a block is kept for, and where it comes from if it is not here. */
interface Reason {
  put: PutId
  claimMs: number
  inline: Uint8Array | null
  /** Null if it was only asked whether the block is here. */
  from: PeerId | null
  signal: AbortSignal
}

/** The member that is asked to keep: it pulls, verifies, makes durable, claims, and only then says `kept`. */
export class Keeper {
  readonly #options: KeeperOptions
  // What each put counts on us for, by put and root. A writer whose count was forgotten is told `lacking`.
  readonly #counts = new LRUCache<string, Bitmap>({
    maxSize: COUNTS_BYTES_MAX,
    sizeCalculation: chunks => chunks.bytes.byteLength + COUNT_BYTES
  })
  // Puts whose record has come: their claims end once the record's references are all made.
  readonly #ending = new LRUCache<string, Set<string>>({ max: ENDING_MAX })

  constructor(options: KeeperOptions) {
    this.#options = options
  }

  async keepBlocks(
    { put, blocks, claimMs, fetch }: KeepBlocks,
    peer: PeerId,
    signal: AbortSignal
  ): Promise<KeepState[]> {
    if (!this.#options.mayStore(peer)) return blocks.map(() => 'refused')
    for (const { cid, inline } of blocks) {
      if (inline !== null && !verifyBlock(cid, inline)) throw new ProtocolError('an inline block is not the one named')
    }
    const id = putIdOf(peer, put)
    const from = fetch ? peer : null
    return Promise.all(blocks.map(({ cid, inline }) => this.#keepOne(cid, { put: id, claimMs, inline, from, signal })))
  }

  /**
   * The chunks of the bitmap that are not durable here; what is has been claimed anew, and is counted on from now on.
   * Without `fetch` it is a question only, and changes nothing.
   */
  async keepRoot({ put, root, chunks, claimMs, fetch }: KeepRoot, peer: PeerId, signal: AbortSignal): Promise<Bitmap> {
    if (!this.#options.mayStore(peer)) throw new RefusedError('forbidden')
    const id = putIdOf(peer, put)
    const lacking = new Bitmap()
    const reason: Reason = { put: id, claimMs, inline: null, from: fetch ? peer : null, signal }
    const keep = (cid: BlockCid): Promise<KeepState> => this.#keepOne(cid, reason)
    const total = await this.forEach(root, chunks, keep, async batch => {
      await Promise.all(
        batch.map(async ({ cid, chunkIndex }) => {
          if ((await keep(cid)) !== 'kept') lacking.add(chunkIndex as number)
        })
      )
    })
    if (total === undefined) return chunks
    // What lies beyond the file's end is not remembered, or a peer could fill our memory with it.
    if (fetch) this.#counts.set(countKey(id, root), chunks.slice(0, total))
    return lacking
  }

  /** The last word on a record that was pushed with a put: `ok` while every block counted on us is here and claimed. */
  async holdsPut(statement: AnyStatement, put: Uint8Array, peer: PeerId): Promise<Verdict> {
    if (statement.kind !== 'entry' || statement.fields.root === null) return 'ok'
    const root = rootOf(statement.fields.root)
    if ('siv' in root) return 'ok'
    const id = putIdOf(peer, put)
    const count = this.#counts.get(countKey(id, root.cid)) ?? (isNode(root.cid) ? undefined : Bitmap.full(1))
    if (count === undefined || !(await this.#holds(root.cid, count, id))) return 'lacking'
    this.endWithRecord(root.cid, id)
    return 'ok'
  }

  /** Whether every block of a file is here, and claimed by the put or referred to. */
  holdsAll(root: BlockCid, put: PutId): Promise<boolean> {
    return this.#holds(root, EVERY_LEAF, put)
  }

  /** Lets a put's claims on a file end once a record's references have taken their place. */
  endWithRecord(root: BlockCid, put: PutId): void {
    const ending = this.#ending.get(blockKey(root)) ?? new Set<string>()
    this.#ending.set(blockKey(root), ending.add(toHex(put)))
  }

  /** Puts whose claims on a file's blocks have become references; each is given once. */
  takeEnded(root: BlockCid): PutId[] {
    const ended = this.#ending.get(blockKey(root))
    if (ended === undefined) return []
    this.#ending.delete(blockKey(root))
    return [...ended].map(put => Buffer.from(put, 'hex'))
  }

  /**
   * Walks a file's manifest and hands on the chunks that are counted, in order, a batch at a time. Gives the number of
   * the file's chunks, or undefined if a node is not here after `ensureNode` had its try.
   */
  async forEach(
    root: BlockCid,
    chunks: Pick<Bitmap, 'has'>,
    ensureNode: (cid: BlockCid) => Promise<unknown>,
    onBatch: (batch: ManifestBlock[]) => Promise<void>
  ): Promise<number | undefined> {
    const { local, codec } = this.#options
    const readNode = async (cid: BlockCid): Promise<Uint8Array> => {
      await ensureNode(cid)
      const bytes = await local.get(cid)
      if (bytes === undefined) throw new BlockUnreachableError(cid)
      return bytes
    }
    let total = 0
    let batch: ManifestBlock[] = []
    try {
      for await (const block of walkManifest(root, readNode, codec)) {
        if (block.chunkIndex === null) continue
        total = block.chunkIndex + 1
        if (!chunks.has(block.chunkIndex)) continue
        batch.push(block)
        if (batch.length < WALK_BATCH) continue
        await onBatch(batch)
        batch = []
      }
    } catch (error) {
      if (error instanceof FormatError) throw new RefusedError('invalid')
      if (error instanceof BlockUnreachableError || error instanceof BlockCorruptError) return undefined
      throw error
    }
    if (batch.length > 0) await onBatch(batch)
    return total
  }

  async #keepOne(cid: BlockCid, { put, claimMs, inline, from, signal }: Reason): Promise<KeepState> {
    const { local, claims, fetcher, pulls } = this.#options
    const claim = (): Promise<void> => claims.claimForPut(put, [cid.multihash.bytes], claimMs)
    try {
      // The store itself sees whether it has a block that it is given.
      if (inline !== null) {
        await local.keep(cid, inline, claim)
        return 'kept'
      }
      if (from === null) return (await local.has(cid)) ? 'kept' : 'lacking'
      if (await local.claimHeld(cid, claim)) return 'kept'
      const release = await pulls.acquire(CHUNK_BYTES, signal)
      try {
        const fetched = await fetcher.fetch(cid, { signal, prefer: [from], only: true })
        await local.keep(cid, fetched.bytes, claim)
        fetched.release()
      } finally {
        release()
      }
      return 'kept'
    } catch (error) {
      if (error instanceof NoSpaceError) return 'full'
      if (isOutOfReach(error) || isAbort(error)) return 'lacking'
      throw error
    }
  }

  async #holds(root: BlockCid, chunks: Pick<Bitmap, 'has'>, put: PutId): Promise<boolean> {
    let isSafe = true
    const total = await this.forEach(root, chunks, asItIs, async batch => {
      isSafe &&= await this.#areSafe(batch, put)
    })
    return total !== undefined && isSafe
  }

  async #areSafe(batch: ManifestBlock[], put: PutId): Promise<boolean> {
    const { local, claims } = this.#options
    const names = batch.map(({ cid }) => cid.multihash.bytes)
    const claimed = await claims.hasPut(put, names)
    const safe = await Promise.all(
      batch.map(
        async ({ cid }, i) =>
          (claimed[i] === true || (await claims.isReferenced(names[i] as Uint8Array))) && (await local.has(cid))
      )
    )
    return safe.every(Boolean)
  }
}

/** True of the errors by which a block cannot be had at the moment. */
export function isOutOfReach(error: unknown): boolean {
  return error instanceof BlockUnreachableError || error instanceof BlockCorruptError
}

/** About what one count takes beside its bitmap. */
const COUNT_BYTES = 256
const EVERY_LEAF = { has: () => true }
const asItIs = async (): Promise<void> => {}

function countKey(put: PutId, root: BlockCid): string {
  return `${toHex(put)} ${blockKey(root)}`
}
