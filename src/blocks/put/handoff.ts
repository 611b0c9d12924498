import type { IndexDb } from '../../disk/index-db.ts'
import type { BlockCid } from '../../format/cid.ts'
import type { NodeCodec } from '../../format/manifest.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { ViewMember } from '../../members/view.ts'
import { Backoff } from '../../util/backoff.ts'
import type { Clock } from '../../util/clock.ts'
import { raceSignal } from '../../util/deadline.ts'
import { isAbort } from '../../util/errors.ts'
import { forEachUntilFailure } from '../../util/for-each.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../../util/logger.ts'
import { Worker } from '../../util/worker.ts'
import type { Bitmap } from '../bitmap.ts'
import { HANDOFFS_AT_ONCE, WALK_RETRY_MS, WALK_RETRY_MS_MAX } from '../constants.ts'
import { isOutOfReach } from '../errors.ts'
import { nameOf, nameOfId } from '../log-names.ts'
import type { ReadNode } from '../manifest-walk.ts'
import type { StoreClient } from '../protocol/store-client.ts'
import type { Ranking } from '../rank.ts'
import type { RecordRef } from '../record-ref.ts'
import { addDebt, type Debt, debtsOf } from './debts.ts'
import { type Hint, HintRows, type OwedRecord } from './hint-rows.ts'

export interface HintedHandoffOptions {
  self: PeerId
  clock: Clock
  logger: ComponentLogger
  codec: NodeCodec
  index: IndexDb
  storeClient: Pick<StoreClient, 'holdRoot'>
  ranking: () => Ranking
  /** Returns the members that may be asked now. */
  admitted: () => readonly PeerId[]
  /** Asks the members that may be asked now which of them have a record. */
  holders: (record: Uint8Array) => Promise<PeerId[]>
  viewId: () => Uint8Array
  readNode: ReadNode
  /** Returns true if a record no longer needs its content, so that nobody owes it any more. */
  isReleased: (record: Pick<RecordRef, 'id'>) => Promise<boolean>
  onError: (error: unknown) => void
}

/** What is owed of a record when it is handed off. */
export interface NewDebt {
  /** The number of copies of chunks, and the most bytes of text that each of them holds. */
  owed: number
  eachBytes: number
  /** The members that owe them. */
  by: readonly PeerId[]
}

type HintWithBlocks = Hint & Pick<RecordRef, 'root'>

/** What is owed for the puts of this member. `bytes` is an upper bound. */
export interface OwedCopies {
  blocks: number
  bytes: number
  /** The number of files of which copies are owed. */
  files: number
  /** The members that owe them. */
  by: PeerId[]
}

/** A member's answer: it holds `held` of the `chunkCount` chunks that it owes. */
interface Answer {
  peer: PeerId
  held: number
  chunkCount: number
}

/**
 * Follows up puts that were acknowledged before every copy was made. The owners pull their chunks by themselves once
 * the record reaches them. This member, the writer, asks until each of them confirms, so that it can say what is still
 * owed. Hints are rows of the index and survive a restart; only their totals are in memory. It asks when a member
 * connects or the view changes, and at growing intervals while nothing changes.
 */
export class HintedHandoff {
  readonly worker: Worker
  readonly #options: HintedHandoffOptions
  readonly #rows: HintRows
  readonly #log: Logger
  readonly #backoff = new Backoff({ minMs: WALK_RETRY_MS, maxMs: WALK_RETRY_MS_MAX })
  /** Fires when the node stops during a round. */
  #round: AbortSignal | undefined
  #owed = 0
  #owedBytes = 0
  #files = 0
  /** The members that owe something, as of the last round and the puts since. */
  #owing = new Set<PeerId>()
  /** The number of hints that were added since the start. */
  #added = 0

