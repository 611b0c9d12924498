import { LRUCache } from 'lru-cache'
import type { Clock } from '../util/clock.ts'
import {
  ARRIVAL_PAUSE_MS_MAX,
  ARRIVAL_PAUSE_MS_MIN,
  MEMBER_ADDRESS_MS,
  ORIGINS_MAX,
  STRANGER_ARRIVALS_BURST,
  STRANGER_ARRIVALS_PER_S,
  WELCOME_MS
} from './constants.ts'
import { originOf } from './origin.ts'

/** Who is expected from an address: a member, or a machine that waits for a person to let it in. */
export type Welcome = 'member' | 'waiting'

/** What we remember about the strangers from one address. All times are monotonic. */
interface Strangers {
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
 * processor time that members need. A connection from an address where a member was connected in the last days may
 * always begin, even if strangers are behind the same router. All others share a small rate, and an address whose connections
 * lead to nothing has to pause. The pauses are short, so that a member that is new behind a router finds a gap between
 * the tries of a machine that fails there. Addresses are counted as `originOf` does.
 */
export class ArrivalGate {
  readonly #clock: Pick<Clock, 'monotonic'>
  /**
   * The time until which members are expected from an address. This is kept apart, so that strangers cannot crowd out
   * members.
   */
  readonly #membersUntilMs = new LRUCache<string, number>({ max: ORIGINS_MAX })
  readonly #strangers = new LRUCache<string, Strangers>({ max: ORIGINS_MAX })
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
    const name = originOf(address)
    if (this.#isOfMember(name, nowMs)) return true
    const origin = this.#strangers.get(name)
    if (origin !== undefined && origin.pausedUntilMs > nowMs) return false
    const gained = ((nowMs - this.#roomAtMs) / 1000) * STRANGER_ARRIVALS_PER_S
    this.#room = Math.min(STRANGER_ARRIVALS_BURST, this.#room + gained)
    this.#roomAtMs = nowMs
    // Part of the room is for addresses that have not failed, so that those that keep coming back do not take all of it.
    const kept = (origin?.failures ?? 0) > FREE_FAILURES ? STRANGER_ARRIVALS_BURST / 2 : 0
    if (this.#room < kept + 1) return false
    this.#room--
    return true
  }

  /** Says that somebody is expected from this address for a while. */
  welcome(address: string, as: Welcome): void {
    const name = originOf(address)
    const nowMs = this.#clock.monotonic()
    if (as === 'member') {
      this.#membersUntilMs.set(name, nowMs + MEMBER_ADDRESS_MS)
      this.#strangers.delete(name)
      return
    }
    this.#strangers.set(name, { ...NOTHING, waitingUntilMs: nowMs + WELCOME_MS })
  }

  /** Says that a connection from this address has ended. */
  ended(address: string): void {
    const nowMs = this.#clock.monotonic()
    const name = originOf(address)
    if (this.#isOfMember(name, nowMs)) return
    const origin = this.#strangers.get(name) ?? { ...NOTHING }
    if (origin.waitingUntilMs > nowMs) return
    if (nowMs - origin.failedAtMs > WELCOME_MS) origin.failures = 0
    origin.failures++
    origin.failedAtMs = nowMs
    this.#strangers.set(name, origin)
    if (origin.failures <= FREE_FAILURES) return
    const pauseMs = ARRIVAL_PAUSE_MS_MIN * 2 ** Math.min(origin.failures - FREE_FAILURES - 1, 16)
    origin.pausedUntilMs = nowMs + Math.min(ARRIVAL_PAUSE_MS_MAX, pauseMs)
  }

  #isOfMember(name: string, nowMs: number): boolean {
    return (this.#membersUntilMs.get(name) ?? LONG_AGO) > nowMs
  }
}

/** A newcomer looks at who answers and comes back, so the first connection from an address may lead to nothing. */
const FREE_FAILURES = 1

const NOTHING: Strangers = { waitingUntilMs: LONG_AGO, failures: 0, failedAtMs: LONG_AGO, pausedUntilMs: LONG_AGO }
