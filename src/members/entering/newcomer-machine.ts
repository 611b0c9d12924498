import { equalBytes } from '../../util/bytes.ts'
import type { WireStatus } from '../../wire/errors.ts'
import type { EnterReply, Places, WaitReply } from '../joining/entry-client.ts'
import { CODES_CHANGED_MAX } from './constants.ts'

/** Why a machine will never be let in, unless it is started again. */
export type EndReason =
  | 'declined'
  | 'denied'
  | 'gave-up'
  | 'nobody-admits'
  | 'foreign'
  | 'clock-off'
  | 'expired'
  | 'revoked'
  | 'used-up'

/** What a newcomer does now. Each of these ends with one of the events below. */
export type Step =
  /** It dials a target and asks for its network. */
  | { at: 'looking' }
  /** The owner compares the words of this network, and says yes or no. */
  | { at: 'choosing'; found: Uint8Array }
  /** It says `hello`, and commits to its nonce unless it has an invite. */
  | { at: 'greeting' }
  /** It asks to be let in by a person. */
  | { at: 'asking' }
  /** It shows its invite. */
  | { at: 'entering' }
  /** A person decides. */
  | { at: 'waiting' }
  /** A person decides, but the peer cannot be reached, so it is dialled again. */
  | { at: 'lost' }
  /** It verifies the statements that it was given. */
  | { at: 'checking'; statements: readonly Uint8Array[] }
  | { at: 'pausing'; reason: 'silence' | 'busy' }
  | { at: 'granted'; statements: readonly Uint8Array[] }
  | { at: 'ended'; reason: EndReason }

/** How many targets of this round could not help, and why. */
export interface Round {
  /** Nobody answered there. */
  silent: number
  /** They belong to another network. */
  foreign: number
  /** They have no place for another machine now. */
  busy: number
  /** They may not let this machine in, or say that it never will be. */
  refused: number
  /** The first answer of this round that would end the attempt, from a peer that has not proven that it may say so. */
  unproven: EndReason | undefined
}

/** A machine that asks to be let in. */
export interface Newcomer {
  readonly step: Step
  /** The network to join: that of the invite, the one that the owner chose, or the first that was asked. */
  readonly network: Uint8Array | undefined
  /**
   * False if only an unknown peer says that this is the network to join. Then the network is forgotten with that peer.
   */
  readonly isNetworkSure: boolean
  /** The index of the target that it deals with. */
  readonly target: number
  readonly round: Round
  readonly codesChanged: number
}

export type NewcomerEvent =
  | { event: 'found'; network: Uint8Array }
  /** Nobody answers at the target, or the connection broke off. */
  | { event: 'silent' }
  | { event: 'yes' | 'no' }
  | { event: 'greeted'; network: Uint8Array }
  | { event: 'asked' }
  /** `places`: what a peer that has no place for this machine says about its places. */
  | { event: 'refused'; status: WireStatus; places?: Places | undefined }
  | { event: 'said'; reply: WaitReply }
  /** `isMember`: the peer has shown that it is a member that lets machines in. */
  | { event: 'entered'; reply: EnterReply; isMember: boolean }
  | { event: 'reconnected' }
  /** The code has expired while the peer cannot be reached. */
  | { event: 'over' }
  | { event: 'checked'; isValid: boolean }
  | { event: 'paused' }

export interface NewcomerFacts {
  hasInvite: boolean
  /** True if the owner must compare the words, because nothing else shows that this target is of the right network. */
  mustChoose: boolean
  /** True if the owner or the invite named the peer at this target by its id, so that its answers count. */
  isVouched: boolean
  /** The number of targets that the owner named, or else the invite. They come first. */
  named: number
  /** The number of targets that the owner or the invite named. They come before those that announced themselves. */
  given: number
  /** All targets: those, and others that announced themselves nearby. */
  targets: number
}

const NEW_ROUND: Round = { silent: 0, foreign: 0, busy: 0, refused: 0, unproven: undefined }

