import type { PeerId } from '../format/peer-id.ts'
import { roughDuration } from '../util/rough-duration.ts'
import type { ClockDifference } from './clock-check.ts'
import type { Members } from './members.ts'

/** The most machines with differing clocks that are named. */
const NAMED_MAX = 3
const UNTIL_SET = 'set the one that is wrong; until then, changes made by the one that is ahead wait on the other'

type MembersSeen = Pick<Members, 'standing' | 'self' | 'clocks' | 'writeError' | 'member'>

/**
 * Yields sentences that say why other members do not accept what this node stores: it is no longer a member, another
 * node runs with its identity, or clocks differ.
 */
export function* obstaclesOf(members: MembersSeen): Generator<string> {
  const { standing, self, clocks, writeError } = members
  if (standing.isRemoved)
    yield self.stampError?.message ??
      'this machine is no longer a member. Ask for a new invite and start with an empty data directory'
  else if (writeError !== undefined) yield writeError.message
  if (standing.isDuplicated)
    yield "another node runs with this machine's identity: was the data directory copied? Stop one of them. If both machines are to be members, remove the copy and let its machine in like a new one"
  yield* some(clocks.refusals, difference => refusal(difference, members))
  // If most clocks differ from ours, ours is wrong, and that was said above.
  if (clocks.error === undefined) yield* some(clocks.differences, difference => differs(difference, members))
}

function* some(all: readonly ClockDifference[], words: (difference: ClockDifference) => string): Generator<string> {
  for (const difference of all.slice(0, NAMED_MAX)) yield words(difference)
  if (all.length > NAMED_MAX) yield `the clocks of more machines differ (${all.length - NAMED_MAX})`
}

function refusal({ peer, aheadMs }: ClockDifference, members: MembersSeen): string {
  const who = nameOf(peer, members)
  const time = roughDuration(Math.abs(aheadMs))
  const why =
    aheadMs < 0 ? `this machine's clock is ${time} ahead of its clock` : `its clock is ${time} ahead of this machine's`
  return `${who} and this node refuse each other, because ${why}: set the one that is wrong`
}

function differs({ peer, aheadMs }: ClockDifference, members: MembersSeen): string {
  const direction = aheadMs < 0 ? 'behind' : 'ahead of'
  const time = roughDuration(Math.abs(aheadMs))
  return `the clock of ${nameOf(peer, members)} is ${time} ${direction} this machine's: ${UNTIL_SET}`
}

function nameOf(peer: PeerId, members: MembersSeen): string {
  return `${members.member(peer)?.name ?? 'a node'} (…${peer.slice(-8)})`
}
