import { CHAIN_MAX } from '../format/constants.ts'
import { FormatError } from '../format/errors.ts'
import type { Kind, Role } from '../format/kinds.ts'
import { type PeerId, peerIdOf } from '../format/peer-id.ts'
import type { Hlc } from '../format/stamp.ts'
import { type AnyStatement, idOf, type Statement, signatureOf } from '../format/statement.ts'
import type { Authorized, Authorizer, Change, Projection, Signer, Verdict } from '../log/projection.ts'
import { equalBytes, toHex } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import { earlier, type GrantChain, isOver, notAfterOf } from './grant-chain.ts'

/** A device that the network admits now. */
export interface Member {
  peer: PeerId
  key: Uint8Array
  name: string
  role: Role
  capacityMax: number | undefined
  zone: string | undefined
  grantId: string
}

/** Kinds of statement that the root key may sign, without a grant. */
const ROOT_KINDS: ReadonlySet<Kind> = new Set<Kind>(['root', 'grant', 'revocation', 'successor'])

/** The kinds of statement that each role may sign. All others are refused. */
const KINDS_OF: Record<Role, ReadonlySet<Kind>> = {
  admin: new Set<Kind>([
    'grant',
    'invite',
    'revocation',
    'epoch',
    'settings',
    'out',
    'handover',
    'status',
    'entry',
    'share'
  ]),
  writer: new Set<Kind>(['handover', 'status', 'entry', 'share']),
  reader: new Set<Kind>(['handover', 'status']),
  storage: new Set<Kind>(['status'])
}

/** Returns true if a role may write files. */
export function isWriter(role: Role): boolean {
  return role === 'admin' || role === 'writer'
}

interface ChainedGrant {
  statement: Statement<'grant'>
  /** The number of grants above this one, up to the one that the root signed. */
  depth: number
  /** The earliest `notAfter` in the chain. */
  end: Hlc | undefined
}

/**
 * Knows who is a member, in which role, and who signs under which grant. All of this is computed from the grants and
 * the time. It is kept in memory, because it decides for each incoming statement whether the author may sign it.
 *
 * Only the grant that a statement names decides who may sign it. The list of current members changes with time too,
 * so `refresh` must be called regularly.
 */
export class Roster implements Projection, Authorizer {
  readonly kinds: ReadonlySet<Kind> = new Set<Kind>(['root', 'grant'])
  readonly #network: Uint8Array
  readonly #clock: Pick<Clock, 'now'>
  readonly #grants = new Map<string, ChainedGrant>()
  /** Grants whose issuer is not known yet, by the id of the issuing grant. The log accepted them, so they are few. */
  readonly #waiting = new Map<string, Array<Statement<'grant'>>>()
  readonly #listeners: Array<() => void> = []
  /** The grants of each device that has one that ends. All other devices keep the best grant that they ever had. */
  readonly #ending = new Map<PeerId, ChainedGrant[]>()
  /** The grant of each member that takes effect now. */
  readonly #best = new Map<PeerId, ChainedGrant>()
  readonly #members = new Map<PeerId, Member>()

