import { z } from 'zod'
import { CHAIN_MAX, STATEMENT_BYTES_MAX, TIME_MS_MAX } from '../format/constants.ts'
import { type PeerId, publicKeyOf } from '../format/peer-id.ts'
import { bytesOf } from '../format/schemas.ts'
import { decodeStatement, idOf, type Statement, verifyStatement } from '../format/statement.ts'
import { equalBytes } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import { INSTANCE_BYTES } from './constants.ts'
import { GrantError, WrongNetworkError } from './errors.ts'
import { endOf, type GrantChain, isOver } from './grant-chain.ts'
import type { LocalMember } from './local-member.ts'
import { Roster } from './roster.ts'

/** Header fields of a proof; the grants themselves are the body. */
export const proofFields = {
  network: bytesOf(32),
  instance: bytesOf(INSTANCE_BYTES),
  /** The lengths of the grants in the body, starting with the grant that the root signed. */
  lengths: z.array(z.number().int().positive().max(STATEMENT_BYTES_MAX)).min(1).max(CHAIN_MAX),
  /** Milliseconds since the Unix epoch, according to the sender's clock. */
  now: z.number().int().nonnegative().max(TIME_MS_MAX)
}
export const proofSchema = z.object(proofFields)
export type Proof = z.output<typeof proofSchema>

/** The contents of a valid proof. */
export interface Proven {
  instance: Uint8Array
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
    lengths: self.chain.map(grant => grant.bytes.byteLength),
    now: Math.round(clock.now())
  }
}

/** Returns the body of the proof message that this member sends: its chain of grants. */
export function chainOf(self: LocalMember): Uint8Array[] {
  return self.chain.map(grant => grant.bytes)
}

/**
 * Checks that a peer, whose id the connection has proven, holds a grant of our network. Its chain has at most
 * `CHAIN_MAX` grants. The root must have signed the first, the subject of each grant must have signed the next, the
 * last must be for this peer. If one has expired, our log must have another grant of the peer that is in force: a device
 * that was away while its grant was renewed learns of that only once it is admitted. Throws a `WrongNetworkError`, a `GrantError`, or a
 * `FormatError` if the bytes are not statements.
 */
export async function checkProof(
  { network, instance, lengths, now }: Proof,
  body: Uint8Array,
  { peer, self, clock, chainOf = () => undefined }: ProofFacts
): Promise<Proven> {
  if (!equalBytes(network, self.network)) throw new WrongNetworkError()
  const shown = decodeChain(body, lengths)
  const authors = Roster.authorsOfChain(shown, self.network, publicKeyOf(peer))
  if (authors === undefined) throw new GrantError('the grant is not valid for this peer')
  const chain = isOver(endOf(shown), clock.now()) ? chainOf(peer) : shown
  if (chain === undefined) throw new GrantError('the grant has expired')
  for (const [i, grant] of shown.entries()) await assertSigned(grant, self.network, authors[i] as Uint8Array)
  return { instance, chain, now }
}

async function assertSigned(grant: Statement<'grant'>, network: Uint8Array, author: Uint8Array): Promise<void> {
  const name = `the signature of grant ${idOf(grant).slice(0, 8)}`
  const isValid = await verifyStatement(grant, network, author).catch(cause => {
    throw new GrantError(`${name} cannot be checked`, { cause })
  })
  if (!isValid) throw new GrantError(`${name} is not its author's`)
}

function decodeChain(body: Uint8Array, lengths: readonly number[]): Array<Statement<'grant'>> {
  const chain: Array<Statement<'grant'>> = []
  let offset = 0
  for (const length of lengths) {
    // The bytes are copied, because a grant that we keep must not hold the whole message in memory.
    const statement = decodeStatement(Buffer.from(body.subarray(offset, offset + length)))
    if (statement.kind !== 'grant') throw new GrantError('a chain of grants holds another kind of statement')
    chain.push(statement)
    offset += length
  }
  if (offset !== body.byteLength) throw new GrantError('a chain of grants has another length than it states')
  return chain
}
