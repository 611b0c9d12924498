import { equalBytes } from '../util/bytes.ts'
import { IndexCorruptError } from './errors.ts'
import { type IndexDb, type IndexOp, indexKey } from './index-db.ts'
import { TABLES } from './tables.ts'

/**
 * The facts that the index stores about itself: which store it belongs to, whether it is complete, and whether it was
 * closed properly.
 */

const STORE_ID_KEY = indexKey(TABLES.meta, Buffer.from('store'))
const BUILT_KEY = indexKey(TABLES.meta, Buffer.from('built'))
/** The layout of the tables of all rooms. An index with another layout is rebuilt. */
export const INDEX_LAYOUT: Uint8Array = Uint8Array.of(3)
const CLEAN_KEY = indexKey(TABLES.meta, Buffer.from('clean'))

/**
 * Checks that the index belongs to this store, or marks an empty index as belonging to it. Returns false for an empty
 * index, into which all rows still have to be written. Throws an `IndexCorruptError` for any other index.
 */
export async function adoptIndex(index: IndexDb, storeId: Uint8Array): Promise<boolean> {
  const layout = await index.get(BUILT_KEY)
  if (layout !== undefined && !equalBytes(layout, INDEX_LAYOUT))
    throw new IndexCorruptError('the index has the layout of another version')
  if (layout === undefined) {
    if (await index.hasAny(new Uint8Array(0))) throw new IndexCorruptError('the index was never completed')
    await index.batch([{ type: 'put', key: STORE_ID_KEY, value: storeId }])
  }
  const owner = await index.get(STORE_ID_KEY)
  if (owner === undefined || !equalBytes(owner, storeId))
    throw new IndexCorruptError('the index belongs to another store')
  return layout !== undefined
}

/** Returns true if the last process that opened the index also closed it properly. */
export function wasClosed(index: IndexDb): Promise<boolean> {
  return index.has(CLEAN_KEY)
}

/** Marks the index as complete and in use. */
export function openedOps(): IndexOp[] {
  return [
    { type: 'put', key: BUILT_KEY, value: INDEX_LAYOUT },
    { type: 'del', key: CLEAN_KEY }
  ]
}

/** Marks the index as closed properly. */
export function closedOp(): IndexOp {
  return { type: 'put', key: CLEAN_KEY, value: new Uint8Array(0) }
}
