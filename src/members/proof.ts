import { z } from 'zod'
import { CHAIN_MAX } from '../format/constants.ts'
import { type PeerId, publicKeyOf } from '../format/peer-id.ts'
import { bytesOf } from '../format/schemas.ts'
import { decodeHlc, hlcMs } from '../format/stamp.ts'
import { decodeStatement, idOf, type Statement, verifyStatement } from '../format/statement.ts'
import { equalBytes } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import { INSTANCE_BYTES } from './constants.ts'
import { GrantError, WrongNetworkError } from './errors.ts'
import type { LocalMember } from './local-member.ts'
import { Roster } from './roster.ts'

/** Header fields of a proof; the grants themselves are the body. */
export const proofFields = {
  network: bytesOf(32),
  instance: bytesOf(INSTANCE_BYTES),
  /** Lengths of the grants in the body, the root's first. */
  lengths: z.array(z.number().int().positive()).min(1).max(CHAIN_MAX),
  /** Milliseconds since the Unix epoch, by the sender's clock. */
  now: z.number().int()
}
export const proofSchema = z.object(proofFields)
export type Proof = z.output<typeof proofSchema>

/** What a proof that holds says. */
export interface Proven {
  instance: Uint8Array
  chain: Array<Statement<'grant'>>
  now: number
}

/** The proof that this member shows; `chainOf` is its body. */
export function proofOf(self: LocalMember, clock: Clock): Proof {
  return {
    network: self.network,
    instance: self.instance,
    lengths: self.chain.map(grant => grant.bytes.byteLength),
    now: Math.round(clock.now())
  }
}

export function chainOf(self: LocalMember): Uint8Array[] {
  return self.chain.map(grant => grant.bytes)
}

/**
 * Checks that a peer, whose id the connection has proven, holds a grant of our network: a chain of at most `CHAIN_MAX`,
 * each grant signed by the one before it, the first by the root, the last for this peer, none run out. Throws a
 * `WrongNetworkError`, a `GrantError`, or a `FormatError` where the bytes are no statements.
 */
export async function checkProof(
  { network, instance, lengths, now }: Proof,
  body: Uint8Array,
  { peer, self, clock }: { peer: PeerId; self: LocalMember; clock: Clock }
): Promise<Proven> {
  if (!equalBytes(network, self.network)) throw new WrongNetworkError()
  const chain = decodeChain(body, lengths)
  const authors = Roster.authorsOfChain(chain, self.network, publicKeyOf(peer))
  if (authors === undefined) throw new GrantError('the grant does not hold for this peer')
  for (const [i, grant] of chain.entries()) {
    const { notAfter } = grant.fields
    if (notAfter !== undefined && hlcMs(decodeHlc(notAfter)) < clock.now())
      throw new GrantError('the grant has expired')
    if (!(await verifyStatement(grant, self.network, authors[i] as Uint8Array)))
      throw new GrantError(`the signature of grant ${idOf(grant).slice(0, 8)} is not its author's`)
  }
  return { instance, chain, now }
}

function decodeChain(body: Uint8Array, lengths: readonly number[]): Array<Statement<'grant'>> {
  const chain: Array<Statement<'grant'>> = []
  let offset = 0
  for (const length of lengths) {
    // A copy: a grant that is kept must not hold on to the message it came in.
    const statement = decodeStatement(Buffer.from(body.subarray(offset, offset + length)))
    if (statement.kind !== 'grant') throw new GrantError('a chain of grants holds something else')
    chain.push(statement)
    offset += length
  }
  if (offset !== body.byteLength) throw new GrantError('a chain of grants has not the length that it states')
  return chain
}
