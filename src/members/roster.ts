import { FormatError } from '../format/errors.ts'
import type { Kind } from '../format/kinds.ts'
import { type PeerId, peerIdOf } from '../format/peer-id.ts'
import { type AnyStatement, idOf, type SomeStatement, type Statement } from '../format/statement.ts'
import type { Authorized, Change, Projection, Verdict } from '../log/projection.ts'
import { toHex } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import { type Authority, authorize, type InviteFacts, type Member, RANK_OF } from './authority.ts'
import { type ChainedGrant, type GrantChain, isOver, type Support } from './grant-chain.ts'
import { KnownGrants } from './known-grants.ts'
import { MembershipFold, type Standing } from './membership-fold.ts'

/** A device that has grants, and which of them takes effect now. */
interface Device {
  peer: PeerId
  grants: ChainedGrant[]
  best: ChainedGrant | undefined
}

/**
 * Knows who is a member, in which role, and who signs under which grant. All of this is computed from the grants,
 * invites and revocations, and from the time. It is kept in memory, because it decides for each incoming statement
 * whether the author may sign it.
 *
 * `KnownGrants` links the statements, `authorize` decides who may sign, `MembershipFold` decides which grants are void.
 * This class adds the time: of the grants of a device that are neither void nor over, the best takes effect. The list of
 * current members changes with time too, so `refresh` must be called regularly.
 */
export class Roster implements Projection, Authority {
  readonly kinds: ReadonlySet<Kind> = new Set<Kind>(['root', 'grant', 'invite', 'revocation'])
  readonly #network: Uint8Array
  readonly #clock: Pick<Clock, 'now'>
  readonly #known = new KnownGrants()
  readonly #fold = new MembershipFold()
  readonly #listeners: Array<() => void> = []
  readonly #devices = new Map<PeerId, Device>()
  /** Devices that have a grant with an end, so that the passing of time changes which grant takes effect. */
  readonly #ending = new Set<Device>()
  readonly #members = new Map<PeerId, Member>()

