import { z } from 'zod'
import { type IndexDb, indexKey } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import { decodeOwn, encodeCanonical } from '../../format/canonical.ts'
import { decodeCid } from '../../format/cid.ts'
import { BLOCK_BYTES_MAX } from '../../format/constants.ts'
import type { NodeCodec } from '../../format/manifest.ts'
import type { PeerId } from '../../format/peer-id.ts'
import { decodeReplicas, encodeReplicas } from '../../format/replicas.ts'
import { NO_BYTES } from '../../util/bytes.ts'
import type { RecordRef } from '../record-ref.ts'

const rowSchema = z.object({
  root: z.instanceof(Uint8Array),
  replicas: z.number(),
  author: z.string(),
  owed: z.number(),
  eachBytes: z.number().default(BLOCK_BYTES_MAX),
  done: z.array(z.tuple([z.string(), z.number()]))
})

/** A record whose copies may be owed. `root` is null if it has no blocks. */
export type OwedRecord = Omit<RecordRef, 'root'> & { root: RecordRef['root'] | null }

/** A record whose copies are not all confirmed yet. */
export interface Hint extends OwedRecord {
  /** The number of copies of chunks that are not confirmed. */
  owed: number
  /** The most bytes of text that one of its chunks holds. */
  eachBytes: number
  /**
   * The members that said that they hold everything that they owe, each with the number of chunks that it owed. They
   * are not asked again, since otherwise, if two members are never online together, one of them would always count as
   * missing.
   */
  done: Array<[PeerId, number]>
}

/** The hints, as rows of the index. They survive a restart. */
export class HintRows {
  readonly #index: IndexDb
  readonly #codec: NodeCodec

  constructor(index: IndexDb, codec: NodeCodec) {
    this.#index = index
    this.#codec = codec
  }

  async *all(): AsyncGenerator<Hint> {
    const table = indexKey(TABLES.hints)
    for await (const { key, value } of this.#index.range(table)) {
      const { root, replicas, ...rest } = rowSchema.parse(decodeOwn(value))
      yield {
        ...rest,
        id: key.subarray(table.byteLength),
        root: root.byteLength === 0 ? null : decodeCid(root, [this.#codec.code]),
        replicas: decodeReplicas(replicas)
      }
    }
  }

  async write({ id, root, replicas, author, owed, eachBytes, done }: Hint): Promise<void> {
    const row = { root: root?.bytes ?? NO_BYTES, replicas: encodeReplicas(replicas), author, owed, eachBytes, done }
    await this.#index.batch([{ type: 'put', key: rowKey({ id }), value: encodeCanonical(row) }])
  }

  async remove(hint: Pick<Hint, 'id'>): Promise<void> {
    await this.#index.batch([{ type: 'del', key: rowKey(hint) }])
  }
}

function rowKey({ id }: { id: Uint8Array }): Uint8Array {
  return indexKey(TABLES.hints, id)
}
