import type { BlockCid } from '../../format/cid.ts'
import { blockKey, isNode } from '../../format/cid.ts'
import { CHUNK_BYTES } from '../../format/constants.ts'
import type { FileRoot, NodeCodec, SealedBlock } from '../../format/manifest.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { Clock } from '../../util/clock.ts'
import { raceSignal } from '../../util/deadline.ts'
import { forEachAtOnce } from '../../util/for-each.ts'
import { INLINE_BLOCK_BYTES_MAX, PUT_CLAIM_MS, PUT_WINDOW_BLOCKS, REPEATS_MAX, STRAGGLERS_MS } from '../constants.ts'
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
  /** Copies wanted; `Infinity` for every member. */
  replicas: number
  /** Copies, this member's among them, that must be durable before the put says yes. By default two where possible. */
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
  /** Lets this put's own claims on a file end once a record's references have taken their place. */
  endWithRecord: (root: BlockCid, putId: PutId) => void
}

export interface PutInit {
  options: PutOptions
  /** Names the put to the keepers. */
  putNumber: Uint8Array
  /** The put claims blocks on this disk under it. */
  putId: PutId
  onClose: () => void
}

/**
 * Keeps the blocks of one file: each on this disk, and on the members that will owe it. Every block is claimed under the
 * put's id on each of those disks, and long puts renew their claims. Nothing is visible until a record links the root;
 * the claims of a file that is never linked run out. Once the root is kept, the put hands over its counts, and the record's
 * push decides whether there are enough copies. The caller must close the put, even if it fails.
 */
export class Put {
  readonly #deps: PutDeps
  readonly #init: PutInit
  readonly #placer: ReplicaPlacer
  readonly #renewal: Renewal
  /** The last blocks that came. A block that is repeated soon is kept once. */
  readonly #recent = new Map<string, { placing: Placing; placed: Promise<void> }>()
  #isClosed = false

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

  /**
   * Keeps sealed blocks as they come. It takes the next few once the ones before are on this disk and on as many members
   * as `ack` asks for, so that at most a window of blocks is in memory. Returns the root, or null for a stream without
   * blocks. Throws the error of the source; the disk's if a block cannot be stored here, such as a `NoSpaceError`; and the
   * signal's reason. A member that fails is no error.
   */
  readonly keep = async (blocks: AsyncIterable<SealedBlock>): Promise<FileRoot | null> => {
    let root: FileRoot | null = null
    await this.#forEach(blocks, block => {
      if (block.root !== undefined) root = block.root
      return this.#place(block, { isOurs: true })
    })
    return root
  }

  /**
   * Keeps a file that is stored already, as a copy of a file needs it. Claims its blocks that are here, fetches the others
   * by `read`, and counts them on their owners, which do not pull what they have. Throws what `read` and `keep` throw, and
   * a `FormatError` if the manifest breaks the format.
   */
  async keepStored(root: BlockCid, read: (cid: BlockCid) => Promise<Uint8Array>): Promise<void> {
    const { local, codec } = this.#deps
    await this.#forEach(walkManifest(root, read, codec), async ({ cid, chunkIndex }) => {
      // A file of one chunk may be small, and a small block travels with the request.
      const isHeld = isNode(root) && (await local.claimIfHere(cid, () => this.#claim(cid)))
      // Others may be reading the same buffer.
      if (!isHeld) return this.#place({ cid, bytes: await read(cid), chunkIndex }, { isOurs: false })
      const placing = this.#placer.ask({ cid, chunkIndex, sizeBytes: CHUNK_BYTES, inline: null })
      return raceSignal(placing.enough, this.#init.options.signal)
    })
  }

  /**
   * Has each member confirm the chunks that are counted on it, and hands over the counts that result. Call it once. From
   * here on the put renews no claims: those that members hold now outlast the push of the record by far.
   */
  async keepRoot(root: BlockCid): Promise<KeptFile> {
    const { clock, endWithRecord } = this.#deps
    const { putNumber, putId, options } = this.#init
    const { signal } = options
    if (this.#placer.isBusy) await Promise.race([this.#placer.stragglers(), clock.sleep(STRAGGLERS_MS, signal)])
    this.#renewal.end()
    const counts = this.#placer.finish()
    this.#logKept(root, counts)
    // Once a record refers to these blocks, it is what keeps them here.
    endWithRecord(root, putId)
    const kept: KeptFile = { root, putNumber, putId, counts, isAvoided: peer => this.#placer.isAvoided(peer) }
    // A file of one chunk is its own root: a member that kept it has confirmed it.
    if (isNode(root)) await this.#confirmAll(kept)
    return kept
  }

  /** Ends the put. Claims on blocks that no record refers to run out by themselves. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#renewal.end()
    this.#init.onClose()
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
    await forEachAtOnce(blocks, { atOnce: PUT_WINDOW_BLOCKS, signal: this.#init.options.signal }, place)
  }

  /**
   * Keeps a block on this disk and on its owners. A block that was placed a moment ago is only counted at one more chunk
   * index. `isOurs` says that nobody else holds the buffer.
   */
  async #place({ cid, bytes, chunkIndex }: SealedBlock, { isOurs }: { isOurs: boolean }): Promise<void> {
    const { local, window } = this.#deps
    const { signal } = this.#init.options
    if (chunkIndex === null) this.#renewal.addNode(cid)
    else this.#renewal.addChunk(cid, chunkIndex)
    const known = this.#recent.get(blockKey(cid))
    if (known !== undefined) {
      if (chunkIndex !== null) known.placing.addChunk(chunkIndex)
      return known.placed
    }
    const release = await window.add(cid, bytes, signal)
    const sizeBytes = bytes.byteLength
    const inline = sizeBytes < INLINE_BLOCK_BYTES_MAX ? bytes : null
    const placing = this.#placer.ask({ cid, chunkIndex, sizeBytes, inline })
    const kept = local.keep(cid, bytes, () => this.#claim(cid))
    const letGo = async (): Promise<void> => {
      const isKept = await isFulfilled(kept)
      if (release(placing.keptBy) && isKept && isOurs) local.returnBuffer(bytes)
    }
    const placed = Promise.all([kept, raceSignal(placing.enough, signal)])
      .then(() => {})
      // Nobody waits for this. The block leaves the window only once it is written: until then members can pull it only there.
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

/** Waits for a promise whose failure is reported elsewhere. */
async function isFulfilled(promise: Promise<unknown>): Promise<boolean> {
  return promise.then(
    () => true,
    () => false
  )
}