  constructor(options: HintedHandoffOptions) {
    const { clock, codec, index, logger, onError } = options
    this.#options = options
    this.#rows = new HintRows(index, codec)
    this.#log = logger.forComponent('dfs:blocks:handoff')
    this.worker = new Worker({
      name: 'hinted handoff',
      clock,
      log: this.#log,
      everyMs: () => (this.#owed > 0 ? this.#backoff.nextMs() : Number.POSITIVE_INFINITY),
      onError,
      work: signal => this.#followUpAll(signal)
    })
  }

  /** The copies of chunks that other members have not confirmed yet. */
  get owed(): OwedCopies {
    return {
      blocks: this.#owed,
      bytes: this.#owedBytes,
      files: this.#files,
      by: this.#owed > 0 ? [...this.#owing] : []
    }
  }

  /** Resumes the hints that were open at the last stop. */
  async start(): Promise<void> {
    for await (const hint of this.#rows.all()) {
      this.#files++
      this.#count(hint, hint.owed)
    }
    if (this.#owed > 0) {
      this.#log('copies of chunks that were owed at the last stop: %d', this.#owed)
      this.check()
    }
    this.worker.start()
  }

  stop(): Promise<void> {
    return this.worker.stop()
  }

  /**
   * Adds a record whose members still owe `owed` copies of chunks. Each chunk holds at most `eachBytes` of text. A
   * record without blocks counts as one chunk.
   */
  async add(record: OwedRecord, { owed, eachBytes, by }: NewDebt): Promise<void> {
    await this.#rows.write({ ...record, owed, eachBytes, done: [] })
    this.#added++
    this.#files++
    for (const peer of by) this.#owing.add(peer)
    this.#count({ eachBytes }, owed)
    this.#log('record %s: asks its members until they confirm what they owe', nameOfId(record.id))
    this.worker.schedule()
  }

  /** Asks immediately. Call it when a member has connected or the view has changed. */
  check(): void {
    this.#backoff.reset()
    this.worker.wake()
  }

  #count({ eachBytes }: Pick<Hint, 'eachBytes'>, more: number): void {
    this.#owed += more
    this.#owedBytes += more * eachBytes
  }

