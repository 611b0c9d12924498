import type { PeerId } from '../format/peer-id.ts'
import { Backoff } from '../util/backoff.ts'
import type { Clock } from '../util/clock.ts'
import { isAbort } from '../util/errors.ts'
import { type Logger, reasonOf } from '../util/logger.ts'
import type { Admission } from './admissions.ts'
import { COMPARE_RETRY_MS, COMPARE_RETRY_MS_MAX } from './constants.ts'

export interface ComparisonsOptions {
  clock: Clock
  log: Logger
  /**
   * Fetches the statements that a member has and we lack. Returns false if we refused some that we may accept later.
   */
  compare: (peer: PeerId, signal: AbortSignal) => Promise<boolean>
  /** Returns true if an admission is still current. */
  isCurrent: (admission: Admission) => boolean
  /** Called when we have received everything that a member had and we lacked. */
  onCompared: (peer: PeerId) => void
}

/**
 * Compares our log with that of each newly admitted member, and repeats the comparison until we have everything that it
 * has.
 */
export class Comparisons {
  readonly #options: ComparisonsOptions
  readonly #compared = new Set<PeerId>()
  readonly #stopped = new AbortController()

  constructor(options: ComparisonsOptions) {
    this.#options = options
  }

  /** The admitted members whose log has been compared with ours since they were admitted. */
  get compared(): ReadonlySet<PeerId> {
    return this.#compared
  }

  /** Call this when the admission of a member has ended. */
  forget(peer: PeerId): void {
    this.#compared.delete(peer)
  }

  stop(): void {
    this.#stopped.abort()
  }

  /** Resolves when the comparison is complete, when the admission has ended, or when `stop` is called. */
  async run(admission: Admission): Promise<void> {
    const { clock, isCurrent } = this.#options
    const { signal } = this.#stopped
    const backoff = new Backoff({ minMs: COMPARE_RETRY_MS, maxMs: COMPARE_RETRY_MS_MAX })
    while (isCurrent(admission) && !signal.aborted) {
      const pauseMs = backoff.nextMs()
      if (await this.#compare(admission, pauseMs)) return
      await clock.sleep(pauseMs, signal).catch(() => {
        // The sleep was aborted because we are stopping, so the loop ends.
      })
    }
  }

  /** Compares once. Returns false if the comparison must be repeated. */
  async #compare(admission: Admission, pauseMs: number): Promise<boolean> {
    const { log, compare, isCurrent, onCompared } = this.#options
    const { peer } = admission
    log('comparing with %s', peer)
    try {
      const isComplete = await compare(peer, this.#stopped.signal)
      if (!isCurrent(admission)) return true
      if (!isComplete) {
        log('compared with %s, but some statements may be accepted later: trying again in %d ms', peer, pauseMs)
        return false
      }
    } catch (error) {
      log('comparing with %s failed, trying again in %d ms: %s', peer, pauseMs, reasonOf(error))
      return isAbort(error)
    }
    log('compared with %s: everything that it has is here', peer)
    this.#compared.add(peer)
    onCompared(peer)
    return true
  }
}
