import type { BlockCid } from '../format/cid.ts'
import { shortHex } from '../util/bytes.ts'

/** Names a block in a log. The name is only made when the line is written, since most traces never are. */
export function nameOf(cid: BlockCid): { toString(): string } {
  return { toString: () => shortHex(cid.multihash.digest) }
}
