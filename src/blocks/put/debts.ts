import type { NodeCodec } from '../../format/manifest.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { ViewMember } from '../../members/view.ts'
import { Bitmap } from '../bitmap.ts'
import { isChunk, type ReadNode, walkBatches } from '../manifest-walk.ts'
import type { Ranking } from '../rank.ts'
import type { RecordRef } from '../record-ref.ts'

/** The chunks of a file that one member owes. */
export interface Debt {
  chunks: Bitmap
  /** True for a full member, which may pass its debt on to the next in rank. */
  isFull: boolean
}

/** The chunks that each member owes of a file, under the current view. */
export interface Debts {
  byMember: Map<PeerId, Debt>
  /** For each chunk that a full member owes, the members after its owners, in rank. */
  nextInRank: Map<number, ViewMember[]>
}

export interface DebtsOptions {
  self: PeerId
  ranking: () => Ranking
  readNode: ReadNode
  codec: NodeCodec
}

/** Walks the manifest of a file, and returns what the other members owe of it. */
export async function debtsOf(
  { root, replicas }: Pick<RecordRef, 'root' | 'replicas'>,
  { self, ranking, readNode, codec }: DebtsOptions
): Promise<Debts> {
  const order = ranking()
  const byMember = new Map<PeerId, Debt>()
  const nextInRank = new Map<number, ViewMember[]>()
  for await (const batch of walkBatches({ root, readNode, codec, select: isChunk })) {
    for (const { cid, chunkIndex } of batch) {
      const ranked = order.inOrder(cid.multihash.digest, replicas)
      const owners = ranked.slice(0, replicas)
      for (const owner of owners) addDebt(byMember, owner, chunkIndex)
      if (owners.some(({ isFull }) => isFull)) nextInRank.set(chunkIndex, ranked.slice(owners.length))
    }
  }
  byMember.delete(self)
  return { byMember, nextInRank }
}

/** Notes that a member owes a chunk. */
export function addDebt(debts: Map<PeerId, Debt>, { peer, isFull }: ViewMember, chunkIndex: number): void {
  const debt = debts.get(peer) ?? { chunks: new Bitmap(), isFull }
  debt.chunks.add(chunkIndex)
  debts.set(peer, debt)
}
