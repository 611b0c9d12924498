import { createPublicKey, hash, type KeyObject, sign, verify } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { asBuffer, concatBytes, toHex, utf8 } from '../util/bytes.ts'
import { decodeCanonical, decodeOwn, encodeCanonical } from './canonical.ts'
import { STATEMENT_BYTES_MAX, STATEMENT_VERSION } from './constants.ts'
import { FormatError } from './errors.ts'
import { type Fields, isKind, KINDS, type Kind } from './kinds.ts'
import { decodeHlc, encodeHlc, type Hlc, NO_INCARNATION, type Stamp } from './stamp.ts'

/** The bytes of a statement's id, which is a SHA-256. */
export const STATEMENT_ID_BYTES = 32

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

/** A statement of any kind that this program knows. Testing `kind` narrows the type of the fields. */
export type KnownStatement = { [K in Kind]: Statement<K> }[Kind]

/**
 * A statement of a kind or version that this program does not know. A later release made it. Its signature can be
 * verified, and it can be kept and passed on, but nobody here can tell what it says.
 */
export interface UnknownStatement extends Omit<Statement, 'kind' | 'fields'> {
  kind: 'unknown'
  /** Its kind and version, as the statement itself names them. */
  named: { kind: string; v: number }
  fields: Record<string, unknown>
}

export type AnyStatement = KnownStatement | UnknownStatement

/** Any statement, for code in which the type checker does not know its kind. */
export type SomeStatement = Statement | UnknownStatement

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
  const name = { kind, v: STATEMENT_VERSION }
  const rest = { ...own, ...envelopeOf(name, hlc, grant) }
  // The signature takes the place of the zeros, so that all of it is encoded only once.
  let bytes = encodeCanonical({ ...rest, sig: NO_SIGNATURE })
  assertSize(bytes)
  const at = signatureAt(bytes, NO_SIGNATURE)
  const signed = at === undefined ? encodeCanonical(rest) : withoutSignature(bytes, at)
  const sig = sign(null, signedBytes(name, network, signed), key)
  if (at === undefined) bytes = encodeCanonical({ ...rest, sig })
  else bytes.set(sig, at + SIGNATURE_HEAD.byteLength)
  return { id: hash('sha256', bytes, 'buffer'), bytes, kind, hlc, grant: grant ?? null, fields: own, sig }
}

/**
 * Decodes a statement. Throws a `FormatError` unless the bytes are canonical and within the size limit, the kind is
 * known, and the statement has the fields of that kind and no others. It does not check the signature. Call
 * `verifyStatement` for that, once the author is known.
 */
export function decodeStatement(bytes: Uint8Array): KnownStatement {
  const statement = decodeAnyStatement(bytes)
  if (statement.kind === 'unknown') throw new FormatError('a statement has an unknown kind or version')
  return statement
}

/**
 * Like `decodeStatement`, but also returns statements of other kinds and versions. Every version has the fields that
 * all kinds share, and the same limit of size. Version 0 does not exist.
 */
export function decodeAnyStatement(bytes: Uint8Array): AnyStatement {
  assertSize(bytes)
  const value = decodeCanonical(bytes)
  if (typeof value !== 'object' || value === null) throw new FormatError('a statement is not a map')
  const { kind, v, hlc, grant, sig, ...fields } = value as Partial<Envelope> & Record<string, unknown>
  if (typeof kind !== 'string' || kind === '' || !Number.isSafeInteger(v) || (v as number) < 1)
    throw new FormatError('the kind or the version of a statement is missing or malformed')
  if (!isBytes(hlc, 8) || !isBytes(sig, 64) || !(grant === undefined || isBytes(grant, 32))) {
    throw new FormatError('the hlc, the grant or the signature of a statement is missing or malformed')
  }
  const id = hash('sha256', bytes, 'buffer')
  const envelope = { id, bytes, hlc: decodeHlc(hlc), grant: grant ?? null, sig }
  if (isKind(kind) && v === STATEMENT_VERSION)
    return { ...envelope, kind, fields: fieldsOf(kind, fields) } as KnownStatement
  return { ...envelope, kind: 'unknown', named: { kind, v: v as number }, fields }
}

