import { toHex } from '../util/bytes.ts'

const SHORT_BYTES = 4

/** The first digits of a statement's id: enough to find it again in a log of messages. */
export function shortId(id: Uint8Array): string {
  return toHex(id.subarray(0, SHORT_BYTES))
}
