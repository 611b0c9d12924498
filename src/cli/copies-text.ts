import type { Json } from '../contract/json.ts'
import type { AnswerOf } from '../contract/verbs.ts'
import type { AwaitedMember, PutResult } from '../index.ts'
import { memberText, peerEnd, shortId } from '../terminal/member-text.ts'
import { agoText } from './times.ts'

/** The most members that a line names. */
const NAMED_MAX = 3
/** A member that was seen within this time may just be starting again, so nobody is told how to give it up. */
const RESTART_MS = 2 * 60_000

/** What a line about the copies of a file says. */
type Copies = Pick<Json<PutResult>, 'reached' | 'confirmed' | 'wanted'> & {
  owed: { waitingFor: ReadonlyArray<Json<AwaitedMember>> }
}

/** Says on how many machines a file that has just been put is, and whom it waits for, such as `on 2 of 3`. */
export function copiesText({ reached, confirmed, wanted, owed }: Copies, nowMs: number): string {
  // A file can have more copies than are wanted, since this machine may keep one that it does not owe.
  if (confirmed >= wanted) return `on ${wanted} of ${wanted}`
  const where = reached.length === 1 ? 'on this machine only' : `on ${confirmed} of ${wanted}`
  return owed.waitingFor.length === 0 ? where : `${where}, waiting for ${namesText(owed.waitingFor, nowMs)}`
}

/** Says on how many machines a file that is on too few is, and whom it waits for. */
export function whereText(
  { confirmed, wanted, waitingFor }: Pick<AnswerOf<'copies'>, 'confirmed' | 'wanted' | 'waitingFor'>,
  nowMs: number
): string {
  const where = confirmed === 0 ? `on no machine that answers, of ${wanted}` : `on ${confirmed} of ${wanted}`
  return waitingFor.length === 0 ? where : `${where}, waiting for ${namesText(waitingFor, nowMs)}`
}

/** Names members that are waited for, and says when those that are away were last seen. */
export function namesText(members: ReadonlyArray<Json<AwaitedMember>>, nowMs: number): string {
  const named = members
    .slice(0, NAMED_MAX)
    .map(member => (member.since === null ? memberText(member) : awayText(member, agoText(member.since, nowMs))))
  const more = members.length - named.length
  return more > 0 ? `${named.join(', ')} and ${more} more` : named.join(', ')
}

/**
 * Says what helps if members that are waited for will not come back; undefined unless one has been away for a while. The
 * command has the end of the peer id, since names are not unique, and another machine chose them.
 */
export function outHint(members: ReadonlyArray<Json<AwaitedMember>>, nowMs: number): string | undefined {
  const isAway = ({ since }: Json<AwaitedMember>): boolean => since !== null && nowMs - Date.parse(since) >= RESTART_MS
  const away = members.filter(isAway).slice(0, NAMED_MAX)
  const [first, ...others] = away
  if (first === undefined) return undefined
  const which = others.length === 0 ? peerEnd(first.peerId) : 'PEER'
  return `if ${away.map(memberText).join(' or ')} will not come back, an admin can say so: dfs members out ${which}`
}

function awayText({ name, peerId }: { name: string; peerId: string }, ago: string): string {
  return `${name} (${shortId(peerId)}, last seen ${ago})`
}
