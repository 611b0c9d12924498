import { equalBytes, NO_BYTES, utf8 } from '../util/bytes.ts'
import { IndexCorruptError } from './errors.ts'
import { type IndexDb, type IndexOp, indexKey } from './index-db.ts'
import { TABLES } from './tables.ts'

/**
 * The facts that the index stores about itself: which store it belongs to, whether it is complete, whether it was closed
 * properly, and whether it is in doubt. While it is in doubt it may lack facts that only other members have, and nothing
 * may be freed.
 */

const STORE_ID_KEY = indexKey(TABLES.meta, Buffer.from('store'))
const BUILT_KEY = indexKey(TABLES.meta, Buffer.from('built'))
/** The layout of the tables of all rooms. An index with another layout is rebuilt. */
export const INDEX_LAYOUT: Uint8Array = Uint8Array.of(24)
const DOUBT_KEY = indexKey(TABLES.meta, Buffer.from('doubt'))
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
    if (await index.hasAny(NO_BYTES)) throw new IndexCorruptError('the index was never completed')
    // This is one batch, so that no crash can leave a rebuilt index that is not in doubt.
    await index.batch([{ type: 'put', key: STORE_ID_KEY, value: storeId }, ...(await doubtOps(index))])
  }
  const owner = await index.get(STORE_ID_KEY)
  if (owner === undefined || !equalBytes(owner, storeId))
    throw new IndexCorruptError('the index belongs to another store')
  return layout !== undefined
}

/** Returns true if the index is in doubt. */
export function isInDoubt(index: IndexDb): Promise<boolean> {
  return index.has(DOUBT_KEY)
}

/** Returns the changes that put the index in doubt. They forget the members with which this member has compared. */
export async function doubtOps(index: IndexDb): Promise<IndexOp[]> {
  return [{ type: 'put', key: DOUBT_KEY, value: NO_BYTES }, ...(await forgetComparedOps(index))]
}

/** Returns the changes that end the doubt. */
export async function endDoubtOps(index: IndexDb): Promise<IndexOp[]> {
  return [{ type: 'del', key: DOUBT_KEY }, ...(await forgetComparedOps(index))]
}

/** Returns the members with which this member has compared its log since the doubt began, by their peer ids. */
export async function comparedMembers(index: IndexDb): Promise<string[]> {
  const prefix = indexKey(TABLES.compared)
  const peers: string[] = []
  for await (const { key } of index.range(prefix))
    peers.push(Buffer.from(key.subarray(prefix.byteLength)).toString('utf8'))
  return peers
}

/** Returns the change that notes that this member has compared its whole log with another one. */
export function comparedOp(peer: string): IndexOp {
  return { type: 'put', key: indexKey(TABLES.compared, utf8(peer)), value: NO_BYTES }
}

async function forgetComparedOps(index: IndexDb): Promise<IndexOp[]> {
  return (await comparedMembers(index)).map(peer => ({ type: 'del', key: indexKey(TABLES.compared, utf8(peer)) }))
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
  return { type: 'put', key: CLEAN_KEY, value: NO_BYTES }
}
