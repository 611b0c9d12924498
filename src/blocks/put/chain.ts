import type { PeerId } from '../../format/peer-id.ts'
import { CHAIN_SERVES_MAX, UNKNOWN_UPLINK_BLOCKS } from '../constants.ts'
import { type BlockState, isAskable, isGood, isLive, type MemberState, memberOf, type PutState } from './put-state.ts'
import type { Step } from './step.ts'

/**
 * Over a thin uplink, a block leaves this member once, and the members pass it on. Several members are to keep each
 * block; only one of them, the one with the fewest blocks on their way from us, is asked to pull it from us. The others
 * are *held*: they are asked once a member keeps the block, with `from` naming that member, so that they pull it from
 * there. A held member counts as asked. Different blocks go to different members first, so that these send about as much
 * to each other.
 *
 * A held member is asked to pull from us after all if nobody is left who may soon have the block, if the uplink turns
 * out to be wide, or if the members that it waits for are slow: they have brought nothing about for a while, in which it
 * had nothing to pull from us although a block was held for it. A put does without the help of such members from then on.
 */

/**
 * Asks a member for a block now, or holds it until it is its turn. The caller then adds the member to those that are
 * asked.
 */
export function askInTurn(step: Step, block: BlockState, peer: PeerId, inPlaceOf?: PeerId): void {
  const { state } = step
  const isEarly = state.uplink === 'unknown' && memberOf(state, peer).direct < UNKNOWN_UPLINK_BLOCKS
  const turn = block.isPulled && !isEarly ? turnOf(state, block) : FROM_US
  if (turn === undefined) {
    block.held.push(peer)
    state.heldCount++
  } else send(step, block, peer, { ...turn, inPlaceOf })
}

/** Returns members in the order in which they are asked for a block: the first of them is asked to pull it from us. */
export function inTurn(state: PutState, { isPulled }: Pick<BlockState, 'isPulled'>, peers: PeerId[]): PeerId[] {
  if (!isPulled || state.uplink === 'wide' || peers.length < 2) return peers
  const [quick, slow]: [PeerId[], PeerId[]] = [[], []]
  for (const peer of peers) (memberOf(state, peer).isSlow ? slow : quick).push(peer)
  const direct = (peer: PeerId): number => memberOf(state, peer).direct
  return [...quick.sort((a, b) => direct(a) - direct(b)), ...slow]
}

/** Notes that a member has answered about a block. */
export function endTurn(state: PutState, block: BlockState, peer: PeerId, isKept: boolean): void {
  const source = block.via.get(peer)
  if (block.held.includes(peer)) {
    release(state, block, peer)
    // Nothing was sent to it, so it is asked if it comes back.
    block.asked.splice(block.asked.indexOf(peer), 1)
    return
  }
  block.via.delete(peer)
  const helper = memberOf(state, source ?? peer)
  if (source !== undefined) helper.serving--
  else if (block.isPulled) helper.direct--
  if (isKept) helper.isActive = true
}

/** Asks the held members whose turn it is. */
export function askHeld(step: Step): void {
  const { state } = step
  for (const block of state.blocks.values()) {
    while (block.held.length > 0) {
      const turn = turnOf(state, block)
      if (turn === undefined) break
      const peer = block.held.find(peer => isGood(memberOf(state, peer))) ?? (block.held[0] as PeerId)
      release(state, block, peer)
      send(step, block, peer, turn)
    }
  }
}

/** Returns the held members that cannot be asked any more, with the blocks for which they are held. */
export function heldInVain(state: PutState): Array<{ peer: PeerId; key: string }> {
  return [...state.blocks.values()].flatMap(({ key, held }) =>
    held.filter(peer => !isAskable(memberOf(state, peer))).map(peer => ({ peer, key }))
  )
}

/** Notes that some time has passed in which members were held, and who was slow then. */
export function noteWait(state: PutState): void {
  for (const block of state.blocks.values()) {
    if (block.held.length === 0) continue
    const isWaitedFor = block.isOverdue && block.held.some(peer => memberOf(state, peer).isIdle)
    if (isWaitedFor) for (const member of waitedFor(state, block)) member.isSlow ||= !member.isActive
    block.isOverdue = true
  }
  for (const member of state.members.values()) {
    member.isIdle = member.direct === 0
    member.isActive = false
  }
}

/** The members for which the held members of a block wait. */
function waitedFor(state: PutState, { keptBy, pending, held }: BlockState): MemberState[] {
  const peers = keptBy.length > 0 ? keptBy : pending.filter(peer => !held.includes(peer))
  return peers.map(peer => memberOf(state, peer))
}

/** Where the next member is to pull a block from: another member, or us. */
interface Turn {
  from: PeerId | undefined
}

const FROM_US: Turn = { from: undefined }

/** Returns where the next member is to pull a block from, or undefined if it is to wait. */
function turnOf(state: PutState, block: BlockState): Turn | undefined {
  if (state.uplink === 'wide') return FROM_US
  const helps = (peer: PeerId): boolean => !memberOf(state, peer).isSlow
  const sources = block.keptBy.filter(peer => helps(peer) && isGood(memberOf(state, peer)))
  const serving = (peer: PeerId): number => memberOf(state, peer).serving
  const [from] = sources.sort((a, b) => serving(a) - serving(b))
  if (from !== undefined) return serving(from) < CHAIN_SERVES_MAX ? { from } : undefined
  const isComing = (peer: PeerId): boolean => !block.held.includes(peer) && helps(peer) && isLive(memberOf(state, peer))
  return block.pending.some(isComing) ? undefined : FROM_US
}

function release(state: PutState, { held }: BlockState, peer: PeerId): void {
  held.splice(held.indexOf(peer), 1)
  state.heldCount--
}

function send(
  { state, asks }: Step,
  block: BlockState,
  peer: PeerId,
  { from, inPlaceOf }: Turn & { inPlaceOf?: PeerId | undefined }
): void {
  const { key, isPulled, via } = block
  if (from !== undefined) {
    via.set(peer, from)
    memberOf(state, from).serving++
  } else if (isPulled) {
    const member = memberOf(state, peer)
    member.direct++
    member.isIdle = false
  }
  asks.push({ ask: 'keep', peer, key, from, inPlaceOf })
}
