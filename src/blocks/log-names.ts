import type { BlockCid } from '../format/cid.ts'
import { toHex } from '../util/bytes.ts'

/** Hex digits by which a log names a block or a record: enough to tell them apart in one reading. */
const DIGITS = 8

/** Names a block in a log. The name is only made when the line is written, since most traces never are. */
export function nameOf(cid: BlockCid): { toString(): string } {
  return { toString: () => shortHex(cid.multihash.digest) }
}

/** Names a record or a put in a log, by its id. */
export function shortHex(id: Uint8Array): string {
  return toHex(id.subarray(0, DIGITS / 2))
}
