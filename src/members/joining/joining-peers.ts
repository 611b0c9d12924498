import type { PeerId } from '../../format/peer-id.ts'
import { hlcMs } from '../../format/stamp.ts'
import type { Clock } from '../../util/clock.ts'
import { RefusedError } from '../../wire/errors.ts'
import { isPrivateOrigin } from '../../wire/origin.ts'
import { endOf, type GrantChain, isOver } from '../grant-chain.ts'
import { hasNoPlace, type Used } from './bounds.ts'
import { ATTEMPT_MS, ATTEMPTS_MAX } from './constants.ts'
import type { CodeEnd } from './ended-codes.ts'
import type { Places } from './entry-client.ts'
import {
  type Admission,
  type Attempt,
  dueAtMs,
  type Effect,
  isNobody,
  isWaiting,
  type JoinEvent,
  type JoiningPeer,
  NOBODY,
  step
} from './peer-machine.ts'

export interface JoiningPeersOptions {
  clock: Clock
  /** Called when both sides have proven themselves. */
  onAdmitted: (admission: Admission) => void
  /** Called when an admission ends, if `onAdmitted` was called for it. */
  onDeparted: (peer: PeerId) => void
  /** Called when the grant behind an admission has expired. The admission ends then. */
  onExpired: (peer: PeerId) => void
  /** Called when a code is no longer valid. */
  onCodeEnded: (attempt: Attempt, how: CodeEnd) => void
  hangUp: (peer: PeerId) => void
  /** Returns the chain of the peer's grant that takes effect now; undefined if the peer is no longer a member. */
  chainOf: (peer: PeerId) => GrantChain | undefined
}

/**
 * The peers that are connected, that wait for a person, or that are admitted. This class holds the only state of
 * joining: it passes each event to the state machine of its peer, counts the peers against the bounds, keeps their
 * timers, and runs the effects.
 */
export class JoiningPeers {
  readonly #options: JoiningPeersOptions
  readonly #peers = new Map<PeerId, JoiningPeer>()
  /** What follows from `#peers`, once somebody has asked for it. Every put asks several times. */
  #admissions: readonly Admission[] | undefined
  #admitted: readonly PeerId[] | undefined
  readonly #timers = new Map<PeerId, () => void>()
  /** What to call when a person has decided about a peer that has an unanswered `wait`. */
  readonly #waits = new Map<PeerId, () => void>()
  /** The codes that strangers could recently compute, the oldest first. There are at most `CODES_MAX`. */
  #draws: Array<{ origin: string | undefined; atMs: number }> = []

  constructor(options: JoiningPeersOptions) {
    this.#options = options
  }

  of(peer: PeerId): JoiningPeer {
    return this.#peers.get(peer) ?? NOBODY
  }

  /** The admissions of members that we may ask. */
  get admissions(): readonly Admission[] {
    this.#admissions ??= [...this.#peers.values()].map(admissionIn).filter(admission => admission !== undefined)
    return this.#admissions
  }

  /** Members that we may ask. */
  get admitted(): readonly PeerId[] {
    this.#admitted ??= this.admissions.map(({ peer }) => peer)
    return this.#admitted
  }

  /** Returns the admission of a member that we may ask, or undefined if there is none. */
  admissionOf(peer: PeerId): Admission | undefined {
    return admissionIn(this.of(peer))
  }

