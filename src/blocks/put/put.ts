import { NoSpaceError } from '../../disk/errors.ts'
import type { BlockCid } from '../../format/cid.ts'
import { blockKey, isNode } from '../../format/cid.ts'
import type { FileRoot, NodeCodec, SealedBlock } from '../../format/manifest.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { Budget, Lease } from '../../util/budget.ts'
import { toHex } from '../../util/bytes.ts'
import type { Clock } from '../../util/clock.ts'
import { raceSignal } from '../../util/deadline.ts'
import { forEachUntilFailure } from '../../util/for-each.ts'
import { INLINE_BLOCK_BYTES_MAX, PUT_CLAIM_MS, PUT_WINDOW_BLOCKS, REPEATS_MAX, STRAGGLERS_MS } from '../constants.ts'
import { boundOf } from '../fetch/source-asker.ts'
import type { Claims, PutId } from '../hold/claims.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'
import { listOf, nameOf, nameOfId } from '../log-names.ts'
import { walkManifest } from '../manifest-walk.ts'
import type { StoreClient } from '../protocol/store-client.ts'
import { type AckMembers, acksWanted } from './acks-wanted.ts'
import type { ReplicaCounts } from './counts.ts'
import { confirmCounted, type KeptFile } from './kept-file.ts'
import { type LogValue, type PutLogs, whenSlow } from './logs.ts'
import { type Placing, ReplicaPlacer } from './placer.ts'
import { Renewal } from './renewal.ts'
import type { PutWindow } from './window.ts'

export interface PutOptions {
  /** The number of copies wanted; `Infinity` for every member. */
  replicas: number
  /**
   * The number of copies, including this member's own, that must be durable before the put succeeds. By default, two if
   * possible.
   */
  ack?: number | undefined
  signal?: AbortSignal | undefined
}

export interface PutDeps extends AckMembers {
  clock: Clock
  logs: PutLogs
  codec: NodeCodec
  local: LocalBlocks
  claims: Claims
  storeClient: StoreClient
  window: PutWindow
  /** The memory of all puts. */
  memory: Budget
  /** Lets this put's own claims on a file end once the references of a record have replaced them. */
  endWithRecord: (root: BlockCid, putId: PutId) => void
}

/** How a put ended. */
export interface PutEnd {
  /** True if this disk had no room for a block of the put. */
  hasNoRoom: boolean
}

export interface PutInit {
  options: PutOptions
  /** The number that identifies the put to the keepers. */
  putNumber: Uint8Array
  /** The id under which the put claims blocks on this disk. */
  putId: PutId
  onClose: (end: PutEnd) => void
}

/**
 * Keeps each block of one file on this disk, and on the members that will owe the block. Every block is claimed under
 * the put's id on each of those disks, and long puts renew their claims. Nothing is visible until a record links the
 * root; if the file is never linked, the claims expire. Once the root is kept, the put hands over its counts, and the
 * push of the record decides whether there are enough copies. The caller must close the put, even if it fails.
 */
export class Put {
  readonly #deps: PutDeps
  readonly #init: PutInit
  readonly #placer: ReplicaPlacer
  readonly #renewal: Renewal
  /** The most recent blocks. If the same block comes again while it is in this map, it is not stored again. */
  readonly #recent = new Map<string, { placing: Placing; placed: Promise<void> }>()
  #isClosed = false
  /** True once this disk had no room for a block. */
  #hasNoRoom = false

