import type { BlockCid } from '../format/cid.ts'
import type { PeerId } from '../format/peer-id.ts'
import type { AnyStatement, Statement } from '../format/statement.ts'
import type { Verdict } from '../log/projection.ts'
import type { Worker } from '../util/worker.ts'
import type { Clients } from './compose.ts'
import { composeBlocks, type Parts } from './compose-blocks.ts'
import type { ConfirmedCopies } from './fetch/confirmed-copies.ts'
import type { Fetched, FetchOptions } from './fetch/fetcher.ts'
import { isReleased, releasedKey } from './hold/claims.ts'
import type { BadBlocks } from './hold/local-blocks.ts'
import { bytesHere, isWholeHere } from './hold/whole-here.ts'
import { withRoom } from './hold/with-room.ts'
import type { Memory } from './memory.ts'
import type { BlocksOptions } from './options.ts'
import type { PutOutcome } from './put/acknowledgement.ts'
import type { NewDebt, OwedCopies } from './put/handoff.ts'
import type { OwedRecord } from './put/hint-rows.ts'
import type { KeptFile } from './put/kept-file.ts'
import type { Put, PutOptions } from './put/put.ts'
import type { SilenceWatch } from './put/silence.ts'
import type { SmallBlock, SmallPut } from './put/small-put.ts'
import { owesChunk } from './rank.ts'
import type { RecordRef } from './record-ref.ts'
import type { IncompleteRecords } from './repair/free-stops.ts'
import type { Freeing } from './repair/freeing.ts'
import { recordReferenceKey, recordReferenceOps, recordReleaseOps } from './repair/record-rows.ts'
import { loadStopMarks } from './repair/stop-marks.ts'

