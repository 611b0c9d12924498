import { decodeStamp, type EntryRecord, encodeStamp, type Seen } from '../../format/entry.ts'
import { decodeHlc, encodeHlc } from '../../format/stamp.ts'

/**
 * How rows of the index hold the clear part of a record: as values of dag-cbor, without the id of the entry, which is in
 * the key. With it, an entry's state is updated without reading any statement again.
 */

export type StampFields = [Uint8Array, Uint8Array, Uint8Array]
export type HeadFields = [
  id: Uint8Array,
  stamp: StampFields,
  seen: StampFields[],
  op: number,
  placed: StampFields,
  written: StampFields,
  root: Uint8Array | null,
  rootEpoch: Uint8Array | null,
  epoch: Uint8Array,
  replicas: number
]

export function encodeHead(head: EntryRecord): HeadFields {
  return [
    head.id,
    encodeStamp(head.stamp),
    head.seen.map(encodeSeen),
    head.op === 'put' ? 1 : 0,
    encodeStamp(head.placed),
    encodeStamp(head.written),
    head.root,
    head.rootEpoch,
    head.epoch,
    head.replicas
  ]
}

export function decodeHead(entry: Uint8Array, fields: HeadFields): EntryRecord {
  const [id, stamp, seen, op, placed, written, root, rootEpoch, epoch, replicas] = fields
  return {
    id,
    entry,
    stamp: decodeStamp(stamp),
    seen: seen.map(decodeSeen),
    op: op === 1 ? 'put' : 'delete',
    placed: decodeStamp(placed),
    written: decodeStamp(written),
    root,
    rootEpoch,
    epoch,
    replicas
  }
}

export function encodeSeen({ hlc, author, incarnation }: Seen): StampFields {
  return [encodeHlc(hlc), author, incarnation]
}

export function decodeSeen([hlc, author, incarnation]: StampFields): Seen {
  return { hlc: decodeHlc(hlc), author, incarnation }
}
