import type { PeerId } from '../../format/peer-id.ts'
import type { Ranking } from '../rank.ts'
import { type Bits, hasBit, isEmpty, NONE } from './bits.ts'
import { isAskable, type MemberState, mayAnswer, type PutState } from './put-state.ts'

/**
 * The number of copies that a put waits for by default, so that the failure of one disk right after the put loses no
 * file.
 */
const ACK_DEFAULT = 2

/**
 * The rule of yes: when a put may succeed. No other place decides this.
 *
 * - A copy of a chunk counts on a member that acknowledged the record while it was counted on for the chunk, and here
 *   if this member's own copy has been checked after the record became durable.
 * - The put says yes once every chunk has as many copies as its caller asked for.
 * - Left to itself, a put wants two copies, or as many as the file wants if that is fewer. It says yes to fewer copies
 *   only if no member that was asked may still answer, and none is left to ask. It never says yes without any copy.
 * - It says no if the number that its caller asked for was not reached in time.
 */
export function verdictOf(state: PutState, ranking: Ranking): 'yes' | 'no' | 'wait' {
  const copies = leastCopies(state)
  if (copies >= copiesToWaitFor(state, ranking)) return 'yes'
  const mayGain = isOwnOpen(state) || isAnyWaitedFor(state)
  if (!state.isLate && (mayGain || state.ack !== undefined)) return 'wait'
  return state.ack === undefined && copies > 0 ? 'yes' : 'no'
}

/** Returns the number of copies that a put waits for, including the one here. */
export function copiesToWaitFor({ self, ack, replicas, hasBlocks, members }: PutState, ranking: Ranking): number {
  if (ack === undefined) return Math.min(ACK_DEFAULT, Math.max(1, replicas))
  if (Number.isFinite(ack)) return ack
  let others = ranking.keeperCount - (ranking.isKeeper(self) ? 1 : 0)
  for (const [peer, { isReachable }] of members)
    if (isReachable && !ranking.isKeeper(peer) && (!hasBlocks || !ranking.isKnown(peer))) others++
  return 1 + others
}

/** Returns true if every chunk has enough copies on members that confirmed the root, so that it is time to push. */
export function isConfirmedEnough(state: PutState, ranking: Ranking): boolean {
  const confirmed = [...state.members.values()].filter(isAskable).map(member => member.confirmed)
  return least(state, confirmed, 1) >= copiesToWaitFor(state, ranking)
}

/** Returns the number of copies of the chunk with the fewest, counting only copies that count for a yes. */
export function leastCopies(state: PutState): number {
  const acknowledged = [...state.members.values()].map(member => member.acknowledged)
  return least(state, acknowledged, state.own === 'held' ? 1 : 0)
}

/** Returns the members whose copies count for a yes, this one first. */
export function reachedBy(state: PutState): PeerId[] {
  const reached = state.own === 'held' ? [state.self] : []
  for (const [peer, { acknowledged }] of state.members) if (!isEmpty(acknowledged)) reached.push(peer)
  return reached
}

/** Yields the members that owe chunks which they have not acknowledged, each with the number of these chunks. */
export function* owedBy(state: PutState): Generator<[PeerId, number]> {
  for (const [peer, { owed, acknowledged }] of state.members) {
    let count = 0
    for (let chunk = 0; chunk < state.chunkCount; chunk++)
      if (hasBit(owed, chunk) && !hasBit(acknowledged, chunk)) count++
    if (count > 0) yield [peer, count]
  }
}

/**
 * Returns the number of copies of a record without blocks that are owed. Every member gets every record in time, so
 * nothing is owed once one other member has it.
 */
export function copiesOwedOfRecord(copies: number, wanted: number): number {
  return Math.max(0, Math.min(ACK_DEFAULT, wanted) - copies)
}

/** Returns the members that store blocks and have not acknowledged a record without blocks. */
export function recordOwedBy({ self, members }: PutState, ranking: Ranking): Array<[PeerId, number]> {
  const isOpen = (peer: PeerId): boolean => peer !== self && isEmpty(members.get(peer)?.acknowledged ?? NONE)
  return ranking.keepers.filter(isOpen).map(peer => [peer, 1])
}

/** Returns true while a member that was asked, or is about to be, may still answer. */
export function isAnyWaitedFor(state: PutState): boolean {
  for (const member of state.members.values()) if (isWaitedFor(state, member) && mayAnswer(member)) return true
  return false
}

/** Returns true if a member was asked something that it has not answered, or is about to be. */
export function isWaitedFor({ phase }: PutState, member: MemberState): boolean {
  const { pending, confirming, pushing, mustConfirm, mustPush } = member
  // The record is pushed only once it is durable here.
  const isAboutTo = mustConfirm || (mustPush && phase === 'pushing')
  return pending > 0 || confirming !== null || pushing !== null || isAboutTo
}

function isOwnOpen({ own }: PutState): boolean {
  return own === 'unchecked' || own === 'restoring'
}

function least({ chunkCount }: PutState, bitmaps: readonly Bits[], own: number): number {
  const filled = bitmaps.filter(bits => bits.byteLength > 0)
  let fewest = own + filled.length
  for (let chunk = 0; chunk < chunkCount && fewest > own; chunk++) {
    let copies = own
    for (const bits of filled) if (hasBit(bits, chunk)) copies++
    if (copies < fewest) fewest = copies
  }
  return fewest
}
