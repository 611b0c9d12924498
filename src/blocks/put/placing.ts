import type { PeerId } from '../../format/peer-id.ts'
import { BEHIND_MAX } from '../constants.ts'
import type { Ranking } from '../rank.ts'
import { hasBit, NONE, or, withBit, withoutBit } from './bits.ts'
import { askInTurn, endTurn, inTurn } from './chain.ts'
import {
  addRank,
  type BlockEvent,
  type BlockState,
  isGood,
  isLive,
  type KeepAnswer,
  type MemberState,
  mayAnswer,
  memberOf,
  type PutState,
  rankOf
} from './put-state.ts'
import type { Step } from './step.ts'
import { copiesToWaitFor } from './yes.ts'

/** Begins to place a block: asks its owners, and other members if the owners are too few. */
export function placeBlock(step: Step, event: BlockEvent): void {
  const { state } = step
  const { key, digest, chunk, sameAs } = event
  const known = state.blocks.get(key)
  if (chunk !== null) addRank(state, chunk, digest)
  if (known !== undefined) addChunk(state, known, chunk)
  else if (sameAs !== undefined) copyChunk(state, sameAs, chunk)
  else placeNew(step, event)
}

function placeNew(step: Step, { key, digest, chunk, isPulled }: BlockEvent): void {
  const { state, ranking } = step
  const order = ranking.inOrder(digest, state.replicas).map(({ peer }) => peer)
  // Every member owes manifest nodes.
  const owing = chunk === null ? order.length : Math.min(state.replicas, order.length)
  const block: BlockState = {
    key,
    order,
    chunks: [],
    keptBy: [],
    pending: [],
    asked: [],
    isPulled,
    held: [],
    via: new Map(),
    isOverdue: false,
    goal: 0,
    heir: owing,
    isPlaced: false
  }
  state.blocks.set(key, block)
  addChunk(state, block, chunk)
  const first = order.slice(0, owing).filter(peer => canTake(state, block, peer, isGood))
  block.goal = Math.max(neededOthers(step), first.length)
  for (const peer of inTurn(state, block, first)) ask(step, block, peer)
  askMore(step, block)
}

/** Notes a member's answer about a block, and asks the next in its place if one is needed. */
export function noteAnswer(step: Step, peer: PeerId, key: string, answer: KeepAnswer): void {
  const { state } = step
  const block = state.blocks.get(key)
  const member = memberOf(state, peer)
  if (block === undefined || !block.pending.includes(peer)) return
  endTurn(state, block, peer, answer === 'kept')
  block.pending.splice(block.pending.indexOf(peer), 1)
  member.pending--
  for (const chunk of block.chunks) member.asked = withoutBit(member.asked, chunk)
  if (answer === 'kept' || answer === 'added') noteKept(state, block, peer)
  else noteNotKept(step, block, peer, answer)
  if (answer === 'added') noteAdded(member)
  askMore(step, block, peer)
}

/** Asks other members for the blocks that the put waits for, because something about this member has changed. */
export function askMoreForAll(step: Step, changed: PeerId): void {
  for (const block of step.state.blocks.values())
    askMore(step, block, block.pending.includes(changed) ? changed : undefined)
}

/** Computes again which member owes which chunk, under a new view. */
export function computeDebts(state: PutState, ranking: Ranking): void {
  for (const member of state.members.values()) member.owed = NONE
  for (let chunk = 0; chunk < state.chunkCount; chunk++) {
    const order = ranking.inOrder(rankOf(state, chunk), state.replicas)
    const isFull = ({ peer }: { peer: PeerId }): boolean => hasBit(state.members.get(peer)?.full ?? NONE, chunk)
    // The debt of each full owner passes to the next in rank that is not known to be full.
    const owners = order.filter(member => !isFull(member)).slice(0, state.replicas)
    for (const { peer } of owners) owe(state, peer, chunk)
  }
  state.isDebtOld = false
}

function addChunk(state: PutState, block: BlockState, chunk: number | null): void {
  if (chunk === null) return
  block.chunks.push(chunk)
  const debtors = block.order
    .slice(0, block.heir)
    .filter(peer => !hasBit(memberOf(state, peer).full, block.chunks[0] as number))
  for (const peer of debtors) owe(state, peer, chunk)
  for (const peer of block.pending) setBit(state, peer, 'asked', chunk)
  for (const peer of block.keptBy) setBit(state, peer, 'counted', chunk)
}

function copyChunk(state: PutState, from: number, chunk: number | null): void {
  if (chunk === null) return
  for (const [peer, member] of state.members)
    for (const bits of ['owed', 'counted', 'declined', 'full'] as const)
      if (hasBit(member[bits], from)) setBit(state, peer, bits, chunk)
}

