import type { PeerId } from '../../format/peer-id.ts'
import type { KeepState } from '../protocol/store-messages.ts'
import type { Ranking } from '../rank.ts'
import type { UplinkWidth } from '../uplink.ts'
import { type Bits, NONE } from './bits.ts'

/**
 * The state of a put, the events that change it, and the requests that it makes. The state is plain data, so that a put
 * can be stored and resumed. Bitmaps are kept as their bytes. Only the facts about members (`isReachable` and so on)
 * are not worth storing: a put that is resumed is told again which members are there.
 */

export interface PutRule {
  self: PeerId
  /** The number of copies wanted; `Infinity` for every member. */
  replicas: number
  /** The number of copies to wait for; `Infinity` for every member, undefined for the default. */
  ack: number | undefined
  /** False for a record without blocks. Every member that has the record then counts as a copy. */
  hasBlocks: boolean
}

export interface PutState extends PutRule {
  phase: 'placing' | 'confirming' | 'pushing' | 'over'
  members: Map<PeerId, MemberState>
  /** The blocks that some member was asked for and has not answered, and those that the put waits for. */
  blocks: Map<string, BlockState>
  chunkCount: number
  /** The first `RANK_BYTES` of each chunk's digest, from which its rank is computed. */
  ranks: Uint8Array
  /** False for a file of one chunk: a member that keeps its chunk has confirmed its root. */
  hasNodes: boolean
  /** This member's own copy. It is checked once the record is durable, and restored once if it is not whole. */
  own: 'unchecked' | 'restoring' | 'held' | 'lost'
  /** True once the put has waited for members long enough. */
  isLate: boolean
  /** True if the debts of the chunks were computed from a view that has changed since. */
  isDebtOld: boolean
  /** True if a chunk may have lost a copy, or a member that could store one has become available. */
  isShort: boolean
  /** True once the caller was told that the root is confirmed. */
  isConfirmed: boolean
  uplink: UplinkWidth
  /** The number of members that are held for a block, over all blocks: see `chain.ts`. */
  heldCount: number
}

/** One member, as this put sees it. */
export interface MemberState {
  isReachable: boolean
  /** It recently misbehaved or failed. It is asked only if there is nobody else. */
  isAvoided: boolean
  /** It shows no sign of life while it is waited for. Somebody else is asked, but its answer still counts. */
  isSilent: boolean
  /** It failed to answer this put. It is not asked again until it comes back. */
  isLost: boolean
  /** It gave an answer that it would give again: that it accepts no blocks or no such record. */
  isRefusing: boolean
  /** The number of blocks that it was asked for and has not answered. */
  pending: number
  /** The chunks that it was asked to keep and has not answered. */
  asked: Bits
  /** The chunks that it keeps, or is to keep, for this put. */
  counted: Bits
  /** The chunks that it could not take. `full` is the part for which it had no room. */
  declined: Bits
  full: Bits
  /** The chunks that it owes by its rank. */
  owed: Bits
  /** The chunks that it last confirmed, and those that it is being asked to confirm. */
  confirmed: Bits
  confirming: Bits | null
  mustConfirm: boolean
  /** The chunks for which it acknowledged the record, and those for which the record is being pushed to it. */
  acknowledged: Bits
  pushing: Bits | null
  mustPush: boolean
  /** The number of blocks that it pulls from us, and of blocks that other members pull from it. */
  direct: number
  serving: number
  /** True if it had nothing to pull from us when members were last looked at, and still has not. */
  isIdle: boolean
  /** True if a block was kept since members were last looked at that it pulled from us, or that another pulled from it. */
  isActive: boolean
  /** True if others have waited for it in vain, so that none waits for it any more. */
  isSlow: boolean
  /** How often it was asked to confirm the root and to acknowledge the record since it was last forgiven. */
  tries: number
}

/** A block on its way to its owners. */
export interface BlockState {
  key: string
  /** All members that store blocks, in rank. The members before `heir` owe it, except those without room. */
  order: PeerId[]
  /** The chunks of the file that this block is. None for a manifest node. */
  chunks: number[]
  /**
   * The members that said that they keep it; those that were asked and have not answered; and all that were ever asked.
   */
  keptBy: PeerId[]
  pending: PeerId[]
  asked: PeerId[]
  /** True if members pull it; false if it travels with the request. */
  isPulled: boolean
  /** The pending members that are asked only once another keeps the block: see `chain.ts`. */
  held: PeerId[]
  /** The pending members that pull it from another member, and from which. */
  via: Map<PeerId, PeerId>
  /** True if members have been held for it for a while. */
  isOverdue: boolean
  /** The number of members, besides this one, that are to have it. */
  goal: number
  /** The position in `order` of the next member that inherits from a full owner. */
  heir: number
  /** True once the put need not wait for it any more. */
  isPlaced: boolean
}

/** A member's answer about one block. `failed` means that it gave none. */
export type KeepAnswer = KeepState | 'failed'
/** A member's answer to the push of the record. `refused` covers every verdict but the other two. */
export type PushAnswer = 'ok' | 'lacking' | 'refused' | 'failed'