  constructor(network: Uint8Array, clock: Pick<Clock, 'now'>) {
    this.#network = network
    this.#clock = clock
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener)
  }

  get members(): Member[] {
    return [...this.#members.values()]
  }

  get removed(): Member[] {
    return [...this.#devices.values()].flatMap(({ peer, grants }) => {
      const isVoid = grants.every(grant => this.#fold.standingOf(grant.id) !== 'effective')
      return isVoid ? [toMember(peer, grants.reduce(better))] : []
    })
  }

  get invites(): InviteFacts[] {
    return [...this.#known.invites].map(invite => this.#factsOf(invite))
  }

  member(peer: PeerId): Member | undefined {
    return this.#members.get(peer)
  }

  standingOf(grant: Uint8Array): Standing | undefined {
    return this.#fold.standingOf(toHex(grant))
  }

  isEffective(grant: Uint8Array): boolean {
    return this.standingOf(grant) === 'effective'
  }

  chainOf(peer: PeerId): GrantChain | undefined {
    this.refresh()
    const best = this.#devices.get(peer)?.best
    return best === undefined ? undefined : this.#known.chainOf(best)
  }

  supportOf(grant: Uint8Array): Support {
    const chained = this.#known.grant(toHex(grant))
    return chained === undefined ? [] : this.#known.supportOf(chained)
  }

  grantsOf(peer: PeerId): GrantChain {
    return (this.#devices.get(peer)?.grants ?? []).map(({ statement }) => statement)
  }

  invite(id: Uint8Array): InviteFacts | undefined {
    const invite = this.#known.invite(toHex(id))
    return invite === undefined ? undefined : this.#factsOf(invite)
  }

  usersOf(invite: Uint8Array): GrantChain {
    return this.#fold.usersOf(toHex(invite))
  }

  revocationsOf(invite: Uint8Array): ReadonlyArray<Statement<'revocation'>> {
    return this.#fold.revocationsOf(toHex(invite))
  }

  authorize(statement: AnyStatement): Authorized | { refused: Verdict } {
    return authorize(statement, this.#network, this.#known)
  }

  check(statement: Statement): void {
    if (statement.kind === 'root' && (statement.hlc !== 0n || statement.grant !== null)) {
      throw new FormatError('a root statement must be signed without a grant and be stamped 0')
    }
  }

  /** The roster has no rows of its own in the index. */
  async project(): Promise<void> {}

  applied({ added }: Change): void {
    this.load(added.map(({ statement }) => statement))
  }

  /** Adds accepted statements, in any order. Those of other kinds are ignored. */
  load(statements: ReadonlyArray<AnyStatement | SomeStatement>): void {
    const added: Array<{ device: Device; grant: ChainedGrant }> = []
    for (const known of this.#known.add(statements)) {
      if (known.kind === 'revocation') this.#fold.addRevocation(known.revocation)
      if (known.kind === 'grant') added.push({ device: this.#add(known.grant), grant: known.grant })
    }
    // One more use of an invite, or a revocation, may make grants void that took effect before.
    if (this.#fold.settle()) for (const device of this.#devices.values()) this.#choose(device)
    else for (const { device, grant } of added) this.#compete(device, grant)
    for (const listener of this.#listeners) listener()
  }

  /**
   * Computes again which grants take effect, and calls the listeners if that has changed. Time alone can change it: a
   * grant ends, and an earlier or later one takes its place. If our clock was set back, a grant may be in force again.
   */
  refresh(): void {
    let hasChanged = false
    for (const device of this.#ending) if (this.#choose(device)) hasChanged = true
    if (hasChanged) for (const listener of this.#listeners) listener()
  }

  /** Adds a grant to those of its device, and returns the device. */
  #add(grant: ChainedGrant): Device {
    this.#fold.addGrant(grant)
    const peer = peerIdOf(grant.statement.fields.subject)
    let device = this.#devices.get(peer)
    if (device === undefined) {
      device = { peer, grants: [], best: undefined }
      this.#devices.set(peer, device)
    }
    device.grants.push(grant)
    if (grant.end !== undefined) this.#ending.add(device)
    return device
  }

  /** Lets a new grant take effect if it is better than the one that does. */
  #compete(device: Device, grant: ChainedGrant): void {
    // The grant that takes effect may have ended by now, so all of them are compared.
    if (this.#ending.has(device)) this.#choose(device)
    else if (this.#isInForce(grant) && (device.best === undefined || better(device.best, grant) === grant))
      this.#setBest(device, grant)
  }

  /**
   * Chooses the grant of a device that takes effect now: of those that are neither void nor over, the best. So a renewed
   * grant extends a membership, and a void or ended one never takes the place of a valid one. Returns true if it is not
   * the one that took effect before.
   */
  #choose(device: Device): boolean {
    const inForce = device.grants.filter(grant => this.#isInForce(grant))
    const best = inForce.length === 0 ? undefined : inForce.reduce(better)
    if (best === device.best) return false
    this.#setBest(device, best)
    return true
  }

  #isInForce({ id, end }: ChainedGrant): boolean {
    return this.#fold.standingOf(id) === 'effective' && !isOver(end, this.#clock.now())
  }

  #setBest(device: Device, grant: ChainedGrant | undefined): void {
    device.best = grant
    if (grant === undefined) this.#members.delete(device.peer)
    else this.#members.set(device.peer, toMember(device.peer, grant))
  }

  #factsOf(statement: Statement<'invite'>): InviteFacts {
    const fold = this.#fold
    const [isRevoked, isEffective] = [fold.isRevoked(statement), fold.isOfEffective(statement)]
    return { statement, used: fold.usesOf(statement), isRevoked, isEffective }
  }
}

/**
 * Returns the better of two grants: that of the higher role, then the one with the shorter chain, then the earlier one.
 */
function better(a: ChainedGrant, b: ChainedGrant): ChainedGrant {
  const [rankA, rankB] = [RANK_OF[a.statement.fields.role], RANK_OF[b.statement.fields.role]]
  if (rankA !== rankB) return rankA > rankB ? a : b
  if (a.depth !== b.depth) return a.depth < b.depth ? a : b
  if (a.statement.hlc !== b.statement.hlc) return a.statement.hlc < b.statement.hlc ? a : b
  return a.id < b.id ? a : b
}

function toMember(peer: PeerId, { statement }: ChainedGrant): Member {
  const { subject, x25519, name, role, capacityMax, zone } = statement.fields
  return { peer, key: subject, x25519, name, role, capacityMax, zone, grantId: idOf(statement) }
}
