import { idOf, type Statement } from '../format/statement.ts'
import { toHex } from '../util/bytes.ts'
import type { ChainedGrant } from './grant-chain.ts'

/**
 * Whether a grant takes effect, or why it is void: its issuer is void; its invite was revoked before, or the invite's
 * issuer is void; or the invite had let in as many other devices as it may. A void grant makes its device no member.
 */
export type Standing = 'effective' | 'issuer-void' | 'invite-void' | 'used-up'

/** The devices that an invite has let in. */
interface Uses {
  /** The grant with which each device was counted, by the device's public key in hex. */
  grants: Map<string, ChainedGrant>
  /** No counted grant comes after this one in the order in which grants are judged. */
  last: ChainedGrant | undefined
}

/**
 * Computes which grants take effect. The result depends only on the set of statements that were added.
 *
 * Grants are judged in the order (hlc, depth, id). Everything that a grant depends on comes before it in this order:
 * its issuer is stamped no later and has a shorter chain, and its invite, the invite's issuer and every revocation that
 * matters are stamped earlier. So one pass is enough. An invite that may let in a number of devices lets in the first
 * ones in this order. A grant that is void for another reason uses up none of that number.
 *
 * The `notAfter` of grants is ignored here, because whether it is past depends on the clock.
 */
export class MembershipFold {
  readonly #grants: ChainedGrant[] = []
  /** Revocations by what they revoke, as an id in hex. */
  readonly #revocations = new Map<string, Array<Statement<'revocation'>>>()
  readonly #standings = new Map<string, Standing>()
  /** By the id of the invite. */
  readonly #uses = new Map<string, Uses>()
  /** True if a statement that was added may change the standing of grants that were judged before. */
  #isStale = false

  /** Adds a grant. Its issuer and the issuer of its invite must have been added before. */
  addGrant(grant: ChainedGrant): void {
    this.#grants.push(grant)
    if (this.#mayDisplace(grant)) this.#isStale = true
    // Nothing that was added before depends on this grant, so it is enough to judge this one.
    else if (!this.#isStale) this.#judge(grant)
  }

  /** Adds a revocation. Its issuer must have been added before. */
  addRevocation(revocation: Statement<'revocation'>): void {
    const target = toHex(revocation.fields.target)
    const others = this.#revocations.get(target)
    if (others === undefined) this.#revocations.set(target, [revocation])
    else others.push(revocation)
    if (this.#uses.has(target)) this.#isStale = true
  }

  /** Judges all grants again if that is needed. Returns true if it did. Call it before asking anything. */
  settle(): boolean {
    if (!this.#isStale) return false
    this.#isStale = false
    this.#standings.clear()
    this.#uses.clear()
    this.#grants.sort(compareGrants)
    for (const grant of this.#grants) this.#judge(grant)
    return true
  }

  standingOf(id: string): Standing | undefined {
    return this.#standings.get(id)
  }

  /** The number of devices that an invite has let in. */
  usesOf(invite: Statement<'invite'>): number {
    return this.#uses.get(idOf(invite))?.grants.size ?? 0
  }

  /** Returns the grants by which an invite let in devices, one of each, in order. `invite` is its id in hex. */
  usersOf(invite: string): Array<Statement<'grant'>> {
    const grants = [...(this.#uses.get(invite)?.grants.values() ?? [])]
    return grants.sort(compareGrants).map(({ statement }) => statement)
  }

  /** Returns true if the issuer of an invite or a revocation has power. The root always has. */
  isOfEffective({ grant }: Statement<'invite'> | Statement<'revocation'>): boolean {
    return grant === null || this.#standings.get(toHex(grant)) === 'effective'
  }

  /** Returns true if an invite was revoked, by a revocation that counts. */
  isRevoked(invite: Statement<'invite'>): boolean {
    return this.revocationsOf(idOf(invite)).some(revocation => this.isOfEffective(revocation))
  }

  /** Returns the revocations of an invite, also those that do not count. `invite` is its id in hex. */
  revocationsOf(invite: string): ReadonlyArray<Statement<'revocation'>> {
    return this.#revocations.get(invite) ?? []
  }

  #judge(grant: ChainedGrant): void {
    this.#standings.set(grant.id, this.#standingOfNext(grant))
  }

  #standingOfNext(grant: ChainedGrant): Standing {
    const { statement, issuer, invite } = grant
    if (issuer !== undefined && this.#standings.get(issuer.id) !== 'effective') return 'issuer-void'
    if (invite === undefined) return 'effective'
    const isRevoked = this.revocationsOf(idOf(invite)).some(
      revocation => revocation.hlc < statement.hlc && this.isOfEffective(revocation)
    )
    if (isRevoked || !this.isOfEffective(invite)) return 'invite-void'
    const used = this.#usedOf(invite)
    const subject = toHex(statement.fields.subject)
    if (used.grants.has(subject)) return 'effective'
    if (isFull(invite, used)) return 'used-up'
    used.grants.set(subject, grant)
    if (used.last === undefined || compareGrants(used.last, grant) < 0) used.last = grant
    return 'effective'
  }

  /** Returns true if a grant may use an invite in place of another device that was counted before. */
  #mayDisplace(grant: ChainedGrant): boolean {
    const { statement, invite } = grant
    if (invite === undefined) return false
    const used = this.#usedOf(invite)
    if (!isFull(invite, used) || used.grants.has(toHex(statement.fields.subject))) return false
    return used.last !== undefined && compareGrants(grant, used.last) < 0
  }

  #usedOf(invite: Statement<'invite'>): Uses {
    const id = idOf(invite)
    let used = this.#uses.get(id)
    if (used === undefined) {
      used = { grants: new Map(), last: undefined }
      this.#uses.set(id, used)
    }
    return used
  }
}

function isFull({ fields: { uses } }: Statement<'invite'>, { grants }: Uses): boolean {
  return uses !== null && grants.size >= uses
}

function compareGrants(a: ChainedGrant, b: ChainedGrant): number {
  if (a.statement.hlc !== b.statement.hlc) return a.statement.hlc < b.statement.hlc ? -1 : 1
  if (a.depth !== b.depth) return a.depth - b.depth
  return a.id < b.id ? -1 : 1
}
