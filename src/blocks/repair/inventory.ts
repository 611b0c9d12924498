import { isNode } from '../../format/cid.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { ClaimingNodes } from '../hold/claiming-nodes.ts'
import type { Claims } from '../hold/claims.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'
import { copiesWanted, ReferenceLookup } from '../hold/reference-lookup.ts'
import type { Ranking } from '../rank.ts'
import type { PutEnds } from './put-ends.ts'

export interface InventoryOptions {
  self: PeerId
  local: Pick<LocalBlocks, 'all' | 'sizeOf'>
  claims: Claims
  nodes: Pick<ClaimingNodes, 'cidOf'>
  ranking: () => Ranking
  putEnds: Pick<PutEnds, 'isOver'>
}

/** A block here, and why it stays. */
export interface HeldBlock {
  bytes: number
  /** The ids (hex) of the records that need it. */
  records: readonly string[]
  /** True if a put needs it. */
  isInPut: boolean
  /** True if only puts that are over need it. */
  isCutOff: boolean
  /** True if this member owes it to a record. Every member owes all manifest nodes. */
  isOwed: boolean
}

/** Yields every block here. It reads no block, only the index: some rows for each. */
export async function* inventory(options: InventoryOptions, signal?: AbortSignal): AsyncGenerator<HeldBlock> {
  const { self, local, claims, nodes, ranking, putEnds } = options
  // Remember what leads up from a node, so that a file of a million chunks costs only one row for each of them.
  const lookup = new ReferenceLookup(claims)
  const order = ranking()
  for await (const multihash of local.all()) {
    signal?.throwIfAborted()
    const cid = await nodes.cidOf(multihash)
    const referrers = await lookup.of(multihash)
    const isKeeper = order.keepers.includes(self)
    yield {
      bytes: await local.sizeOf(cid),
      records: [...referrers.records.keys()],
      isInPut: referrers.isInPut,
      isCutOff: referrers.records.size === 0 && referrers.isInPut && (await isOnlyOver(multihash, { claims, putEnds })),
      isOwed: isKeeper && (isNode(cid) || order.isOwner(self, cid.multihash.digest, copiesWanted(referrers)))
    }
  }
}

async function isOnlyOver(
  multihash: Uint8Array,
  { claims, putEnds }: Pick<InventoryOptions, 'claims' | 'putEnds'>
): Promise<boolean> {
  for await (const claimant of claims.claimants(multihash))
    if (claimant.by === 'put' && !putEnds.isOver(claimant.put)) return false
  return true
}
