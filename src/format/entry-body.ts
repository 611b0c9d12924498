import type { KeyObject } from 'node:crypto'
import { z } from 'zod'
import { decodeCanonical, encodeCanonical } from './canonical.ts'
import {
  BODY_BYTES_MAX,
  ENTRY_ID_BYTES,
  FILE_BYTES_MAX,
  INLINE_BYTES_MAX,
  MODE_MAX,
  TARGET_BYTES_MAX,
  TIME_MS_MAX,
  TYPE_BYTES_MAX
} from './constants.ts'
import { FormatError } from './errors.ts'
import type { Fields } from './kinds.ts'
import { paddedBodyLength, padInPlace, unpad } from './padding.ts'
import { bytesOf } from './schemas.ts'
import { openBySiv, SIV_BYTES, seal } from './seal.ts'
import { clearBytesOf, type Statement } from './statement.ts'

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

const textUpTo = (bytesMax: number) => z.string().refine(text => Buffer.byteLength(text) <= bytesMax)

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

/**
 * Throws a `FormatError` if a body does not agree with the clear part of its record. Otherwise one file could show two
 * different contents.
 */
export function checkBody(body: EntryBody, { op, root }: Pick<Fields<'entry'>, 'op' | 'root'>): void {
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

/** Seals a body. `clear` are the bytes of the fields of its record that are not sealed. Throws a `FormatError`. */
export function sealBody(subkey: KeyObject, body: EntryBody, clear: Uint8Array): { siv: Uint8Array; body: Uint8Array } {
  const fields = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined))
  if (!bodySchema.safeParse(fields).success)
    throw new FormatError('the body of a record has missing, unknown or malformed fields')
  const text = encodeCanonical(fields)
  const buffer = new Uint8Array(paddedBodyLength(text.byteLength))
  buffer.set(text)
  const sealed = seal(subkey, padInPlace(buffer, text.byteLength, buffer.byteLength), { label: 'body', clear })
  return { siv: sealed.siv, body: sealed.bytes }
}
