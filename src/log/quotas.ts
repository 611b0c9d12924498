import { type PeerId, peerIdOf } from '../format/peer-id.ts'
import type { SomeStatement } from '../format/statement.ts'
import { toHex } from '../util/bytes.ts'
import { DfsError } from '../util/errors.ts'
import { QUOTA_OF_MEMBERSHIP, QUOTA_OF_OTHERS, QUOTA_OWN } from './constants.ts'
import { classOf, MEMBERSHIP } from './keys.ts'
import type { Signer } from './projection.ts'
import type { SignedCount, SignedCounts } from './signed-counts.ts'

export interface QuotaRules {
  /** The most that the log keeps of what was signed under one grant. */
  quota: SignedCount
  /** Returns the number of members. */
  members: () => number
}

/** This member has signed as much as its quota allows. */
export class OverQuotaError extends DfsError {
  override readonly name = 'OverQuotaError'
  override readonly code = 'not-allowed'
}

export interface QuotasOptions {
  counts: Pick<SignedCounts, 'of'>
  /** Looked up at each check, since the rules may change. */
  rules: () => QuotaRules
}

/** Room that was given to statements that are not in the index yet. */
export interface Reservation {
  /** Call it once they are in the index, or will never be. */
  end(): void
}

/** The statements of one message. */
export interface MessageCheck extends Reservation {
  /** Returns true if a statement is within the quota of its grant, and counts it from then on. */
  fits(statement: SomeStatement, signer: Signer, from: PeerId): boolean
}

/**
 * Bounds how much the log keeps of one member, so that a member that turns against the network cannot fill the disks of
 * all others. SPEC.md, "Quotas", says why honest members keep the same statements in spite of this.
 */
export class Quotas {
  readonly #options: QuotasOptions
  /** By the id of the grant, in hex. One of them per message or append that is under way. */
  readonly #underWay = new Set<Map<string, SignedCount>>()

  constructor(options: QuotasOptions) {
    this.#options = options
  }

  /** Returns a check for the statements of one message. */
  async checkOf(statements: readonly SomeStatement[]): Promise<MessageCheck> {
    const used = await this.#usedBy(grantsOf(statements))
    const own = new Map<string, SignedCount>()
    this.#underWay.add(own)
    return {
      end: () => this.#underWay.delete(own),
      fits: (statement, signer, from) => {
        if (!isLimited(statement, signer)) return true
        const grant = toHex(statement.grant as Uint8Array)
        const one = plus(NOTHING, statement)
        if (!this.#fits(sum(used(grant), one), statement.kind, from === peerIdOf(signer.author))) return false
        own.set(grant, sum(own.get(grant) ?? NOTHING, one))
        return true
      }
    }
  }

  /**
   * Throws an `OverQuotaError` if this member may not sign these statements. Statements that do not make the catalog
   * grow are allowed a little more, so that a member whose quota is used up can still delete and move.
   */
  async reserveOwn(statements: readonly SomeStatement[], signer: Signer): Promise<Reservation> {
    const limited = statements.filter(({ kind }) => classOf(kind) !== MEMBERSHIP)
    const grant = limited[0]?.grant ?? null
    if (grant === null || !isLimited(limited[0] as SomeStatement, signer)) return { end: () => {} }
    const count = limited.reduce(plus, NOTHING)
    this.#assert(sum(await this.#used(grant), count), QUOTA_OWN)
    const own = new Map([[toHex(grant), count]])
    this.#underWay.add(own)
    return { end: () => this.#underWay.delete(own) }
  }

  /** Throws an `OverQuotaError` if this member, with this grant, may not sign anything that makes the catalog grow. */
  async assertMayGrow(grant: Uint8Array): Promise<void> {
    this.#assert(sum(await this.#used(grant), { statements: 1, bytes: 1 }), 1)
  }

  #fits(count: SignedCount, kind: SomeStatement['kind'], isFromAuthor: boolean): boolean {
    const { quota, members } = this.#options.rules()
    const extra = classOf(kind) === MEMBERSHIP ? QUOTA_OF_MEMBERSHIP : NOTHING
    const isWithin = (share: number): boolean =>
      count.statements <= quota.statements * share + extra.statements &&
      count.bytes <= quota.bytes * share + extra.bytes
    // What one honest member accepted from the author, the others must accept from that member.
    return isWithin(QUOTA_OF_OTHERS) || (!isFromAuthor && isWithin(QUOTA_OF_OTHERS * members()))
  }

  #assert({ statements, bytes }: SignedCount, share: number): void {
    const { quota } = this.#options.rules()
    if (statements > quota.statements * share)
      throw new OverQuotaError(
        `this machine has signed as many changes as its quota allows (${quota.statements}): an admin can raise it with dfs config quotaStatements`
      )
    if (bytes > quota.bytes * share)
      throw new OverQuotaError(
        `the changes that this machine has signed take as many bytes as its quota allows (${quota.bytes}): an admin can raise it with dfs config quotaBytes`
      )
  }

  async #used(grant: Uint8Array): Promise<SignedCount> {
    return (await this.#usedBy([grant]))(toHex(grant))
  }

  /** Returns a function that says what the log keeps of one of these grants, with all that is under way then. */
  async #usedBy(grants: readonly Uint8Array[]): Promise<(grant: string) => SignedCount> {
    // What ends during the read may be in the index or not. Counted twice, it makes this a little too strict at most.
    const before = [...this.#underWay]
    const kept = await this.#options.counts.of(grants)
    return grant =>
      [...new Set([...before, ...this.#underWay])].reduce(
        (count, counts) => sum(count, counts.get(grant) ?? NOTHING),
        kept.get(grant) ?? NOTHING
      )
  }
}

const NOTHING: SignedCount = { statements: 0, bytes: 0 }

/**
 * The root key and admins decide about quotas themselves, so what they sign about membership is never refused for one.
 * Of statuses the log keeps one a member.
 */
function isLimited({ kind, grant }: SomeStatement, { role }: Signer): boolean {
  if (grant === null || kind === 'status') return false
  return role !== 'admin' || classOf(kind) !== MEMBERSHIP
}

function plus({ statements, bytes }: SignedCount, statement: Pick<SomeStatement, 'bytes'>): SignedCount {
  return { statements: statements + 1, bytes: bytes + statement.bytes.byteLength }
}

function sum(a: SignedCount, b: SignedCount): SignedCount {
  return { statements: a.statements + b.statements, bytes: a.bytes + b.bytes }
}

function grantsOf(statements: readonly SomeStatement[]): Uint8Array[] {
  return statements.flatMap(({ grant }) => (grant === null ? [] : [grant]))
}
