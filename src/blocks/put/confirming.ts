import type { PeerId } from '../../format/peer-id.ts'
import type { Ranking } from '../rank.ts'
import { and, andNot, type Bits, hasBit, isEmpty, NONE, or, withBit } from './bits.ts'
import { noteConfirmedByKeeping } from './placing.ts'
import {
  isAskable,
  isGood,
  isLive,
  type MemberState,
  mayAnswer,
  memberOf,
  type PushAnswer,
  type PutState,
  rankOf
} from './put-state.ts'
import type { Step } from './step.ts'
import { copiesToWaitFor, isAnyWaitedFor, isConfirmedEnough, verdictOf } from './yes.ts'

/** How many times a member may lack blocks that it is counted on for, until it is forgiven. */
const LACKS_MAX = 3

/** All blocks have been placed: members are asked to confirm the root, each for the chunks that it keeps. */
export function beginConfirming({ state }: Step, hasNodes: boolean): void {
  state.phase = 'confirming'
  state.hasNodes = hasNodes
  for (const member of state.members.values()) {
    // A member that failed once may still have what it kept before.
    if (!isEmpty(member.counted)) member.isLost = false
    confirmAgain(state, member)
  }
}

/** Asks a member to confirm the chunks that it is counted on for. */
function confirmAgain({ hasNodes }: PutState, member: MemberState): void {
  if (isEmpty(member.counted)) return
  if (hasNodes) member.mustConfirm = true
  else noteConfirmedByKeeping(member)
}

/** Asks a member that can be asked again to confirm what it is counted on for, unless it has acknowledged all of that. */
export function confirmRest(state: PutState, member: MemberState): void {
  if (!isEmpty(andNot(member.counted, member.acknowledged))) confirmAgain(state, member)
}

/** The record is durable here: it is pushed to each member once the member has confirmed the root. */
export function beginPushing({ state, asks }: Step): void {
  state.phase = 'pushing'
  if (state.hasBlocks) asks.push({ ask: 'check-own' })
  else {
    // A record without blocks counts as a file of one chunk that every member has once it has the record.
    state.own = 'held'
    state.chunkCount = 1
    for (const member of state.members.values()) if (member.isReachable) countRecord(member)
  }
}

/** Counts on a member for a record without blocks, so that the record is pushed to it. */
export function countRecord(member: MemberState): void {
  if (member.acknowledged.byteLength > 0) return
  member.counted = ONE.slice()
  noteConfirmedByKeeping(member)
}

const ONE: Bits = Uint8Array.of(1)

/** Notes what a member lacks of the chunks that it was asked to confirm; null if it did not answer. */
export function noteConfirmed({ state }: Step, peer: PeerId, answer: Bits | null): void {
  const member = memberOf(state, peer)
  const asked = member.confirming
  if (asked === null) return
  member.confirming = null
  if (answer === null) {
    noteLost(state, member)
    return
  }
  const lacking = and(asked, answer)
  member.confirmed = andNot(asked, lacking)
  member.mustPush = true
  if (isEmpty(lacking)) return
  member.counted = andNot(member.counted, lacking)
  member.acknowledged = andNot(member.acknowledged, lacking)
  member.declined = or(member.declined, lacking)
  // A keeper remembers the chunks of the last request. Ask it again, so that it does not answer for chunks that no longer
  // count.
  noteLack(state, member)
}

/** Notes a member's answer to the push of the record. */
export function notePushed({ state }: Step, peer: PeerId, answer: PushAnswer): void {
  const member = memberOf(state, peer)
  const pushed = member.pushing
  if (pushed === null) return
  member.pushing = null
  if (answer === 'ok') member.acknowledged = or(member.acknowledged, pushed)
  else if (answer === 'failed') noteLost(state, member)
  else if (answer === 'refused') {
    member.isRefusing = true
    state.isShort = true
  } else {
    // Its claims ran out, or it forgot in a restart what it is counted on for.
    member.confirmed = NONE
    member.acknowledged = NONE
    noteLack(state, member)
  }
}

/** Notes whether this member's own copy is whole. If it is not, it is restored once. */
export function noteOwn({ state, asks }: Step, isHeld: boolean): void {
  if (isHeld) state.own = 'held'
  else if (state.own === 'unchecked') {
    state.own = 'restoring'
    asks.push({ ask: 'restore-own' })
  } else {
    state.own = 'lost'
    state.isShort = true
  }
}

/**
 * Gives members that could not help another chance. Only a put whose caller asked for a number of copies waits long
 * enough for this to matter.
 */