function noteKept(state: PutState, block: BlockState, peer: PeerId): void {
  const member = memberOf(state, peer)
  block.keptBy.push(peer)
  for (const chunk of block.chunks) member.counted = withBit(member.counted, chunk)
  if (state.phase === 'placing' || block.chunks.length === 0) return
  // This answer came late, but the copy may still be counted.
  if (state.hasNodes) member.mustConfirm = true
  else noteConfirmedByKeeping(member)
}

/** A member that has acknowledged the record together with the only block of its file needs no push. */
function noteAdded(member: MemberState): void {
  member.acknowledged = or(member.acknowledged, member.confirmed)
  member.mustPush = false
}

/** A member that keeps the chunk of a file of one chunk has confirmed its root. */
export function noteConfirmedByKeeping(member: MemberState): void {
  member.confirmed = member.counted.slice()
  member.mustPush = true
}

/** A member that does not keep a block is replaced, unless there are enough copies and the heir is this member. */
function noteNotKept(step: Step, block: BlockState, peer: PeerId, answer: KeepAnswer): void {
  const { state } = step
  const member = memberOf(state, peer)
  if (answer === 'failed') member.isLost = true
  else if (answer === 'refused') member.isRefusing = true
  else for (const chunk of block.chunks) member.declined = withBit(member.declined, chunk)
  state.isShort = true
  if (answer !== 'full' || !block.order.slice(0, block.heir).includes(peer)) return
  const heir = moveDebt(state, block, peer)
  if (heir === state.self && block.keptBy.length + block.pending.length >= neededOthers(step)) block.goal--
}

/**
 * Moves the debt of a full owner to the next member in rank, even if that member cannot be asked now. Returns that
 * member, the heir.
 */
function moveDebt(state: PutState, block: BlockState, peer: PeerId): PeerId | undefined {
  const heir = block.order[block.heir]
  block.heir++
  for (const chunk of block.chunks) {
    setBit(state, peer, 'full', chunk)
    const member = memberOf(state, peer)
    member.owed = withoutBit(member.owed, chunk)
    if (heir !== undefined) owe(state, heir, chunk)
  }
  return heir
}

/**
 * Asks members until enough have the block or may still answer. A member that is silent or avoided is asked only if the
 * put would otherwise not have the copies that it waits for.
 */
function askMore(step: Step, block: BlockState, inPlaceOf?: PeerId): void {
  const { state, asks } = step
  const needed = neededOthers(step)
  const live = (): number => block.keptBy.length + block.pending.filter(peer => isLive(memberOf(state, peer))).length
  while (block.keptBy.length + block.pending.length < block.goal || live() < needed) {
    const isNeeded = live() < needed
    const next = nextFor(step, block, isGood) ?? (isNeeded ? nextFor(step, block, mayAnswer) : undefined)
    if (next === undefined) break
    ask(step, block, next, inPlaceOf)
  }
  const mayWait = block.pending.some(peer => mayAnswer(memberOf(state, peer)))
  if (!block.isPlaced && (block.keptBy.length >= needed || !mayWait)) {
    block.isPlaced = true
    asks.push({ ask: 'placed', key: block.key, keptBy: block.keptBy })
  }
  if (block.pending.length > 0) return
  state.blocks.delete(block.key)
  asks.push({ ask: 'drop', key: block.key })
}

/** Returns the next member in rank, or else one that the view does not know yet. */
function nextFor(
  { state, ranking }: Step,
  block: BlockState,
  is: (member: MemberState) => boolean
): PeerId | undefined {
  const next = block.order.find(peer => canTake(state, block, peer, is))
  if (next !== undefined) return next
  for (const peer of state.members.keys()) if (!ranking.isKnown(peer) && canTake(state, block, peer, is)) return peer
  return undefined
}

/** A member with too many unanswered blocks is not asked for more. It pulls what it owes later. */
function canTake(state: PutState, block: BlockState, peer: PeerId, is: (member: MemberState) => boolean): boolean {
  const member = state.members.get(peer)
  if (member === undefined || peer === state.self || !is(member)) return false
  return member.pending < BEHIND_MAX && !block.asked.includes(peer)
}

function ask(step: Step, block: BlockState, peer: PeerId, inPlaceOf?: PeerId): void {
  const { state } = step
  const member = memberOf(state, peer)
  askInTurn(step, block, peer, inPlaceOf)
  member.pending++
  block.pending.push(peer)
  block.asked.push(peer)
  for (const chunk of block.chunks) member.asked = withBit(member.asked, chunk)
}

/** The number of members, besides this one, that must keep a block before the put goes on. */
function neededOthers({ state, ranking }: Step): number {
  return copiesToWaitFor(state, ranking) - 1
}

function owe(state: PutState, peer: PeerId, chunk: number): void {
  if (peer !== state.self) setBit(state, peer, 'owed', chunk)
}

function setBit(
  state: PutState,
  peer: PeerId,
  bits: 'asked' | 'counted' | 'declined' | 'full' | 'owed',
  chunk: number
): void {
  const member = memberOf(state, peer)
  member[bits] = withBit(member[bits], chunk)
}
