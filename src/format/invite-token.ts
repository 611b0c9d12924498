import { z } from 'zod'
import { asBuffer, equalBytes, NO_BYTES, toHex } from '../util/bytes.ts'
import { decodeCanonical, encodeCanonical } from './canonical.ts'
import { ADDRESSES_MAX, SUPPORT_STATEMENTS_MAX, TOKEN_LENGTH_MAX } from './constants.ts'
import { FormatError, InviteAlteredError } from './errors.ts'
import { sha256 } from './hash.ts'
import { privateKey, rawPublicKey } from './network-key.ts'
import { addressText, bytesOf } from './schemas.ts'
import { decodeStatement, type Statement } from './statement.ts'

/**
 * The text in an invite file. It lets another machine in, so it is a secret: it travels in files and on stdin, and is
 * never printed or logged. Each token has exactly one text form.
 */
export interface InviteToken {
  /** The network's id, 32 bytes. */
  network: Uint8Array
  /** Seed of the invite's Ed25519 key, 32 bytes. This is the secret. */
  seed: Uint8Array
  /** All statements that the invite rests on, in an order in which each can be checked, and the invite itself last. */
  statements: Uint8Array[]
  /** Addresses at which members answered when the invite was made. */
  addresses: string[]
}

const PREFIX = 'dfsinvite1'
const CHECKSUM_LENGTH = 8

const SCHEMA = z.strictObject({
  network: bytesOf(32),
  seed: bytesOf(32),
  statements: z.array(z.instanceof(Uint8Array)).min(1).max(SUPPORT_STATEMENTS_MAX),
  addresses: z.array(addressText).max(ADDRESSES_MAX)
})

/** Formats an invite token as one line without a line break. Throws a `FormatError` if it could not be read again. */
export function encodeInviteToken({ network, seed, statements, addresses }: InviteToken): string {
  const bytes = encodeCanonical({ network, seed, statements, addresses })
  const text = `${PREFIX}.${asBuffer(bytes).toString('base64url')}.${checksumOf(bytes)}`
  try {
    decodeInviteToken(text)
  } catch (cause) {
    throw new FormatError('an invite made of these values could not be read again', { cause })
  }
  return text
}

/**
 * Reads an invite token. White space around it does not matter. Throws a `FormatError` if the text is not an invite or
 * is one of another version, and an `InviteAlteredError` if it begins like an invite but is altered or cut. The
 * signatures of the statements are not checked. No error repeats a part of the text.
 */
export function decodeInviteToken(text: string): InviteToken {
  const trimmed = text.trim()
  const [prefix, body = '', checksum = '', ...rest] = trimmed.slice(0, TOKEN_LENGTH_MAX + 1).split('.')
  if (prefix !== PREFIX) throw new FormatError(notThisVersion(prefix))
  if (trimmed.length > TOKEN_LENGTH_MAX || rest.length > 0) throw new InviteAlteredError()
  const bytes = Buffer.from(body, 'base64url')
  // The decoder of base64url ignores foreign characters and unused bits, so we compare the text.
  if (bytes.toString('base64url') !== body || checksumOf(bytes) !== checksum) throw new InviteAlteredError()
  try {
    const token = SCHEMA.parse(decodeCanonical(bytes))
    inviteOf(token)
    return token
  } catch (cause) {
    throw new InviteAlteredError({ cause })
  }
}

/**
 * Returns the statement of the invite itself: the last one. Throws a `FormatError` if it is not an invite, or belongs
 * to another seed.
 */
export function inviteOf({ seed, statements }: Pick<InviteToken, 'seed' | 'statements'>): Statement<'invite'> {
  const invite = decodeStatement(statements.at(-1) ?? NO_BYTES)
  if (invite.kind !== 'invite') throw new FormatError('the last statement of an invite token is not an invite')
  if (!equalBytes(invite.fields.key, rawPublicKey(privateKey('ed25519', seed))))
    throw new FormatError('the seed of an invite token belongs to another invite')
  return invite
}

function checksumOf(bytes: Uint8Array): string {
  return toHex(sha256.digest(bytes)).slice(0, CHECKSUM_LENGTH)
}

function notThisVersion(prefix: string | undefined): string {
  return /^dfsinvite[0-9]+$/.test(prefix ?? '')
    ? 'this invite was made by another release of this program: update the program'
    : 'this text is not an invite'
}
