import { hash } from 'node:crypto'
import { type IndexDb, type IndexOp, indexKey } from '../../disk/index-db.ts'
import type { IndexSink } from '../../disk/index-sink.ts'
import { TABLES } from '../../disk/tables.ts'
import { asBuffer, concatBytes, equalBytes, u64be } from '../../util/bytes.ts'
import type { Chance } from '../../util/chance.ts'
import { FEED_BYTES_MAX } from '../constants.ts'
import type { Names } from '../names.ts'
import { decodeSteps, encodeSteps, type Steps } from './steps.ts'

/**
 * A point in the feed: the number of a row, and the first bytes of a hash over this row and all before it. Since the
 * hash covers the whole history, a cursor of another history (of another member, of an index that was rebuilt since,
 * of a data directory that was replaced by an older copy) fits no row here.
 */
export interface Cursor {
  number: number
  chain: Uint8Array
}

/** Where the feed begins and ends. This is in the row with the number 0, which is there once the feed has begun. */
interface Head {
  /** The newest row; if there has been none yet, the number 0 and the bytes with which the feed began. */
  newest: Cursor
  /** The row before the oldest one that is kept. */
  base: Cursor
  /** The bytes of all rows that are kept. */
  bytes: number
}

const CHAIN_BYTES = 12
const NUMBER_BYTES = 8
const START: Cursor = { number: 0, chain: new Uint8Array(CHAIN_BYTES) }
const HEAD_KEY = rowKey(0)

/** Returns true once somebody has watched, so that changes are noted. */
export function hasBegun(index: Pick<IndexDb, 'has'>): Promise<boolean> {
  return index.has(HEAD_KEY)
}

/** Returns the change that begins the feed. The bytes must be random, so that no cursor of another feed fits this one. */
export function beginOp({ bytes }: Pick<Chance, 'bytes'>): IndexOp {
  const start = { number: 0, chain: bytes(CHAIN_BYTES) }
  return { type: 'put', key: HEAD_KEY, value: encodeHead({ newest: start, base: start, bytes: 0 }) }
}

/**
 * Appends a row to the feed, in a batch of the index, and drops the oldest rows if there is no more room. At most one
 * batch may be under way. The row is sealed, because it contains paths.
 */
export async function appendRow(
  { index, names, bytesMax = FEED_BYTES_MAX }: { index: IndexDb; names: Names; bytesMax?: number | undefined },
  steps: Steps,
  sink: IndexSink
): Promise<void> {
  const head = await readHead(index)
  const sealed = names.sealBytes(encodeSteps(steps))
  const chain = hash('sha256', concatBytes(head.newest.chain, sealed), 'buffer').subarray(0, CHAIN_BYTES)
  head.newest = { number: head.newest.number + 1, chain }
  sink.put(rowKey(head.newest.number), concatBytes(chain, sealed))
  head.bytes += chain.byteLength + sealed.byteLength
  // The newest row is kept, however large it is.
  while (head.bytes > bytesMax && head.base.number + 1 < head.newest.number) {
    const key = rowKey(head.base.number + 1)
    const oldest = await index.get(key)
    if (oldest === undefined) throw index.reportCorrupt('the index lacks a row of the feed')
    sink.del(key)
    head.bytes -= oldest.byteLength
    head.base = { number: head.base.number + 1, chain: oldest.subarray(0, CHAIN_BYTES) }
  }
  sink.put(HEAD_KEY, encodeHead(head))
}

/** Returns the cursor after the newest row. */
export async function newestCursor(index: IndexDb): Promise<Cursor> {
  return (await readHead(index)).newest
}

/** Returns true if a cursor belongs to the history of this index, and every row after it is still there. */
export async function isKnown(index: IndexDb, { number, chain }: Cursor): Promise<boolean> {
  const { base, newest } = await readHead(index)
  if (number < base.number || number > newest.number) return false
  const own = number === base.number ? base.chain : (await index.get(rowKey(number)))?.subarray(0, CHAIN_BYTES)
  return own !== undefined && equalBytes(own, chain)
}

/** Returns the row with a number, and the cursor after it; undefined if it has been dropped, or is not there yet. */
export async function readRow(
  { index, names }: { index: IndexDb; names: Names },
  number: number
): Promise<(Steps & { cursor: Cursor }) | undefined> {
  const value = number === 0 ? undefined : await index.get(rowKey(number))
  if (value === undefined) return undefined
  const cursor = { number, chain: Uint8Array.from(value.subarray(0, CHAIN_BYTES)) }
  return { cursor, ...decodeSteps(names.openBytes(value.subarray(CHAIN_BYTES))) }
}

/**
 * Where a watcher is. The listings that it was told already contain the changes up to the row `listedUpTo`, which may
 * be later than the cursor.
 */
export interface Mark {
  cursor: Cursor
  listedUpTo: number
}

/** Returns a mark as text, for programs. */
export function formatMark({ cursor: { number, chain }, listedUpTo }: Mark): string {
  const ahead = listedUpTo > number ? [u64be(listedUpTo)] : []
  return Buffer.from(concatBytes(u64be(number), chain, ...ahead)).toString('base64url')
}

/** Parses the text of a mark. Returns undefined for text that no member has made. */
export function parseMark(text: string): Mark | undefined {
  const bytes = Buffer.from(text, 'base64url')
  if (bytes.toString('base64url') !== text) return undefined
  if (bytes.byteLength !== CURSOR_BYTES && bytes.byteLength !== CURSOR_BYTES + NUMBER_BYTES) return undefined
  const cursor = { number: Number(bytes.readBigUInt64BE()), chain: bytes.subarray(NUMBER_BYTES, CURSOR_BYTES) }
  const listedUpTo = bytes.byteLength === CURSOR_BYTES ? 0 : Number(bytes.readBigUInt64BE(CURSOR_BYTES))
  return Number.isSafeInteger(cursor.number) && Number.isSafeInteger(listedUpTo) ? { cursor, listedUpTo } : undefined
}

async function readHead(index: Pick<IndexDb, 'get'>): Promise<Head> {
  const value = await index.get(HEAD_KEY)
  if (value === undefined) return { newest: START, base: START, bytes: 0 }
  const bytes = asBuffer(value)
  const cursorAt = (at: number): Cursor => ({
    number: Number(bytes.readBigUInt64BE(at)),
    chain: Uint8Array.from(bytes.subarray(at + NUMBER_BYTES, at + CURSOR_BYTES))
  })
  return { newest: cursorAt(0), base: cursorAt(CURSOR_BYTES), bytes: Number(bytes.readBigUInt64BE(2 * CURSOR_BYTES)) }
}

const CURSOR_BYTES = NUMBER_BYTES + CHAIN_BYTES

function encodeHead({ newest, base, bytes }: Head): Uint8Array {
  const parts = [newest, base].flatMap(({ number, chain }) => [u64be(number), chain])
  return concatBytes(...parts, u64be(bytes))
}

function rowKey(number: number): Uint8Array {
  return indexKey(TABLES.feed, u64be(number))
}
