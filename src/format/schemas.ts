import { z } from 'zod'
import { utf8 } from '../util/bytes.ts'
import { ADDRESS_BYTES_MAX } from './constants.ts'

/** Returns the schema of a byte string with exactly this length. */
export const bytesOf = (length: number) =>
  z.custom<Uint8Array>(value => value instanceof Uint8Array && value.byteLength === length)

/**
 * Returns the schema of text that is not empty and at most this long in UTF-8. It does not check that the text is
 * well-formed Unicode, because the encoder does.
 */
export const textUpTo = (bytesMax: number) =>
  z.string().refine(text => text !== '' && utf8(text).byteLength <= bytesMax)

/** An address of a member, as a multiaddr in text. */
export const addressText = textUpTo(ADDRESS_BYTES_MAX)