export type PutEvent =
  | { type: 'view'; ranking: Ranking }
  /** A member can be asked, for the first time or again. */
  | { type: 'joined'; peer: PeerId }
  | { type: 'left'; peer: PeerId }
  | { type: 'avoided'; peer: PeerId; is: boolean }
  | { type: 'silent'; peer: PeerId; is: boolean }
  | BlockEvent
  | { type: 'answer'; peer: PeerId; key: string; answer: KeepAnswer }
  /** All blocks have been placed, and the root is to be confirmed. */
  | { type: 'root'; hasNodes: boolean }
  /** A member's answer to the request to confirm the root; null if it gave none. */
  | { type: 'confirmed'; peer: PeerId; lacking: Bits | null }
  /** The record is durable here. */
  | { type: 'record' }
  | { type: 'pushed'; peer: PeerId; answer: PushAnswer }
  | { type: 'own'; isHeld: boolean }
  | { type: 'uplink'; width: UplinkWidth }
  /** Some time has passed in which members were held. */
  | { type: 'wait' }
  /** A moment has passed in which members may have become able to help. */
  | { type: 'tick' }
  | { type: 'late' }

/** A block must be kept. */
export interface BlockEvent {
  type: 'block'
  key: string
  digest: Uint8Array
  /** Its number in the file; null for a manifest node. */
  chunk: number | null
  /** The number of an earlier chunk with the same bytes. */
  sameAs?: number | undefined
  /** True if members pull it; false if it travels with the request. */
  isPulled: boolean
}

/** A request or a piece of news from a put to its driver. */
export type PutAsk =
  /** `from` is the member to pull from. `inPlaceOf` is the member whose answer made this necessary. */
  | { ask: 'keep'; peer: PeerId; key: string; from?: PeerId | undefined; inPlaceOf?: PeerId | undefined }
  /** The put need not wait for this block any more. */
  | { ask: 'placed'; key: string; keptBy: readonly PeerId[] }
  /** Nobody will be asked for this block again. */
  | { ask: 'drop'; key: string }
  | { ask: 'confirm'; peer: PeerId; chunks: Bits }
  /** Enough members have confirmed the root, or no member is left that could. The record may be created. */
  | { ask: 'link' }
  | { ask: 'push'; peer: PeerId }
  | { ask: 'check-own' }
  | { ask: 'restore-own' }
  | { ask: 'answer'; isYes: boolean }

/** The number of bytes of a digest that decide its rank. */
const RANK_BYTES = 8

/** Returns the state of a put that has not been told anything yet. */
export function newPutState(rule: PutRule): PutState {
  return {
    ...rule,
    phase: 'placing',
    members: new Map(),
    blocks: new Map(),
    chunkCount: 0,
    ranks: NONE,
    hasNodes: false,
    own: 'unchecked',
    isLate: false,
    isDebtOld: false,
    isShort: true,
    isConfirmed: false,
    uplink: 'unknown',
    heldCount: 0
  }
}

/** Returns what the put knows of a member. Adds the member if it is new. */
export function memberOf(state: PutState, peer: PeerId): MemberState {
  let member = state.members.get(peer)
  if (member === undefined) {
    member = newMember()
    state.members.set(peer, member)
  }
  return member
}

function newMember(): MemberState {
  return {
    isReachable: false,
    isAvoided: false,
    isSilent: false,
    isLost: false,
    isRefusing: false,
    pending: 0,
    asked: NONE,
    counted: NONE,
    declined: NONE,
    full: NONE,
    owed: NONE,
    confirmed: NONE,
    confirming: null,
    mustConfirm: false,
    acknowledged: NONE,
    pushing: null,
    mustPush: false,
    direct: 0,
    serving: 0,
    isIdle: false,
    isActive: false,
    isSlow: false,
    tries: 0
  }
}

/** Returns true if a member can be asked at all. */
export function isAskable({ isReachable, isLost, isRefusing }: MemberState): boolean {
  return isReachable && !isLost && !isRefusing
}

/** Returns true if a member that was asked is expected to answer soon, so that nobody is asked in its place. */
export function isLive(member: MemberState): boolean {
  return isAskable(member) && !member.isSilent
}

/** Returns true for a member that is asked first: it can be asked, is not silent, and is not avoided. */
export function isGood(member: MemberState): boolean {
  return isLive(member) && !member.isAvoided
}

/**
 * Returns true if it is worth waiting for an answer of a member that was asked. A member that is merely silent may be
 * busy. One that is silent and has failed before is not waited for.
 */
export function mayAnswer(member: MemberState): boolean {
  return isAskable(member) && !(member.isSilent && member.isAvoided)
}

/** Notes a chunk, and the beginning of its digest. */
export function addRank(state: PutState, chunk: number, digest: Uint8Array): void {
  const end = (chunk + 1) * RANK_BYTES
  if (end > state.ranks.byteLength) {
    const ranks = new Uint8Array(Math.max(end, state.ranks.byteLength * 2))
    ranks.set(state.ranks)
    state.ranks = ranks
  }
  state.ranks.set(digest.subarray(0, RANK_BYTES), chunk * RANK_BYTES)
  state.chunkCount = Math.max(state.chunkCount, chunk + 1)
}

/** Returns the beginning of a chunk's digest. */
export function rankOf({ ranks }: PutState, chunk: number): Uint8Array {
  return ranks.subarray(chunk * RANK_BYTES, (chunk + 1) * RANK_BYTES)
}
