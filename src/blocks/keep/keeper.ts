import { LRUCache } from 'lru-cache'
import { NoSpaceError } from '../../disk/errors.ts'
import { type BlockCid, blockKey, isNode, verifyBlock } from '../../format/cid.ts'
import { rootOf } from '../../format/entry.ts'
import type { NodeCodec } from '../../format/manifest.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { AnyStatement } from '../../format/statement.ts'
import type { Verdict } from '../../log/projection.ts'
import { fromHex, toHex } from '../../util/bytes.ts'
import { isAbort } from '../../util/errors.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../../util/logger.ts'
import { ProtocolError, RefusedError } from '../../wire/errors.ts'
import { Bitmap } from '../bitmap.ts'
import { COUNTS_BYTES_MAX, LINKED_PUTS_MAX } from '../constants.ts'
import { isOutOfReach } from '../errors.ts'
import type { BlockPuller } from '../fetch/puller.ts'
import { type Claims, type PutId, putIdOf } from '../hold/claims.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'
import { nameOf, nameOfId } from '../log-names.ts'
import type { ManifestChunk } from '../manifest-walk.ts'
import type { KeepBlocks, KeepRoot, KeepState } from '../protocol/store-messages.ts'
import { walkCounted } from './walk-counted.ts'

export interface KeeperOptions {
  logger: ComponentLogger
  local: LocalBlocks
  claims: Claims
  puller: BlockPuller
  codec: NodeCodec
  /** Returns true if a peer may ask us to store bytes. */
  mayStore: (peer: PeerId) => boolean
}

/** Which put a block is kept for, and where to get the block if it is not here. */
interface Reason {
  put: PutId
  claimMs: number
  inline: Uint8Array | null
  /** The peer to pull from; null if the peer only asks whether the block is here. */
  from: PeerId | null
  signal: AbortSignal
}

/**
 * Keeps blocks for the puts of other members. It pulls a block, verifies it, and makes the block and its claim durable;
 * only then does it answer `kept`. It remembers which chunks each put counts on this member for, and confirms a put's
 * record only while it has all of them.
 */
