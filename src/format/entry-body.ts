import type { KeyObject } from 'node:crypto'
import { decodeCanonical, encodeCanonical } from './canonical.ts'
import { type EntryBody, isEntryBody } from './entry-fields.ts'
import { FormatError } from './errors.ts'
import type { Fields } from './kinds.ts'
import { paddedBodyLength, padInPlace, unpad } from './padding.ts'
import { openBySiv, SIV_BYTES, seal } from './seal.ts'
import { clearBytesOf, type Statement } from './statement.ts'

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
  const parsed = decodeCanonical(text)
  if (!isEntryBody(parsed)) throw new FormatError('the body of a record has missing, unknown or malformed fields')
  checkBody(parsed, statement.fields)
  return parsed
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
  if (!isEntryBody(fields)) throw new FormatError('the body of a record has missing, unknown or malformed fields')
  const text = encodeCanonical(fields)
  const buffer = new Uint8Array(paddedBodyLength(text.byteLength))
  buffer.set(text)
  const sealed = seal(subkey, padInPlace(buffer, text.byteLength, buffer.byteLength), { label: 'body', clear })
  return { siv: sealed.siv, body: sealed.bytes }
}
