import type { BlockCid } from '../format/cid.ts'
import type { PeerId } from '../format/peer-id.ts'
import { shortHex } from '../util/bytes.ts'

/** Names a block in a log. The name is computed only when the line is written, since most trace lines never are. */
export function nameOf(cid: BlockCid): { toString(): string } {
  return { toString: () => shortHex(cid.multihash.digest) }
}

/** Names a put, a record or a root by its id, in the same way. */
export function nameOfId(id: Uint8Array): { toString(): string } {
  return { toString: () => shortHex(id) }
}

/** Lists other members in a log. */
export function listOf(peers: Iterable<PeerId>): string {
  return [...peers].join(', ') || 'no other member'
}
