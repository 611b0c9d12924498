import { z } from 'zod'
import { STATEMENT_BYTES_MAX, SUPPORT_STATEMENTS_MAX, TIME_MS_MAX } from '../format/constants.ts'
import { type PeerId, publicKeyOf } from '../format/peer-id.ts'
import { bytesOf } from '../format/schemas.ts'
import { decodeStatement, idOf, type Signature, type Statement, verifySignature } from '../format/statement.ts'
import { equalBytes } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import { authorize } from './authority.ts'
import { INSTANCE_BYTES } from './constants.ts'
import { GrantError, WrongNetworkError } from './errors.ts'
import { chainIn, endOf, type GrantChain, isOver, type Support } from './grant-chain.ts'
import { KnownGrants } from './known-grants.ts'
import type { LocalMember } from './local-member.ts'

/** Header fields of a proof; the statements themselves are the body. */
export const proofFields = {
  network: bytesOf(32),
  instance: bytesOf(INSTANCE_BYTES),
  /** The lengths of the statements in the body. The sender's own grant comes last. */
  lengths: z.array(z.number().int().positive().max(STATEMENT_BYTES_MAX)).min(1).max(SUPPORT_STATEMENTS_MAX),
  /** Milliseconds since the Unix epoch, according to the sender's clock. */
  now: z.number().int().nonnegative().max(TIME_MS_MAX)
}
export const proofSchema = z.object(proofFields)
export type Proof = z.output<typeof proofSchema>

/** The contents of a valid proof. */
export interface Proven {
  instance: Uint8Array
  /** What the peer has shown, all of it verified. The log must have it before it can accept anything of the peer. */
  support: Support
  /** The chain that the peer has shown, or the one in our log that has renewed it. */
  chain: GrantChain
  now: number
}

export interface ProofFacts {
  peer: PeerId
  self: LocalMember
  clock: Clock
  /** Returns the chain of the peer's grant that takes effect by our log; undefined if it is no member. */
  chainOf?: ((peer: PeerId) => GrantChain | undefined) | undefined
}

/** Returns the proof message that this member sends. `chainOf` returns the body that follows it. */
export function grantProofOf(self: LocalMember, clock: Clock): Proof {
  return {
    network: self.network,
    instance: self.instance,
    lengths: self.support.map(({ bytes }) => bytes.byteLength),
    now: Math.round(clock.now())
  }
}

/** Returns the body of the proof message that this member sends: all statements that its grant rests on, and the grant. */
export function chainOf(self: LocalMember): Uint8Array[] {
  return self.support.map(({ bytes }) => bytes)
}

/**
 * Checks that a peer, whose id the connection has proven, holds a grant of our network: what it shows is the support of
 * a grant for this peer (`checkSupport`). If that grant has expired, our log must have another one of the peer that is in
 * force: a device that was away while its grant was renewed learns of that only once it is admitted. Throws a
 * `WrongNetworkError`, a `GrantError`, or a `FormatError` if the bytes are not statements.
 */
export async function checkProof(
  { network, instance, lengths, now }: Proof,
  body: Uint8Array,
  { peer, self, clock, chainOf = () => undefined }: ProofFacts
): Promise<Proven> {
  if (!equalBytes(network, self.network)) throw new WrongNetworkError()
  const support = await checkSupport(cut(body, lengths), self.network, publicKeyOf(peer))
  const shown = chainIn(support)
  const chain = isOver(endOf(shown), clock.now()) ? chainOf(peer) : shown
  if (chain === undefined) throw new GrantError('the grant has expired')
  return { instance, support, chain, now }
}

/**
 * Checks statements that somebody shows to prove a grant: what `checkStatements` checks, and that the last is a grant for
 * this device. Throws a `GrantError`, or a `FormatError` if the bytes are not statements.
 */
export async function checkSupport(
  statements: readonly Uint8Array[],
  network: Uint8Array,
  subject: Uint8Array
): Promise<Support> {
  const support = await checkStatements(statements, network)
  const last = support.at(-1)
  if (last?.kind !== 'grant' || !equalBytes(last.fields.subject, subject))
    throw new GrantError('the grant is not valid for this peer')
  return support
}

/**
 * Checks statements that a grant or an invite rests on: they are grants and invites of this network, each comes after
 * everything that it names, each signer was allowed to sign it, and all signatures are valid. Nothing but the network id
 * has to be known for this. Whether a grant is over, or void because of what other statements say, is not checked. Throws
 * a `GrantError`, or a `FormatError` if the bytes are not statements.
 */
export async function checkStatements(statements: readonly Uint8Array[], network: Uint8Array): Promise<Support> {
  if (statements.length > SUPPORT_STATEMENTS_MAX) throw new GrantError('a grant rests on too many statements')
  const known = new KnownGrants()
  const support: Array<Statement<'grant'> | Statement<'invite'>> = []
  const signatures: Signature[][] = []
  for (const bytes of statements) {
    // The bytes are copied, because a grant that we keep must not hold the whole message in memory.
    const statement = decodeStatement(Buffer.from(bytes))
    if (statement.kind !== 'grant' && statement.kind !== 'invite')
      throw new GrantError('a proof holds a statement that is neither a grant nor an invite')
    const authorized = authorize(statement, network, known)
    if ('refused' in authorized)
      throw new GrantError(`${statement.kind} ${idOf(statement).slice(0, 8)} is not valid: ${authorized.refused}`)
    support.push(statement)
    signatures.push([...authorized.signatures])
    known.add([statement])
  }
  for (const [i, statement] of support.entries()) await assertSigned(statement, signatures[i] as Signature[])
  return support
}

async function assertSigned(statement: Support[number], signatures: readonly Signature[]): Promise<void> {
  const name = `a signature of ${statement.kind} ${idOf(statement).slice(0, 8)}`
  for (const signature of signatures) {
    const isValid = await verifySignature(signature).catch(cause => {
      throw new GrantError(`${name} cannot be checked`, { cause })
    })
    if (!isValid) throw new GrantError(`${name} is not its author's`)
  }
}

function cut(body: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  const parts: Uint8Array[] = []
  let offset = 0
  for (const length of lengths) {
    parts.push(body.subarray(offset, offset + length))
    offset += length
  }
  if (offset !== body.byteLength) throw new GrantError('a proof does not have the length that it states')
  return parts
}
