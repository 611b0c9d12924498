import type { IndexDb } from '../../disk/index-db.ts'
import { rootOf } from '../../format/entry.ts'
import type { Stamp } from '../../format/stamp.ts'
import { asBuffer, concatBytes, u64be } from '../../util/bytes.ts'
import { decodeStampBytes, STAMP_BYTES, stampBytes } from '../rows/keys.ts'
import { carrierKey, idOfCarrier } from './keys.ts'

/**
 * A record that has the content of a version, other than the record that wrote the version and counts: it moved the file,
 * or sealed it again, or it is a twin.
 */
export interface Carrier {
  stamp: Stamp
  arrivedAtMs: number
  rootEpoch: Uint8Array
  root: Uint8Array
}

const TIME_BYTES = 8
const EPOCH_AT = TIME_BYTES + STAMP_BYTES
const ROOT_AT = EPOCH_AT + 32

/** Returns true if a root names a block, and not content in the body of the record. */
export function isBlock(root: Uint8Array): boolean {
  return 'cid' in rootOf(root)
}

export function encodeCarrier({ stamp, arrivedAtMs, rootEpoch, root }: Carrier): Uint8Array {
  return concatBytes(u64be(arrivedAtMs), stampBytes(stamp), rootEpoch, root)
}

function decodeCarrier(value: Uint8Array): Carrier {
  return {
    arrivedAtMs: Number(asBuffer(value).readBigUInt64BE(0)),
    stamp: decodeStampBytes(value.subarray(TIME_BYTES, EPOCH_AT)),
    rootEpoch: value.subarray(EPOCH_AT, ROOT_AT),
    root: value.subarray(ROOT_AT)
  }
}

/** Returns the carriers of a version, with their ids. */
export async function carriersOf(
  index: Pick<IndexDb, 'range'>,
  entry: Uint8Array,
  written: Stamp
): Promise<Array<Carrier & { id: Uint8Array }>> {
  const carriers: Array<Carrier & { id: Uint8Array }> = []
  for await (const { key, value } of index.range(carrierKey(entry, written)))
    carriers.push({ ...decodeCarrier(value), id: idOfCarrier(key) })
  return carriers
}
