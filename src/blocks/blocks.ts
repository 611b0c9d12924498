import type { BlockCid } from '../format/cid.ts'
import type { PeerId } from '../format/peer-id.ts'
import type { AnyStatement, Statement } from '../format/statement.ts'
import type { Verdict } from '../log/projection.ts'
import type { Worker } from '../util/worker.ts'
import {
  type Base,
  composeClients,
  composeFetching,
  composeForOthers,
  composeHandoff,
  composeLocalStore,
  composePuts,
  composeRepair,
  composeSweep,
  type Repairing,
  serveProtocols
} from './compose.ts'
import { confirmedCopies } from './fetch/confirmed-copies.ts'
import type { Fetched, Fetcher } from './fetch/fetcher.ts'
import type { PeerHealth } from './fetch/peer-health.ts'
import type { PutId } from './hold/claims.ts'
import type { BadBlocks, LocalBlocks } from './hold/local-blocks.ts'
import type { Keeper } from './keep/keeper.ts'
import type { BlocksOptions } from './options.ts'
import type { StoreClient } from './protocol/store-client.ts'
import type { PutOutcome } from './put/acknowledgement.ts'
import type { HintedHandoff } from './put/handoff.ts'
import type { KeptFile } from './put/kept-file.ts'
import type { Put, PutOptions } from './put/put.ts'
import type { Puts } from './put/puts.ts'
import { PutWindow } from './put/window.ts'
import { currentRanking, type Ranking } from './rank.ts'
import type { RecordRef } from './record-ref.ts'
import type { Evicted } from './repair/evict.ts'
import { recordReferenceKey, recordReferenceOps } from './repair/record-rows.ts'
import { loadStopMarks } from './repair/stop-marks.ts'
import type { Sweeper } from './repair/sweep.ts'

export type { Fetched } from './fetch/fetcher.ts'
export type { PutOutcome } from './put/acknowledgement.ts'
export type { KeptFile } from './put/kept-file.ts'
export type { Put, PutOptions } from './put/put.ts'

/**
 * Decides on which members sealed blocks are stored, brings the blocks there, and keeps them there as long as they are
 * needed.
 *
 * It owns the blocks on this disk, the claims that say why each of them stays, the two protocols `/dfs/store` and
 * `/dfs/get`, and the background work that repairs, hands off and frees blocks.
 *
 * It promises:
 * - the bytes of a block that it returns or sends match the block's name;
 * - once it says that it keeps a block, the block is durable, and stays as long as it said;
 * - it walks a record when the record is accepted, at every start, and repeatedly while blocks of it that this member
 *   owes are missing. If no block of a record is missing, a change of the view alone does not cause a walk;
 * - it frees a block only if it is certain that nothing needs the block here. When in doubt, it keeps the block.
 *
 * It leaves to others: what files exist and what their records say (`catalog/`), who is a member and may store here
 * (`members/`), spreading records (`log/`), and opening the content of blocks: nothing here has a key.
 *
 * Other rooms may import this file, `errors.ts`, `record-ref.ts` and `constants.ts`, but no other file of this room.
 */
export class Blocks {
  /** All background workers of this room. `start` starts them. */
  readonly workers: readonly Worker[]
  readonly #options: BlocksOptions
  readonly #rank: () => Ranking
  readonly #local: LocalBlocks
  readonly #health: PeerHealth
  readonly #fetcher: Fetcher
  readonly #storeClient: StoreClient
  readonly #keeper: Keeper
  readonly #repairing: Repairing
  readonly #handoff: HintedHandoff
  readonly #sweeper: Sweeper
  readonly #puts: Puts