/** A signature, with the key and the data that it must belong to. */
export interface Signature {
  /** The Ed25519 public key, 32 bytes. */
  key: Uint8Array
  data: Uint8Array
  sig: Uint8Array
}

/** Returns the signature of a statement, as `verifySignature` checks it: made by this author, for this network. */
export function signatureOf(statement: SomeStatement, network: Uint8Array, author: Uint8Array): Signature {
  const { bytes, sig } = statement
  const at = signatureAt(bytes, sig)
  const signed = at === undefined ? encodeCanonical(withoutSig(decodeOwn(bytes))) : withoutSignature(bytes, at)
  return { key: author, data: signedBytes(nameOf(statement), network, signed), sig }
}

/** The key `sig` and the head of 64 bytes, in dag-cbor. */
const SIGNATURE_HEAD = Uint8Array.of(0x63, 0x73, 0x69, 0x67, 0x58, 0x40)
const NO_SIGNATURE = new Uint8Array(64)

/**
 * Returns where the signature and its key are among the canonical bytes of a statement. Returns undefined if the same
 * bytes occur elsewhere too, or if the map has so many fields that its head is longer than a byte.
 */
function signatureAt(bytes: Uint8Array, sig: Uint8Array): number | undefined {
  const buffer = asBuffer(bytes)
  const entry = concatBytes(SIGNATURE_HEAD, sig)
  const at = buffer.indexOf(entry)
  const count = (bytes[0] as number) - MAP_HEAD
  return count > 1 && count < 24 && at > 0 && buffer.indexOf(entry, at + 1) === -1 ? at : undefined
}

/** The first byte of an empty map, in dag-cbor. That of a small map is greater by the number of its fields. */
const MAP_HEAD = 0xa0

/** Returns the canonical bytes of a statement without its signature, which is what the signature is about. */
function withoutSignature(bytes: Uint8Array, at: number): Uint8Array {
  const end = at + SIGNATURE_HEAD.byteLength + NO_SIGNATURE.byteLength
  return concatBytes(Uint8Array.of((bytes[0] as number) - 1), bytes.subarray(1, at), bytes.subarray(end))
}

function withoutSig(statement: unknown): Record<string, unknown> {
  const { sig: _sig, ...rest } = statement as Record<string, unknown>
  return rest
}

/** Returns true if the key made the signature. The check runs on a thread of libuv's pool. */
export function verifySignature({ key, data, sig }: Signature): Promise<boolean> {
  return new Promise((resolve, reject) => {
    verify(null, data, verifyingKey(key), sig, (error, valid) => (error === null ? resolve(valid) : reject(error)))
  })
}

/** Returns true if this author signed the statement for this network. */
export function verifyStatement(statement: SomeStatement, network: Uint8Array, author: Uint8Array): Promise<boolean> {
  return verifySignature(signatureOf(statement, network, author))
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
  if (!parsed.success) throw new FormatError(`a statement of kind ${kind} has missing, unknown or malformed fields`)
  return parsed.data
}

/** The kind and version of a statement. */
interface StatementName {
  kind: string
  v: number
}

function nameOf(statement: SomeStatement): StatementName {
  return statement.kind === 'unknown' ? statement.named : { kind: statement.kind, v: STATEMENT_VERSION }
}

function envelopeOf({ kind, v }: StatementName, hlc: Hlc, grant: Uint8Array | undefined): Omit<Envelope, 'sig'> {
  const envelope = { kind, v, hlc: encodeHlc(hlc) }
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
  const envelope = envelopeOf({ kind, v: STATEMENT_VERSION }, hlc, grant ?? undefined)
  return encodeCanonical({ ...withoutUndefined(clear), ...envelope })
}

function signedBytes({ kind, v }: StatementName, network: Uint8Array, rest: Uint8Array): Uint8Array {
  return concatBytes(utf8(`dfs/${kind}/${v}\0`), network, rest)
}

function assertSize(bytes: Uint8Array): void {
  if (bytes.byteLength > STATEMENT_BYTES_MAX)
    throw new FormatError(`a statement has more than ${STATEMENT_BYTES_MAX} bytes`)
}

function withoutUndefined(fields: object): Record<string, unknown> {
  // Nearly always there is nothing to leave out, and a copy costs as much as the encoding of some fields.
  if (!Object.values(fields).includes(undefined)) return fields as Record<string, unknown>
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
