import type { PeerId } from '../../format/peer-id.ts'
import { equalBytes } from '../../util/bytes.ts'
import type { WireStatus } from '../../wire/errors.ts'
import { HELLOS_MAX, JOIN_TIMEOUT_MS, PROOFS_MAX, STRANGER_MS } from '../constants.ts'
import type { GrantChain } from '../grant-chain.ts'
import type { AskedRole } from '../join-messages.ts'
import { hasNoCode, hasNoPlace, hasNoSlot, type Used } from './bounds.ts'
import { ATTEMPT_MS } from './constants.ts'

/**
 * Holds everything that joining knows about one peer, and every way in which that changes. This file is pure:
 * `JoiningPeers` holds the peers, counts them, and runs the effects. All times here are monotonic, unless they say
 * otherwise.
 *
 * A peer has up to three parts, which do not exclude each other: its place between `hello` and the end of the exchange,
 * a person's decision that it waits for, and its admission. For example, a member that both sides dialled is admitted
 * by our exchange while its own is still under way.
 */
export interface JoiningPeer {
  readonly isConnected: boolean
  /** True while an attempt of ours to join this peer is under way. */
  readonly isDialling: boolean
  /** When we hang up on it; undefined if it may stay. */
  readonly hangUpAtMs: number | undefined
  readonly greeting: Greeting | undefined
  readonly attempt: Attempt | undefined
  readonly admission: HeldAdmission | undefined
}

/** A place among the peers that are between `hello` and `admitted`. */
export interface Greeting {
  /** Another `hello` extends neither this nor the number of proofs. */
  readonly untilMs: number
  readonly hellosLeft: number
  readonly proofsLeft: number
  /** The address under which the stranger is counted; undefined for a member, which always gets a place. */
  readonly origin: string | undefined
  /** What the peer committed to, until it has revealed it, and the nonce that we answered with. */
  readonly commit: Uint8Array | undefined
  readonly nonce: Uint8Array
}

/** A machine that waits for a person to let it in. */
export interface Attempt {
  readonly peer: PeerId
  readonly key: Uint8Array
  readonly x25519: Uint8Array
  readonly name: string
  readonly role: AskedRole
  readonly code: string
  readonly origin: string
  /** When it asked, in ms since the Unix epoch. */
  readonly sinceMs: number
  readonly untilMs: number
  readonly decision: 'granted' | 'denied' | undefined
}

/** The right of a member to be asked and to ask, which it proved with its grant. It lasts while a connection exists. */
export interface Admission {
  peer: PeerId
  /** The random number that its process drew when it started. */
  instance: Uint8Array
  /** The chain of grants under which it is admitted: the one that it has shown, or one that has renewed that since. */
  chain: GrantChain
  /** How far its clock is ahead of ours; negative if it is behind. */
  aheadMs: number
}

/**
 * How far an admission has come. `proven`: we accepted the peer's proof, so it may ask us. `entered`: we may ask it too,
 * but it has not yet confirmed our proof. `announced`: both sides have, and the rest of this program knows.
 */
export interface HeldAdmission {
  readonly admission: Admission
  readonly stage: 'proven' | 'entered' | 'announced'
}

export type JoinEvent =
  | { event: 'connected' | 'disconnected' | 'dialling' | 'dialled' | 'proving' | 'confirmed' | 'expelled' | 'timer' }
  | { event: 'hello'; origin: string | undefined; commit: Uint8Array | undefined; nonce: Uint8Array }
  | { event: 'revealed' | 'gave-up' }
  | { event: 'asked'; attempt: Omit<Attempt, 'untilMs' | 'decision'> }
  | { event: 'decided'; decision: 'granted' | 'denied' }
  | { event: 'proved' | 'entered' | 'announced' | 'withdrawn'; admission: Admission }

export type Effect =
  | { do: 'hang-up' }
  | { do: 'admitted'; admission: Admission }
  | { do: 'departed' }
  | { do: 'refuse'; status: WireStatus }
  | { do: 'answer-wait' }

/** How much of each bound is used, without this peer's own part. `ofOrigin`: by peers from the same address. */
export interface Facts {
  nowMs: number
  /** True if the peer is on a private network or on this machine. */
  isPrivate: boolean
  strangers: Used
  attempts: Used
  codes: Used
}

export interface Step {
  next: JoiningPeer
  effects: Effect[]
}

