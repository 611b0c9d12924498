import type { KeyObject } from 'node:crypto'
import { compareBytes, equalBytes, toHex } from '../util/bytes.ts'
import { type BlockCid, cidIn, DAG_CBOR, decodeCid } from './cid.ts'
import { SEEN_MAX } from './constants.ts'
import { checkBody, type EntryBody, sealBody } from './entry-body.ts'
import { FormatError } from './errors.ts'
import type { Fields } from './kinds.ts'
import { isSealedBodyLength } from './padding.ts'
import { SIV_BYTES } from './seal.ts'
import { compareStamps, decodeHlc, encodeHlc, type Hlc, INCARNATION_BYTES, type Stamp } from './stamp.ts'
import { clearBytesOf, type SignOptions, type Statement, signStatement } from './statement.ts'

export { ENTRY_ID_BYTES } from './constants.ts'
export { type EntryBody, openBody } from './entry-body.ts'

/** The id of `/` itself, which has no record. */
export const ROOT_ENTRY: Uint8Array = new Uint8Array(16)

/** The greatest HLC that was seen from one author in one incarnation. */
export interface Seen {
  author: Uint8Array
  incarnation: Uint8Array
  hlc: Hlc
}

/** The value of `replicas` that stands for every member. */
export const REPLICAS_ALL = 0

/** The clear part of a record, with its stamps decoded. */
export interface EntryRecord {
  /** Id of the statement. */
  id: Uint8Array
  entry: Uint8Array
  stamp: Stamp
  seen: Seen[]
  op: 'put' | 'delete'
  placed: Stamp
  written: Stamp
  /** The bytes of a CID, or the 32-byte SIV of inline content, or null for a directory, a symbolic link or a delete. */
  root: Uint8Array | null
  rootEpoch: Uint8Array | null
  epoch: Uint8Array
  replicas: number
}

/** The parts of a record that its author chooses. Signing adds stamps and signature. */
export interface RecordInit {
  entry: Uint8Array
  incarnation: Uint8Array
  epoch: Uint8Array
  seen: readonly Seen[]
  op: 'put' | 'delete'
  /** Null if it is this record's own stamp. */
  placed: Stamp | null
  written: Stamp | null
  root: Uint8Array | null
  rootEpoch: Uint8Array | null
  replicas: number
  /** Only in a delete. `purge` also ends the versions that it covers, and `cancel` cancels a purge that it covers. */
  purge?: boolean | undefined
  cancel?: boolean | undefined
  body: EntryBody | null
}

export interface SignRecordOptions extends SignOptions {
  /** The author's public key. */
  author: Uint8Array
  /** The `record` subkey of the epoch that the record names. */
  subkey: KeyObject
  /** The codecs that manifest nodes of this network may have. */
  nodeCodecs?: readonly number[] | undefined
}

/** Seals the body and signs the record. Throws a `FormatError` if the record breaks a rule or a bound of SPEC.md. */
export function signRecord(init: RecordInit, options: SignRecordOptions): Statement<'entry'> {
  const { hlc, author, subkey, grant, nodeCodecs } = options
  const own: Stamp = { hlc, author, incarnation: init.incarnation }
  const clear: Fields<'entry'> = {
    id: init.entry,
    incarnation: init.incarnation,
    epoch: init.epoch,
    seen: [...init.seen].sort(compareSeen).map(({ author, incarnation, hlc }) => [author, incarnation, encodeHlc(hlc)]),
    op: init.op,
    placed: encodeStamp(init.placed ?? own),
    written: encodeStamp(init.written ?? own),
    root: init.root,
    rootEpoch: init.rootEpoch,
    replicas: init.replicas,
    ...(init.purge === true ? { purge: true as const } : {}),
    ...(init.cancel === true ? { cancel: true as const } : {})
  }
  if (init.body !== null) checkBody(init.body, clear)
  const sealed = init.body === null ? {} : sealBody(subkey, init.body, clearBytesOf('entry', hlc, grant ?? null, clear))
  const statement = signStatement('entry', { ...clear, ...sealed }, options)
  readRecord(statement, author, nodeCodecs)
  return statement
}

/**
 * Reads the clear part of a record. Throws a `FormatError` for anything that no honest author writes: a causal past
 * that is not sorted, not before the record itself, or too long; a `written` or `placed` that is neither the record's
 * own stamp nor in that past; a root that is neither an SIV nor a CID of this network; a put without a body; a delete
 * with a root. `openBody` makes the checks that depend on the body.
 */