  async #followUpAll(signal: AbortSignal): Promise<void> {
    const owedBefore = this.#owed
    const added = this.#added
    let owed = 0
    let owedBytes = 0
    let files = 0
    const owing = new Set<PeerId>()
    this.#round = signal
    await forEachUntilFailure(this.#rows.all(), { atOnce: HANDOFFS_AT_ONCE, signal }, async hint => {
      const left = await this.#followUp(hint, owing)
      owed += left
      owedBytes += left * hint.eachBytes
      if (left > 0) files++
    })
    // The rows have the last word. If the index has lost a row, nobody can follow it up, so it must not count as owed
    // for ever.
    if (this.#added === added) {
      ;[this.#owed, this.#owedBytes, this.#files] = [owed, owedBytes, files]
      this.#owing = owing
    }
    if (this.#owed < owedBefore) this.#backoff.reset()
  }

  /**
   * Follows up one record, and returns what is still owed. An error is reported, and does not prevent the other records
   * from being followed up.
   */
  async #followUp(hint: Hint, owing: Set<PeerId>): Promise<number> {
    try {
      const { root } = hint
      if (await this.#options.isReleased(hint)) return await this.#settle(hint, 0)
      return await (root === null ? this.#askForRecord(hint, owing) : this.#askOwners({ ...hint, root }, owing))
    } catch (error) {
      this.#log('record %s: could not ask what is owed: %s', nameOfId(hint.id), reasonOf(error))
      if (!isOutOfReach(error) && !isAbort(error)) this.#options.onError(error)
      return hint.owed
    }
  }

  /** Asks whether another member has a record without blocks. Returns 1 while none has. */
  async #askForRecord(hint: Hint, owing: Set<PeerId>): Promise<number> {
    const { self, ranking, holders } = this.#options
    const others = ranking().keepers.filter(peer => peer !== self)
    const isHeld = (await raceSignal(holders(hint.id), this.#round)).length > 0
    // A network of one has nobody who could owe a copy.
    if (isHeld || others.length === 0) return this.#settle(hint, 0)
    for (const peer of others) owing.add(peer)
    return hint.owed
  }

  /** Stores what is still owed of a record, and returns it. */
  async #settle(hint: Hint, owed: number): Promise<number> {
    this.#count(hint, owed - hint.owed)
    if (owed > 0) await this.#rows.write({ ...hint, owed })
    else {
      this.#files--
      await this.#rows.remove(hint)
    }
    return owed
  }

  /** Asks each member that owes chunks of a record whether it holds them. Stores and returns how many are still owed. */
  async #askOwners(hint: HintWithBlocks, owing: Set<PeerId>): Promise<number> {
    const { admitted } = this.#options
    const reachable = new Set(admitted())
    const { byMember, nextInRank } = await debtsOf(hint, this.#options)
    const answers: Answer[] = []
    let owed = 0
    // Under a new view, a member may owe more than it did.
    const done = hint.done.filter(([peer, chunkCount]) => byMember.get(peer)?.chunks.size === chunkCount)
    for (const [peer] of done) byMember.delete(peer)
    for (const [peer, { chunks, isFull }] of byMember) {
      const lacking = reachable.has(peer) ? await this.#lacking(peer, hint.root, chunks, false) : undefined
      const chunkCount = chunks.size
      owed += lacking?.size ?? chunkCount
      if (lacking?.size === 0) done.push([peer, chunkCount])
      else if (chunkCount > 0) owing.add(peer)
      if (lacking !== undefined) answers.push({ peer, held: chunkCount - lacking.size, chunkCount })
      // A debt moves on only if the full member itself says that it lacks the chunks. If it does not answer, nothing
      // changes.
      if (isFull && lacking !== undefined) owed -= await this.#askHeirs(hint.root, lacking, nextInRank, reachable)
    }
    this.#logAnswers(hint, owed, answers)
    return this.#settle({ ...hint, done }, owed)
  }

  /** Logs what members answered, unless the number of owed copies has stayed the same. */
  #logAnswers({ id, owed: owedBefore }: Hint, owed: number, answers: readonly Answer[]): void {
    if (owed === owedBefore) return
    for (const { peer, held, chunkCount } of answers)
      this.#log('record %s: %s holds %d of the %d chunks that it owes', nameOfId(id), peer, held, chunkCount)
    if (owed > 0) this.#log('record %s: copies of chunks that are owed: %d, before: %d', nameOfId(id), owed, owedBefore)
    else this.#log('record %s: nothing is owed any more', nameOfId(id))
  }

  /**
   * Handles a full member that said that it lacks some chunks. For each of them, the next member in rank that has room
   * owes it instead, and is asked to pull it. Returns the number of the chunks that these members now hold.
   */
  async #askHeirs(
    root: BlockCid,
    lacking: Bitmap,
    nextInRank: ReadonlyMap<number, ViewMember[]>,
    reachable: ReadonlySet<PeerId>
  ): Promise<number> {
    const debts = new Map<PeerId, Debt>()
    for (const [chunkIndex, members] of nextInRank) {
      if (!lacking.has(chunkIndex)) continue
      const at = members.findIndex(({ isFull }) => !isFull)
      // The heir leaves the list, so that if another owner of this chunk is full too, the next member inherits from it.
      const [heir] = at < 0 ? [] : members.splice(at, 1)
      if (heir !== undefined) addDebt(debts, heir, chunkIndex)
    }
    let heldCount = 0
    for (const [peer, { chunks }] of debts) {
      if (peer === this.#options.self) heldCount += chunks.size
      else if (reachable.has(peer)) {
        const stillLacking = await this.#lacking(peer, root, chunks, true)
        heldCount += chunks.size - (stillLacking ?? chunks).size
      }
    }
    return heldCount
  }

  /**
   * Returns the chunks, out of these, that a member lacks, or undefined if it does not answer. With `fetch`, the member
   * pulls them first.
   */
  async #lacking(peer: PeerId, root: BlockCid, chunks: Bitmap, fetch: boolean): Promise<Bitmap | undefined> {
    const question = { view: this.#options.viewId(), root, chunks, fetch, nonce: undefined, records: [] }
    try {
      const asked = this.#options.storeClient.holdRoot(peer, question)
      return (await raceSignal(asked, this.#round)).lacking.and(chunks)
    } catch (error) {
      // If the node stops, the request ends without an answer, and that says nothing about the member.
      this.#round?.throwIfAborted()
      this.#log('%s did not say which chunks of root %s it holds: %s', peer, nameOf(root), reasonOf(error))
      return undefined
    }
  }
}
