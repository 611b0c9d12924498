import type { BlockCid } from '../../format/cid.ts'
import type { PutId } from '../hold/claims.ts'
import type { PutDriver } from './put-driver.ts'

/** A file that a put has kept. The push of its record goes on from here. */
export interface KeptFile {
  root: BlockCid
  /** The number that identifies the put to the keepers. */
  putNumber: Uint8Array
  /** The id under which the put claims the file's blocks on this disk. */
  putId: PutId
  /** Knows which member keeps which blocks of the file, and who may be asked in another's place. */
  driver: PutDriver
  /**
   * The only block of a small file, if no member has been asked to keep it yet: it goes to the members together with the
   * record. Undefined if enough members have confirmed the file.
   */
  unsent?: Uint8Array | undefined
}