/** The first state. `network` is the one that the invite names, or that the owner has chosen already. */
export function newcomer(network: Uint8Array | undefined): Newcomer {
  const isNetworkSure = network !== undefined
  return { step: { at: 'looking' }, network, isNetworkSure, target: 0, round: NEW_ROUND, codesChanged: 0 }
}

/**
 * Returns the next state. It is pure, so that a test can walk through all of it. An event that does not belong to the
 * current step changes nothing.
 */
export function nextState(state: Newcomer, event: NewcomerEvent, facts: NewcomerFacts): Newcomer {
  const { step } = state
  if (event.event === 'refused' && isOpen(step)) return refused(state, event.status, facts)
  switch (step.at) {
    case 'looking':
      if (event.event === 'found') return found(state, event.network, facts)
      break
    case 'choosing':
      if (event.event === 'yes') return { ...state, network: step.found, isNetworkSure: true, step: { at: 'greeting' } }
      if (event.event === 'no') return ended(state, 'declined')
      break
    case 'greeting':
      if (event.event === 'greeted') return greeted(state, event.network, facts)
      break
    case 'asking':
      if (event.event === 'asked') return { ...state, step: { at: 'waiting' } }
      // A member that may not let others in still tells a machine that it has been let in.
      if (event.event === 'said' && event.reply.state === 'granted') return said(state, event.reply, facts)
      break
    case 'entering':
      if (event.event === 'entered') return entered(state, event, facts)
      break
    case 'waiting':
      if (event.event === 'said') return said(state, event.reply, facts)
      if (event.event === 'silent') return { ...state, step: { at: 'lost' } }
      return state
    case 'lost':
      if (event.event === 'reconnected') return { ...state, step: { at: 'waiting' } }
      if (event.event === 'over') return codeOver(state, facts)
      return state
    case 'checking':
      if (event.event !== 'checked') return state
      return event.isValid
        ? { ...state, step: { at: 'granted', statements: step.statements } }
        : nextTarget(state, 'refused', facts)
    case 'pausing':
      return event.event === 'paused' ? { ...state, step: { at: 'looking' } } : state
    case 'granted':
    case 'ended':
      return state
  }
  return event.event === 'silent' ? nextTarget(state, 'silent', facts) : state
}

/** Returns why an answer does not let this machine in; undefined if it does, or says nothing about that. */
export function turnedAwayBy({ at }: Step, event: NewcomerEvent): EndReason | 'busy' | undefined {
  switch (event.event) {
    case 'said':
      return event.reply.state === 'denied' ? 'denied' : undefined
    case 'entered':
      if (event.reply.outcome === 'elsewhere') return 'nobody-admits'
      return event.reply.outcome === 'granted' ? undefined : event.reply.outcome
    case 'refused':
      if (at === 'waiting') return undefined
      if (event.status === 'forbidden' && at === 'asking') return 'nobody-admits'
      return event.status === 'busy' || event.status === 'clock-off' ? event.status : undefined
    default:
      return undefined
  }
}

/** True while a peer that refuses our request can change what we do. */
function isOpen({ at }: Step): boolean {
  return at === 'looking' || at === 'greeting' || at === 'asking' || at === 'entering' || at === 'waiting'
}

function found(state: Newcomer, network: Uint8Array, facts: NewcomerFacts): Newcomer {
  if (state.network !== undefined && !equalBytes(network, state.network)) return nextTarget(state, 'foreign', facts)
  if (state.network === undefined && facts.mustChoose) return { ...state, step: { at: 'choosing', found: network } }
  if (state.network !== undefined) return { ...state, step: { at: 'greeting' } }
  return { ...state, network, isNetworkSure: facts.isVouched, step: { at: 'greeting' } }
}

function greeted(state: Newcomer, network: Uint8Array, facts: NewcomerFacts): Newcomer {
  if (state.network === undefined || !equalBytes(network, state.network)) return nextTarget(state, 'foreign', facts)
  return { ...state, step: { at: facts.hasInvite ? 'entering' : 'asking' } }
}