  constructor(deps: PutDeps, init: PutInit) {
    this.#deps = deps
    this.#init = init
    const { self, clock, logs, storeClient, ranking, admitted, isAvoided } = deps
    const { putNumber, options } = init
    const { ack, replicas } = options
    const members = { self, ranking, admitted, isAvoided: (peer: PeerId) => this.#placer.isAvoided(peer) }
    this.#placer = new ReplicaPlacer({
      self,
      clock,
      log: logs.placer,
      storeClient,
      ranking,
      admitted,
      isAvoided,
      putNumber,
      replicas,
      needed: () => acksWanted(members, { ack, replicas, isRecordOnly: false }) - 1
    })
    this.#renewal = new Renewal({ clock, log: logs.put, storeClient, putNumber, counts: () => this.#placer.counts })
    if (logs.put.enabled) {
      const copies = Number.isFinite(replicas) ? String(replicas) : 'all'
      this.#log(
        'opened: %s copies wanted, waits for %d',
        copies,
        acksWanted(members, { ack, replicas, isRecordOnly: false })
      )
    }
  }

  /** Waits until this put may have so many more bytes in memory. */
  readonly lease = (bytes: number): Promise<Lease> =>
    this.#deps.memory.acquire(bytes, { owner: toHex(this.#init.putId), signal: this.#init.options.signal })

  /**
   * Keeps sealed blocks as they arrive. It takes more blocks only once earlier ones are on this disk and on as many
   * members as `ack` asks for, so that at most a window of blocks is in memory. Returns the root, or null for a stream
   * without blocks. Throws the error of the source, the error of the disk if a block cannot be stored here (such as a
   * `NoSpaceError`), or the signal's reason. A member that fails does not cause an error.
   */
  readonly keep = async (blocks: AsyncIterable<SealedBlock>): Promise<FileRoot | null> => {
    let root: FileRoot | null = null
    try {
      await this.#forEach(blocks, block => {
        if (block.root !== undefined) root = block.root
        return this.#place(block, { isOurs: true })
      })
    } catch (error) {
      this.#hasNoRoom = error instanceof NoSpaceError
      throw error
    }
    return root
  }

  /**
   * Keeps a file that is already stored, in order to copy it. It claims the blocks that are here, fetches the others
   * with `read`, and asks the owners to keep all of them; the owners do not pull blocks that they have. Throws what
   * `read` and `keep` throw, and a `FormatError` if the manifest breaks the format.
   */
  async keepStored(root: BlockCid, read: (cid: BlockCid) => Promise<Uint8Array>): Promise<void> {
    const { local, codec } = this.#deps
    await this.#forEach(walkManifest(root, read, codec), async ({ cid, chunkIndex }) => {
      // A file of one chunk may be small, and a small block travels with the request, so its bytes must be read.
      const isHeld = isNode(root) && (await local.claimIfHere(cid, () => this.#claim(cid)))
      if (!isHeld) return this.#readAndPlace({ cid, chunkIndex }, read)
      const placing = this.#placer.ask({ cid, chunkIndex, sizeBytes: undefined, inline: null })
      return raceSignal(placing.enough, this.#init.options.signal)
    })
  }

  async #readAndPlace(
    { cid, chunkIndex }: Pick<SealedBlock, 'cid' | 'chunkIndex'>,
    read: (cid: BlockCid) => Promise<Uint8Array>
  ): Promise<void> {
    const lease = await this.lease(boundOf(cid))
    try {
      const bytes = await read(cid)
      lease.shrink(bytes.byteLength)
      // Other callers may be reading the same buffer.
      await this.#place({ cid, bytes, chunkIndex, lease }, { isOurs: false })
    } finally {
      lease.release()
    }
  }

  /**
   * Asks each member to confirm the chunks that it is counted on for, and hands over the resulting counts. Call it only
   * once. From then on the put renews no claims, because the claims that members hold by then last much longer than the
   * push of the record takes.
   */
  async keepRoot(root: BlockCid): Promise<KeptFile> {
    const { clock, endWithRecord } = this.#deps
    const { putNumber, putId, options } = this.#init
    const { signal } = options
    if (this.#placer.isBusy) await Promise.race([this.#placer.stragglers(), clock.sleep(STRAGGLERS_MS, signal)])
    this.#renewal.end()
    const counts = this.#placer.finish()
    this.#logKept(root, counts)
    // Once a record refers to these blocks, the record keeps them, and the put's claims may end.
    endWithRecord(root, putId)
    const kept: KeptFile = { root, putNumber, putId, counts, isAvoided: peer => this.#placer.isAvoided(peer) }
    // A file of one chunk is its own root, so a member that kept the chunk has already confirmed it.
    if (isNode(root)) await this.#confirmAll(kept)
    return kept
  }

  /**
   * Ends the put. Claims on blocks that no record refers to expire by themselves, so that a put that was cut off can be
   * repeated and finds its blocks here. If this disk had no room for the put, its claims here end soon, since its blocks
   * would keep the disk full for an hour.
   */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#renewal.end()
    this.#init.onClose({ hasNoRoom: this.#hasNoRoom })
  }

  async #confirmAll(kept: KeptFile): Promise<void> {
    const { storeClient, logs, clock } = this.#deps
    const waiting = new Set(kept.counts.peers)
    const confirm = async (peer: PeerId): Promise<void> => {
      await confirmCounted(peer, kept, { storeClient, log: logs.put })
      waiting.delete(peer)
    }
    const end = whenSlow(clock, logs.put, () => this.#log('still waits for %s to confirm the root', listOf(waiting)))
    try {
      await raceSignal(Promise.all([...waiting].map(confirm)), this.#init.options.signal)
    } finally {
      end()
    }
  }

  #logKept(root: BlockCid, counts: ReplicaCounts): void {
    if (!this.#deps.logs.put.enabled) return
    const keepers = counts.peers.map(peer => `${peer}: ${counts.chunksOf(peer)?.size}`)
    this.#log('root %s, chunks: %d; kept by %s', nameOf(root), counts.chunkCount, listOf(keepers))
  }

  async #forEach<Block>(blocks: AsyncIterable<Block>, place: (block: Block) => Promise<void>): Promise<void> {
    await forEachUntilFailure(blocks, { atOnce: PUT_WINDOW_BLOCKS, signal: this.#init.options.signal }, place)
  }

  /**
   * Keeps a block on this disk and on its owners. A block that was placed a moment ago is not placed again; only the
   * new chunk index is noted. `isOurs` says that nobody else holds the buffer.
   */
  async #place(block: SealedBlock, { isOurs }: { isOurs: boolean }): Promise<void> {
    const { cid, bytes, chunkIndex } = block
    const { local, window } = this.#deps
    const { signal } = this.#init.options
    const passed = block.lease?.take()
    if (chunkIndex === null) this.#renewal.addNode(cid)
    else this.#renewal.addChunk(cid, chunkIndex)
    const known = this.#recent.get(blockKey(cid))
    if (known !== undefined) {
      if (chunkIndex !== null) known.placing.addChunk(chunkIndex)
      passed?.release()
      return known.placed
    }
    const lease = passed ?? (await this.lease(bytes.byteLength))
    const release = window.add(cid, bytes)
    const sizeBytes = bytes.byteLength
    const inline = sizeBytes < INLINE_BLOCK_BYTES_MAX ? bytes : null
    const placing = this.#placer.ask({ cid, chunkIndex, sizeBytes, inline })
    const kept = local.keep(cid, bytes, () => this.#claim(cid))
    const letGo = async (): Promise<void> => {
      const isKept = await isFulfilled(kept)
      if (release(placing.keptBy) && isKept && isOurs) local.returnBuffer(bytes)
      lease.release()
    }
    const placed = Promise.all([kept, raceSignal(placing.enough, signal)])
      .then(() => {})
      // Nobody awaits `letGo`. The block leaves the window only once it is written, because until then members can pull
      // it only from there.
      .finally(() => void letGo())
    this.#remember(cid, { placing, placed })
    return placed
  }

  #remember(cid: BlockCid, recent: { placing: Placing; placed: Promise<void> }): void {
    const [oldest] = this.#recent.keys()
    if (oldest !== undefined && this.#recent.size >= REPEATS_MAX) this.#recent.delete(oldest)
    this.#recent.set(blockKey(cid), recent)
  }

  #claim(cid: BlockCid): Promise<void> {
    return this.#deps.claims.claimForPut(this.#init.putId, [cid.multihash.bytes], PUT_CLAIM_MS)
  }

  #log(text: string, ...args: LogValue[]): void {
    const log = this.#deps.logs.put
    if (log.enabled) log(`put %s: ${text}`, nameOfId(this.#init.putNumber), ...args)
  }
}

/** Resolves once a promise has settled, with true if it was fulfilled. Its failure is reported elsewhere. */
async function isFulfilled(promise: Promise<unknown>): Promise<boolean> {
  return promise.then(
    () => true,
    () => false
  )
}
