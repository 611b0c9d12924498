import type { BlockCid } from '../../format/cid.ts'
import { blockKey, isNode } from '../../format/cid.ts'
import { CHUNK_BYTES } from '../../format/constants.ts'
import type { FileRoot, NodeCodec, SealedBlock } from '../../format/manifest.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { Statement } from '../../format/statement.ts'
import type { Verdict } from '../../log/log.ts'
import type { Clock } from '../../util/clock.ts'
import { raceSignal, withDeadline } from '../../util/deadline.ts'
import { DeadlineError } from '../../util/errors.ts'
import { Limiter } from '../../util/limiter.ts'
import {
  ACK_TIMEOUT_MS,
  INLINE_BLOCK_BYTES_MAX,
  NEWCOMERS_MS,
  PUT_CLAIM_MS,
  PUT_WINDOW_BLOCKS,
  REPEATS_MAX,
  STRAGGLERS_MS
} from '../constants.ts'
import { NotEnoughCopiesError } from '../errors.ts'
import type { Claims, PutId } from '../hold/claims.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'
import { walkManifest } from '../manifest-walk.ts'
import type { StoreClient } from '../protocol/store-client.ts'
import type { Ranking } from '../rank.ts'
import { type Placing, ReplicaPlacer } from './placer.ts'
import { Renewal } from './renewal.ts'
import type { PutWindow } from './window.ts'

export interface PutOptions {
  /** Copies wanted; `Infinity` for every member. */
  replicas: number
  /** Copies, this member's among them, that must be durable before the put says yes. Left out: two where possible. */
  ack?: number | undefined
  signal?: AbortSignal | undefined
}

export interface PutDeps {
  self: PeerId
  clock: Clock
  codec: NodeCodec
  local: LocalBlocks
  claims: Claims
  storeClient: StoreClient
  window: PutWindow
  ranking: () => Ranking
  /** Members that may be asked to store. */
  keepers: () => PeerId[]
  isAvoided: (peer: PeerId) => boolean
  push: (peer: PeerId, statement: Statement, put: Uint8Array | null) => Promise<Verdict>
  /** Tells everyone else of the record, without waiting. */
  announce: (statement: Statement, except: ReadonlySet<PeerId>) => void
  /** Lets this put's own claims on a file end once a record's references have taken their place. */
  endWithRecord: (root: BlockCid, claimId: PutId) => void
  /** Whether every block of a file is on this disk, and claimed by the put or referred to. */
  holdsAll: (root: BlockCid, claimId: PutId) => Promise<boolean>
}

/** Who has what a put has stored so far. */
export interface PutOutcome {
  /** Members, this one among them, that acknowledged the record over blocks that they hold. */
  reached: PeerId[]
  /** Copies that the view asks for. */
  wanted: number
  /** Copies of chunks that are still to be delivered. */
  owedBlocks: number
}

/** A record on its way to those that are to acknowledge it. */
interface Sending {
  acknowledged: Set<PeerId>
  isEnough: () => boolean
  pushTo: (peer: PeerId) => Promise<void>
  /** Resolves once enough of them have, and once all have answered. */
  enough: Promise<void>
  all: Promise<unknown>
}

/** Copies that a put waits for unless told otherwise. */
const ACK_DEFAULT = 2

/**
 * A put is a repair that someone waits for: this member keeps every block, asks those who will owe them to keep them
 * too, and counts. Nothing is visible until the record is appended; what is never linked runs out.
 */
export class Put {
  readonly #deps: PutDeps
  readonly #options: PutOptions
  readonly #number: Uint8Array
  readonly #claimId: PutId
  readonly #slots = new Limiter(PUT_WINDOW_BLOCKS)
  readonly #placer: ReplicaPlacer
  readonly #renewal: Renewal
  // The blocks of late, so that one that comes again is kept once.
  readonly #recent = new Map<string, { placing: Placing; placed: Promise<void> }>()
  readonly #onClose: () => void
  #isClosed = false

