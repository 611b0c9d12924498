import type { BlockCid } from '../../format/cid.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { Statement } from '../../format/statement.ts'
import type { Verdict } from '../../log/projection.ts'
import type { Clock } from '../../util/clock.ts'
import { raceSignal, withDeadline } from '../../util/deadline.ts'
import { DeadlineError } from '../../util/errors.ts'
import { reasonOf } from '../../util/logger.ts'
import { ACK_TIMEOUT_MS, NEWCOMERS_MS } from '../constants.ts'
import { NotEnoughCopiesError } from '../errors.ts'
import type { PutId } from '../hold/claims.ts'
import { listOf, nameOf, nameOfId } from '../log-names.ts'
import type { StoreClient } from '../protocol/store-client.ts'
import { type AckMembers, acksWanted } from './acks-wanted.ts'
import { confirmCounted, type KeptFile } from './kept-file.ts'
import { type LogValue, type PutLogs, whenSlow } from './logs.ts'
import type { PutOptions } from './put.ts'

export interface AcknowledgementDeps extends AckMembers {
  clock: Clock
  logs: PutLogs
  storeClient: Pick<StoreClient, 'keepRoot'>
  push: (peer: PeerId, statement: Statement, put: Uint8Array | null) => Promise<Verdict>
  /** Pushes the record to all other members, without waiting. */
  announce: (statement: Statement, except: ReadonlySet<PeerId>) => void
  /** Returns true if every block of a file is on this disk, and is claimed by the put or referred to. */
  hasAll: (root: BlockCid, putId: PutId) => Promise<boolean>
}

/** Which members have the file of a put, and what is still owed, when the put returns. */
export interface PutOutcome {
  /** The members, including this one, that acknowledged the record and hold the blocks that they are counted on for. */
  reached: PeerId[]
  /** The number of copies that the view requires. */
  wanted: number
  /** The number of copies of chunks that members still owe. */
  owedBlocks: number
}

/**
 * Pushes one record and counts the members that acknowledge it. A member acknowledges only while it holds every block
 * that it is counted on for. This object owns the counts of the file that a put has kept. For a record without blocks,
 * each member that has the record counts as a copy. The run ends once there are enough copies, or nobody is left to
 * ask.
 */
export class Acknowledgement {
  readonly #deps: AcknowledgementDeps
  readonly #options: PutOptions
  readonly #record: Statement<'entry'>
  readonly #kept: KeptFile | null
  readonly #acknowledged = new Set<PeerId>()
  /** The members that were asked and have not answered. */
  readonly #waiting = new Set<PeerId>()
  readonly #enough = Promise.withResolvers<void>()
  /** The last line that was logged about a wait for more members. */
  #lastWait = ''

  /** `kept` is the file that the record links; null if it has no blocks. */
  constructor(deps: AcknowledgementDeps, options: PutOptions, record: Statement<'entry'>, kept: KeptFile | null) {
    this.#deps = deps
    this.#options = options
    this.#record = record
    this.#kept = kept
  }

