import { equalBytes } from '../../util/bytes.ts'
import type { WireStatus } from '../../wire/errors.ts'
import type { EnterReply, WaitReply } from '../joining/entry-client.ts'
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
  /** They may not let this machine in. */
  refused: number
}

/** A machine that asks to be let in. */
export interface Newcomer {
  readonly step: Step
  /** The network to join: that of the invite, the one that the owner chose, or the first that was asked. */
  readonly network: Uint8Array | undefined
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
  | { event: 'refused'; status: WireStatus }
  | { event: 'said'; reply: WaitReply }
  | { event: 'entered'; reply: EnterReply }
  | { event: 'reconnected' }
  /** The time of the code is over while the peer cannot be reached. */
  | { event: 'over' }
  | { event: 'checked'; isValid: boolean }
  | { event: 'paused' }

export interface NewcomerFacts {
  hasInvite: boolean
  /** True if nothing but the words tells the owner that this target is of the right network. */
  mustChoose: boolean
  /** The number of targets that the owner named, or else the invite. They come first. */
  named: number
  /** The number of targets that the owner or the invite named. They come before those that announced themselves. */
  given: number
  /** All targets: those, and others that announced themselves nearby. */
  targets: number
}

const NEW_ROUND: Round = { silent: 0, foreign: 0, refused: 0 }

/** The first state. `network` is the one that the invite names, or that the owner has chosen already. */
export function newcomer(network: Uint8Array | undefined): Newcomer {
  return { step: { at: 'looking' }, network, target: 0, round: NEW_ROUND, codesChanged: 0 }
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
      if (event.event === 'yes') return { ...state, network: step.found, step: { at: 'greeting' } }
      if (event.event === 'no') return ended(state, 'declined')
      break
    case 'greeting':
      if (event.event === 'greeted') return greeted(state, event.network, facts)
      break
    case 'asking':
      if (event.event === 'asked') return { ...state, step: { at: 'waiting' } }
      // A member that may not let others in still tells a machine that it has been let in.
      if (event.event === 'said' && event.reply.state === 'granted') return said(state, event.reply)
      break
    case 'entering':
      if (event.event === 'entered') return entered(state, event.reply, facts)
      break
    case 'waiting':
      if (event.event === 'said') return said(state, event.reply)
      if (event.event === 'silent') return { ...state, step: { at: 'lost' } }
      return state
    case 'lost':
      if (event.event === 'reconnected') return { ...state, step: { at: 'waiting' } }
      if (event.event === 'over') return codeOver(state)
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

/** True while a peer that refuses our request can change what we do. */
function isOpen({ at }: Step): boolean {
  return at === 'looking' || at === 'greeting' || at === 'asking' || at === 'entering' || at === 'waiting'
}

function found(state: Newcomer, network: Uint8Array, facts: NewcomerFacts): Newcomer {
  if (state.network !== undefined && !equalBytes(network, state.network)) return nextTarget(state, 'foreign', facts)
  if (state.network === undefined && facts.mustChoose) return { ...state, step: { at: 'choosing', found: network } }
  return { ...state, network, step: { at: 'greeting' } }
}

function greeted(state: Newcomer, network: Uint8Array, facts: NewcomerFacts): Newcomer {
  if (state.network === undefined || !equalBytes(network, state.network)) return nextTarget(state, 'foreign', facts)
  return { ...state, step: { at: facts.hasInvite ? 'entering' : 'asking' } }
}

function entered(state: Newcomer, reply: EnterReply, facts: NewcomerFacts): Newcomer {
  if (reply.outcome === 'granted') return { ...state, step: { at: 'checking', statements: reply.statements } }
  return reply.outcome === 'elsewhere' ? nextTarget(state, 'refused', facts) : ended(state, reply.outcome)
}

function said(state: Newcomer, reply: WaitReply): Newcomer {
  switch (reply.state) {
    case 'waiting':
      return state
    case 'granted':
      return { ...state, step: { at: 'checking', statements: reply.statements } }
    case 'denied':
      return ended(state, 'denied')
    case 'over':
      return codeOver(state)
  }
}

/** The code does not count any more, because its time is over or the member has forgotten it: another one is needed. */
function codeOver(state: Newcomer): Newcomer {
  const codesChanged = state.codesChanged + 1
  if (codesChanged > CODES_CHANGED_MAX) return ended(state, 'gave-up')
  return { ...state, codesChanged, step: { at: 'looking' } }
}

function refused(state: Newcomer, status: WireStatus, facts: NewcomerFacts): Newcomer {
  if (state.step.at === 'waiting') return codeOver(state)
  switch (status) {
    case 'clock-off':
      return ended(state, 'clock-off')
    case 'wrong-network':
      return nextTarget(state, 'foreign', facts)
    case 'forbidden':
    case 'unsupported':
      return nextTarget(state, 'refused', facts)
    case 'invalid':
      // A `hello` counts for some seconds only. A member that calls an invite invalid does not change its mind.
      if (state.step.at === 'entering') return nextTarget(state, 'refused', facts)
      return { ...state, step: { at: 'pausing', reason: 'busy' } }
    case 'busy':
      return { ...state, step: { at: 'pausing', reason: 'busy' } }
    default:
      return nextTarget(state, 'silent', facts)
  }
}

/** Goes on to the next target, because this one cannot help. After the last one the round is judged. */
function nextTarget(state: Newcomer, why: keyof Round, { named, given, targets }: NewcomerFacts): Newcomer {
  // Anyone nearby may belong to another network, or be gone again, which says nothing. An owner who names a machine of
  // another network is told so, even if the members that the invite names are away.
  const counts = why === 'refused' || state.target < (why === 'foreign' ? named : given)
  const round = counts ? { ...state.round, [why]: state.round[why] + 1 } : state.round
  if (state.target + 1 < targets) return { ...state, round, target: state.target + 1, step: { at: 'looking' } }
  if (named > 0 && round.foreign === named) return ended(state, 'foreign')
  if (round.silent === 0 && round.refused > 0) return ended(state, 'nobody-admits')
  return { ...state, round: NEW_ROUND, target: 0, step: { at: 'pausing', reason: 'silence' } }
}

function ended(state: Newcomer, reason: EndReason): Newcomer {
  return { ...state, step: { at: 'ended', reason } }
}