  /** All admissions: those of members that we may ask, and of peers that so far may only ask us. */
  get held(): Admission[] {
    return [...this.#peers.values()].flatMap(({ admission: held }) => (held === undefined ? [] : [held.admission]))
  }

  /** Returns true if a peer may ask us for more than to join. */
  mayAsk(peer: PeerId): boolean {
    return this.of(peer).admission !== undefined
  }

  /** The machines about which a person has not decided yet. */
  get attempts(): Attempt[] {
    return [...this.#peers.values()].map(({ attempt }) => attempt).filter(isWaiting)
  }

  /** Returns what to tell a machine from this address that asks to wait; undefined if there is a place for it. */
  placesFor(peer: PeerId, origin: string): Places | undefined {
    // A machine that waits already has a place.
    if (this.of(peer).attempt !== undefined) return undefined
    const taken = this.#placesTaken(peer)
    if (!hasNoPlace({ attempts: countOf(taken, origin), isPrivate: isPrivateOrigin(origin) })) return undefined
    const counted = taken.length >= ATTEMPTS_MAX ? taken : taken.filter(attempt => attempt.origin === origin)
    const freeAtMs = Math.min(...counted.map(({ untilMs }) => untilMs))
    const freeMs = Math.max(0, Math.ceil(freeAtMs - this.#options.clock.monotonic()))
    return { waiting: counted.length, freeMs }
  }

  /** Applies an event to a peer. Throws a `RefusedError` if the peer may not do this now; then nothing changes. */
  handle(peer: PeerId, event: JoinEvent): void {
    const before = this.of(peer)
    const { next, effects } = step(before, event, this.#factsFor(peer, event))
    const refusal = effects.find(effect => effect.do === 'refuse')
    if (refusal !== undefined) throw new RefusedError(refusal.status)
    if (event.event === 'hello' && event.commit !== undefined)
      this.#draws.push({ origin: event.origin, atMs: this.#options.clock.monotonic() })
    this.#admissions = undefined
    this.#admitted = undefined
    if (isNobody(next)) this.#peers.delete(peer)
    else this.#peers.set(peer, next)
    this.#setTimer(peer)
    for (const effect of effects) this.#run(peer, effect)
    const how = endOfCode(before, next, event)
    if (how !== undefined) this.#options.onCodeEnded(before.attempt as Attempt, how)
  }

  /**
   * Admits a peer, so that we may ask it. Returns its current admission, which is an earlier one if the peer's process
   * has not restarted since.
   */
  enter(admission: Admission): Admission {
    this.handle(admission.peer, { event: 'entered', admission })
    return this.admissionOf(admission.peer) ?? admission
  }

  /** Resolves once a person has decided about a peer, or the signal fires. Returns false if one call waits already. */
  async decision(peer: PeerId, waitMs: number, signal: AbortSignal): Promise<boolean> {
    if (this.#waits.has(peer)) return false
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waits.set(peer, resolve)
    const cancel = this.#options.clock.after(waitMs, resolve)
    const onAbort = (): void => resolve()
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) resolve()
    try {
      await promise
      return true
    } finally {
      cancel()
      signal.removeEventListener('abort', onAbort)
      this.#waits.delete(peer)
    }
  }

  /**
   * Ends the admissions whose grants have expired. Call it regularly: a timer does not notice that the clock was set, or
   * that the machine slept.
   */
  endExpired(): void {
    for (const admission of this.held) this.#endIfExpired(admission)
  }

  #run(peer: PeerId, effect: Effect): void {
    switch (effect.do) {
      case 'hang-up':
        this.#options.hangUp(peer)
        return
      case 'admitted':
        this.#options.onAdmitted(effect.admission)
        return
      case 'departed':
        this.#options.onDeparted(peer)
        return
      default:
        this.#waits.get(peer)?.()
    }
  }

  #factsFor(peer: PeerId, event: JoinEvent): Parameters<typeof step>[2] {
    const nowMs = this.#options.clock.monotonic()
    const facts = { nowMs, isPrivate: false, strangers: NONE, attempts: NONE, codes: NONE }
    if (event.event !== 'hello' && event.event !== 'asked') return facts
    const others = [...this.#peers].filter(([other]) => other !== peer).map(([, state]) => state)
    const greetings = others.map(({ greeting }) => greeting).filter(greeting => greeting?.origin !== undefined)
    this.#draws = this.#draws.filter(({ atMs }) => atMs > nowMs - ATTEMPT_MS)
    const origin = event.event === 'hello' ? event.origin : event.attempt.origin
    return {
      nowMs,
      isPrivate: origin !== undefined && isPrivateOrigin(origin),
      strangers: countOf(greetings, origin),
      attempts: countOf(this.#placesTaken(peer), origin),
      codes: countOf(this.#draws, origin)
    }
  }

  /**
   * The attempts of other machines that take a place, because nobody has decided about them yet. A decided attempt is
   * remembered, but takes no place. The limit on codes in ten minutes bounds how many of these there are.
   */
  #placesTaken(peer: PeerId): Attempt[] {
    const attempts = [...this.#peers].filter(([other]) => other !== peer).map(([, { attempt }]) => attempt)
    return attempts.filter(isWaiting)
  }

  #setTimer(peer: PeerId): void {
    const { clock } = this.#options
    this.#timers.get(peer)?.()
    this.#timers.delete(peer)
    const state = this.#peers.get(peer)
    if (state === undefined) return
    const pauses = [dueAtMs(state) - clock.monotonic(), endMsOf(state) - clock.now()]
    const pauseMs = Math.max(0, Math.min(...pauses))
    if (Number.isFinite(pauseMs))
      this.#timers.set(
        peer,
        clock.after(pauseMs, () => this.#onTimer(peer))
      )
  }

  #onTimer(peer: PeerId): void {
    this.handle(peer, { event: 'timer' })
    const held = this.of(peer).admission
    if (held !== undefined) this.#endIfExpired(held.admission)
  }

  #endIfExpired(admission: Admission): void {
    const { clock, chainOf, onExpired } = this.#options
    const { peer } = admission
    if (!isOver(endOf(admission.chain), clock.now())) return
    const renewed = chainOf(peer)
    if (renewed === undefined || isOver(endOf(renewed), clock.now())) {
      onExpired(peer)
      this.handle(peer, { event: 'expelled' })
      return
    }
    // The peer need not show the grant that extends its membership, because our log has it.
    admission.chain = renewed
    this.#setTimer(peer)
  }
}

/** Returns how the code that a machine showed has ended; undefined if it showed none, or still shows it. */
function endOfCode({ attempt: before }: JoiningPeer, { attempt }: JoiningPeer, event: JoinEvent): CodeEnd | undefined {
  if (before === undefined || before.decision === 'granted') return undefined
  if (attempt?.code === before.code) return attempt.decision === before.decision ? undefined : attempt.decision
  if (before.decision === 'denied') return undefined
  if (event.event === 'gave-up') return 'withdrawn'
  return event.event === 'timer' || event.event === 'asked' ? 'expired' : 'granted'
}

const NONE = { all: 0, ofOrigin: 0 }

function countOf(items: ReadonlyArray<{ origin: string | undefined } | undefined>, origin: string | undefined): Used {
  return { all: items.length, ofOrigin: items.filter(item => item?.origin === origin).length }
}

function admissionIn({ admission: held }: JoiningPeer): Admission | undefined {
  return held === undefined || held.stage === 'proven' ? undefined : held.admission
}

/** The first moment, in ms since the Unix epoch, at which the grant behind the admission of a peer has ended. */
function endMsOf({ admission: held }: JoiningPeer): number {
  const end = held === undefined ? undefined : endOf(held.admission.chain)
  // The grant still counts at the moment of its end.
  return end === undefined ? Number.POSITIVE_INFINITY : hlcMs(end) + 1
}