  constructor(options: BlocksOptions) {
    this.#options = options
    this.#rank = currentRanking(options.view)
    const onBadBlock: BlocksOptions['onBadBlock'] = error => {
      options.onBadBlock(error)
      this.#repairing.repair.noteBad(error.cid)
    }
    const base: Base = { ...options, onBadBlock, ranking: this.#rank }
    const held = composeLocalStore(base)
    const clients = composeClients(base)
    const fetching = composeFetching(base, held, clients)
    const keeping = composeForOthers(base, held, fetching)
    const { local } = held
    const { storeClient } = clients
    const { keeper } = keeping
    const window = new PutWindow()
    serveProtocols(base, { local, window }, clients, keeping)
    this.#repairing = composeRepair(base, held, fetching, { storeClient, keeper })
    this.#handoff = composeHandoff(base, storeClient, fetching.readNode)
    this.#sweeper = composeSweep(base, held, this.#repairing, put => this.#puts.isUnderWay(put))
    const abandon = (put: PutId): void => this.#sweeper.abandon(put)
    this.#puts = composePuts(base, { ...held, window }, { clients, fetching, keeper, abandon })
    this.#local = local
    this.#health = clients.health
    this.#fetcher = fetching.fetcher
    this.#storeClient = storeClient
    this.#keeper = keeper
    this.workers = [this.#repairing.repair.worker, this.#handoff.worker, this.#sweeper.worker]
  }

  /**
   * Resumes the work that was under way at the last stop. `wasClean` matters because after an unclean stop the promises
   * made to other members are not known.
   */
  async start({ wasClean }: { wasClean: boolean }): Promise<void> {
    const { store, clock } = this.#options
    const marks = await loadStopMarks(store.index, clock, { wasClean })
    await this.#handoff.start()
    this.#repairing.start(marks)
    this.#sweeper.start(marks)
  }

  async stop(): Promise<void> {
    await this.#sweeper.stop()
    await this.#handoff.stop()
    await this.#repairing.stop()
    await this.#repairing.notePromised()
  }

  /** Draws a number under which the blocks of a new file are claimed, here and on their keepers. */
  newPutNumber(): Uint8Array {
    return this.#puts.newNumber()
  }

  /**
   * Begins to store a file, or, with the number of an earlier put, goes on with it: the puts of one number share their
   * claims. The caller must close the put.
   */
  openPut(options: PutOptions, number: Uint8Array = this.newPutNumber()): Put {
    return this.#puts.open(options, number)
  }

  /** Ends the claims on this disk of a put that has been closed, and frees the blocks that nothing else claims. */
  abandonPut(number: Uint8Array): void {
    this.#puts.abandon(number)
  }

  /**
   * Does the same as `openPut` for a file of one small block. The put shares its number with other small puts that are
   * opened at about the same time, so that one call can ask a member to keep many blocks.
   */
  openSmallPut(options: PutOptions): Put {
    return this.#puts.openSmall(options)
  }

  /**
   * Pushes the record of a file until enough members have acknowledged it. `kept` is what the put returned for the
   * file's blocks, or null if the record has no blocks. Throws a `NotEnoughCopiesError` if an explicit `ack` was not
   * reached, or if some block is on no member at all.
   */
  pushRecord(record: Statement<'entry'>, kept: KeptFile | null, options: PutOptions): Promise<PutOutcome> {
    return this.#puts.push(record, kept, options)
  }

  /** Returns a block's verified bytes, from this disk or another member, and who delivered them. */
  async read(cid: BlockCid, options: { signal?: AbortSignal | undefined } = {}): Promise<Fetched> {
    const fetched = await this.#fetcher.fetch(cid, options)
    return fetched.from === this.#options.self ? fetched : this.#repairing.readRepair.keep(cid, fetched)
  }

  /**
   * Asks the other members which chunks of a file they hold. Returns the number of members, including this one, that
   * hold the chunk with the fewest copies.
   */
  confirmed(root: BlockCid): Promise<number> {
    const { clock, logger, codec, admitted, view } = this.#options
    return confirmedCopies(root, {
      clock,
      logger,
      codec,
      admitted,
      viewId: () => view().id,
      local: this.#local,
      storeClient: this.#storeClient,
      readNode: async cid => (await this.read(cid)).bytes
    })
  }

  /**
   * Frees those of this member's copies of a file for which other members prove that they hold theirs. Throws an
   * `EvictRefusedError` while it is not certain which records need the copies, and for an hour after an unclean stop.
   */
  async evict(record: RecordRef, signal?: AbortSignal): Promise<Evicted> {
    const { evictGuard, evictor } = this.#repairing
    await evictGuard.assertMayEvict(signal)
    return evictor.evict(record, signal)
  }

  /**
   * Returns the verdict on a record that a peer pushed with a put: `ok`, or `lacking` if we lack a block that we are
   * counted on for.
   */
  confirmPut(statement: AnyStatement, put: Uint8Array, from: PeerId): Promise<Verdict> {
    return this.#keeper.confirmPut(statement, put, from)
  }

  /** Walks records that have just been accepted, and pulls the blocks of them that this member owes. */
  enqueue(records: readonly RecordRef[]): void {
    this.#repairing.repair.enqueue(records)
  }

  /**
   * Leaves the copies of a file that members still owe to the hinted handoff, which asks those members until they
   * confirm the copies. Each owed block holds at most `eachBytes` of text.
   */
  async handOff(record: RecordRef, owedBlocks: number, eachBytes: number): Promise<void> {
    await this.#handoff.add(record, owedBlocks, eachBytes)
  }

  /**
   * Immediately retries everything that is missing or owed. Call it when a member has connected or the view has
   * changed.
   */
  retry(): void {
    this.#repairing.repair.retry()
    this.#handoff.check()
  }

  /** Notes that a peer broke a protocol. For some time, this member asks the peer only after all others. */
  onFault(peer: PeerId): void {
    this.#health.fault(peer)
  }

  /** The number of faults of a peer that were counted since the start: wrong blocks, malformed messages, silence. */
  faults(peer: PeerId): number {
    return this.#health.faults(peer)
  }

  /**
   * The copies that are not confirmed: those that this member owes and lacks, and those that other members owe for its
   * puts. `bytes` is an upper bound.
   */
  get owed(): { blocks: number; bytes: number } {
    const own = this.#repairing.repair.owed
    const others = this.#handoff.owed
    return { blocks: own.blocks + others.blocks, bytes: own.bytes + others.bytes }
  }

  /** The blocks on our own disk that were found damaged or unreadable. */
  get badBlocks(): BadBlocks {
    return this.#local.bad
  }

  /** True while there may be blocks that nothing claims, because a stop was unclean. They are freed later. */
  get mayHaveOrphans(): boolean {
    return this.#sweeper.mayHaveOrphans
  }

  /** The blocks that are being pulled at this moment. `bytes` is an upper bound. */
  get repairing(): { blocks: number; bytes: number } {
    return this.#repairing.repair.repairing
  }

  /** The number of members that store blocks, according to the view. */
  get keeperCount(): number {
    return this.#rank().keeperCount
  }

  /**
   * Returns the index changes that claim a record's root and mark the record as still to be walked. They must go into
   * the batch that adds the record.
   */
  static readonly referenceOps = recordReferenceOps
  /** Returns the key of that claim, which stays as long as the record. */
  static readonly referenceKey = recordReferenceKey
}
