import { decodeStamp, type EntryRecord, encodeStamp, type Seen } from '../../format/entry.ts'
import { compareStamps, decodeHlc, encodeHlc, HLC_BYTES, INCARNATION_BYTES, type Stamp } from '../../format/stamp.ts'
import { concatBytes } from '../../util/bytes.ts'
import { KEY_BYTES } from './keys.ts'

/**
 * The form in which rows of the index hold the clear part of a record: values of dag-cbor, without the id of the entry,
 * which is in the key. So the state of an entry can be updated without reading any statement again.
 */

export type StampFields = [Uint8Array, Uint8Array, Uint8Array]
export type HeadFields = [
  id: Uint8Array,
  stamp: StampFields,
  /** Null if the past of the head is in a row of its own. */
  seen: StampFields[] | null,
  op: number,
  /** Null if it is the stamp. */
  placed: StampFields | null,
  /** Null if it is the stamp. */
  written: StampFields | null,
  root: Uint8Array | null,
  rootEpoch: Uint8Array | null,
  epoch: Uint8Array,
  replicas: number
]

/** Encodes a head with what it has seen. */
export function encodeHead(head: EntryRecord): HeadFields {
  const fields = encodeHeadAlone(head)
  fields[2] = head.seen.map(encodeSeen)
  return fields
}

/** Encodes a head without what it has seen. */
export function encodeHeadAlone(head: Omit<EntryRecord, 'seen'>): HeadFields {
  const ofAnother = (stamp: Stamp): StampFields | null =>
    compareStamps(stamp, head.stamp) === 0 ? null : encodeStamp(stamp)
  return [
    head.id,
    encodeStamp(head.stamp),
    null,
    head.op === 'put' ? 1 : 0,
    ofAnother(head.placed),
    ofAnother(head.written),
    head.root,
    head.rootEpoch,
    head.epoch,
    head.replicas
  ]
}

/** Decodes a head. `pastOf` returns what it has seen if a row of its own has that. */
export function decodeHead(
  entry: Uint8Array,
  fields: HeadFields,
  pastOf: (stamp: Stamp) => Uint8Array | undefined = () => undefined
): EntryRecord {
  const [id, stampFields, seenFields, op, placed, written, root, rootEpoch, epoch, replicas] = fields
  const stamp = decodeStamp(stampFields)
  let seen = seenFields?.map(decodeSeen)
  return {
    id,
    entry,
    stamp,
    // This is decoded on demand. If there are several heads, hardly any caller asks what one of them has seen.
    get seen() {
      seen ??= decodePast(pastOf(stamp))
      return seen
    },
    op: op === 1 ? 'put' : 'delete',
    placed: placed === null ? stamp : decodeStamp(placed),
    written: written === null ? stamp : decodeStamp(written),
    root,
    rootEpoch,
    epoch,
    replicas
  }
}

const SEEN_BYTES = KEY_BYTES + INCARNATION_BYTES + HLC_BYTES

/** Encodes what a head has seen for a row of its own: author ‖ incarnation ‖ hlc of each item. */
export function encodePast(seen: readonly Seen[]): Uint8Array {
  return concatBytes(...seen.flatMap(({ author, incarnation, hlc }) => [author, incarnation, encodeHlc(hlc)]))
}

function decodePast(bytes: Uint8Array | undefined): Seen[] {
  const seen: Seen[] = []
  for (let at = 0; bytes !== undefined && at < bytes.byteLength; at += SEEN_BYTES) {
    const [incarnation, hlc] = [at + KEY_BYTES, at + KEY_BYTES + INCARNATION_BYTES]
    seen.push({
      hlc: decodeHlc(bytes.subarray(hlc, at + SEEN_BYTES)),
      author: bytes.subarray(at, incarnation),
      incarnation: bytes.subarray(incarnation, hlc)
    })
  }
  return seen
}

/** Encodes one item of what a record has seen. */
export function encodeSeen({ hlc, author, incarnation }: Seen): StampFields {
  return [encodeHlc(hlc), author, incarnation]
}

/** Decodes one item of what a record has seen. */
export function decodeSeen([hlc, author, incarnation]: StampFields): Seen {
  return { hlc: decodeHlc(hlc), author, incarnation }
}
