import { createPublicKey, hash, type KeyObject, sign, verify } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { concatBytes, toHex, utf8 } from '../util/bytes.ts'
import { decodeCanonical, encodeCanonical } from './canonical.ts'
import { STATEMENT_BYTES_MAX, STATEMENT_VERSION } from './constants.ts'
import { FormatError } from './errors.ts'
import { type Fields, isKind, KINDS, type Kind } from './kinds.ts'
import { decodeHlc, encodeHlc, type Hlc, NO_INCARNATION, type Stamp } from './stamp.ts'

/**
 * A signed fact. `grant` is the id of the grant under which it was signed. That grant names the author, so the
 * statement does not repeat it. The root key signs without a grant. The signature covers kind, version, network and
 * every field, so a statement is not valid anywhere else.
 */
export interface Statement<K extends Kind = Kind> {
  /** SHA-256 of `bytes`, 32 bytes. */
  id: Uint8Array
  /** The canonical encoding, including the signature. */
  bytes: Uint8Array
  kind: K
  hlc: Hlc
  /** Id of the signer's grant, or null for the root key. */
  grant: Uint8Array | null
  fields: Fields<K>
  sig: Uint8Array
}

/** A statement of any kind. Testing `kind` narrows the type of the fields. */
export type AnyStatement = { [K in Kind]: Statement<K> }[Kind]

export interface SignOptions {
  network: Uint8Array
  /** The author's Ed25519 private key. */
  key: KeyObject
  /** Id of the author's grant. Only the root key leaves it out. */
  grant?: Uint8Array | undefined
  hlc: Hlc
}

/** The fields that all kinds share, in their encoded form. */
interface Envelope {
  kind: string
  v: number
  hlc: Uint8Array
  grant?: Uint8Array
  sig: Uint8Array
}

/**
 * Signs a statement. Throws a `FormatError` if the fields are not those of the kind, or if the statement is too large.
 */
export function signStatement<K extends Kind>(kind: K, fields: Fields<K>, options: SignOptions): Statement<K> {
  const { network, key, grant, hlc } = options
  const own = fieldsOf(kind, withoutUndefined(fields)) as Fields<K>
  const rest = { ...own, ...envelopeOf(kind, hlc, grant) }
  const sig = sign(null, signedBytes(kind, network, encodeCanonical(rest)), key)
  const bytes = encodeCanonical({ ...rest, sig })
  assertSize(bytes)
  return { id: hash('sha256', bytes, 'buffer'), bytes, kind, hlc, grant: grant ?? null, fields: own, sig }
}

/**
 * Decodes a statement. Throws a `FormatError` unless the bytes are canonical and within the size limit, the kind is
 * known, and the statement has the fields of that kind and no others. It does not check the signature. Call
 * `verifyStatement` for that, once the author is known.
 */
export function decodeStatement(bytes: Uint8Array): AnyStatement {
  assertSize(bytes)
  const value = decodeCanonical(bytes)
  if (typeof value !== 'object' || value === null) throw new FormatError('a statement is not a map')
  const { kind, v, hlc, grant, sig, ...fields } = value as Partial<Envelope> & Record<string, unknown>
  if (!isKind(kind)) throw new FormatError('a statement has an unknown kind')
  if (v !== STATEMENT_VERSION) throw new FormatError('a statement has an unknown version')
  if (!isBytes(hlc, 8) || !isBytes(sig, 64) || !(grant === undefined || isBytes(grant, 32))) {
    throw new FormatError('the hlc, the grant or the signature of a statement is missing or malformed')
  }
  const parsed = fieldsOf(kind, fields)
  const id = hash('sha256', bytes, 'buffer')
  return { id, bytes, kind, hlc: decodeHlc(hlc), grant: grant ?? null, fields: parsed, sig } as AnyStatement
}

/**
 * Returns true if the signature was made with this Ed25519 key for this network. The check runs on a thread of libuv's
 * pool.
 */
export function verifyStatement(statement: Statement, network: Uint8Array, author: Uint8Array): Promise<boolean> {
  const { kind, hlc, grant, fields, sig } = statement
  const rest = { ...fields, ...envelopeOf(kind, hlc, grant ?? undefined) }
  const data = signedBytes(kind, network, encodeCanonical(rest))
  return new Promise((resolve, reject) => {
    verify(null, data, verifyingKey(author), sig, (error, valid) => (error === null ? resolve(valid) : reject(error)))
  })
}

/**
 * Returns the stamp that orders this statement among all others. For kinds without an incarnation, the incarnation is
 * all zeros.
 */
export function stampOf(statement: Statement, author: Uint8Array): Stamp {
  const fields = statement.fields as { incarnation?: Uint8Array }
  return { hlc: statement.hlc, author, incarnation: fields.incarnation ?? NO_INCARNATION }
}

/** Returns the id in hex. It serves as a key in maps, and users see it as a version. */
export function idOf(statement: { id: Uint8Array }): string {
  return toHex(statement.id)
}

function fieldsOf(kind: Kind, fields: Record<string, unknown>): Fields {
  const parsed = KINDS[kind].safeParse(fields)
  if (!parsed.success) throw new FormatError(`a statement of kind ${kind} has other fields than it should`)
  return parsed.data
}

function envelopeOf(kind: Kind, hlc: Hlc, grant: Uint8Array | undefined): Omit<Envelope, 'sig'> {
  const envelope = { kind, v: STATEMENT_VERSION, hlc: encodeHlc(hlc) }
  return grant === undefined ? envelope : { ...envelope, grant }
}

/**
 * Returns the clear part to which the body of an entry is bound: all fields except the sealed ones and the signature.
 */
export function clearBytesOf(
  kind: Kind,
  hlc: Hlc,
  grant: Uint8Array | null,
  fields: Record<string, unknown>
): Uint8Array {
  const { siv: _siv, body: _body, ...clear } = fields
  return encodeCanonical({ ...withoutUndefined(clear), ...envelopeOf(kind, hlc, grant ?? undefined) })
}

function signedBytes(kind: Kind, network: Uint8Array, rest: Uint8Array): Uint8Array {
  return concatBytes(utf8(`dfs/${kind}/${STATEMENT_VERSION}\0`), network, rest)
}

function assertSize(bytes: Uint8Array): void {
  if (bytes.byteLength > STATEMENT_BYTES_MAX)
    throw new FormatError(`a statement has more than ${STATEMENT_BYTES_MAX} bytes`)
}

function withoutUndefined(fields: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}

function isBytes(value: unknown, length: number): value is Uint8Array {
  return value instanceof Uint8Array && value.byteLength === length
}

// Creating a key object takes a tenth of the time of a verification, and there are few authors, so key objects are
// cached.
const AUTHOR_KEYS_MAX = 1024
const authorKeys = new LRUCache<string, KeyObject>({ max: AUTHOR_KEYS_MAX })
const ED25519_SPKI = Buffer.from('302a300506032b6570032100', 'hex')

function verifyingKey(author: Uint8Array): KeyObject {
  const name = toHex(author)
  let key = authorKeys.get(name)
  if (key === undefined) {
    key = createPublicKey({ key: Buffer.concat([ED25519_SPKI, author]), format: 'der', type: 'spki' })
    authorKeys.set(name, key)
  }
  return key
}
