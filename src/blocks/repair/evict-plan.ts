import type { BlockCid } from '../../format/cid.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { ViewMember } from '../../members/view.ts'
import { HOLD_RECORDS_MAX } from '../constants.ts'
import { copiesWanted, type Referrers } from '../hold/reference-lookup.ts'
import type { ManifestChunk } from '../manifest-walk.ts'
import { isProof, type Proof } from '../protocol/proof.ts'

/** A chunk on this disk, and what is known of other members' copies of it. */
export interface ChunkPlan {
  cid: BlockCid
  chunkIndex: number
  referrers: Referrers
  /**
   * The other members that store blocks, in their rank for this chunk. The first of them owe it once this copy is
   * freed.
   */
  others: ViewMember[]
  /** The number of these members that must prove that they hold it. */
  wanted: number
  proofs: Map<PeerId, Proof>
  /** True once it is known that the copy here cannot be freed. */
  mustStay: boolean
}

/**
 * Plans the evict of one chunk as if this member came last in rank. `ranked` lists all members that store blocks, in
 * their rank for the chunk.
 */
export function planOne(
  { cid, chunkIndex }: ManifestChunk,
  referrers: Referrers,
  ranked: readonly ViewMember[],
  self: PeerId
): ChunkPlan {
  const others = ranked.filter(({ peer }) => peer !== self)
  const wanted = Math.min(copiesWanted(referrers), others.length)
  const mustStay = wanted === 0 || referrers.isInPut || referrers.records.size > HOLD_RECORDS_MAX
  return { cid, chunkIndex, referrers, others, wanted, proofs: new Map(), mustStay }
}

/**
 * Returns the members to ask next for a chunk, or none once all members that are needed have answered. The members that
 * owe the chunk come first, in rank. If a full member lacks the chunk, the next member is asked in its place. If none
 * of them can read the content, one more member that can is asked. Returns 'must-stay' if the copy here cannot be
 * freed.
 */
export function nextToAsk({ others, wanted, proofs, mustStay }: ChunkPlan): PeerId[] | 'must-stay' {
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
 * Checks the proofs of a chunk against its bytes. Returns true if enough members hold it, and at least one of them can
 * read the content.
 */
export function isProven({ proofs, others, wanted }: ChunkPlan, self: PeerId, bytes: Uint8Array): boolean {
  const holders = others.filter(({ peer }) => {
    const given = proofs.get(peer)
    return given !== undefined && isProof(given, self, peer, bytes)
  })
  return holders.length >= wanted && holders.some(({ canRead }) => canRead)
}
