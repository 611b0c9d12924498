import type { Clock } from '../util/clock.ts'
import { Limiter } from '../util/limiter.ts'
import { FETCH_TURN_MS } from './constants.ts'

/**
 * Lets one comparison at a time fetch statements. A newcomer that meets several members at once then fetches each
 * statement from one of them only: before each fetch, it looks again which statements are still missing.
 */
export class FetchTurns {
  readonly #clock: Clock
  readonly #limiter = new Limiter(1)

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * Waits for the turn, then runs `fetch`, and then `take` with what it returned. If the other member takes longer than
   * `FETCH_TURN_MS` to answer, the turn passes to the next comparison, so that one slow member does not hold up the
   * others. Its answer is still taken when it comes.
   */
  async run<T, R>(
    fetch: () => Promise<T>,
    take: (fetched: T) => Promise<R>,
    signal: AbortSignal | undefined
  ): Promise<R> {
    const release = await this.#limiter.acquire(1, signal)
    const cancel = this.#clock.after(FETCH_TURN_MS, release)
    try {
      const fetched = await fetch()
      cancel()
      return await take(fetched)
    } finally {
      cancel()
      release()
    }
  }
}
