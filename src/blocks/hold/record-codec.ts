import { z } from 'zod'
import { decodeCid } from '../../format/cid.ts'
import { peerIdOf, publicKeyOf } from '../../format/peer-id.ts'
import { decodeReplicas, encodeReplicas } from '../../format/replicas.ts'
import type { RecordRef } from '../record-ref.ts'

/** The fields by which a row of the index says which record it is about. Its id is in the key. */
export const recordFields = {
  root: z.instanceof(Uint8Array),
  replicas: z.number(),
  author: z.instanceof(Uint8Array)
}

export interface RecordFields {
  root: Uint8Array
  replicas: number
  author: Uint8Array
}

/** Returns the fields that say which record a row is about. */
export function fieldsOfRecord({ root, replicas, author }: RecordRef): RecordFields {
  return { root: root.bytes, replicas: encodeReplicas(replicas), author: publicKeyOf(author) }
}

/** Returns the record that a row with these fields is about. Throws if its root is not a valid CID. */
export function recordOfFields(id: Uint8Array, { root, replicas, author }: RecordFields, nodeCodec: number): RecordRef {
  return {
    id,
    root: decodeCid(root, [nodeCodec]),
    replicas: decodeReplicas(replicas),
    author: peerIdOf(author)
  }
}