export class Keeper {
  readonly #options: KeeperOptions
  readonly #log: Logger
  // The chunks that each put counts on us for, by put and root. If such an entry was forgotten, its writer is answered
  // `lacking`.
  readonly #counts = new LRUCache<string, Bitmap>({
    maxSize: COUNTS_BYTES_MAX,
    sizeCalculation: chunks => chunks.bytes.byteLength + COUNT_BYTES
  })
  // By root, the puts whose record has arrived. Their claims end once all references of the record are written.
  readonly #linkedPuts = new LRUCache<string, Set<string>>({ max: LINKED_PUTS_MAX })

  constructor(options: KeeperOptions) {
    this.#options = options
    this.#log = options.logger.forComponent('dfs:blocks:keep')
  }

  /** Keeps some blocks for a put. Returns the state of each block, in the same order. */
  async keepBlocks(
    { put, blocks, claimMs, fetch }: KeepBlocks,
    peer: PeerId,
    signal: AbortSignal
  ): Promise<KeepState[]> {
    const isQuestion = !fetch && blocks.every(({ inline }) => inline === null)
    if (!isQuestion && !this.#options.mayStore(peer)) return blocks.map(() => 'refused')
    for (const { cid, inline } of blocks) {
      if (inline !== null && !verifyBlock(cid, inline)) throw new ProtocolError('an inline block is not the one named')
    }
    const id = putIdOf(peer, put)
    const from = fetch ? peer : null
    return Promise.all(blocks.map(({ cid, inline }) => this.#keepOne(cid, { put: id, claimMs, inline, from, signal })))
  }

  /**
   * Returns the chunks of the bitmap that are not durable here. With `fetch`, it first pulls the missing chunks, claims
   * all chunks that are here, and remembers that the put counts on them. Without `fetch`, it only answers the question
   * and changes nothing.
   */
  async keepRoot({ put, root, chunks, claimMs, fetch }: KeepRoot, peer: PeerId, signal: AbortSignal): Promise<Bitmap> {
    const { local, codec, mayStore } = this.#options
    if (!mayStore(peer)) throw new RefusedError('forbidden')
    const id = putIdOf(peer, put)
    const lacking = new Bitmap()
    const reason: Reason = { put: id, claimMs, inline: null, from: fetch ? peer : null, signal }
    const keep = (cid: BlockCid): Promise<KeepState> => this.#keepOne(cid, reason)
    const onBatch = async (batch: ManifestChunk[]): Promise<void> => {
      const states = await Promise.all(batch.map(({ cid }) => keep(cid)))
      for (const [i, { chunkIndex }] of batch.entries()) if (states[i] !== 'kept') lacking.add(chunkIndex)
    }
    const chunkCount = await walkCounted({ local, codec, root, chunks, ensureNode: keep, onBatch })
    if (chunkCount === undefined) {
      this.#log('put %s of %s: a manifest node of root %s cannot be had', nameOfId(put), peer, nameOf(root))
      return chunks
    }
    // Drop the bits beyond the end of the file; otherwise a peer could fill our memory with them.
    if (fetch) this.#counts.set(countKey(id, root), chunks.slice(0, chunkCount))
    if (this.#log.enabled) {
      const text = `put %s of %s, root %s: chunks ${fetch ? 'counted on us' : 'asked about'}: %d, here: %d`
      this.#log(text, nameOfId(put), peer, nameOf(root), chunks.size, chunks.size - lacking.and(chunks).size)
    }
    return lacking
  }

  /**
   * Returns the verdict on a record that was pushed with a put. It is `ok` if every block that the put
   * counts on this member for is here and claimed.
   */
  async confirmPut(statement: AnyStatement, put: Uint8Array, peer: PeerId): Promise<Verdict> {
    if (statement.kind !== 'entry' || statement.fields.root === null) return 'ok'
    const root = rootOf(statement.fields.root)
    if ('siv' in root) return 'ok'
    const id = putIdOf(peer, put)
    const count = this.#counts.get(countKey(id, root.cid)) ?? (isNode(root.cid) ? undefined : Bitmap.full(1))
    if (count === undefined || !(await this.#holds(root.cid, count, { put: id, evenExpired: false }))) {
      const reason = count === undefined ? 'it is not known which chunks count on us' : 'a block is not here'
      this.#log(
        'put %s of %s: cannot confirm its record with root %s: %s',
        nameOfId(put),
        peer,
        nameOf(root.cid),
        reason
      )
      return 'lacking'
    }
    this.endWithRecord(root.cid, id)
    const record = nameOfId(statement.id)
    this.#log('put %s of %s: confirms its record %s with root %s', nameOfId(put), peer, record, nameOf(root.cid))
    return 'ok'
  }

  /** Returns true if every block of a file is here, and is claimed by our own put, which is under way, or by a record. */
  hasAll(root: BlockCid, put: PutId): Promise<boolean> {
    return this.#holds(root, EVERY_CHUNK, { put, evenExpired: true })
  }

  /** Lets a put's claims on a file end once the references of a record have replaced them. */
  endWithRecord(root: BlockCid, put: PutId): void {
    const puts = this.#linkedPuts.get(blockKey(root)) ?? new Set<string>()
    this.#linkedPuts.set(blockKey(root), puts.add(toHex(put)))
  }

  /** Returns the puts that brought a file here and whose record has arrived. Each put is returned only once. */
  takeLinkedPuts(root: BlockCid): PutId[] {
    const puts = this.#linkedPuts.get(blockKey(root))
    if (puts === undefined) return []
    this.#linkedPuts.delete(blockKey(root))
    return [...puts].map(fromHex)
  }

  async #keepOne(cid: BlockCid, { put, claimMs, inline, from, signal }: Reason): Promise<KeepState> {
    const { local, claims, puller } = this.#options
    const claim = (): Promise<void> => claims.claimForPut(put, [cid.multihash.bytes], claimMs)
    try {
      // The store itself checks whether it already has the block.
      if (inline !== null) await local.keep(cid, inline, claim)
      else if (from === null) return (await local.isKept(cid)) ? 'kept' : 'lacking'
      else if (!(await local.claimIfHere(cid, claim)))
        await puller.pull(cid, { claim, signal, prefer: [from], only: true })
      this.#log.trace('kept block %s', nameOf(cid))
      return 'kept'
    } catch (error) {
      if (!(error instanceof NoSpaceError || isOutOfReach(error) || isAbort(error))) throw error
      this.#log.trace('could not keep block %s: %s', nameOf(cid), reasonOf(error))
      return error instanceof NoSpaceError ? 'full' : 'lacking'
    }
  }

  async #holds(root: BlockCid, chunks: Pick<Bitmap, 'has'>, by: PutClaim): Promise<boolean> {
    const { local, codec } = this.#options
    let isSafe = true
    const onBatch = async (batch: ManifestChunk[]): Promise<void> => {
      isSafe &&= await this.#areSafe(batch, by)
    }
    return (await walkCounted({ local, codec, root, chunks, onBatch })) !== undefined && isSafe
  }

  async #areSafe(batch: ManifestChunk[], { put, evenExpired }: PutClaim): Promise<boolean> {
    const { local, claims } = this.#options
    const multihashes = batch.map(({ cid }) => cid.multihash.bytes)
    const isInPut = await claims.hasPut(put, multihashes, { evenExpired })
    const isSafe = await Promise.all(
      batch.map(
        async ({ cid }, i) =>
          (isInPut[i] === true || (await claims.isReferenced(cid.multihash.bytes))) && (await local.has(cid))
      )
    )
    return isSafe.every(Boolean)
  }
}

/** The put whose claims count, and whether they count after their time. */
interface PutClaim {
  put: PutId
  evenExpired: boolean
}

/** A rough number of bytes that one entry takes in addition to its bitmap. */
const COUNT_BYTES = 256
const EVERY_CHUNK = { has: () => true }

function countKey(put: PutId, root: BlockCid): string {
  return `${toHex(put)} ${blockKey(root)}`
}