export const NOBODY: JoiningPeer = {
  isConnected: false,
  isDialling: false,
  hangUpAtMs: undefined,
  greeting: undefined,
  attempt: undefined,
  admission: undefined
}

/** Returns what a peer is after an event, and what to do about it. An event that is refused changes nothing. */
export function step(peer: JoiningPeer, event: JoinEvent, facts: Facts): Step {
  const { next, effects } = stepParts(peer, event, facts)
  // If hanging up fails, it is tried again.
  const wasWelcome = peer.hangUpAtMs === undefined || effects.some(effect => effect.do === 'hang-up')
  const hangUpAtMs = wasWelcome ? facts.nowMs + STRANGER_MS : peer.hangUpAtMs
  return { next: { ...next, hangUpAtMs: mayStay(next) ? undefined : hangUpAtMs }, effects }
}

/** Returns true if nothing needs to be remembered of a peer. */
export function isNobody({ isConnected, isDialling, greeting, attempt, admission }: JoiningPeer): boolean {
  return !isConnected && !isDialling && (greeting ?? attempt ?? admission) === undefined
}

/** When the next `timer` event of a peer is due; infinity if none is. */
export function dueAtMs({ hangUpAtMs, greeting, attempt }: JoiningPeer): number {
  const times = [hangUpAtMs, greeting?.untilMs, attempt?.untilMs]
  return Math.min(...times.map(time => time ?? Number.POSITIVE_INFINITY))
}

/** A peer may stay connected while it is admitted, or while a person has not decided about it. */
function mayStay({ isConnected, admission, attempt }: JoiningPeer): boolean {
  return !isConnected || admission?.stage === 'announced' || isWaiting(attempt)
}

/** Returns true if a person has not decided about this machine yet. */
export function isWaiting(attempt: Attempt | undefined): attempt is Attempt {
  return attempt !== undefined && attempt.decision === undefined
}

function stepParts(peer: JoiningPeer, event: JoinEvent, facts: Facts): Step {
  switch (event.event) {
    case 'connected':
      return to({ ...peer, isConnected: true })
    case 'disconnected':
      return withoutAdmission({ ...peer, isConnected: false, greeting: undefined })
    case 'dialling':
      return to({ ...peer, isDialling: true })
    case 'dialled':
      return to({ ...peer, isDialling: false })
    case 'hello':
      return hello(peer, event, facts)
    case 'proving':
      return proving(peer)
    case 'revealed':
      return revealed(peer)
    case 'asked':
      return asked(peer, event.attempt, facts)
    case 'gave-up':
      return isWaiting(peer.attempt) ? to({ ...peer, attempt: undefined }, { do: 'answer-wait' }) : to(peer)
    case 'decided':
      return decided(peer, event.decision)
    case 'timer':
      return timer(peer, facts.nowMs)
    default:
      return admissionStep(peer, event)
  }
}

function hello(peer: JoiningPeer, event: Extract<JoinEvent, { event: 'hello' }>, facts: Facts): Step {
  const { origin, commit, nonce } = event
  // Each answer to a commitment lets the peer compute a code, so it counts even if the peer never reveals.
  const isDrawing = commit !== undefined
  // A machine without a place could only use up the codes of its address, one with every try.
  if (isDrawing && (hasNoCode(facts) || hasNoPlace(facts))) return refuse(peer, 'busy')
  const { greeting } = peer
  if (greeting?.hellosLeft === 0) return refuse(peer, 'busy')
  if (greeting !== undefined)
    return to({ ...peer, greeting: { ...greeting, hellosLeft: greeting.hellosLeft - 1, commit, nonce } })
  const isStranger = origin !== undefined
  if (isStranger && hasNoSlot(facts)) return refuse(peer, 'busy')
  const untilMs = facts.nowMs + JOIN_TIMEOUT_MS
  return to({
    ...peer,
    greeting: { untilMs, hellosLeft: HELLOS_MAX - 1, proofsLeft: PROOFS_MAX, origin, commit, nonce }
  })
}

/** A proof takes signature checks, so it is counted before it is checked. */
function proving(peer: JoiningPeer): Step {
  const { greeting } = peer
  if (greeting === undefined) return refuse(peer, 'invalid')
  if (greeting.proofsLeft === 0) return refuse(peer, 'busy')
  return to({ ...peer, greeting: { ...greeting, proofsLeft: greeting.proofsLeft - 1 } })
}

