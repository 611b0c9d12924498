import { type BlockCid, cidOfMultihash } from '../../format/cid.ts'
import type { NodeCodec } from '../../format/manifest.ts'
import type { PeerId } from '../../format/peer-id.ts'
import { equalBytes, fromHex } from '../../util/bytes.ts'
import type { Claims } from '../hold/claims.ts'
import { ReferenceLookup, type ReferringRecord } from '../hold/reference-lookup.ts'
import type { RecordRef } from '../record-ref.ts'

export interface NeedingRecordOptions {
  claims: Pick<Claims, 'claimants'>
  codec: NodeCodec
  self: PeerId
}

/**
 * Returns a record that needs a block according to the claims, in the form that a walk takes. The claims do not say who
 * wrote it. The author matters only as the member to ask first, so it is this member.
 */
export function recordToWalk(
  cid: BlockCid,
  [id, { root, replicas }]: readonly [string, ReferringRecord],
  { codec, self }: Omit<NeedingRecordOptions, 'claims'>
): RecordRef {
  const rootCid = equalBytes(root, cid.multihash.bytes) ? cid : cidOfMultihash(root, codec.code)
  return { id: fromHex(id), root: rootCid, replicas, author: self }
}

/** Returns the record that wants the most copies of a block. If any record wants a copy here, this one does. */
export async function mostWanting(
  cid: BlockCid,
  { claims, ...options }: NeedingRecordOptions
): Promise<RecordRef | undefined> {
  const { records } = await new ReferenceLookup(claims).of(cid.multihash.bytes)
  const [first] = [...records].sort(([, a], [, b]) => b.replicas - a.replicas)
  return first === undefined ? undefined : recordToWalk(cid, first, options)
}
