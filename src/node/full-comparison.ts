import type { IndexDb } from '../disk/index-db.ts'
import { comparedMembers, comparedOp, doubtOps, endDoubtOps, isInDoubt } from '../disk/index-marks.ts'
import type { PeerId } from '../format/peer-id.ts'
import type { Clock } from '../util/clock.ts'
import { Limiter } from '../util/limiter.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../util/logger.ts'

/** Another member, as this one knows it. */
export interface OtherMember {
  peer: PeerId
  /** What the view says of it; `unknown` if no status of it has arrived. */
  state: 'in' | 'out' | 'unknown'
}

export interface FullComparisonOptions {
  index: IndexDb
  clock: Pick<Clock, 'monotonic'>
  logger: ComponentLogger
  /** Returns all members but this one. */
  others: () => readonly OtherMember[]
}

/**
 * Says whether this member has to compare its whole log with the others before it may free anything. It has to if its
 * index is in doubt: only the lost index, or a damaged row, may have known of a record that needs a block here. The
 * doubt and the members that were compared since are in the index, so that they survive a crash.
 *
 * The doubt ends once this member has compared with every other member that is not out. A member of which no status has
 * arrived counts too, until one comparison is complete: if there were a status, the compared member would have had it.
 * If there is no other member, the doubt ends at once.
 */
export class FullComparison {
  readonly #options: FullComparisonOptions
  readonly #log: Logger
  readonly #turns = new Limiter(1)
  readonly #compared = new Set<string>()
  /** When the doubt began; monotonic time. A comparison that began earlier may have missed what is in doubt. */
  #doubtAtMs = Number.NEGATIVE_INFINITY
  #isInDoubt = true
  /** Counts the doubts, so that the end of an earlier one, which is still being written, does not end a new one. */
  #begun = 0

  constructor(options: FullComparisonOptions) {
    this.#options = options
    this.#log = options.logger.forComponent('dfs:node:comparison')
  }

  /** False while nothing may be freed. To be safe, it is false until `load` has run. */
  get isWhole(): boolean {
    return !this.#isInDoubt
  }

  /** The number of members with which this member still has to compare its log; 0 if the index is not in doubt. */
  get missing(): number {
    return this.#isInDoubt ? this.#missing().length : 0
  }

  /**
   * Reads what the index says. Call it once the members are loaded. `isNew` says that this start made the data directory,
   * so that nothing can have been lost.
   */
  async load({ isNew }: { isNew: boolean }): Promise<void> {
    const { index } = this.#options
    this.#isInDoubt = await isInDoubt(index)
    for (const peer of await comparedMembers(index)) this.#compared.add(peer)
    if (this.#isInDoubt && isNew) await this.#alone(() => this.#end())
    else await this.#check()
    if (this.#isInDoubt) this.#log('this member frees nothing until it has compared with others: %d', this.missing)
  }

  /** Puts the index in doubt: something may have been lost just now. Errors of the index are logged. */
  async begin(): Promise<void> {
    const wasWhole = !this.#isInDoubt
    this.#isInDoubt = true
    this.#doubtAtMs = this.#options.clock.monotonic()
    this.#begun++
    await this.#alone(async () => {
      this.#compared.clear()
      await this.#options.index.batch(await doubtOps(this.#options.index))
      if (wasWhole) this.#log('this member frees nothing until it has compared with all others again')
    })
    await this.#check()
  }

  /**
   * Notes that this member has fetched everything that another one had, in a comparison that began at `beganAtMs`
   * (monotonic time). Errors of the index are logged.
   */
  async noteCompared(peer: PeerId, beganAtMs: number): Promise<void> {
    if (!this.#isInDoubt || beganAtMs < this.#doubtAtMs) return
    await this.#alone(async () => {
      await this.#options.index.batch([comparedOp(peer)])
      this.#compared.add(peer)
    })
    await this.#check()
  }

  /** Ends the doubt if nothing is missing any more. Call it when the view changes. Errors of the index are logged. */
  async noteView(): Promise<void> {
    await this.#check()
  }

  async #check(): Promise<void> {
    if (!this.#isInDoubt || this.#missing().length > 0) return
    await this.#alone(async () => {
      if (this.#missing().length === 0) await this.#end()
    })
  }

  async #end(): Promise<void> {
    const { index } = this.#options
    const begun = this.#begun
    await index.batch(await endDoubtOps(index))
    if (this.#begun !== begun) return
    this.#compared.clear()
    this.#isInDoubt = false
    this.#log('this member has compared with every other one, and may free blocks')
  }

  #missing(): OtherMember[] {
    const isAnyCompared = this.#compared.size > 0
    return this.#options.others().filter(({ peer, state }) => {
      if (this.#compared.has(peer)) return false
      return state === 'in' || (state === 'unknown' && !isAnyCompared)
    })
  }

  // If the index cannot be written, the doubt stays, at least in memory. Then blocks are kept for longer, which does no
  // harm.
  async #alone(work: () => Promise<void>): Promise<void> {
    await this.#turns
      .run(work)
      .catch(error => this.#log('could not note the state of the comparison: %s', reasonOf(error)))
  }
}
