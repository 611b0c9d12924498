import type { PeerId } from '../format/peer-id.ts'
import { Backoff } from '../util/backoff.ts'
import type { Chance } from '../util/chance.ts'
import type { Clock } from '../util/clock.ts'
import { isAbort } from '../util/errors.ts'
import { type Logger, reasonOf } from '../util/logger.ts'
import { Worker } from '../util/worker.ts'
import { COMPARE_EVERY_MS, COMPARE_PAUSE_MS, COMPARE_RETRY_MS, COMPARE_RETRY_MS_MAX } from './constants.ts'
import type { Admission } from './joining/peer-machine.ts'

/** A comparison after which everything that a member has is here. */
export interface Compared {
  /** True if it is the first one since the member was admitted. */
  isFirst: boolean
  /** When it began; monotonic time. */
  beganAtMs: number
}

export interface ComparisonsOptions {
  clock: Clock
  chance: Pick<Chance, 'fraction'>
  log: Logger
  /**
   * Fetches the statements that a member has and we lack. Returns false if we refused some that we may accept later.
   */
  compare: (peer: PeerId, signal: AbortSignal) => Promise<boolean>
  /** The current admissions of all members that we may ask. */
  admissions: () => readonly Admission[]
  /** Returns true if an admission is still current. */
  isCurrent: (admission: Admission) => boolean
  /**
   * Called each time when we have received everything that a member had and we lacked, in both classes. `isFirst` is true
   * once for each admission.
   */
  onCompared: (peer: PeerId, compared: Compared) => void
}

/**
 * Compares our log with the logs of the admitted members: with each of them when it is admitted, until we have
 * everything that it has; with one of them at random from time to time; and with any of them that asks for it. At most
 * one comparison with a member is under way.
 */
export class Comparisons {
  /** Compares with members that asked for it, and otherwise with one at random. */
  readonly worker: Worker
  readonly #options: ComparisonsOptions
  readonly #compared = new Set<PeerId>()
  /** Members that asked us to compare, because something of theirs did not get through to us. */
  readonly #asked = new Set<PeerId>()
  readonly #underWay = new Map<Admission, Promise<Outcome>>()
  /** When the last comparison with a member ended, by the monotonic clock. */
  readonly #endedAtMs = new WeakMap<Admission, number>()
  readonly #stopped = new AbortController()

  constructor(options: ComparisonsOptions) {
    this.#options = options
    const { clock, chance, log } = options
    this.worker = new Worker({
      name: 'log comparison',
      clock,
      log,
      // The jitter keeps the members from asking in step.
      everyMs: () => COMPARE_EVERY_MS * (0.5 + chance.fraction()),
      work: signal => this.#round(signal)
    })
  }

  /** The admitted members whose log has been compared with ours since they were admitted. */
  get compared(): ReadonlySet<PeerId> {
    return this.#compared
  }

  /** Call this when the admission of a member has ended. */
  forget(peer: PeerId): void {
    this.#compared.delete(peer)
    this.#asked.delete(peer)
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.worker.stop()
  }

  /**
   * Compares with a member at once, because it has asked for it. If we have just compared with it, it has to wait for
   * one of the next rounds.
   */
  soon(peer: PeerId): void {
    const admission = this.#options.admissions().find(current => current.peer === peer)
    if (admission === undefined) return
    this.#asked.add(peer)
    if (this.#isFree(admission)) this.worker.wake()
  }

  /** Resolves when the first comparison is complete, when the admission has ended, or when `stop` is called. */
  async run(admission: Admission): Promise<void> {
    const { clock, isCurrent } = this.#options
    const { signal } = this.#stopped
    const backoff = new Backoff({ minMs: COMPARE_RETRY_MS, maxMs: COMPARE_RETRY_MS_MAX })
    while (isCurrent(admission) && !signal.aborted && !this.#compared.has(admission.peer)) {
      if ((await this.#compare(admission)) !== 'again') return
      await clock.sleep(backoff.nextMs(), signal).catch(() => {
        // The sleep was aborted because we are stopping, so the loop ends.
      })
    }
  }

  /** Starts comparisons, and waits a while for them. One slow member does not hold up the next round. */
  async #round(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options
    const comparing = Promise.all([...this.#due()].map(admission => this.#compare(admission)))
    await Promise.race([comparing, clock.sleep(COMPARE_EVERY_MS, signal)])
  }

  /** Returns the members that have asked, and one at random. */
  #due(): Set<Admission> {
    const { chance, admissions } = this.#options
    const free = admissions().filter(admission => this.#isFree(admission))
    const due = new Set(free.filter(({ peer }) => this.#asked.has(peer)))
    const any = free[Math.floor(chance.fraction() * free.length)]
    if (any !== undefined) due.add(any)
    return due
  }

  #isFree(admission: Admission): boolean {
    const endedAtMs = this.#endedAtMs.get(admission) ?? Number.NEGATIVE_INFINITY
    return !this.#underWay.has(admission) && this.#options.clock.monotonic() - endedAtMs >= COMPARE_PAUSE_MS
  }

  /** Compares once, or waits for the comparison with this member that is under way. Never throws. */
  #compare(admission: Admission): Promise<Outcome> {
    let comparing = this.#underWay.get(admission)
    if (comparing === undefined) {
      comparing = this.#compareOnce(admission).finally(() => {
        this.#underWay.delete(admission)
        this.#endedAtMs.set(admission, this.#options.clock.monotonic())
      })
      this.#underWay.set(admission, comparing)
    }
    return comparing
  }

  async #compareOnce(admission: Admission): Promise<Outcome> {
    const { log, compare, isCurrent } = this.#options
    const { peer } = admission
    const [isFirst, beganAtMs] = [!this.#compared.has(peer), this.#options.clock.monotonic()]
    const hasAsked = this.#asked.delete(peer)
    // Later comparisons are frequent and seldom bring anything, so they are only traced.
    const write = isFirst ? log : log.trace
    write('comparing with %s', peer)
    try {
      const isComplete = await compare(peer, this.#stopped.signal)
      if (!isCurrent(admission)) return 'over'
      if (!isComplete) {
        write('compared with %s, but some statements may be accepted later', peer)
        return 'again'
      }
    } catch (error) {
      log('comparing with %s failed: %s', peer, reasonOf(error))
      // The member does not ask again, since it was told that we compare. With many members, its turn comes late.
      if (hasAsked && isCurrent(admission)) this.#asked.add(peer)
      return isAbort(error) ? 'over' : 'again'
    }
    write('compared with %s: everything that it has is here', peer)
    this.#complete(peer, beganAtMs)
    return 'done'
  }

  #complete(peer: PeerId, beganAtMs: number): void {
    const isFirst = !this.#compared.has(peer)
    this.#compared.add(peer)
    this.#options.onCompared(peer, { isFirst, beganAtMs })
  }
}

/** How a comparison ended: we have everything, it must be repeated, or the admission is over. */
type Outcome = 'done' | 'again' | 'over'