export function readRecord(
  statement: Statement<'entry'>,
  author: Uint8Array,
  nodeCodecs: readonly number[] = [DAG_CBOR]
): EntryRecord {
  const { fields, hlc } = statement
  // If `/` were an entry, it could be its own parent, and deleting it would delete everything.
  if (equalBytes(fields.id, ROOT_ENTRY))
    throw new FormatError('a record is about the root directory, which has no records')
  const stamp: Stamp = { hlc, author, incarnation: fields.incarnation }
  const seen = readSeen(fields, hlc)
  const record: EntryRecord = {
    id: statement.id,
    entry: fields.id,
    stamp,
    seen,
    op: fields.op,
    placed: decodeStamp(fields.placed),
    written: decodeStamp(fields.written),
    root: fields.root,
    rootEpoch: fields.rootEpoch,
    epoch: fields.epoch,
    replicas: fields.replicas
  }
  checkFields(record, fields, nodeCodecs)
  return record
}

/** Reads the causal past of a record. `own` is the record's own HLC. */
function readSeen(fields: Fields<'entry'>, own: Hlc): Seen[] {
  const seen = fields.seen.map(([author, incarnation, hlc]) => ({ author, incarnation, hlc: decodeHlc(hlc) }))
  for (const [i, item] of seen.entries()) {
    const before = seen[i - 1]
    if (before !== undefined && compareSeen(before, item) >= 0)
      throw new FormatError('the causal past of a record is not sorted')
    if (item.hlc >= own) throw new FormatError('a record has seen a stamp that is not before its own')
  }
  return seen
}

// Checks the fields of a record that depend on one another.
function checkFields(record: EntryRecord, fields: Fields<'entry'>, nodeCodecs: readonly number[]): void {
  for (const past of [record.placed, record.written])
    if (!covers(record, past)) throw new FormatError('a record keeps a stamp that it has not seen')
  if ((fields.root === null) !== (fields.rootEpoch === null))
    throw new FormatError('a record names a root without its epoch, or an epoch without a root')
  if ((fields.siv === undefined) !== (fields.body === undefined))
    throw new FormatError('a record has a siv without a body, or a body without a siv')
  if (fields.body !== undefined && !isSealedBodyLength(fields.body.byteLength))
    throw new FormatError('the body of a record has a length that no body may have')
  if (fields.op === 'put') checkPut(fields, nodeCodecs)
  else if (fields.root !== null) throw new FormatError('a delete has a root')
}

function checkPut({ body, purge, cancel, seen, root }: Fields<'entry'>, nodeCodecs: readonly number[]): void {
  if (body === undefined) throw new FormatError('a put has no body')
  if (purge !== undefined || cancel !== undefined)
    throw new FormatError('a put has a field that only a delete may have')
  if (seen.length > SEEN_MAX) throw new FormatError(`a put has seen more than ${SEEN_MAX} authors`)
  if (root !== null && root.byteLength !== SIV_BYTES) decodeCid(root, nodeCodecs)
}

/** Returns true if the stamp is the record's own stamp or is in the record's causal past. */
export function covers(record: Pick<EntryRecord, 'stamp' | 'seen'>, stamp: Stamp): boolean {
  if (compareStamps(record.stamp, stamp) === 0) return true
  return record.seen.some(
    seen =>
      seen.hlc >= stamp.hlc && equalBytes(seen.author, stamp.author) && equalBytes(seen.incarnation, stamp.incarnation)
  )
}

/** Returns what the `root` of a record names: a block, or content inside the body, which is identified by its SIV. */
export function rootOf(root: Uint8Array): { cid: BlockCid } | { siv: Uint8Array } {
  return root.byteLength === SIV_BYTES ? { siv: root } : { cid: cidIn(root) }
}

/** Returns the key to use in maps from (author, incarnation). */
export function seenKey(author: Uint8Array, incarnation: Uint8Array): string {
  return toHex(author) + toHex(incarnation)
}

/** Encodes a stamp as it is stored in a record: `[hlc, author, incarnation]`. */
export function encodeStamp({ hlc, author, incarnation }: Stamp): [Uint8Array, Uint8Array, Uint8Array] {
  return [encodeHlc(hlc), author, incarnation]
}

/** Decodes a stamp from a record. Throws a `FormatError` if the HLC or the incarnation does not have 8 bytes. */
export function decodeStamp([hlc, author, incarnation]: readonly [Uint8Array, Uint8Array, Uint8Array]): Stamp {
  if (incarnation.byteLength !== INCARNATION_BYTES)
    throw new FormatError('the incarnation in a stamp is not 8 bytes long')
  return { hlc: decodeHlc(hlc), author, incarnation }
}

function compareSeen(a: Seen, b: Seen): number {
  return compareBytes(a.author, b.author) || compareBytes(a.incarnation, b.incarnation)
}
