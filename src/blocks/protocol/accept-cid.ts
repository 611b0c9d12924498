import { type BlockCid, type CID, decodeCid } from '../../format/cid.ts'
import { ForeignCidError } from '../../format/errors.ts'
import { RefusedError } from '../../wire/errors.ts'

/** Checks the CID of a request. A CID with a codec or hash that this network does not use is refused as `invalid`. */
export function acceptCid(cid: CID, nodeCodecs: readonly number[]): BlockCid {
  try {
    return decodeCid(cid.bytes, nodeCodecs)
  } catch (error) {
    if (error instanceof ForeignCidError) throw new RefusedError('invalid')
    throw error
  }
}
