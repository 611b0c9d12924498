import { decodeHlc, type Hlc, hlcMs } from '../format/stamp.ts'
import { idOf, type Statement } from '../format/statement.ts'
import { toHex } from '../util/bytes.ts'

/** A device's grant and the grants above it, up to the one that the root signed. The root's comes first. */
export type GrantChain = ReadonlyArray<Statement<'grant'>>

/**
 * All statements that a grant rests on, and then the grant itself, in an order in which each can be checked: the grants
 * above it, the invites by which any of these devices joined, and the grants above those.
 */
export type Support = ReadonlyArray<Statement<'grant'> | Statement<'invite'>>

/** A grant whose whole chain is known. */
export interface ChainedGrant {
  id: string
  statement: Statement<'grant'>
  /** The grant under which it was signed; undefined if the root signed it. */
  issuer: ChainedGrant | undefined
  /** The invite by which its device joined; undefined if an admin let the device in. */
  invite: Statement<'invite'> | undefined
  /** The number of grants above this one, up to the one that the root signed. */
  depth: number
  /** The earliest `notAfter` in the chain. */
  end: Hlc | undefined
}

/**
 * The last stamp under which a chain of grants counts: the earliest `notAfter` in it. Undefined if it has no end.
 */
export function endOf(chain: GrantChain): Hlc | undefined {
  return chain.map(notAfterOf).reduce(earlier, undefined)
}

/** The last stamp under which this grant alone counts; undefined if it has no end. */
export function notAfterOf({ fields: { notAfter } }: Statement<'grant'>): Hlc | undefined {
  return notAfter === undefined ? undefined : decodeHlc(notAfter)
}

/** Returns the earlier of two ends. Undefined means that there is no end. */
export function earlier(a: Hlc | undefined, b: Hlc | undefined): Hlc | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return a < b ? a : b
}

/** Returns true if something with this end is over at a time, given in milliseconds since the Unix epoch. */
export function isOver(end: Hlc | undefined, nowMs: number): boolean {
  return end !== undefined && hlcMs(end) < nowMs
}

/** Returns the chain of the last grant among these statements. Statements that are not above that grant are left out. */
export function chainIn(statements: Support): GrantChain {
  const grants = new Map<string, Statement<'grant'>>()
  let last: Statement<'grant'> | undefined
  for (const statement of statements) {
    if (statement.kind !== 'grant') continue
    last = statement
    grants.set(idOf(statement), statement)
  }
  const chain: Array<Statement<'grant'>> = []
  // Each grant is taken out, so that grants that name each other end the walk too.
  for (let grant = last; grant !== undefined; ) {
    grants.delete(idOf(grant))
    chain.unshift(grant)
    grant = grant.grant === null ? undefined : grants.get(toHex(grant.grant))
  }
  return chain
}
