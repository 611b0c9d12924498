import {
  BODY_BYTES_MAX,
  ENTRY_ID_BYTES,
  FILE_BYTES_MAX,
  INLINE_BYTES_MAX,
  MODE_MAX,
  REPLICAS_MAX,
  SEAL_OVERHEAD_BYTES,
  SEEN_OF_DELETE_MAX,
  TARGET_BYTES_MAX,
  TIME_MS_MAX,
  TYPE_BYTES_MAX
} from './constants.ts'

/**
 * The fields of a record and of its body, checked by hand. Nearly every statement is a record, and a schema takes many
 * times as long to check one.
 */

/** A stamp as it is encoded, or what was seen of an author. */
type Triple = [Uint8Array, Uint8Array, Uint8Array]

/** The fields of a record, without those that all kinds share. SPEC.md says what each means. */
export type EntryFields = {
  id: Uint8Array
  incarnation: Uint8Array
  epoch: Uint8Array
  /** Author, incarnation and HLC of each. */
  seen: Triple[]
  op: 'put' | 'delete'
  /** HLC, author and incarnation. */
  placed: Triple
  written: Triple
  root: Uint8Array | null
  rootEpoch: Uint8Array | null
  replicas: number
  purge?: true | undefined
  cancel?: true | undefined
  siv?: Uint8Array | undefined
  body?: Uint8Array | undefined
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

const ROOT_BYTES_MAX = 64
const HLC_BYTES = 8
const KEY_BYTES = 32

type Check = (value: unknown) => boolean

const RECORD: Readonly<Record<keyof EntryFields, Check>> = {
  id: bytesOf(ENTRY_ID_BYTES),
  incarnation: bytesOf(HLC_BYTES),
  epoch: bytesOf(KEY_BYTES),
  seen: value => Array.isArray(value) && value.length <= SEEN_OF_DELETE_MAX && value.every(isSeen),
  op: value => value === 'put' || value === 'delete',
  placed: isStamp,
  written: isStamp,
  root: value => value === null || (value instanceof Uint8Array && value.byteLength <= ROOT_BYTES_MAX),
  rootEpoch: value => value === null || isBytes(value, KEY_BYTES),
  replicas: value => isInteger(value, 0, REPLICAS_MAX),
  purge: value => value === true || value === undefined,
  cancel: value => value === true || value === undefined,
  siv: optional(bytesOf(KEY_BYTES)),
  body: optional(value => value instanceof Uint8Array && value.byteLength <= BODY_BYTES_MAX + SEAL_OVERHEAD_BYTES)
}

const BODY: Readonly<Record<keyof EntryBody, Check>> = {
  parent: bytesOf(ENTRY_ID_BYTES),
  name: textUpTo(BODY_BYTES_MAX),
  kind: value => value === 'file' || value === 'directory',
  size: value => isInteger(value, 0, FILE_BYTES_MAX),
  mtime: value => isInteger(value, -TIME_MS_MAX, TIME_MS_MAX),
  mode: optional(value => isInteger(value, 0, MODE_MAX)),
  type: optional(textUpTo(TYPE_BYTES_MAX)),
  key: optional(bytesOf(KEY_BYTES)),
  content: optional(value => value instanceof Uint8Array && value.byteLength <= INLINE_BYTES_MAX),
  target: optional(textUpTo(TARGET_BYTES_MAX)),
  props: optional(isPlainMap),
  continues: optional(bytesOf(ENTRY_ID_BYTES))
}

/** Returns true for a map that has the fields of a record, and no others. */
export function isEntryFields(value: unknown): value is EntryFields {
  return hasFields(value, RECORD)
}

/** Returns true for a map that has the fields of a body, and no others. */
export function isEntryBody(value: unknown): value is EntryBody {
  return hasFields(value, BODY)
}

function hasFields(value: unknown, checks: Readonly<Record<string, Check>>): boolean {
  if (!isPlainMap(value)) return false
  for (const field in checks) if (!(checks[field] as Check)((value as Record<string, unknown>)[field])) return false
  for (const field of Object.keys(value as object)) if (!Object.hasOwn(checks, field)) return false
  return true
}

function isPlainMap(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Object.hasOwn(value, '__proto__')) return false
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

function isStamp(value: unknown): boolean {
  return isTriple(value, HLC_BYTES, KEY_BYTES, HLC_BYTES)
}

function isSeen(value: unknown): boolean {
  return isTriple(value, KEY_BYTES, HLC_BYTES, HLC_BYTES)
}

function isTriple(value: unknown, a: number, b: number, c: number): boolean {
  if (!Array.isArray(value) || value.length !== 3) return false
  return isBytes(value[0], a) && isBytes(value[1], b) && isBytes(value[2], c)
}

function isBytes(value: unknown, length: number): boolean {
  return value instanceof Uint8Array && value.byteLength === length
}

function isInteger(value: unknown, min: number, max: number): boolean {
  return Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max
}

function bytesOf(length: number): Check {
  return value => isBytes(value, length)
}

function textUpTo(bytesMax: number): Check {
  return value => typeof value === 'string' && Buffer.byteLength(value) <= bytesMax
}

function optional(check: Check): Check {
  return value => value === undefined || check(value)
}
