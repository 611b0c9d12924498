import { NoSpaceError } from '../../disk/errors.ts'
import { type BlockCid, blockKey, isNode, verifyBlock } from '../../format/cid.ts'
import { rootOf } from '../../format/entry.ts'
import type { NodeCodec } from '../../format/manifest.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { AnyStatement } from '../../format/statement.ts'
import type { Verdict } from '../../log/projection.ts'
import { fromHex, toHex } from '../../util/bytes.ts'
import type { Clock } from '../../util/clock.ts'
import { isAbort } from '../../util/errors.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../../util/logger.ts'
import { growingCache } from '../../util/lru.ts'
import { ProtocolError, RefusedError } from '../../wire/errors.ts'
import { Bitmap } from '../bitmap.ts'
import { CONFIRMED_MS, GIVEN_UP_MAX, LINKED_PUTS_MAX } from '../constants.ts'
import { isOutOfReach } from '../errors.ts'
import { type BlockPuller, sourcesOf } from '../fetch/puller.ts'
import { type Claims, type PutId, putIdOf } from '../hold/claims.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'
import { type MakeRoom, withRoom } from '../hold/with-room.ts'
import { nameOf, nameOfId } from '../log-names.ts'
import { isChunk, type ManifestChunk, walkBatches } from '../manifest-walk.ts'
import type { KeepBlocks, KeepRoot, KeepState, PageAnswer } from '../protocol/store-messages.ts'
import { addFiles, type ReceiveRecords } from './add-files.ts'
import { CountedFiles, type CountedPage } from './counted-files.ts'
import { pageEnd, walkPage } from './walk-page.ts'

export interface KeeperOptions {
  clock: Clock
  logger: ComponentLogger
  local: LocalBlocks
  claims: Claims
  puller: BlockPuller
  codec: NodeCodec
  makeRoom: MakeRoom
  /** Returns true if a peer may ask us to store bytes. */
  mayStore: (peer: PeerId) => boolean
  receive: ReceiveRecords
}

/** The put for which a block is kept, and where to get the block if it is not here. */
interface Reason {
  put: PutId
  claimMs: number
  inline: Uint8Array | null
  /** Who asks. */
  peer: PeerId
  /** The members to pull from, in this order; null if the peer only asks whether the block is here. */
  sources: readonly PeerId[] | null
  /** The length of the block, as the peer says. */
  sizeBytes?: number | undefined
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
  readonly #counted = new CountedFiles()
  // By root, the puts whose record has arrived. Their claims end once all references of the record are written.
  readonly #linkedPuts = growingCache<string, Set<string>>(LINKED_PUTS_MAX)
  readonly #givenUp = growingCache<string, true>(GIVEN_UP_MAX)

  constructor(options: KeeperOptions) {
    this.#options = options
    this.#log = options.logger.forComponent('dfs:blocks:keep')
  }