export function forgive({ state }: Step): void {
  if (state.ack === undefined || isAnyWaitedFor(state)) return
  state.isShort = true
  for (const member of state.members.values()) {
    // Nobody asked it while it was lost, or refused.
    const wasAskable = isAskable(member)
    forgiveOne(member)
    if (!state.hasBlocks && member.isReachable) countRecord(member)
    else if (!wasAskable && isAskable(member)) confirmRest(state, member)
  }
}

/** Forgets that a member failed, refused, or could not take chunks. */
export function forgiveOne(member: MemberState): void {
  member.isLost = false
  member.isRefusing = false
  member.declined = NONE
  member.tries = 0
}

/** Asks all that can be asked now, and reports the decisions that follow from the state. */
export function settle(step: Step): void {
  const { state, ranking, asks } = step
  if (state.isShort && state.hasBlocks) replace(step)
  for (const [peer, member] of state.members) askNext(step, peer, member)
  if (!state.isConfirmed && (isConfirmedEnough(state, ranking) || !isAnyWaitedFor(state))) {
    state.isConfirmed = true
    asks.push({ ask: 'link' })
  }
  if (state.phase !== 'pushing') return
  const verdict = verdictOf(state, ranking)
  if (verdict === 'wait') return
  state.phase = 'over'
  asks.push({ ask: 'answer', isYes: verdict === 'yes' })
}

function askNext({ state, asks }: Step, peer: PeerId, member: MemberState): void {
  const mayAsk = isAskable(member)
  member.mustConfirm &&= mayAsk && !isEmpty(member.counted)
  member.mustPush &&= mayAsk && !isEmpty(member.confirmed)
  if (member.confirming !== null || member.pushing !== null) return
  if (member.mustConfirm) {
    member.mustConfirm = false
    member.confirming = member.counted.slice()
    asks.push({ ask: 'confirm', peer, chunks: member.confirming })
  } else if (member.mustPush && state.phase === 'pushing') {
    member.mustPush = false
    member.pushing = member.confirmed.slice()
    asks.push({ ask: 'push', peer })
  }
}

/**
 * Counts on other members for the chunks that would have too few copies: for each chunk, on the next in rank that can
 * be asked.
 */
function replace({ state, ranking }: Step): void {
  state.isShort = false
  const wanted = copiesToWaitFor(state, ranking)
  const members = [...state.members.values()]
  const askable = members.filter(state.ack === undefined ? mayAnswer : isAskable)
  for (let chunk = 0; chunk < state.chunkCount; chunk++) {
    let missing = wanted - (state.own === 'lost' ? 0 : 1)
    for (const member of members) if (isExpected(member, chunk)) missing--
    if (missing <= 0) continue
    const fresh = askable.filter(member => !has(member, chunk))
    if (fresh.length > 0) countOn(inRank(state, ranking, chunk, fresh).slice(0, missing), chunk)
  }
}

/** Returns these members in the order in which they are asked for a chunk. */
function inRank(state: PutState, ranking: Ranking, chunk: number, members: readonly MemberState[]): MemberState[] {
  const ranked = ranking.inOrder(rankOf(state, chunk), state.replicas).map(({ peer }) => peer)
  const unknown = [...state.members.keys()].filter(peer => !ranking.isKnown(peer))
  const ordered = [...ranked, ...unknown].flatMap(peer => {
    const member = state.members.get(peer)
    return member !== undefined && members.includes(member) ? [member] : []
  })
  // A member that is slow is asked before one that is silent: only the first is sure to answer.
  const [good, slow, silent]: [MemberState[], MemberState[], MemberState[]] = [[], [], []]
  for (const member of ordered) (isGood(member) ? good : isLive(member) ? slow : silent).push(member)
  return [...good, ...slow, ...silent]
}

function countOn(members: readonly MemberState[], chunk: number): void {
  for (const member of members) {
    member.counted = withBit(member.counted, chunk)
    member.mustConfirm = true
  }
}

/** Returns true if a copy of the chunk on this member is certain, or to be expected soon. */
function isExpected(member: MemberState, chunk: number): boolean {
  if (hasBit(member.acknowledged, chunk)) return true
  return isLive(member) && (hasBit(member.counted, chunk) || hasBit(member.asked, chunk))
}

/** Returns true if it makes no sense to ask this member for a chunk. */
function has({ counted, asked, declined }: MemberState, chunk: number): boolean {
  return hasBit(counted, chunk) || hasBit(asked, chunk) || hasBit(declined, chunk)
}

function noteLost(state: PutState, member: MemberState): void {
  member.isLost = true
  member.confirmed = NONE
  member.counted = NONE
  state.isShort = true
}

function noteLack(state: PutState, member: MemberState): void {
  member.mustConfirm = true
  member.tries++
  if (member.tries >= LACKS_MAX) member.isRefusing = true
  state.isShort = true
}
