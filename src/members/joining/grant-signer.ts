import { CHAIN_MAX } from '../../format/constants.ts'
import type { Fields, Kind, Role } from '../../format/kinds.ts'
import { type PeerId, peerIdOf } from '../../format/peer-id.ts'
import type { Hlc } from '../../format/stamp.ts'
import type { AnyStatement, Statement } from '../../format/statement.ts'
import type { Log } from '../../log/log.ts'
import { equalBytes, fromHex } from '../../util/bytes.ts'
import { RefusedError, type WireStatus } from '../../wire/errors.ts'
import type { Authority, Member } from '../authority.ts'
import { type ClockOffError, NotAllowedError } from '../errors.ts'
import type { LocalMember } from '../local-member.ts'

/** Hands over the keys of the network that this member holds. The key keeper implements it. */
export interface Handovers {
  /** Returns a handover for each epoch key that this member holds; none for a device that may not read. */
  handoversFor(member: { key: Uint8Array; x25519: Uint8Array; role: Role }): Array<Fields<'handover'>>
}

export interface GrantSignerOptions {
  self: LocalMember
  log: Pick<Log, 'append'>
  roster: Authority
  /** Undefined for a member that holds no keys. */
  handovers: Handovers | undefined
  /** The reason why the others would refuse anything that we sign now. */
  writeError: () => ClockOffError | NotAllowedError | undefined
  /** Sends statements to all admitted members. */
  announce: (statements: readonly Statement[]) => void
}

/** Signs what changes the membership: grants, with the keys that go with them, invites and revocations. */
export class GrantSigner {
  readonly #options: GrantSignerOptions

  constructor(options: GrantSignerOptions) {
    this.#options = options
  }

  /** True if grants under our grant are within the longest chain. */
  get hasRoom(): boolean {
    return this.#options.self.chain.length < CHAIN_MAX
  }

  /** Why we approve nobody now, as other nodes are told it; undefined if we may. */
  get refusal(): WireStatus | undefined {
    if (!this.#isAdmin || !this.hasRoom) return 'forbidden'
    return this.isUnable ? 'busy' : undefined
  }

  /** Throws a `NotAllowedError` or a `ClockOffError` unless we are an admin and may sign now. `what` completes a sentence. */
  assertAdmin(what: string): void {
    const { self, roster, writeError } = this.#options
    const role = roster.member(self.peerId)?.role ?? self.role
    const error = writeError()
    if (error !== undefined) throw error
    if (role !== 'admin') throw new NotAllowedError(`only an admin ${what}: this one is a ${role}`)
  }

  /** Throws a `NotAllowedError` if our own grant is too far from the root for another one below it. */
  assertHasRoom(): void {
    if (this.hasRoom) return
    const { roster } = this.#options
    const depthOf = ({ peer }: Member): number => roster.chainOf(peer)?.length ?? CHAIN_MAX
    const admins = roster.members.filter(({ role }) => role === 'admin')
    const nearest = admins.toSorted((a, b) => depthOf(a) - depthOf(b))[0]
    throw new NotAllowedError(
      `the grant of this machine is the last of its chain, so it can let nobody in: do this on ${nearest?.name ?? 'the founder'}`
    )
  }

  /** True if the others would refuse anything that we sign now. */
  get isUnable(): boolean {
    return this.#options.writeError() !== undefined
  }

  /** Returns the stamp of a new grant for a device, after all of `past`. Throws what `LocalMember.nextHlc` throws. */
  nextHlc(subject: Uint8Array, ...past: Hlc[]): Hlc {
    const { self, roster } = this.#options
    return self.nextHlc(...past, ...roster.grantsOf(peerIdOf(subject)).map(({ hlc }) => hlc))
  }

  /**
   * Signs a grant with a stamp of `nextHlc`, and hands over the keys that it allows to have. Resolves once all is durable
   * here, and sends it to the others. Throws a `NotAllowedError` if the rules do not allow us this grant, a `FormatError`
   * if the X25519 key is not usable, and what the log throws.
   */
  async grant(fields: Fields<'grant'>, hlc: Hlc): Promise<Statement<'grant'>> {
    const { self, roster } = this.#options
    const grant = self.sign('grant', fields, hlc)
    if ('refused' in roster.authorize(grant as AnyStatement))
      throw new NotAllowedError('this machine may not sign this grant: its own rests on too many others')
    const { subject: key, x25519, role } = fields
    const keys = this.#handoversFor({ key, x25519, role })
    await this.#keep([grant, ...keys.map(handover => self.sign('handover', handover, hlc))])
    return grant
  }

  /** Signs an invite or a revocation. */
  async sign<K extends Kind>(kind: K, fields: Fields<K>, ...past: Hlc[]): Promise<Statement<K>> {
    const { self } = this.#options
    const statement = self.sign(kind, fields, self.nextHlc(...past))
    await this.#keep([statement])
    return statement
  }

  /**
   * Returns a handover of one epoch's key to a member. It is not kept here: only that member needs it. Throws a
   * `RefusedError`.
   */
  handover(member: Member, epoch: Uint8Array): Uint8Array {
    const { self } = this.#options
    if (member.role === 'storage') throw new RefusedError('forbidden')
    const fields = this.#handoversFor(member).find(handover => equalBytes(handover.epoch, epoch))
    if (fields === undefined) throw new RefusedError('not-found')
    if (this.isUnable) throw new RefusedError('busy')
    return self.sign('handover', fields, self.nextHlc()).bytes
  }

  /** Returns what the grant of a member rests on, and then the grant; undefined if the peer is no member. */
  supportOf(peer: PeerId): Uint8Array[] | undefined {
    const { roster } = this.#options
    const member = roster.member(peer)
    return member === undefined ? undefined : roster.supportOf(fromHex(member.grantId)).map(({ bytes }) => bytes)
  }

  get #isAdmin(): boolean {
    const { self, roster } = this.#options
    return roster.member(self.peerId)?.role === 'admin'
  }

  #handoversFor(member: { key: Uint8Array; x25519: Uint8Array; role: Role }): Array<Fields<'handover'>> {
    return member.role === 'storage' ? [] : (this.#options.handovers?.handoversFor(member) ?? [])
  }

  async #keep(statements: readonly Statement[]): Promise<void> {
    const { self, log, announce } = this.#options
    await log.append(statements, self.signer)
    announce(statements)
  }
}
