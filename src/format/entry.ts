import type { KeyObject } from 'node:crypto'
import { z } from 'zod'
import { compareBytes, equalBytes, toHex, utf8 } from '../util/bytes.ts'
import { decodeCanonical, encodeCanonical } from './canonical.ts'
import { type BlockCid, CID, DAG_CBOR, decodeCid } from './cid.ts'
import {
  BODY_BYTES_MAX,
  FILE_BYTES_MAX,
  INLINE_BYTES_MAX,
  MODE_MAX,
  SEEN_MAX,
  TARGET_BYTES_MAX,
  TIME_MS_MAX,
  TYPE_BYTES_MAX
} from './constants.ts'
import { FormatError } from './errors.ts'
import type { Fields } from './kinds.ts'
import { isSealedBodyLength, paddedBodyLength, padInPlace, unpad } from './padding.ts'
import { bytesOf } from './schemas.ts'
import { openBySiv, SIV_BYTES, seal } from './seal.ts'
import { compareStamps, decodeHlc, encodeHlc, type Hlc, INCARNATION_BYTES, type Stamp } from './stamp.ts'
import { clearBytesOf, type SignOptions, type Statement, signStatement } from './statement.ts'

/** The id of `/` itself, which has no record. */
export const ROOT_ENTRY: Uint8Array = new Uint8Array(16)
export const ENTRY_ID_BYTES = 16

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

/**
 * The sealed body of a record. A file has either `content`, in which case the record's root is the SIV of the content,
 * or the `key` of the block that the root names. A symbolic link has a `target` and neither of these. A directory has
 * none of the three.
 */
export interface EntryBody {
  parent: Uint8Array
  name: string
  kind: 'file' | 'directory'
  /** The number of bytes of content; 0 for a directory. */
  size: number
  /** Milliseconds since the Unix epoch. */
  mtime: number
  mode?: number | undefined
  /** Media type. */
  type?: string | undefined
  /** The key that opens the root block. Absent if the content is inline. */
  key?: Uint8Array | undefined
  /** The content itself, up to 1 KiB. */
  content?: Uint8Array | undefined
  /** Where a symbolic link points. */
  target?: string | undefined
  props?: Record<string, unknown> | undefined
  /** The id under which this entry was known until its past grew too long. */
  continues?: Uint8Array | undefined
}

const textUpTo = (bytesMax: number) => z.string().refine(text => utf8(text).byteLength <= bytesMax)

const bodySchema = z.strictObject({
  parent: bytesOf(ENTRY_ID_BYTES),
  name: textUpTo(BODY_BYTES_MAX),
  kind: z.enum(['file', 'directory']),
  size: z.number().int().nonnegative().max(FILE_BYTES_MAX),
  mtime: z.number().int().min(-TIME_MS_MAX).max(TIME_MS_MAX),
  mode: z.number().int().nonnegative().max(MODE_MAX).optional(),
  type: textUpTo(TYPE_BYTES_MAX).optional(),
  key: bytesOf(32).optional(),
  content: z
    .custom<Uint8Array>(value => value instanceof Uint8Array && value.byteLength <= INLINE_BYTES_MAX)
    .optional(),
  target: textUpTo(TARGET_BYTES_MAX).optional(),
  // We do not use `z.record`, because it would silently drop `__proto__`, and the body would then differ from the one
  // that was signed.
  props: z.custom<Record<string, unknown>>(isPlainMap).optional(),
  continues: bytesOf(ENTRY_ID_BYTES).optional()
})

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
  /** Of a delete only: true to end the versions that it covers too, or to undo a delete that says so. */
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
  return root.byteLength === SIV_BYTES ? { siv: root } : { cid: CID.decode(root) }
}

/**
 * Opens the body of a record. Throws a `SealError` if the key is wrong, and a `FormatError` if the text is not a body
 * or is a body that this record may not have. It does not check the name, which comes from another member. Use
 * `nameFault` for that.
 */
export function openBody(subkey: KeyObject, statement: Statement<'entry'>): EntryBody {
  const { siv, body, ...clear } = statement.fields
  if (siv === undefined || body === undefined) throw new FormatError('the record has no body')
  const clearBytes = clearBytesOf('entry', statement.hlc, statement.grant, clear)
  const text = unpad(openBySiv(subkey, siv, body, { label: 'body', clear: clearBytes }), paddedBodyLength)
  const parsed = bodySchema.safeParse(decodeCanonical(text))
  if (!parsed.success) throw new FormatError('the body of a record has missing, unknown or malformed fields')
  checkBody(parsed.data, statement.fields)
  return parsed.data
}

function isPlainMap(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Object.hasOwn(value, '__proto__')) return false
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

// Checks that the body agrees with the clear part of its record. Otherwise one file could show two different contents.
function checkBody(body: EntryBody, { op, root }: Pick<Fields<'entry'>, 'op' | 'root'>): void {
  const { kind, size, content } = body
  const has = (['key', 'content', 'target'] as const).filter(field => body[field] !== undefined).join()
  const isEmpty = root === null && size === 0
  const isInline = root?.byteLength === SIV_BYTES
  const fits =
    kind === 'directory'
      ? isEmpty && has === ''
      : op === 'put' &&
        (has === 'target' ? isEmpty : isInline ? has === 'content' : root !== null && has === 'key' && size > 0)
  if (!fits || (content !== undefined && content.byteLength !== size))
    throw new FormatError('the body of a record does not fit the record')
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

function sealBody(subkey: KeyObject, body: EntryBody, clear: Uint8Array): { siv: Uint8Array; body: Uint8Array } {
  const fields = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined))
  if (!bodySchema.safeParse(fields).success)
    throw new FormatError('the body of a record has missing, unknown or malformed fields')
  const text = encodeCanonical(fields)
  const buffer = new Uint8Array(paddedBodyLength(text.byteLength))
  buffer.set(text)
  const sealed = seal(subkey, padInPlace(buffer, text.byteLength, buffer.byteLength), { label: 'body', clear })
  return { siv: sealed.siv, body: sealed.bytes }
}

function compareSeen(a: Seen, b: Seen): number {
  return compareBytes(a.author, b.author) || compareBytes(a.incarnation, b.incarnation)
}