  /** Keeps some blocks for a put. Returns the state of each block, in the same order. */
  async keepBlocks(
    { put, blocks, claimMs, fetch, from, body }: KeepBlocks,
    peer: PeerId,
    signal: AbortSignal
  ): Promise<KeepState[]> {
    const isQuestion = !fetch && blocks.every(({ inline }) => inline === null)
    if (!isQuestion && !this.#options.mayStore(peer)) return blocks.map(() => 'refused')
    for (const { cid, inline } of blocks) {
      if (inline !== null && !verifyBlock(cid, inline)) throw new ProtocolError('an inline block is not the one named')
    }
    const reason = { put: putIdOf(peer, put), claimMs, peer, sources: fetch ? sourcesOf(peer, from) : null, signal }
    const keep = (block: KeepBlocks['blocks'][number]): Promise<KeepState> =>
      this.#keepOne(block.cid, { ...reason, ...block })
    const states = await addFiles(blocks, peer, { ...this.#options, log: this.#log, keep })
    // After an error, something may still be written from it.
    if (body !== undefined) this.#options.local.returnBuffer(body)
    return states
  }

  /**
   * Returns the chunks of a page that are not durable here. With `fetch`, it first pulls the missing chunks, claims all
   * chunks that are here, and remembers that the put counts on them. Without `fetch`, it only answers the question and
   * changes nothing. It answers for a part of the page if the whole page takes too long.
   */
  async keepRoot(request: KeepRoot, peer: PeerId, signal: AbortSignal): Promise<PageAnswer> {
    const { put, root, first, chunks, claimMs, fetch, from } = request
    const { clock, local, claims, codec, mayStore } = this.#options
    if (!mayStore(peer)) throw new RefusedError('forbidden')
    const id = putIdOf(peer, put)
    const lacking = new Bitmap()
    const counted = new Bitmap()
    const sources = fetch ? sourcesOf(peer, from) : null
    const keep = (cid: BlockCid): Promise<KeepState> =>
      this.#keepOne(cid, { put: id, claimMs, inline: null, peer, sources, signal })
    const onBatch = async (batch: ManifestChunk[]): Promise<void> => {
      const multihashes = batch.map(({ cid }) => cid.multihash.bytes)
      // A block that the put claims for long enough is not freed meanwhile, so it need only be here.
      const isClaimed = await claims.hasPut(id, multihashes, { forMs: claimMs })
      const states = await Promise.all(
        batch.map(async ({ cid }, i) => (isClaimed[i] === true && (await local.has(cid)) ? 'kept' : keep(cid)))
      )
      for (const [i, { chunkIndex }] of batch.entries()) {
        counted.add(chunkIndex - first)
        if (states[i] !== 'kept') lacking.add(chunkIndex - first)
      }
    }
    const sinceAtMs = clock.now()
    const badBefore = local.bad.found
    const covered = await walkPage({ clock, local, codec, root, first, chunks, ensureNode: keep, onBatch })
    if (covered === undefined) {
      this.#log('put %s of %s: a manifest node of root %s cannot be obtained', nameOfId(put), peer, nameOf(root))
      return { lacking: chunks, covered: pageEnd(first) - first }
    }
    const isSafe = lacking.size === 0 && local.bad.found === badBefore
    const safeUntilAtMs = isSafe ? sinceAtMs + Math.min(claimMs, CONFIRMED_MS) : Number.NEGATIVE_INFINITY
    // Only chunks that the file has are counted; otherwise a peer could fill our memory with others.
    if (fetch) this.#counted.note(id, root, { first, covered, counted, safeUntilAtMs, badFound: badBefore })
    if (this.#log.enabled) {
      const text = `put %s of %s, root %s: chunks ${fetch ? 'counted on us' : 'asked about'}: %d, here: %d`
      this.#log(text, nameOfId(put), peer, nameOf(root), counted.size, counted.size - lacking.size)
    }
    return { lacking, covered }
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
    const reason = await this.#whyNotConfirmed(root.cid, id)
    if (reason !== undefined) {
      const text = 'put %s of %s: cannot confirm its record with root %s: %s'
      this.#log(text, nameOfId(put), peer, nameOf(root.cid), reason)
      return 'lacking'
    }
    this.endWithRecord(root.cid, id)
    const record = nameOfId(statement.id)
    this.#log('put %s of %s: confirms its record %s with root %s', nameOfId(put), peer, record, nameOf(root.cid))
    return 'ok'
  }

  /** Returns why the record of a put cannot be confirmed; undefined if it can. */
  async #whyNotConfirmed(root: BlockCid, put: PutId): Promise<string | undefined> {
    const pages = this.#counted.get(put, root) ?? (isNode(root) ? undefined : [ONLY_CHUNK])
    if (pages === undefined) return 'it is not known which chunks count on us'
    // A large file is not checked again as a whole, because its writer would hear nothing from us for too long.
    const toCheck = pages.length === 1 ? pages : pages.filter(page => !this.#isFresh(page))
    if (toCheck.length > 1) return 'too much of it was confirmed too long ago'
    if (!(await this.#options.local.has(root))) return 'its root is not here'
    for (const page of toCheck)
      if (!(await this.#holdsPage(root, page, { put, evenExpired: false }))) return 'a block is not here'
    return undefined
  }

  #isFresh({ safeUntilAtMs, badFound }: CountedPage): boolean {
    const { clock, local } = this.#options
    return safeUntilAtMs > clock.now() && local.bad.found === badFound
  }

  /** Returns true if every block of a file is here, and is claimed by our own put, which is under way, or by a record. */
  async hasAll(root: BlockCid, put: PutId): Promise<boolean> {
    const { local, codec } = this.#options
    // It is durable, and is not freed while it is protected, so the index need not be asked again.
    if (local.fresh.isStored(root)) return !local.isBad(root)
    const readNode = (cid: BlockCid): Promise<Uint8Array> => local.getOrThrow(cid)
    try {
      for await (const batch of walkBatches({ root, readNode, codec, select: isChunk }))
        if (!(await this.#areSafe(batch, { put, evenExpired: true }))) return false
      return true
    } catch (error) {
      if (isOutOfReach(error)) return false
      throw error
    }
  }

  /** Notes that a put of a peer has ended without a record. Its blocks stay as long as there is room. */
  giveUp(put: Uint8Array, peer: PeerId): void {
    this.#givenUp.set(toHex(putIdOf(peer, put)), true)
    this.#log('put %s of %s has ended without a record', nameOfId(put), peer)
  }

  isGivenUp(put: PutId): boolean {
    return this.#givenUp.has(toHex(put))
  }

  /** Lets a put's claims on a file end once the references of a record have replaced them. */
  endWithRecord(root: BlockCid, put: PutId): void {
    const puts = this.#linkedPuts.get(blockKey(root)) ?? new Set<string>()
    this.#linkedPuts.set(blockKey(root), puts.add(toHex(put)))
  }

  /** Returns the puts that brought a file here and whose record has arrived. */
  linkedPuts(root: BlockCid): PutId[] {
    return [...(this.#linkedPuts.get(blockKey(root)) ?? [])].map(fromHex)
  }

  /** Does the same, and forgets them: each put is returned only once. */
  takeLinkedPuts(root: BlockCid): PutId[] {
    const puts = this.linkedPuts(root)
    this.#linkedPuts.delete(blockKey(root))
    return puts
  }

  async #keepOne(cid: BlockCid, reason: Reason): Promise<KeepState> {
    const { local, makeRoom } = this.#options
    try {
      if (reason.inline === null && reason.sources === null) return (await local.isKept(cid)) ? 'kept' : 'lacking'
      await withRoom(makeRoom, () => this.#take(cid, reason))
      this.#log.trace('kept block %s', nameOf(cid))
      return 'kept'
    } catch (error) {
      if (!(error instanceof NoSpaceError || isOutOfReach(error) || isAbort(error))) throw error
      this.#log.trace('could not keep block %s: %s', nameOf(cid), reasonOf(error))
      return error instanceof NoSpaceError ? 'full' : 'lacking'
    }
  }

  async #take(cid: BlockCid, { put, claimMs, inline, peer, sources, sizeBytes, signal }: Reason): Promise<void> {
    const { local, puller } = this.#options
    const claim = { put, claimMs }
    // The store itself checks whether it already has the block.
    if (inline !== null) await local.keep(cid, inline, claim)
    else if (!(await local.claimIfHere(cid, claim)))
      await puller.pull(cid, { claim, signal, prefer: sources ?? [], only: true, askedBy: peer, sizeBytes })
  }

  async #holdsPage(
    root: BlockCid,
    { first, chunks }: Pick<CountedPage, 'first' | 'chunks'>,
    by: ClaimedBy
  ): Promise<boolean> {
    const { clock, local, codec } = this.#options
    let isSafe = true
    const onBatch = async (batch: ManifestChunk[]): Promise<void> => {
      isSafe &&= await this.#areSafe(batch, by)
    }
    const msMax = Number.POSITIVE_INFINITY
    return (await walkPage({ clock, local, codec, root, first, chunks, onBatch, msMax })) !== undefined && isSafe
  }

  async #areSafe(batch: ManifestChunk[], { put, evenExpired }: ClaimedBy): Promise<boolean> {
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

/** The put whose claims count, and whether they count after they have expired. */
interface ClaimedBy {
  put: PutId
  evenExpired: boolean
}

/** The page of a file whose only chunk is its root. */
const ONLY_CHUNK: CountedPage = { first: 0, chunks: Bitmap.full(1), safeUntilAtMs: 0, badFound: 0 }
