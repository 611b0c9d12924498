import { LRUCache } from 'lru-cache'
import type { Clock } from '../util/clock.ts'
import {
  ARRIVAL_PAUSE_MS_MAX,
  ARRIVAL_PAUSE_MS_MIN,
  ORIGINS_MAX,
  STRANGER_ARRIVALS_BURST,
  STRANGER_ARRIVALS_PER_S,
  WELCOME_MS
} from './constants.ts'
import { originOf } from './origin.ts'

/** Who is expected from an address: a member, or a machine that waits for a person to let it in. */
export type Welcome = 'member' | 'waiting'

/** What we remember about the connections from one address. All times are monotonic. */
interface Origin {
  /** The time until which a member is expected from here. */
  memberUntilMs: number
  /** The time until which a machine that waits is expected from here. */
  waitingUntilMs: number
  /** The number of connections that have ended and led to nothing, and when the last one did. */
  failures: number
  failedAtMs: number
  pausedUntilMs: number
}

const LONG_AGO = Number.NEGATIVE_INFINITY

/**
 * Decides which connections may begin, before any cryptography, so that strangers who dial in a loop cannot use up the
 * processor time that members need. A connection from an address where a member was recently connected may always
 * begin. All others share a small rate, and an address whose connections lead to nothing has to pause. Addresses are
 * counted as `originOf` does.
 */
export class ArrivalGate {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #origins = new LRUCache<string, Origin>({ max: ORIGINS_MAX })
  /** The number of strangers that may arrive now, and when that was computed. */
  #room = STRANGER_ARRIVALS_BURST
  #roomAtMs: number

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock
    this.#roomAtMs = clock.monotonic()
  }

  /**
   * Returns true if a connection from this address, given as multiaddr text, may begin. If so, the connection is
   * counted.
   */
  mayArrive(address: string): boolean {
    const nowMs = this.#clock.monotonic()
    const origin = this.#origins.get(originOf(address))
    if (origin !== undefined && origin.memberUntilMs > nowMs) return true
    if (origin !== undefined && origin.pausedUntilMs > nowMs) return false
    const gained = ((nowMs - this.#roomAtMs) / 1000) * STRANGER_ARRIVALS_PER_S
    this.#room = Math.min(STRANGER_ARRIVALS_BURST, this.#room + gained)
    this.#roomAtMs = nowMs
    // Part of the room is for addresses that are new, so that those that keep coming back do not take all of it.
    const kept = (origin?.failures ?? 0) > 0 ? STRANGER_ARRIVALS_BURST / 2 : 0
    if (this.#room < kept + 1) return false
    this.#room--
    return true
  }

  /** Says that somebody is expected from this address for a while. */
  welcome(address: string, as: Welcome): void {
    const untilMs = this.#clock.monotonic() + WELCOME_MS
    const origin = this.#of(address)
    if (as === 'member') origin.memberUntilMs = untilMs
    else origin.waitingUntilMs = untilMs
    origin.failures = 0
    origin.pausedUntilMs = LONG_AGO
  }

  /** Says that a connection from this address has ended. */
  ended(address: string): void {
    const nowMs = this.#clock.monotonic()
    const origin = this.#of(address)
    if (origin.memberUntilMs > nowMs || origin.waitingUntilMs > nowMs) return
    if (nowMs - origin.failedAtMs > WELCOME_MS) origin.failures = 0
    origin.failures++
    origin.failedAtMs = nowMs
    if (origin.failures === 1) return
    const pauseMs = ARRIVAL_PAUSE_MS_MIN * 2 ** Math.min(origin.failures - 2, 16)
    origin.pausedUntilMs = nowMs + Math.min(ARRIVAL_PAUSE_MS_MAX, pauseMs)
  }

  #of(address: string): Origin {
    const name = originOf(address)
    const known = this.#origins.get(name)
    if (known !== undefined) return known
    const origin: Origin = {
      memberUntilMs: LONG_AGO,
      waitingUntilMs: LONG_AGO,
      failures: 0,
      failedAtMs: LONG_AGO,
      pausedUntilMs: LONG_AGO
    }
    this.#origins.set(name, origin)
    return origin
  }
}
