import type { BlockCid } from '../../format/cid.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { ViewMember } from '../../members/view.ts'
import { HOLD_RECORDS_MAX } from '../constants.ts'
import { copiesWanted, type Referrers } from '../hold/reference-lookup.ts'
import type { ManifestChunk } from '../manifest-walk.ts'
import { isProof, type Proof } from '../protocol/proof.ts'

/**
 * The reason why a copy here may be freed although records need it: a person wants the space (`evict`), or this member
 * does not owe the block (`surplus`).
 */
export type CopyReason = 'evict' | 'surplus'

/** A member's answer about a block. */
export interface CopyProof extends Proof {
  /** The last promise that this member had made when it asked. See `Holds`. */
  askedAt: number
}

/** When a plan was made, by both clocks. */
export interface PlannedAt {
  wallAtMs: number
  monotonicAtMs: number
}

/** The plan to free a chunk on this disk that records need, and the facts known about other members' copies of it. */
export interface CopyPlan {
  reason: CopyReason
  cid: BlockCid
  chunkIndex: number
  plannedAt: PlannedAt
  referrers: Referrers
  /** The members that may stand in for this copy, in their rank for the chunk. */
  others: ViewMember[]
  /** The number of these members that must prove that they hold it. */
  wanted: number
  proofs: Map<PeerId, CopyProof>
  /** True if the copy here is not surplus, because this member owes it. */
  isOwed: boolean
  /** True once it is known that the copy here cannot be freed. */
  mustStay: boolean
}

export interface PlanCopyOptions {
  reason: CopyReason
  plannedAt: PlannedAt
  referrers: Referrers
  /** All members that store blocks, in their rank for the chunk. */
  ranked: readonly ViewMember[]
  self: PeerId
}

/**
 * Plans to free one chunk. For an evict, this member ranks itself last, and all others may stand in for it. A surplus
 * copy is one that this member does not owe; the members above it in rank must hold the chunk.
 */
export function planCopy({ cid, chunkIndex }: ManifestChunk, options: PlanCopyOptions): CopyPlan {
  const { reason, plannedAt, referrers, ranked, self } = options
  const at = ranked.findIndex(({ peer }) => peer === self)
  const isAbove = (_: ViewMember, i: number): boolean => at < 0 || i < at
  const others = ranked.filter((member, i) => (reason === 'evict' ? member.peer !== self : isAbove(member, i)))
  const copies = copiesWanted(referrers)
  const isOwed = at >= 0 && at < copies
  const wanted = Math.min(copies, others.length)
  const mustStay =
    wanted === 0 ||
    (isOwed && reason === 'surplus') ||
    referrers.isInPut ||
    referrers.isCut ||
    referrers.records.size > HOLD_RECORDS_MAX
  return { reason, cid, chunkIndex, plannedAt, referrers, others, wanted, proofs: new Map(), isOwed, mustStay }
}

/**
 * Returns the members to ask next for a chunk, or none once all members that are needed have answered. The members that
 * owe the chunk come first, in rank. If a full member lacks the chunk, the next member is asked in its place. If none
 * of them can read the content, one more member that can is asked. Returns 'must-stay' if the copy here cannot be
 * freed.
 */
export function nextToAsk({ others, wanted, proofs, mustStay }: CopyPlan): PeerId[] | 'must-stay' {
  const counted: ViewMember[] = []
  const isEnough = (): boolean => counted.length >= wanted
  const hasReader = (): boolean => counted.some(({ canRead }) => canRead)
  if (mustStay) return 'must-stay'
  for (const member of others) {
    if (isEnough() && hasReader()) break
    if (isEnough() && !member.canRead) continue
    const given = proofs.get(member.peer)
    if (given === undefined || given.proof.byteLength > 0) counted.push(member)
    // The member has room, but still lacks the chunk after it was asked to pull it. No other member may take its place.
    else if (!member.isFull) return 'must-stay'
  }
  if (!isEnough() || !hasReader()) return 'must-stay'
  return counted.filter(({ peer }) => !proofs.has(peer)).map(({ peer }) => peer)
}

/**
 * Checks the proofs of a chunk against its bytes. Returns the members whose proofs are valid, each with its `askedAt`,
 * or undefined if there are too few, or if none of them can read the content.
 */
export function provenBy(
  { proofs, others, wanted }: CopyPlan,
  self: PeerId,
  bytes: Uint8Array
): ReadonlyMap<PeerId, number> | undefined {
  const proven = new Map<PeerId, number>()
  let hasReader = false
  for (const { peer, canRead } of others) {
    const given = proofs.get(peer)
    if (given === undefined || !isProof(given, self, peer, bytes)) continue
    proven.set(peer, given.askedAt)
    hasReader ||= canRead
  }
  return proven.size >= wanted && hasReader ? proven : undefined
}
