import type { AnyStatement, SomeStatement, Statement } from '../format/statement.ts'
import { idOf } from '../format/statement.ts'
import { toHex } from '../util/bytes.ts'
import { type ChainedGrant, earlier, type GrantChain, notAfterOf, type Support } from './grant-chain.ts'

/** A statement that the membership is computed from, once everything that it names is known. */
export type Known =
  | { kind: 'grant'; grant: ChainedGrant }
  | { kind: 'invite'; invite: Statement<'invite'> }
  | { kind: 'revocation'; revocation: Statement<'revocation'> }

type Awaiting = Statement<'grant'> | Statement<'invite'> | Statement<'revocation'>

/**
 * Holds the accepted grants and invites and links each to what it names. It knows nothing of time or of what takes
 * effect. Statements may be added in any order: one that names a statement which is not known yet waits for it. The
 * log accepts none before what it names, but at the start they are loaded in the order of their ids, and damage can
 * take one away.
 */
export class KnownGrants {
  readonly #grants = new Map<string, ChainedGrant>()
  readonly #invites = new Map<string, Statement<'invite'>>()
  readonly #revocations = new Set<string>()
  /** Statements that wait, by the id of the statement that they wait for. The log accepted them, so they are few. */
  readonly #waiting = new Map<string, Awaiting[]>()

  /** Returns a grant by its id in hex. */
  grant(id: string): ChainedGrant | undefined {
    return this.#grants.get(id)
  }

  /** Returns an invite by its id in hex. */
  invite(id: string): Statement<'invite'> | undefined {
    return this.#invites.get(id)
  }

  get invites(): Iterable<Statement<'invite'>> {
    return this.#invites.values()
  }

  /**
   * Adds accepted statements. Returns those for which everything that they name is known now, each after what it names.
   * Statements of other kinds are ignored, and so are those that are known already.
   */
  add(statements: ReadonlyArray<AnyStatement | SomeStatement>): Known[] {
    const added: Known[] = []
    const ready = statements.filter(isAwaiting)
    // Statements that were waiting for one of these are appended to the list while we walk it.
    for (const statement of ready) {
      const id = idOf(statement)
      if (this.#grants.has(id) || this.#invites.has(id) || this.#revocations.has(id)) continue
      const missing = this.#missingOf(statement)
      if (missing !== undefined) {
        const waiting = this.#waiting.get(missing)
        if (waiting === undefined) this.#waiting.set(missing, [statement])
        else waiting.push(statement)
        continue
      }
      added.push(this.#keep(statement, id))
      for (const next of this.#waiting.get(id) ?? []) ready.push(next)
      this.#waiting.delete(id)
    }
    return added
  }

  /** Returns the chain of a grant. */
  chainOf(grant: ChainedGrant): GrantChain {
    const chain: Array<Statement<'grant'>> = []
    for (let above: ChainedGrant | undefined = grant; above !== undefined; above = above.issuer)
      chain.unshift(above.statement)
    return chain
  }

  /** Returns what a grant rests on, and then the grant. */
  supportOf(grant: ChainedGrant): Support {
    const found = new Map<string, Statement<'grant'> | Statement<'invite'>>()
    this.#collect(grant, found)
    return [...found.values()]
  }

  /** Returns the number of statements that a grant rests on, itself left out. What it names must be known. */
  restsOn(statement: Statement<'grant'>): number {
    const found = new Map<string, Statement<'grant'> | Statement<'invite'>>()
    this.#collectNamed(statement, found)
    return found.size
  }

  // No grant rests on more than `SUPPORT_STATEMENTS_MAX` statements, so this recursion is neither deep nor costly.
  #collect(grant: ChainedGrant, found: Map<string, Statement<'grant'> | Statement<'invite'>>): void {
    if (found.has(grant.id)) return
    this.#collectNamed(grant.statement, found)
    found.set(grant.id, grant.statement)
  }

  #collectNamed(
    { grant: issuer, fields: { admit } }: Statement<'grant'>,
    found: Map<string, Statement<'grant'> | Statement<'invite'>>
  ): void {
    this.#collectIssuer(issuer, found)
    const invite = admit === undefined ? undefined : this.#invites.get(toHex(admit.invite))
    if (invite === undefined || found.has(idOf(invite))) return
    this.#collectIssuer(invite.grant, found)
    found.set(idOf(invite), invite)
  }

  #collectIssuer(id: Uint8Array | null, found: Map<string, Statement<'grant'> | Statement<'invite'>>): void {
    const issuer = id === null ? undefined : this.#grants.get(toHex(id))
    if (issuer !== undefined) this.#collect(issuer, found)
  }

  #keep(statement: Awaiting, id: string): Known {
    switch (statement.kind) {
      case 'grant': {
        const grant = this.#chain(statement, id)
        this.#grants.set(id, grant)
        return { kind: 'grant', grant }
      }
      case 'invite':
        this.#invites.set(id, statement)
        return { kind: 'invite', invite: statement }
      case 'revocation':
        this.#revocations.add(id)
        return { kind: 'revocation', revocation: statement }
    }
  }

  #chain(statement: Statement<'grant'>, id: string): ChainedGrant {
    const { grant, fields } = statement
    const issuer = grant === null ? undefined : this.#grants.get(toHex(grant))
    const invite = fields.admit === undefined ? undefined : this.#invites.get(toHex(fields.admit.invite))
    const depth = issuer === undefined ? 0 : issuer.depth + 1
    return { id, statement, issuer, invite, depth, end: earlier(notAfterOf(statement), issuer?.end) }
  }

  /** Returns the id of a statement that this one names and that is not known yet; undefined if all are known. */
  #missingOf(statement: Awaiting): string | undefined {
    const { grant } = statement
    if (grant !== null && !this.#grants.has(toHex(grant))) return toHex(grant)
    const admit = statement.kind === 'grant' ? statement.fields.admit : undefined
    if (admit !== undefined && !this.#invites.has(toHex(admit.invite))) return toHex(admit.invite)
    return undefined
  }
}

function isAwaiting(statement: AnyStatement | SomeStatement): statement is Awaiting {
  const { kind } = statement
  return kind === 'grant' || kind === 'invite' || kind === 'revocation'
}