  /** `number` names this put to the keepers; `claimId` is what it claims under here. */
  constructor(deps: PutDeps, options: PutOptions, number: Uint8Array, claimId: PutId, onClose: () => void) {
    const { self, clock, storeClient, ranking, keepers, isAvoided } = deps
    this.#deps = deps
    this.#options = options
    this.#number = number
    this.#claimId = claimId
    this.#onClose = onClose
    const { replicas } = options
    const needed = (): number => this.#ackWanted() - 1
    this.#placer = new ReplicaPlacer({
      self,
      clock,
      storeClient,
      ranking,
      keepers,
      isAvoided,
      number,
      replicas,
      needed
    })
    this.#renewal = new Renewal({ clock, storeClient, number, counts: this.#placer.counts })
  }

  /**
   * Keeps sealed blocks as they come: on this disk, and on as many of their owners as `ack` asks for before the next few
   * may come. Gives the root, or null for a stream without blocks. At most a window of blocks is in memory.
   */
  readonly keep = async (blocks: AsyncIterable<SealedBlock>): Promise<FileRoot | null> => {
    let root: FileRoot | null = null
    await this.#placeAll(blocks, async (block, signal) => {
      if (block.root !== undefined) root = block.root
      return this.#placeSealed(block, signal, true)
    })
    return root
  }

  /**
   * Takes blocks that stand already, as a copy of a file does: claims those that are here, fetches those that are not by
   * `read`, and counts them on their owners, who need not pull what they have.
   */
  async keepHeld(root: BlockCid, read: (cid: BlockCid) => Promise<Uint8Array>): Promise<void> {
    const { local, codec } = this.#deps
    const blocks = walkManifest(root, read, codec)
    await this.#placeAll(blocks, async ({ cid, chunkIndex }, signal) => {
      // A file of one chunk may be small, and a small block travels with the question.
      const isHeld = isNode(root) && (await local.claimHeld(cid, () => this.#claim(cid)))
      // Others may be reading the same buffer.
      if (!isHeld) return this.#placeSealed({ cid, bytes: await read(cid), chunkIndex }, signal, false)
      const placing = this.#placer.ask({ cid, chunkIndex, sizeBytes: CHUNK_BYTES, inline: null })
      return raceSignal(placing.enough, signal)
    })
  }

  /** Has each member that was counted confirm all that it is counted for; what one lacks no longer counts on it. */
  async keepRoot(root: BlockCid): Promise<void> {
    const { clock, endWithRecord } = this.#deps
    const { signal } = this.#options
    if (this.#placer.isBusy) await Promise.race([this.#placer.stragglers(), clock.sleep(STRAGGLERS_MS, signal)])
    this.#placer.stopCounting()
    // Once a record refers to these blocks, that is what keeps them here.
    endWithRecord(root, this.#claimId)
    // A file of one chunk is its own root: whoever kept it has confirmed it.
    if (!isNode(root)) return
    await raceSignal(Promise.all(this.#placer.counts.peers.map(peer => this.#confirm(peer, root))), signal)
  }

  /**
   * Pushes the record until every block lies on enough members that acknowledged it, this one among them, or the time
   * for that is over. With an explicit `ack` that was not met a `NotEnoughCopiesError`: the record stands here, and is
   * delivered later.
   */
  async acknowledge(record: Statement<'entry'>, root: BlockCid | null): Promise<PutOutcome> {
    const { self, clock, holdsAll } = this.#deps
    // First of all, and whoever still waits for it: the record stands, and what stands here is not to be known here alone.
    const sending = this.#send(record, root)
    const { acknowledged, isEnough } = sending
    // A laptop that slept past its own claims must not say yes to nothing.
    if (root === null || (await holdsAll(root, this.#claimId))) acknowledged.add(self)
    try {
      await withDeadline(clock, ACK_TIMEOUT_MS, this.#options.signal, signal =>
        this.#untilEnough(sending, root, signal)
      )
    } catch (error) {
      if (!(error instanceof DeadlineError)) throw error
    }
    const reached = [...acknowledged]
    const owedBlocks = root === null ? 0 : this.#placer.counts.owed(acknowledged)
    if (this.#options.ack !== undefined && !isEnough())
      throw new NotEnoughCopiesError(reached, this.#ackWanted(root === null), owedBlocks)
    const { keeperCount } = this.#deps.ranking()
    return { reached, wanted: Math.max(1, Math.min(this.#options.replicas, keeperCount)), owedBlocks }
  }

  /** Ends the put. What no record refers to runs out by itself. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#renewal.end()
    this.#onClose()
  }

  /** Places blocks as they come, a window of them at once. The first that fails ends it. */
  async #placeAll<Block>(
    blocks: AsyncIterable<Block>,
    place: (block: Block, signal: AbortSignal | undefined) => Promise<void>
  ): Promise<void> {
    const { signal } = this.#options
    const underWay = new Set<Promise<void>>()
    const failure = Promise.withResolvers<never>()
    failure.promise.catch(() => {})
    let isFailed = false
    for await (const block of blocks) {
      const release = await this.#slots.acquire(1, signal)
      if (isFailed) {
        release()
        break
      }
      const placed = place(block, signal)
        .catch(error => {
          isFailed = true
          failure.reject(error)
        })
        .finally(() => {
          underWay.delete(placed)
          release()
        })
      underWay.add(placed)
    }
    await Promise.race([failure.promise, raceSignal(Promise.all(underWay), signal)])
    if (isFailed) await failure.promise
  }

  async #placeSealed(
    { cid, bytes, chunkIndex }: SealedBlock,
    signal: AbortSignal | undefined,
    isOurs: boolean
  ): Promise<void> {
    const key = blockKey(cid)
    if (chunkIndex === null) this.#renewal.addNode(cid)
    else this.#renewal.addChunk(cid, chunkIndex)
    const known = this.#recent.get(key)
    if (known !== undefined) {
      if (chunkIndex !== null) known.placing.alsoAt(chunkIndex)
      return known.placed
    }
    const { local, window } = this.#deps
    const release = await window.hold(cid, bytes, signal)
    const sizeBytes = bytes.byteLength
    const inline = sizeBytes < INLINE_BLOCK_BYTES_MAX ? bytes : null
    const placing = this.#placer.ask({ cid, chunkIndex, sizeBytes, inline })
    const kept = local.keep(cid, bytes, () => this.#claim(cid))
    const placed = Promise.all([kept, raceSignal(placing.enough, signal)])
      .then(() => {})
      .finally(() => {
        // While it is being written it can be had from memory only.
        const settled = kept.then(
          () => true,
          () => false
        )
        void settled.then(isKept => {
          if (release(placing.keptBy) && isKept && isOurs) local.giveBack(bytes)
        })
      })
    const [oldest] = this.#recent.keys()
    if (oldest !== undefined && this.#recent.size >= REPEATS_MAX) this.#recent.delete(oldest)
    this.#recent.set(key, { placing, placed })
    return placed
  }

  #claim(cid: BlockCid): Promise<void> {
    return this.#deps.claims.claimForPut(this.#claimId, [cid.multihash.bytes], PUT_CLAIM_MS)
  }

  async #confirm(peer: PeerId, root: BlockCid): Promise<void> {
    const { storeClient } = this.#deps
    const { counts } = this.#placer
    const chunks = counts.of(peer)
    if (chunks === undefined) return
    try {
      const lacking = await storeClient.keepRoot(peer, this.#number, root, chunks)
      if (lacking.size === 0) return
      counts.discount(peer, lacking)
      // The keeper counts what we counted: told again, it knows what we no longer count on.
      await storeClient.keepRoot(peer, this.#number, root, chunks)
    } catch {
      counts.drop(peer)
    }
  }

  /** Pushes the record to those who are counted, and tells all others of it. */
  #send(record: Statement<'entry'>, root: BlockCid | null): Sending {
    const { keepers, announce } = this.#deps
    const acknowledged = new Set<PeerId>()
    const isEnough = (): boolean => this.#copies(acknowledged, root) >= this.#ackWanted(root === null)
    const { promise: enough, resolve } = Promise.withResolvers<void>()
    const pushTo = async (peer: PeerId): Promise<void> => {
      if (await this.#pushTo(peer, record, root)) acknowledged.add(peer)
      if (isEnough()) resolve()
    }
    const counted = root === null ? keepers() : this.#placer.counts.peers
    const all = Promise.all(counted.map(pushTo))
    announce(record, new Set(counted))
    return { acknowledged, isEnough, pushTo, enough, all }
  }

  async #untilEnough(
    { acknowledged, isEnough, pushTo, enough, all }: Sending,
    root: BlockCid | null,
    signal: AbortSignal
  ): Promise<void> {
    const { keepers, clock } = this.#deps
    if (isEnough()) return
    await raceSignal(Promise.race([enough, all]), signal)
    // Nobody is left who was counted. Only a number that was asked for is worth waiting for others.
    while (!isEnough() && this.#options.ack !== undefined) {
      await clock.sleep(NEWCOMERS_MS, signal)
      const others = keepers().filter(peer => !acknowledged.has(peer))
      if (root !== null) {
        for (const peer of others) this.#placer.counts.countAll(peer)
        await raceSignal(Promise.all(others.map(peer => this.#confirm(peer, root))), signal)
      }
      await raceSignal(Promise.race([enough, Promise.all(others.map(pushTo))]), signal)
    }
  }

  async #pushTo(peer: PeerId, record: Statement, root: BlockCid | null): Promise<boolean> {
    const put = root === null ? null : this.#number
    try {
      const verdict = await this.#deps.push(peer, record, put)
      if (verdict !== 'lacking' || root === null) return verdict === 'ok'
      // Its claims ran out, or it lost its count in a restart: back to keep, once.
      await this.#confirm(peer, root)
      return (await this.#deps.push(peer, record, put)) === 'ok'
    } catch {
      return false
    }
  }

  /** Copies that must be durable before yes: as told, else two where a second member can be reached. */
  #ackWanted(isRecordOnly = false): number {
    const { self, keepers, ranking } = this.#deps
    const { ack, replicas } = this.#options
    if (ack !== undefined && Number.isFinite(ack)) return ack
    const order = ranking()
    const reachable = keepers()
    const owners = order.keepers.filter(peer => peer !== self)
    const mayKeep = reachable.filter(peer => isRecordOnly || owners.includes(peer) || !order.isKnown(peer))
    if (ack !== undefined) return 1 + new Set([...owners, ...mayKeep]).size
    const willKeep = mayKeep.filter(peer => !this.#placer.isAvoided(peer))
    return Math.min(ACK_DEFAULT, 1 + willKeep.length, Math.max(1, replicas))
  }

  #copies(acknowledged: ReadonlySet<PeerId>, root: BlockCid | null): number {
    const own = acknowledged.has(this.#deps.self) ? 1 : 0
    return root === null ? acknowledged.size : this.#placer.counts.leastCopies(acknowledged, own)
  }
}