  constructor(network: Uint8Array, clock: Pick<Clock, 'now'>) {
    this.#network = network
    this.#clock = clock
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener)
  }

  /** All devices with a grant that is in force now. */
  get members(): Member[] {
    return [...this.#members.values()]
  }

  member(peer: PeerId): Member | undefined {
    return this.#members.get(peer)
  }

  /** Returns the chain of the grant of a member that takes effect now; undefined if the device is no member. */
  chainOf(peer: PeerId): GrantChain | undefined {
    this.refresh()
    const chain: Array<Statement<'grant'>> = []
    for (let grant = this.#best.get(peer); grant !== undefined; grant = this.#issuerOf(grant.statement))
      chain.unshift(grant.statement)
    return chain.length === 0 ? undefined : chain
  }

  /**
   * Returns who signed a statement and the signatures to check, if its grant is known and allows it. Returns the verdict
   * otherwise.
   */
  authorize(statement: AnyStatement): Authorized | { refused: Verdict } {
    const signer = this.#signerOf(statement)
    if ('refused' in signer) return signer
    return { ...signer, signatures: [signatureOf(statement, this.#network, signer.author)] }
  }

  #signerOf(statement: AnyStatement): Signer | { refused: Verdict } {
    const { kind, hlc } = statement
    if (statement.grant === null) {
      const isAllowed = kind === 'unknown' || ROOT_KINDS.has(kind)
      return isAllowed ? { author: this.#network, role: 'root' } : { refused: 'forbidden' }
    }
    const grant = this.#grants.get(toHex(statement.grant))
    if (grant === undefined) return { refused: 'unknown-grant' }
    const { subject, role } = grant.statement.fields
    const isInTime = hlc >= grant.statement.hlc && (grant.end === undefined || hlc <= grant.end)
    // Nobody knows what a statement of an unknown kind says, so those who may write may also sign these.
    const isAllowed = kind === 'unknown' ? isWriter(role) : KINDS_OF[role].has(kind)
    if (!isInTime || !isAllowed) return { refused: 'forbidden' }
    if (kind === 'grant' && grant.depth + 1 >= CHAIN_MAX) return { refused: 'forbidden' }
    return { author: subject, role }
  }

  check(statement: Statement): void {
    if (statement.kind === 'root' && (statement.hlc !== 0n || statement.grant !== null)) {
      throw new FormatError('the root statement is signed without a grant, and its stamp is zero')
    }
  }

  /** The roster has no rows of its own in the index. */
  async project(): Promise<void> {}

  applied({ added }: Change): void {
    this.load(added.map(({ statement }) => statement))
  }

  /**
   * Adds accepted statements, in any order. A grant whose issuer is not known yet is kept until the issuer is known.
   */
  load(statements: ReadonlyArray<AnyStatement | Statement>): void {
    const ready = statements.filter(({ kind }) => kind === 'grant') as Array<Statement<'grant'>>
    // Grants that were waiting for one of these are appended to the list while we walk it.
    for (const grant of ready) {
      const id = idOf(grant)
      if (this.#grants.has(id)) continue
      const chained = this.#chain(grant)
      if (chained === undefined) {
        const issuer = toHex(grant.grant as Uint8Array)
        const waiting = this.#waiting.get(issuer)
        if (waiting === undefined) this.#waiting.set(issuer, [grant])
        else waiting.push(grant)
        continue
      }
      this.#grants.set(id, chained)
      this.#count(chained)
      for (const next of this.#waiting.get(id) ?? []) ready.push(next)
      this.#waiting.delete(id)
    }
    for (const listener of this.#listeners) listener()
  }

  /**
   * Computes again which grants take effect, and calls the listeners if that has changed. With the passing of time
   * alone, a grant ends and an earlier or later one takes its place. If our clock was set back, a grant may be in force
   * again.
   */
  refresh(): void {
    let hasChanged = false
    for (const peer of this.#ending.keys()) if (this.#choose(peer)) hasChanged = true
    if (hasChanged) for (const listener of this.#listeners) listener()
  }

  /**
   * Checks a chain that a stranger shows: the root issued the first grant, each grant issued the next, and the last is
   * for the peer whose id the connection proved. Returns the authors of the grants, or undefined if the chain is not
   * valid. The caller verifies the signatures.
   */
  static authorsOfChain(
    chain: ReadonlyArray<Statement<'grant'>>,
    network: Uint8Array,
    subject: Uint8Array
  ): Uint8Array[] | undefined {
    const probe = new Roster(network, { now: () => 0 })
    const authors: Uint8Array[] = []
    if (chain.length === 0 || chain.length > CHAIN_MAX) return undefined
    for (const statement of chain) {
      const authorized = probe.authorize(statement as AnyStatement)
      if ('refused' in authorized) return undefined
      authors.push(authorized.author)
      probe.load([statement])
    }
    const last = chain.at(-1)
    return last !== undefined && equalBytes(last.fields.subject, subject) ? authors : undefined
  }

  #issuerOf({ grant }: Statement<'grant'>): ChainedGrant | undefined {
    return grant === null ? undefined : this.#grants.get(toHex(grant))
  }

  /** Returns a grant with its depth in the chain; undefined if its issuer is not known yet. */
  #chain(statement: Statement<'grant'>): ChainedGrant | undefined {
    const end = notAfterOf(statement)
    if (statement.grant === null) return { statement, depth: 0, end }
    const issuer = this.#issuerOf(statement)
    if (issuer === undefined) return undefined
    return { statement, depth: issuer.depth + 1, end: earlier(end, issuer.end) }
  }

  /** Adds a grant to those of its device. */
  #count(grant: ChainedGrant): void {
    const peer = peerIdOf(grant.statement.fields.subject)
    const ending = this.#ending.get(peer)
    const best = this.#best.get(peer)
    if (ending !== undefined) ending.push(grant)
    // The best grant that does not end is better than all others that do not end, so those are not needed.
    else if (grant.end !== undefined) this.#ending.set(peer, best === undefined ? [grant] : [best, grant])
    if (this.#ending.has(peer)) this.#choose(peer)
    else if (best === undefined || isBetter(grant, best)) this.#setBest(peer, grant)
  }

  /**
   * Chooses the grant of a device that takes effect now: the grant in force that has the shortest chain. If several
   * chains are equally short, the earliest grant wins. An ended grant never wins, so a renewed one extends it.
   * Returns true if it is not the one that took effect before.
   */
  #choose(peer: PeerId): boolean {
    const nowMs = this.#clock.now()
    const inForce = (this.#ending.get(peer) ?? []).filter(({ end }) => !isOver(end, nowMs))
    const [first, ...others] = inForce
    if (first === undefined) {
      this.#members.delete(peer)
      return this.#best.delete(peer)
    }
    const best = others.reduce((a, b) => (isBetter(b, a) ? b : a), first)
    if (best === this.#best.get(peer)) return false
    this.#setBest(peer, best)
    return true
  }

  #setBest(peer: PeerId, grant: ChainedGrant): void {
    this.#best.set(peer, grant)
    this.#members.set(peer, toMember(peer, grant))
  }
}

function isBetter(a: ChainedGrant, b: ChainedGrant): boolean {
  if (a.depth !== b.depth) return a.depth < b.depth
  if (a.statement.hlc !== b.statement.hlc) return a.statement.hlc < b.statement.hlc
  return idOf(a.statement) < idOf(b.statement)
}

function toMember(peer: PeerId, { statement }: ChainedGrant): Member {
  const { subject, name, role, capacityMax, zone } = statement.fields
  return { peer, key: subject, name, role, capacityMax, zone, grantId: idOf(statement) }
}