  /**
   * Pushes the record until every block has enough copies on members that acknowledged it, including this one, or until
   * time runs out. Throws a `NotEnoughCopiesError` if an explicit `ack` was not reached. Even then the record is
   * durable here, and the missing copies are handed off.
   */
  async run(): Promise<PutOutcome> {
    const { self, clock, logs } = this.#deps
    // Push before anything else, even if the caller has gone: the record is already durable here, so others must get it
    // too.
    const everyone = this.#pushToCounted()
    if (await this.#holdsOwnCopy()) this.#acknowledged.add(self)
    else this.#log('this member does not hold all blocks of its own copy')
    const end = whenSlow(clock, logs.acknowledgement, () => this.#logWaiting())
    try {
      await withDeadline(clock, ACK_TIMEOUT_MS, this.#options.signal, signal => this.#untilEnough(everyone, signal))
    } catch (error) {
      if (!(error instanceof DeadlineError)) throw error
      this.#log('not enough acknowledgements within %d ms', ACK_TIMEOUT_MS)
    } finally {
      end()
    }
    return this.#outcome()
  }

  #outcome(): PutOutcome {
    const { replicas, ack } = this.#options
    const reached = [...this.#acknowledged]
    const owedBlocks = this.#kept?.counts.owed(this.#acknowledged) ?? 0
    const isMet = ack === undefined || this.#isEnough()
    const wanted = Math.max(1, Math.min(replicas, this.#deps.ranking().keeperCount))
    this.#logOutcome(isMet, wanted, owedBlocks)
    if (!isMet) throw new NotEnoughCopiesError(reached, this.#acksWanted(), owedBlocks)
    return { reached, wanted, owedBlocks }
  }

  #logOutcome(isMet: boolean, wanted: number, owedBlocks: number): void {
    if (!this.#deps.logs.acknowledgement.enabled) return
    const [copies, acks] = [this.#copies(), this.#acksWanted()]
    const isAsked = this.#options.ack !== undefined
    const why = isAsked ? `the caller asked for ${acks}` : whyEnough(copies, acks, wanted)
    this.#log('%s, durable copies: %d of %d (%s)', isMet ? 'yes' : 'no', copies, wanted, why)
    if (owedBlocks === 0 || this.#kept === null) return
    const debts = [...this.#kept.counts.owedBy(this.#acknowledged)].map(([peer, count]) => `${peer}: ${count}`)
    this.#log('copies of chunks that are still owed: %d, by %s', owedBlocks, listOf(debts))
  }

  /** Returns true if this member may count itself. A laptop that slept until its own claims expired must not. */
  async #holdsOwnCopy(): Promise<boolean> {
    if (this.#kept === null) return true
    try {
      return await this.#deps.hasAll(this.#kept.root, this.#kept.putId)
    } catch (error) {
      // The record is durable already, so this must not look as if the put had failed.
      this.#log('this member could not check its own copy: %s', reasonOf(error))
      return false
    }
  }

  /**
   * Pushes the record to the members that are counted on, and announces it to all others. Resolves when the counted
   * members have answered.
   */
  #pushToCounted(): Promise<unknown> {
    const { admitted, announce, logs } = this.#deps
    const counted = this.#kept === null ? admitted() : this.#kept.counts.peers
    if (logs.acknowledgement.enabled) this.#logPush(listOf(counted))
    const pushes = Promise.all(counted.map(peer => this.#pushTo(peer)))
    announce(this.#record, new Set(counted))
    return pushes
  }

  #logPush(members: string): void {
    const kept = this.#kept
    if (kept === null) this.#log('without blocks; pushed to %s', members)
    else this.#log('of put %s with root %s; pushed to %s', nameOfId(kept.putNumber), nameOf(kept.root), members)
  }

  #logWaiting(): void {
    // If the put waits for no member, `#logRound` says who is asked next.
    if (this.#waiting.size === 0) return
    this.#log('%d of %d copies are durable, waits for %s', this.#copies(), this.#acksWanted(), listOf(this.#waiting))
  }

  async #untilEnough(everyone: Promise<unknown>, signal: AbortSignal): Promise<void> {
    if (this.#isEnough()) return
    // The caller already races all of this against the signal.
    await Promise.race([this.#enough.promise, everyone])
    signal.throwIfAborted()
    // All members that are counted on have answered. It is worth waiting for others only if the caller asked for an
    // explicit number.
    while (!this.#isEnough() && this.#options.ack !== undefined) await this.#askNewcomers(signal)
  }

  /** Waits a moment, then asks every other member that is reachable by then to keep the whole file. */
  async #askNewcomers(signal: AbortSignal): Promise<void> {
    const { admitted, clock } = this.#deps
    await clock.sleep(NEWCOMERS_MS, signal)
    const others = admitted().filter(peer => !this.#acknowledged.has(peer))
    const kept = this.#kept
    if (this.#deps.logs.acknowledgement.enabled) this.#logRound(others)
    if (kept !== null) {
      for (const peer of others) kept.counts.countAll(peer)
      await raceSignal(Promise.all(others.map(peer => this.#confirm(peer, kept))), signal)
    }
    const pushes = Promise.all(others.map(peer => this.#pushTo(peer)))
    await raceSignal(Promise.race([this.#enough.promise, pushes]), signal)
  }

  /** Logs a round of `askNewcomers`, unless the line would be the same as the last. */
  #logRound(others: readonly PeerId[]): void {
    const wait = `${this.#copies()} of ${this.#acksWanted()} copies are durable, asks ${listOf(others)}`
    if (wait !== this.#lastWait) this.#log('%s', wait)
    this.#lastWait = wait
  }

  /** Pushes the record to a member and counts it if it acknowledges. */
  async #pushTo(peer: PeerId): Promise<void> {
    this.#waiting.add(peer)
    try {
      const verdict = await this.#verdictOf(peer)
      if (verdict === 'ok') this.#acknowledged.add(peer)
    } catch (error) {
      this.#log('%s did not answer the push: %s', peer, reasonOf(error))
    } finally {
      this.#waiting.delete(peer)
    }
    if (this.#isEnough()) this.#enough.resolve()
  }

  async #verdictOf(peer: PeerId): Promise<Verdict> {
    const verdict = await this.#push(peer)
    if (verdict !== 'lacking' || this.#kept === null) return verdict
    // The member's claims expired, or it forgot in a restart what it is counted on for. Ask it once more to keep the
    // file.
    await this.#confirm(peer, this.#kept)
    return this.#push(peer)
  }

  async #push(peer: PeerId): Promise<Verdict> {
    const verdict = await this.#deps.push(peer, this.#record, this.#kept?.putNumber ?? null)
    // The log room reports the push of a record without blocks.
    if (this.#kept !== null) this.#log('%s says %s', peer, verdict)
    return verdict
  }

  #confirm(peer: PeerId, kept: KeptFile): Promise<void> {
    const { storeClient, logs } = this.#deps
    return confirmCounted(peer, kept, { storeClient, log: logs.acknowledgement })
  }

  #isEnough(): boolean {
    return this.#copies() >= this.#acksWanted()
  }

  /** Returns the number of copies of the whole file on members that acknowledged the record. */
  #copies(): number {
    if (this.#kept === null) return this.#acknowledged.size
    return this.#kept.counts.leastCopies(this.#acknowledged, this.#acknowledged.has(this.#deps.self) ? 1 : 0)
  }

  #acksWanted(): number {
    const { self, ranking, admitted, isAvoided } = this.#deps
    const { ack, replicas } = this.#options
    const members = { self, ranking, admitted, isAvoided: this.#kept?.isAvoided ?? isAvoided }
    return acksWanted(members, { ack, replicas, isRecordOnly: this.#kept === null })
  }

  #log(text: string, ...args: LogValue[]): void {
    const log = this.#deps.logs.acknowledgement
    if (log.enabled) log(`record %s: ${text}`, nameOfId(this.#record.id), ...args)
  }
}

/** Says why a put returns now, if its caller did not say how many copies to wait for. */
function whyEnough(copies: number, acks: number, wanted: number): string {
  if (copies < acks) return 'no other member acknowledged it'
  return copies === 1 && wanted > 1 ? 'no other member can be asked now' : `the default asks for ${acks}`
}
