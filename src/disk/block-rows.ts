import { NO_BYTES } from '../util/bytes.ts'
import { MULTIHASH_BYTES } from './constants.ts'
import { indexKey } from './index-db.ts'
import { decodePlace, encodePlace, isSamePlace, type Place } from './place.ts'
import type { RowProjection, StoredRow } from './row-projection.ts'
import type { Store } from './store.ts'
import { TABLES } from './tables.ts'

/** The value that the index holds for a block that was freed. */
export const FREED: Uint8Array = NO_BYTES

/** Returns the place of a block's row, given its value in the index; undefined if the block is not here. */
export function placeIn(value: Uint8Array | undefined): Place | undefined {
  return value === undefined || value.byteLength === 0 ? undefined : decodePlace(value)
}

/** Projects the rows of blocks, small or large, into the index. */
export function blockRows(store: Store): RowProjection {
  const { index } = store
  return {
    project: async rows => {
      const keys = rows.map(blockRowKey)
      const before = await index.getMany(keys)
      // A second row of the same block replaces the first row, which is then dead. The second row comes from a
      // compaction, or from a put that follows a failed put.
      const dead = before.flatMap(value => placeIn(value) ?? [])
      await index.batch([
        ...rows.map((row, i) => ({
          type: 'put' as const,
          key: keys[i] as Uint8Array,
          value: encodePlace(row.place)
        })),
        ...store.markDead(dead.filter(place => !rows.some(row => isSamePlace(row.place, place))))
      ])
    },
    isLive: async row => {
      const place = placeIn(await index.get(blockRowKey(row)))
      return place !== undefined && isSamePlace(place, row.place)
    },
    // A freed block leaves an empty value, so that it can be distinguished from a block that the index has lost. The
    // value is kept as long as the index exists, because any segment may hold a dead row of the block.
    isIndexed: row => index.has(blockRowKey(row))
  }
}

/** Projects the rows that say that blocks were freed. */
export function freedRows(store: Store): RowProjection {
  const { index } = store
  return {
    project: async rows => {
      const keys = rows.map(row => indexKey(TABLES.blocks, row.payload))
      const places = (await index.getMany(keys)).flatMap(value => placeIn(value) ?? [])
      await index.batch([
        ...keys.map(key => ({ type: 'put' as const, key, value: FREED })),
        ...store.markDead([...places, ...rows.map(row => row.place)])
      ])
    },
    isLive: async () => false,
    isIndexed: async () => true
  }
}

function blockRowKey(row: StoredRow): Uint8Array {
  return indexKey(TABLES.blocks, row.payload.subarray(0, MULTIHASH_BYTES))
}