export type { Fetched } from './fetch/fetcher.ts'
export type { PutOutcome } from './put/acknowledgement.ts'
export type { KeptFile } from './put/kept-file.ts'
export type { Put, PutOptions } from './put/put.ts'
export type { SmallBlock, SmallPut } from './put/small-put.ts'

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
 * - it walks a record when the record is accepted, when the view has changed, after an unclean stop, and repeatedly while
 *   blocks of it that this member owes are missing;
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
  /** Asks the other members which chunks of a file they hold, of which `replicas` copies are wanted. */
  readonly copies: (root: BlockCid, replicas: number) => Promise<ConfirmedCopies>
  /** Returns true if every block of a file is on this disk. */
  readonly isWholeHere: (root: BlockCid) => Promise<boolean>
  /** Returns the bytes of those blocks of a file that are on this disk. */
  readonly bytesHere: (root: BlockCid) => Promise<number>
  /** Waits for an answer of a member, at most until it falls silent: see `SilenceWatch.waitFor`. */
  readonly untilSilent: SilenceWatch['waitFor']
  /** Opens the streams to a member. Call it once the logs have been compared. */
  readonly prepare: Clients['prepare']
  /** Frees what is not needed here. */
  readonly freeing: Freeing
  /** The memory for the bytes of blocks. */
  readonly memory: Memory
  readonly #options: BlocksOptions
  readonly #parts: Parts
  /** The number of reads under way. */
  #reading = 0

  constructor(options: BlocksOptions) {
    this.#options = options
    this.#parts = composeBlocks(options, () => this.#reading > 0)
    const { local, clients, workers, copies, freeing, memory } = this.#parts
    this.workers = workers
    this.copies = copies
    this.isWholeHere = root => isWholeHere(root, { local, codec: options.codec })
    this.bytesHere = root => bytesHere(root, { local, codec: options.codec })
    this.untilSilent = clients.silence.waitFor.bind(clients.silence)
    this.prepare = clients.prepare
    this.freeing = freeing
    this.memory = memory
  }

  /** Resumes the work that was under way at the last stop. After an unclean stop, some of its state is not known. */
  async start({ wasClean }: { wasClean: boolean }): Promise<void> {
    const { store, clock } = this.#options
    const marks = await loadStopMarks(store.index, clock, { wasClean })
    try {
      await this.#parts.handoff.start()
      await this.#parts.repairing.start({ ...marks, wasClean })
    } catch (error) {
      // The index may be removed now, so nothing may go on using it. The note of earlier promises stays as it is.
      await this.#stopWork()
      throw error
    }
    this.#parts.sweeper.start(marks)
    this.#parts.roomMaker.worker.start()
  }

  async stop(): Promise<void> {
    await this.#stopWork()
    await this.#parts.repairing.notePromised()
  }

  async #stopWork(): Promise<void> {
    const { freeing, roomMaker, sweeper, handoff, repairing } = this.#parts
    await freeing.stop()
    await roomMaker.stop()
    await sweeper.stop()
    await handoff.stop()
    await repairing.stop()
  }

  /** Runs `work`, and once more if the disk was full and blocks could be freed that only puts claim that are over. */
  withRoom<T>(work: () => Promise<T>): Promise<T> {
    return withRoom(() => this.#parts.roomMaker.makeRoom(), work)
  }

  /** Begins to store a file. The caller must close the put. */
  openPut(options: PutOptions): Put {
    return this.#parts.puts.open(options)
  }

  /** Ends the claims on this disk of a put that has been closed, and frees the blocks that nothing else claims. */
  abandonPut(number: Uint8Array): void {
    this.#parts.puts.abandon(number)
  }

  /** Begins to store a file of one small block. The caller must close it. */
  openSmallPut(options: PutOptions): SmallPut {
    return this.#parts.puts.openSmall(options)
  }

  /** Keeps the blocks of some small puts on this disk, before their records are linked: see `SmallPut.keepAll`. */
  keepSmall(blocks: readonly SmallBlock[]): Promise<KeptFile[]> {
    return this.#parts.puts.keepSmall(blocks)
  }

  /** Pushes the record of a file until enough members have acknowledged it: see `acknowledge`. */
  pushRecord(record: Statement<'entry'>, kept: KeptFile | null, options: PutOptions): Promise<PutOutcome> {
    return this.#parts.puts.push(record, kept, options)
  }

  /** Returns a block's verified bytes, and the member that delivered them. The caller has a lease for them. */
  async read(
    cid: BlockCid,
    options: Pick<FetchOptions, 'signal' | 'author' | 'replicas' | 'bytesMax' | 'onLength'> = {}
  ): Promise<Fetched> {
    this.#reading++
    try {
      const fetched = await this.#parts.fetcher.fetch(cid, options)
      return fetched.from === this.#options.self ? fetched : this.#parts.repairing.readRepair.keep(cid, fetched)
    } finally {
      this.#reading--
    }
  }

  /** Returns the verdict on a record that a peer pushed with a put: `lacking` if we lack a block that counts on us. */
  confirmPut(statement: AnyStatement, put: Uint8Array, from: PeerId): Promise<Verdict> {
    return this.#parts.keeper.confirmPut(statement, put, from)
  }

  /** Returns true if a record that is being accepted need not be walked: its only block is here, and owed here. */
  isSettled({ root, replicas }: Pick<RecordRef, 'root' | 'replicas'>): boolean {
    const { local, ranking } = this.#parts
    return local.fresh.isStored(root) && owesChunk(ranking(), this.#options.self, replicas)({ cid: root })
  }

  /** Walks records that have just been accepted, and pulls the blocks of them that this member owes. */
  enqueue(records: readonly RecordRef[]): void {
    for (const { root } of records) this.#parts.local.fresh.noteReferenced(root)
    // The view may have changed since the record was about to be accepted.
    this.#parts.repairing.repair.enqueue(records.filter(record => !this.isSettled(record)))
  }

  /** Leaves the copies that members still owe to the hinted handoff, which asks them until they confirm. */
  handOff(record: OwedRecord, debt: NewDebt): Promise<void> {
    return this.#parts.handoff.add(record, debt)
  }

  /** Retries at once what is missing or owed. Call it when a member has connected or the view has changed. */
  retry(): void {
    const { repairing, handoff } = this.#parts
    repairing.repair.retry()
    repairing.releaser.retry()
    handoff.check()
  }

  /** Notes that a peer broke a protocol. For some time, this member asks the peer only after all others. */
  onFault(peer: PeerId): void {
    this.#parts.clients.health.fault(peer)
  }

  /** The number of faults of a peer since the start: wrong blocks, malformed messages, silence. */
  faults(peer: PeerId): number {
    return this.#parts.clients.health.faults(peer)
  }

  /** The copies that are not confirmed: those it owes and lacks, and those others owe for its puts. `bytes` is a bound. */
  get owed(): OwedCopies {
    const own = this.#parts.repairing.repair.owed
    const others = this.#parts.handoff.owed
    return { ...others, blocks: own.blocks + others.blocks, bytes: own.bytes + others.bytes }
  }

  /**
   * The blocks here of which no other copy is known any more, the authors of incomplete records, and the chunks that no
   * connected member has had for a while.
   */
  get inDanger(): { blocksAtRisk: number; incomplete: IncompleteRecords[]; lostChunks: number } {
    const { repair, atRisk } = this.#parts.repairing
    return { blocksAtRisk: atRisk.blocks, incomplete: repair.incomplete, lostChunks: repair.lostChunks }
  }

  /** The blocks on our own disk that were found damaged or unreadable. */
  get badBlocks(): BadBlocks {
    return this.#parts.local.bad
  }

  /** The blocks that are being pulled at this moment. `bytes` is an upper bound. */
  get repairing(): { blocks: number; bytes: number } {
    return this.#parts.repairing.repair.repairing
  }

  /** The members that store blocks, according to the view. */
  get keepers(): readonly PeerId[] {
    return this.#parts.ranking().keepers
  }

  /**
   * Returns the index changes that claim a record's root and, unless the record is settled, mark it as still to be
   * walked. They must go into the batch that adds the record.
   */
  static readonly referenceOps = recordReferenceOps
  /** Returns the key of that claim, which stays until the record is released. */
  static readonly referenceKey = recordReferenceKey
  /**
   * Returns the index changes that release a record: it no longer needs its content, which is freed if nothing else
   * does. They must go into the batch that decides it, and cannot be undone.
   */
  static readonly releaseOps = recordReleaseOps
  /** Returns the key of the row that says that a record has been released. */
  static readonly releasedKey = releasedKey
  static readonly isReleased = isReleased
}
