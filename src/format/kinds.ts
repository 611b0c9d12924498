import { z } from 'zod'
import { compareBytes } from '../util/bytes.ts'
import { CID, checkCid } from './cid.ts'
import {
  ADDRESSES_MAX,
  BODY_BYTES_MAX,
  CAPACITY_BYTES_MAX,
  CHUNKERS,
  EXCLUDED_MAX,
  HANDOVER_BOX_BYTES,
  LABEL_BYTES_MAX,
  OUT_AFTER_MS_MAX,
  PREVIOUS_EPOCHS_MAX,
  QUOTA_STATEMENTS_MAX,
  REPLICAS_MAX,
  SEAL_OVERHEAD_BYTES,
  SEEN_OF_DELETE_MAX,
  USES_MAX,
  VERSION_DAYS_MAX
} from './constants.ts'
import { addressText, bytesOf, textUpTo } from './schemas.ts'

/**
 * The fields of every kind of statement, without those that all kinds share (kind, v, hlc, grant, sig). Unknown fields
 * are refused. SPEC.md says what each field means and who may sign each kind.
 */

const bytesUpTo = (max: number) =>
  z.custom<Uint8Array>(value => value instanceof Uint8Array && value.byteLength <= max, `at most ${max} bytes`)
const label = textUpTo(LABEL_BYTES_MAX)
const upTo = (max: number, min = 0) => z.number().int().min(min).max(max)
const replicas = upTo(REPLICAS_MAX)
const capacityBytes = upTo(CAPACITY_BYTES_MAX)
const outAfter = upTo(OUT_AFTER_MS_MAX, 1)
const cid = z.custom<CID>(isOurCid, 'a CID of ours')

const id = bytesOf(32)
const publicKey = bytesOf(32)
const signature = bytesOf(64)
const hlc = bytesOf(8)
const incarnation = bytesOf(8)
const entryId = bytesOf(16)
const stamp = z.tuple([hlc, publicKey, incarnation])
const seen = z.tuple([publicKey, incarnation, hlc])

/** The roles, which say what a member may do. A storage member holds sealed blocks and can read nothing. */
export const ROLES = ['admin', 'writer', 'reader', 'storage'] as const
export type Role = (typeof ROLES)[number]
const role = z.enum(ROLES)

const MEMBER_STATES = ['in', 'draining', 'full'] as const
export type MemberState = (typeof MEMBER_STATES)[number]

/** Each id occurs once, and ids are in ascending order, so that a set of ids has only one encoding. */
const idSet = (max: number) => z.array(id).max(max).refine(isAscending)

export const KINDS = {
  root: z.strictObject({ recovery: publicKey }),
  grant: z.strictObject({
    subject: publicKey,
    x25519: publicKey,
    role,
    epoch: id,
    name: label,
    capacityMax: capacityBytes.optional(),
    zone: label.optional(),
    notAfter: hlc.optional(),
    admit: z.strictObject({ invite: id, inviteSig: signature, subjectSig: signature }).optional()
  }),
  invite: z.strictObject({ key: publicKey, role, notAfter: hlc, uses: upTo(USES_MAX, 1).nullable() }),
  revocation: z.strictObject({ target: id, list: cid.nullable() }),
  epoch: z.strictObject({
    previous: idSet(PREVIOUS_EPOCHS_MAX),
    hash: id,
    excludes: idSet(EXCLUDED_MAX)
  }),
  settings: z.strictObject({
    // Null takes a setting back, so that its default counts again.
    replicas: replicas.nullable().optional(),
    ack: replicas.nullable().optional(),
    chunker: z.enum(CHUNKERS).nullable().optional(),
    dedupe: z.boolean().optional(),
    outAfter: outAfter.nullable().optional(),
    versionDays: upTo(VERSION_DAYS_MAX).nullable().optional(),
    quotas: z
      .strictObject({ statements: upTo(QUOTA_STATEMENTS_MAX).optional(), nodeBytes: capacityBytes.optional() })
      .optional()
  }),
  out: z.strictObject({ subject: publicKey }),
  successor: z.strictObject({ root: publicKey, recovery: publicKey, rootSig: signature }),
  handover: z.strictObject({ epoch: id, recipient: publicKey, box: bytesOf(HANDOVER_BOX_BYTES) }),
  status: z.strictObject({
    instance: bytesOf(16),
    addresses: z.array(addressText).max(ADDRESSES_MAX),
    weight: capacityBytes,
    zone: label.optional(),
    state: z.enum(MEMBER_STATES),
    outAfter,
    head: hlc
  }),
  entry: z.strictObject({
    id: entryId,
    incarnation,
    epoch: id,
    seen: z.array(seen).max(SEEN_OF_DELETE_MAX),
    op: z.enum(['put', 'delete']),
    placed: stamp,
    written: stamp,
    root: bytesUpTo(64).nullable(),
    rootEpoch: id.nullable(),
    replicas,
    purge: z.literal(true).optional(),
    cancel: z.literal(true).optional(),
    siv: bytesOf(32).optional(),
    body: bytesUpTo(BODY_BYTES_MAX + SEAL_OVERHEAD_BYTES).optional()
  }),
  share: z.strictObject({ id: entryId, root: cid.nullable(), notAfter: hlc.optional() })
} as const

export type Kind = keyof typeof KINDS
export type Fields<K extends Kind = Kind> = z.infer<(typeof KINDS)[K]>

// Each network chooses its codec, and that choice is not known when a statement is decoded, so the codec is not
// checked.
function isOurCid(value: unknown): boolean {
  // We do not use `CID.asCID`, because it accepts as a CID any map that has the same value under `/` and `bytes`.
  if (!(value instanceof CID)) return false
  try {
    checkCid(value, [value.code])
    return true
  } catch {
    // The schema reports the failure.
    return false
  }
}

function isAscending(ids: readonly Uint8Array[]): boolean {
  return ids.every((id, i) => i === 0 || compareBytes(ids[i - 1] as Uint8Array, id) < 0)
}

export const isKind = (kind: unknown): kind is Kind => typeof kind === 'string' && Object.hasOwn(KINDS, kind)

/** The kinds that determine who is a member. They are compared and passed on before all others. */
export const MEMBERSHIP_KINDS: ReadonlySet<Kind> = new Set<Kind>([
  'root',
  'grant',
  'invite',
  'revocation',
  'epoch',
  'settings',
  'out',
  'successor',
  'handover',
  'status'
])