/** A commitment is revealed once, whether the nonce fits or not. */
function revealed(peer: JoiningPeer): Step {
  const { greeting } = peer
  if (greeting?.commit === undefined) return refuse(peer, 'invalid')
  return to({ ...peer, greeting: { ...greeting, commit: undefined } })
}

function asked(peer: JoiningPeer, attempt: Omit<Attempt, 'untilMs' | 'decision'>, facts: Facts): Step {
  // A person has decided about this peer: it gets that answer until the attempt ends, and no other code.
  if (peer.attempt?.decision !== undefined) return to(peer)
  if (hasNoPlace(facts)) return refuse(peer, 'busy')
  // It has a place now, and leaves that of the exchange to others.
  const untilMs = facts.nowMs + ATTEMPT_MS
  return to({ ...peer, greeting: undefined, attempt: { ...attempt, untilMs, decision: undefined } })
}

function decided(peer: JoiningPeer, decision: 'granted' | 'denied'): Step {
  const { attempt } = peer
  // A grant counts even after a refusal: another admin, or the same one later, has let the machine in.
  if (attempt === undefined || attempt.decision === 'granted' || attempt.decision === decision) return to(peer)
  return to({ ...peer, attempt: { ...attempt, decision } }, { do: 'answer-wait' })
}

function timer(peer: JoiningPeer, nowMs: number): Step {
  const { greeting, attempt } = peer
  const isOver = (untilMs: number | undefined): boolean => untilMs !== undefined && untilMs <= nowMs
  const next = {
    ...peer,
    greeting: isOver(greeting?.untilMs) ? undefined : greeting,
    attempt: isOver(attempt?.untilMs) ? undefined : attempt
  }
  const effects: Effect[] = []
  if (attempt !== undefined && next.attempt === undefined) effects.push({ do: 'answer-wait' })
  if (!isOver(peer.hangUpAtMs)) return to(next, ...effects)
  const { next: alone, effects: ends } = withoutAdmission(next)
  return to(alone, ...effects, ...ends, { do: 'hang-up' })
}

function admissionStep(peer: JoiningPeer, event: JoinEvent): Step {
  const held = peer.admission
  switch (event.event) {
    case 'expelled':
      return withoutAdmission(peer)
    case 'confirmed':
      if (held === undefined) return refuse(peer, 'not-admitted')
      return announce({ ...peer, greeting: undefined }, held)
    case 'proved':
      return isSameProcess(held, event.admission) ? to(peer) : hold(peer, event.admission, 'proven')
    case 'entered':
      // Both sides dialled at once, or there is a second connection: one admission serves both.
      if (held !== undefined && isSameProcess(held, event.admission))
        return held.stage === 'proven' ? to({ ...peer, admission: { ...held, stage: 'entered' } }) : to(peer)
      return hold(peer, event.admission, 'entered')
    case 'announced':
      return held?.admission === event.admission ? announce(peer, held) : to(peer)
    case 'withdrawn':
      return held?.admission === event.admission && held.stage !== 'announced' ? withoutAdmission(peer) : to(peer)
    default:
      return to(peer)
  }
}

/** The peer's process has restarted, or is new here: an earlier admission ends. */
function hold(peer: JoiningPeer, admission: Admission, stage: 'proven' | 'entered'): Step {
  const { next, effects } = withoutAdmission(peer)
  return to({ ...next, admission: { admission, stage } }, ...effects)
}

function announce(peer: JoiningPeer, { admission, stage }: HeldAdmission): Step {
  // The peer is a member now, so a person's decision about it is no longer needed.
  const next: JoiningPeer = { ...peer, attempt: undefined, admission: { admission, stage: 'announced' } }
  return stage === 'announced' ? to(next) : to(next, { do: 'admitted', admission })
}

function withoutAdmission(peer: JoiningPeer): Step {
  const next = { ...peer, admission: undefined }
  return peer.admission?.stage === 'announced' ? to(next, { do: 'departed' }) : to(next)
}

function isSameProcess(held: HeldAdmission | undefined, admission: Admission): boolean {
  return held !== undefined && equalBytes(held.admission.instance, admission.instance)
}

function refuse(peer: JoiningPeer, status: WireStatus): Step {
  return to(peer, { do: 'refuse', status })
}

function to(next: JoiningPeer, ...effects: Effect[]): Step {
  return { next, effects }
}
