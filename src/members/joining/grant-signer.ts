import { CHAIN_MAX } from '../../format/constants.ts'
import type { Fields, Kind } from '../../format/kinds.ts'
import { type PeerId, peerIdOf } from '../../format/peer-id.ts'
import type { Hlc } from '../../format/stamp.ts'
import type { AnyStatement, Statement } from '../../format/statement.ts'
import type { Log } from '../../log/log.ts'
import { fromHex, toHex } from '../../util/bytes.ts'
import { RefusedError, type WireStatus } from '../../wire/errors.ts'
import type { Authority, Member } from '../authority.ts'
import { type ClockOffError, NotAllowedError } from '../errors.ts'
import type { LocalMember } from '../local-member.ts'
import { HANDED_MAX } from './constants.ts'

/** The device that a key is handed over to. */
type Recipient = Pick<Member, 'key' | 'x25519' | 'role'>

/** Hands over the keys of the network that this member holds. The key keeper implements it. */
export interface Handovers {
  /** The epochs whose keys this member holds. */
  readonly held: ReadonlyArray<{ id: Uint8Array }>
  /** Returns a handover of one of these keys; undefined if it is not held, and for a device that may not read. */
  handoverFor(member: Recipient, epoch: Uint8Array): Fields<'handover'> | undefined
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

/**
 * Signs what admins say about the membership: grants, with the keys that go with them, invites, revocations, and which
 * members are out.
 */
export class GrantSigner {
  readonly #options: GrantSignerOptions
  /**
   * The handovers that were signed here, by epoch, device and the grant under which they were signed. A device that
   * asks again gets the same one, so that asking adds nothing to any log.
   */
  readonly #handed = new Map<string, Statement<'handover'>>()

  constructor(options: GrantSignerOptions) {
    this.#options = options
  }

  /** True if grants under our grant are within the longest chain. */
  get hasRoom(): boolean {
    return this.#options.self.chain.length < CHAIN_MAX
  }

  /** The status with which we answer while we may approve nobody; undefined if we may. */
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
    if (role !== 'admin')
      throw new NotAllowedError(
        `only an admin ${what}: this machine is ${role === 'storage' ? 'a storage member' : `a ${role}`}`
      )
  }

  /** Throws a `NotAllowedError` if our own grant is too far from the root for another one below it. */
  assertHasRoom(): void {
    if (this.hasRoom) return
    const { roster } = this.#options
    const depthOf = ({ peer }: Member): number => roster.chainOf(peer)?.length ?? CHAIN_MAX
    const admins = roster.members.filter(({ role }) => role === 'admin')
    const nearest = admins.toSorted((a, b) => depthOf(a) - depthOf(b))[0]
    throw new NotAllowedError(
      `this machine cannot let anyone in, because its grant has too many others above it: do this on ${nearest?.name ?? 'the founder'}`
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
   * Signs a grant with a stamp of `nextHlc`, and hands over the keys that a device of its role may have. Resolves once
   * all is durable here, and sends it to the others. Throws a `NotAllowedError` if the rules do not allow us this
   * grant, a `FormatError` if the X25519 key is not usable, and what the log throws.
   */
  async grant(fields: Fields<'grant'>, hlc: Hlc): Promise<Statement<'grant'>> {
    const { self, roster } = this.#options
    const grant = self.sign('grant', fields, hlc)
    if ('refused' in roster.authorize(grant as AnyStatement))
      throw new NotAllowedError('this machine may not sign this grant: its own rests on too many others')
    const { subject: key, x25519, role } = fields
    const epochs = this.#options.handovers?.held.map(({ id }) => id) ?? []
    // A key that we handed this device before is not sealed again: the handover is in our log, or the device has it.
    const missing = epochs.filter(epoch => !this.#handed.has(this.#idOf(epoch, key)))
    const signed = missing.map(epoch => this.#sign({ key, x25519, role }, epoch, hlc))
    const keys = signed.filter(handover => handover !== undefined)
    await this.keep([grant, ...keys])
    for (const handover of keys) this.#remember(handover)
    return grant
  }

  /** Signs a statement, such as an invite or a revocation. The caller must `keep` it. */
  sign<K extends Kind>(kind: K, fields: Fields<K>, ...past: Hlc[]): Statement<K> {
    const { self } = this.#options
    return self.sign(kind, fields, self.nextHlc(...past))
  }

  /** Adds statements to our log, and sends them to the others. Durable when this resolves. Throws what the log throws. */
  async keep(statements: readonly Statement[]): Promise<void> {
    const { self, log, announce } = this.#options
    await log.append(statements, self.signer)
    announce(statements)
  }

  /**
   * Returns a handover of one epoch's key to a member, the same one each time. It is not added to our log: only that
   * member needs it. Throws a `RefusedError`.
   */
  handover(member: Member, epoch: Uint8Array): Uint8Array {
    if (member.role === 'storage') throw new RefusedError('forbidden')
    if (this.isUnable) throw new RefusedError('busy')
    const before = this.#handed.get(this.#idOf(epoch, member.key))
    const handover = before ?? this.#sign(member, epoch, this.#options.self.nextHlc())
    if (handover === undefined) throw new RefusedError('not-found')
    this.#remember(handover)
    return handover.bytes
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

  /** Signs a handover of a key; returns undefined if the key is not held, and for a device that may not read. */
  #sign(member: Recipient, epoch: Uint8Array, hlc: Hlc): Statement<'handover'> | undefined {
    const { self, handovers } = this.#options
    const fields = handovers?.handoverFor(member, epoch)
    return fields && self.sign('handover', fields, hlc)
  }

  #remember(handover: Statement<'handover'>): void {
    const { epoch, recipient } = handover.fields
    this.#handed.set(this.#idOf(epoch, recipient), handover)
    for (const oldest of this.#handed.keys()) {
      if (this.#handed.size <= HANDED_MAX) break
      this.#handed.delete(oldest)
    }
  }

  /** A device keeps its X25519 key for as long as it is a member, so that key need not be part of this id. */
  #idOf(epoch: Uint8Array, device: Uint8Array): string {
    return toHex(epoch) + toHex(device) + toHex(this.#options.self.grant.id)
  }
}
