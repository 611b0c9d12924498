import { z } from 'zod'
import { type IndexOp, indexKey } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import { decodeOwn, encodeCanonical } from '../../format/canonical.ts'
import { type BlockCid, cidOfMultihash, isNode } from '../../format/cid.ts'
import { u64be, utf8 } from '../../util/bytes.ts'
import type { RecordRef } from '../record-ref.ts'
import { fieldsOfRecord, recordFields, recordOfFields } from './record-codec.ts'

/**
 * The rows that say what was released and has not been looked at yet. There are two kinds: records that no longer need
 * their content, and blocks of which a claim has gone. Each block here that nothing claims has such a row, except after
 * an unclean stop.
 */

/** The prefix of the rows of records, and the one of the rows of blocks. */
export const RELEASED_RECORDS = indexKey(TABLES.releases, utf8('r'))
export const RELEASED_BLOCKS = indexKey(TABLES.releases, utf8('b'))

/** A block of which a claim has gone. */
export interface ReleasedBlock {
  /** It has the codec of manifest nodes only if the block is known to be one. */
  cid: BlockCid
  /** The wall-clock time at which this node could not be read here or from another member; 0 if that was not tried. */
  triedAtMs: number
}

const rowSchema = z.object(recordFields)
const IS_NODE = 1

/** Returns the key of the row that says that a record was released, and that its blocks are still to be looked at. */
export function releasedRecordKey(id: Uint8Array): Uint8Array {
  return Buffer.concat([RELEASED_RECORDS, id])
}

export function encodeReleasedRecord(record: RecordRef): Uint8Array {
  return encodeCanonical(fieldsOfRecord(record))
}

export function decodeReleasedRecord(key: Uint8Array, value: Uint8Array, nodeCodec: number): RecordRef {
  return recordOfFields(key.subarray(RELEASED_RECORDS.byteLength), rowSchema.parse(decodeOwn(value)), nodeCodec)
}

/** Returns the key of a block's row. */
export function releasedBlockKey({ multihash }: BlockCid): Uint8Array {
  return Buffer.concat([RELEASED_BLOCKS, multihash.bytes])
}

/** Returns the index change that has a block looked at, because a claim on it has gone. */
export function releasedBlockOp(cid: BlockCid, triedAtMs = 0): IndexOp {
  const flags = Uint8Array.of(isNode(cid) ? IS_NODE : 0)
  return { type: 'put', key: releasedBlockKey(cid), value: Buffer.concat([flags, u64be(Math.floor(triedAtMs))]) }
}

export function decodeReleasedBlock(key: Uint8Array, value: Uint8Array, nodeCodec: number): ReleasedBlock {
  const multihash = key.subarray(RELEASED_BLOCKS.byteLength)
  const cid = value[0] === IS_NODE ? cidOfMultihash(multihash, nodeCodec) : cidOfMultihash(multihash)
  return { cid, triedAtMs: Number(Buffer.from(value).readBigUInt64BE(1)) }
}