function entered(
  state: Newcomer,
  { reply, isMember }: Extract<NewcomerEvent, { event: 'entered' }>,
  facts: NewcomerFacts
): Newcomer {
  if (reply.outcome === 'granted') return { ...state, step: { at: 'checking', statements: reply.statements } }
  const known = { ...facts, isVouched: facts.isVouched || isMember }
  return reply.outcome === 'elsewhere' ? nextTarget(state, 'refused', known) : answered(state, reply.outcome, known)
}

function said(state: Newcomer, reply: WaitReply, facts: NewcomerFacts): Newcomer {
  switch (reply.state) {
    case 'waiting':
      return state
    case 'granted':
      return { ...state, step: { at: 'checking', statements: reply.statements } }
    case 'denied':
      return answered(state, 'denied', facts)
    case 'over':
      return codeOver(state, facts)
  }
}

/**
 * Handles the answer of a peer that this machine never will be let in. That ends the attempt only if the peer is known
 * to be one that may say so. Anybody else may be an impostor, so the other targets are asked first.
 */
function answered(state: Newcomer, reason: EndReason, facts: NewcomerFacts): Newcomer {
  if (facts.isVouched) return ended(state, reason)
  const { round } = state
  return nextTarget({ ...state, round: { ...round, unproven: round.unproven ?? reason } }, 'refused', facts)
}

/** Starts again for another code, because this one has expired, or the member has forgotten it. */
function codeOver(state: Newcomer, facts: NewcomerFacts): Newcomer {
  if (state.codesChanged === CODES_CHANGED_MAX) return answered(state, 'gave-up', facts)
  const next: Newcomer = { ...state, codesChanged: state.codesChanged + 1, step: { at: 'looking' } }
  // An unknown peer gets one code, and then the other targets have their turn: it may be an impostor.
  return facts.isVouched ? next : { ...unsure(next), target: (state.target + 1) % facts.targets }
}

function refused(state: Newcomer, status: WireStatus, facts: NewcomerFacts): Newcomer {
  if (state.step.at === 'waiting') return codeOver(state, facts)
  switch (status) {
    case 'clock-off':
      return answered(state, 'clock-off', facts)
    case 'wrong-network':
      return nextTarget(state, 'foreign', facts)
    case 'forbidden':
    case 'unsupported':
      return nextTarget(state, 'refused', facts)
    case 'invalid':
      // An `ask` is also invalid if it comes too long after the `hello`, so it is worth another round. An invite that a
      // member calls invalid stays so.
      return nextTarget(state, state.step.at === 'entering' ? 'refused' : 'busy', facts)
    case 'busy':
      return nextTarget(state, 'busy', facts)
    default:
      return nextTarget(state, 'silent', facts)
  }
}

/** Goes on to the next target, because this one cannot help. After the last one the round is judged. */
function nextTarget(state: Newcomer, why: Exclude<keyof Round, 'unproven'>, facts: NewcomerFacts): Newcomer {
  const { isVouched, named, given, targets } = facts
  // A peer that only announced itself may belong to another network, be gone again, or lie, so it does not count. An
  // owner who names a machine of another network is told so, even if the members that the invite names are away.
  const counts = (why === 'refused' && isVouched) || state.target < (why === 'foreign' ? named : given)
  const round = counts ? { ...state.round, [why]: state.round[why] + 1 } : state.round
  const next = { ...unsure(state), round }
  if (state.target + 1 < targets) return { ...next, target: state.target + 1, step: { at: 'looking' } }
  if (named > 0 && round.foreign === named) return ended(state, 'foreign')
  const isOver = round.silent === 0 && round.busy === 0 && round.refused > 0
  if (isOver) return ended(state, round.unproven ?? 'nobody-admits')
  const reason = round.busy > 0 ? 'busy' : 'silence'
  return { ...next, round: NEW_ROUND, target: 0, step: { at: 'pausing', reason } }
}

/** Forgets a network that only an unknown peer has named. */
function unsure(state: Newcomer): Newcomer {
  return state.isNetworkSure ? state : { ...state, network: undefined }
}

function ended(state: Newcomer, reason: EndReason): Newcomer {
  return { ...state, step: { at: 'ended', reason } }
}
