import { type IndexDb, indexKey } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import type { BlockCid } from '../../format/cid.ts'
import { u64be } from '../../util/bytes.ts'

/** The blocks that this member evicted, each with the wall-clock time from which it owes the block again. */
export class EvictedBlocks {
  readonly #index: IndexDb

  constructor(index: IndexDb) {
    this.#index = index
  }

  async add(cid: BlockCid, owedAgainAtMs: number): Promise<void> {
    await this.#index.batch([{ type: 'put', key: evictedKey(cid), value: u64be(owedAgainAtMs) }])
  }

  async remove(cids: readonly BlockCid[]): Promise<void> {
    if (cids.length > 0) await this.#index.batch(cids.map(cid => ({ type: 'del', key: evictedKey(cid) })))
  }

  /** Returns, for each block, the time from which this member owes it again, or 0 if no evict of it is on record. */
  async owedAgainAtMs(cids: readonly BlockCid[]): Promise<number[]> {
    const values = await this.#index.getMany(cids.map(evictedKey))
    return values.map(value => (value === undefined ? 0 : Number(Buffer.from(value).readBigUInt64BE())))
  }
}

/** Returns the key of the row of an evicted block. */
export function evictedKey(cid: BlockCid): Uint8Array {
  return indexKey(TABLES.evicted, cid.multihash.bytes)
}
