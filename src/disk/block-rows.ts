import { asBuffer, concatBytes, NO_BYTES, toHex, u32be } from '../util/bytes.ts'
import { MULTIHASH_BYTES } from './constants.ts'
import { type IndexOp, indexKey } from './index-db.ts'
import { decodePlace, encodePlace, isSamePlace, PLACE_BYTES, type Place } from './place.ts'
import type { RowProjection, StoredRow } from './row-projection.ts'
import type { Store } from './store.ts'
import { TABLES } from './tables.ts'

/**
 * What the index holds of a block: where it is, and in which segments it has rows. A block that was freed has no place.
 * Its row stays as long as one of these segments does, so that it can be distinguished from a block that the index has
 * lost.
 */
interface BlockRow {
  place: Place | undefined
  /** The segment of its last row. */
  last: number
  /** The segment of the row before that; undefined if no such segment was left when the last row was written. */
  earlier: number | undefined
}

/** Stands for several segments. No segment has this number. */
const MANY = 0
const NUMBER_BYTES = 4

/** Returns the place of a block's row, given its value in the index; undefined if the block is not here. */
export function placeIn(value: Uint8Array | undefined): Place | undefined {
  return value === undefined || value.byteLength < PLACE_BYTES ? undefined : decodePlace(value)
}

/** Returns the value of the row of a block that is freed, given the value before. */
export function freedValue(before: Uint8Array): Uint8Array {
  return encode({ ...decode(before), place: undefined })
}

/** Projects the rows of blocks, small or large, into the index. */
export function blockRows(store: Store): RowProjection {
  const { index } = store
  return {
    project: async rows => {
      const keys = rows.map(blockRowKey)
      const values = await index.getMany(keys)
      // A second row of the same block replaces the first row, which is then dead. The second row comes from a
      // compaction, or from a put that follows a failed put.
      const dead = values.flatMap(value => placeIn(value) ?? [])
      const after = new Map<string, { key: Uint8Array; row: BlockRow }>()
      for (const [i, { place }] of rows.entries()) {
        const [key, value] = [keys[i] as Uint8Array, values[i]]
        const name = toHex(key)
        const before = after.get(name)?.row ?? (value === undefined ? undefined : decode(value))
        after.set(name, { key, row: withRow(before, place, segment => store.hasSegment(segment)) })
      }
      await index.batch([
        ...[...after.values()].map(({ key, row }): IndexOp => ({ type: 'put', key, value: encode(row) })),
        ...store.markDead(dead.filter(place => !rows.some(row => isSamePlace(row.place, place))))
      ])
    },
    isLive: async row => {
      const place = placeIn(await index.get(blockRowKey(row)))
      return place !== undefined && isSamePlace(place, row.place)
    },
    isIndexed: row => index.has(blockRowKey(row)),
    // No segment holds a row of these blocks any more, so nobody will look for them in the index.
    removed: async payloads => {
      const keys = payloads.map(payload => indexKey(TABLES.blocks, payload))
      const values = await index.getMany(keys)
      const gone = keys.filter((_, i) => values[i] !== undefined && isOver(decode(values[i]), store))
      await index.batch(gone.map(key => ({ type: 'del', key })))
    }
  }
}

/** Projects the rows that say that blocks were freed. */
export function freedRows(store: Store): RowProjection {
  const { index } = store
  return {
    project: async rows => {
      const keys = rows.map(row => indexKey(TABLES.blocks, row.payload))
      const values = await index.getMany(keys)
      const places = values.flatMap(value => placeIn(value) ?? [])
      await index.batch([
        ...keys.flatMap((key, i): IndexOp[] => {
          const value = values[i]
          return value === undefined ? [] : [{ type: 'put', key, value: freedValue(value) }]
        }),
        ...store.markDead([...places, ...rows.map(row => row.place)])
      ])
    },
    isLive: async () => false,
    isIndexed: async () => true
  }
}

/** Returns the row of a block after another row of it was written. */
function withRow(before: BlockRow | undefined, place: Place, exists: (segment: number) => boolean): BlockRow {
  const last = place.segment
  const others = before === undefined ? [] : [before.last, before.earlier]
  const left = others.filter(other => other === MANY || (other !== undefined && other !== last && exists(other)))
  return { place, last, earlier: left.length > 1 ? MANY : left[0] }
}

/** Returns true if a block was freed and no segment has a row of it. */
function isOver({ place, last, earlier }: BlockRow, store: Pick<Store, 'hasSegment'>): boolean {
  const mayHave = (segment: number): boolean => segment === MANY || store.hasSegment(segment)
  return place === undefined && !mayHave(last) && (earlier === undefined || !mayHave(earlier))
}

function encode({ place, last, earlier }: BlockRow): Uint8Array {
  return concatBytes(
    place === undefined ? u32be(last) : encodePlace(place),
    earlier === undefined ? NO_BYTES : u32be(earlier)
  )
}

function decode(value: Uint8Array): BlockRow {
  const place = placeIn(value)
  const rest = asBuffer(value.subarray(place === undefined ? NUMBER_BYTES : PLACE_BYTES))
  const last = place === undefined ? asBuffer(value).readUInt32BE(0) : place.segment
  return { place, last, earlier: rest.byteLength === 0 ? undefined : rest.readUInt32BE(0) }
}

function blockRowKey(row: StoredRow): Uint8Array {
  return indexKey(TABLES.blocks, row.payload.subarray(0, MULTIHASH_BYTES))
}
