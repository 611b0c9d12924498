import { readCode } from '../format/approval.ts'
import type { Role } from '../format/kinds.ts'
import { type PeerId, publicKeyOf } from '../format/peer-id.ts'
import type { Chance } from '../util/chance.ts'
import type { Clock } from '../util/clock.ts'
import { withDeadline } from '../util/deadline.ts'
import { InvalidInputError } from '../util/errors.ts'
import { type Logger, reasonOf } from '../util/logger.ts'
import { RefusedError, type WireStatus } from '../wire/errors.ts'
import type { Host } from '../wire/host.ts'
import { RANK_OF } from './authority.ts'
import { declareOut } from './declare-out.ts'
import { LowerRoleError, UnknownCodeError, UnknownMemberError } from './errors.ts'
import type { JoinClient } from './join-client.ts'
import { ASK_ADMIN_MS, ATTEMPT_MS } from './joining/constants.ts'
import { type CodeEnd, EndedCodes } from './joining/ended-codes.ts'
import type { Entering, Entrance, EntryOutcome } from './joining/entry-server.ts'
import { evidenceAgainst } from './joining/evidence.ts'
import { GrantSigner, type GrantSignerOptions } from './joining/grant-signer.ts'
import { Invites } from './joining/invites.ts'
import type { Attempt } from './joining/peer-machine.ts'
import { setSetting, settingItems } from './set-setting.ts'
import type { Settings } from './settings.ts'
import type { Statuses } from './statuses.ts'
import type {
  Admitted,
  DeclaredOut,
  InviteItem,
  InviteOptions,
  MadeInvite,
  SettingItem,
  SettingValue
} from './types.ts'

interface AbortOptions {
  signal?: AbortSignal | undefined
}

/** A machine that waits to be let in. */
export interface AttemptItem {
  peer: PeerId
  name: string
  /** The role that it asked for. */
  role: Role
  code: string
  x25519: Uint8Array
  /** When it asked, and when its attempt ends: ms since the Unix epoch. */
  sinceMs: number
  untilMs: number
  /** True if it is connected to the admin where it waits. */
  isHere: boolean
  /** The admin where it waits; undefined for this member. */
  at: PeerId | undefined
  /** Its address as multiaddr text, if it waits here. */
  address: string | undefined
}

export interface AdmittingOptions extends GrantSignerOptions {
  host: Host
  log: GrantSignerOptions['log'] & ConstructorParameters<typeof Invites>[0]['log']
  statuses: Pick<Statuses, 'view' | 'isSaidOut' | 'stampsAbout'>
  settings: Settings
  clock: Clock
  chance: Chance
  logger: Logger
  /** The other members that we may ask. */
  admitted: () => readonly PeerId[]
  /** The machines that wait here. */
  waiting: () => readonly Attempt[]
  /** Tells a machine that waits here what a person has decided. */
  decide: (peer: PeerId, decision: 'granted' | 'denied') => void
  client: () => Pick<JoinClient, 'waiting' | 'deny'>
  /** Addresses at which members answer, our own first, as multiaddr text. */
  addresses: () => string[]
}

/**
 * The verbs that let machines in, turn them away, give members other roles, and declare them out. A machine is let in with a grant that
 * this member signs: because a person compared its code, or because it has an invite. SPEC.md says who may do what.
 */
export class Admitting implements Entrance {
  readonly #options: AdmittingOptions
  readonly #signer: GrantSigner
  readonly #invites: Invites
  readonly #ended = new EndedCodes()

  constructor(options: AdmittingOptions) {
    this.#options = options
    this.#signer = new GrantSigner(options)
    this.#invites = new Invites({ ...options, signer: this.#signer })
  }

  /** The number of machines that wait here until a person decides. */
  get waiting(): number {
    return this.#options.waiting().length
  }

  /** The machines that wait here until a person decides. */
  get waitingHere(): AttemptItem[] {
    return this.#options.waiting().map(attempt => this.#itemOf(attempt))
  }

  /**
   * Returns the machines that wait here and, if this member is an admin, those that wait at the other connected admins.
   * An admin that does not answer within `ASK_ADMIN_MS` is left out.
   */
  async attempts({ signal }: AbortOptions = {}): Promise<AttemptItem[]> {
    const { admitted } = this.#options
    const here = this.waitingHere
    if (!this.isAdmin(this.#options.self.peerId)) return here
    const admins = admitted().filter(peer => this.isAdmin(peer))
    const elsewhere = await Promise.all(admins.map(peer => this.#attemptsAt(peer, signal)))
    return [...here, ...elsewhere.flat()]
  }

  /**
   * Lets in the machine that shows this code. If the caller gives no role, the machine becomes a reader, or a storage
   * member if that is what it asked for. More is never the default, because neither a role nor a key can be taken back.
   * Resolves once its grant is durable here. If the machine is a member already, changes nothing and returns `already`.
   * Throws an `UnknownCodeError`, an `InvalidInputError`, a `NotAllowedError` or a `ClockOffError`.
   */
  async approve(
    text: string,
    { role: given, signal }: AbortOptions & { role?: Role | undefined } = {}
  ): Promise<Admitted> {
    this.#signer.assertAdmin('lets machines in')
    this.#signer.assertHasRoom()
    const code = codeIn(text)
    const [found, another] = await this.#find(code, signal)
    if (found === undefined) return this.#admittedBy(code)
    if (another !== undefined) throw new InvalidInputError('two machines show this code: deny both')
    signal?.throwIfAborted()
    const { peer, name, x25519 } = found
    const role = given ?? (found.role === 'storage' ? 'storage' : 'reader')
    // While the other admins were asked, somebody may have turned it away, or its time may have ended.
    const isLate = found.at === undefined && !this.waitingHere.some(now => now.peer === peer && now.code === code)
    if (isLate) return this.#admittedBy(code)
    const subject = publicKeyOf(peer)
    const fields = { subject, x25519, role, epoch: this.#options.self.network, name }
    await this.#signer.grant(fields, this.#signer.nextHlc(subject))
    this.#ended.note(code, { peer, name, how: 'granted' })
    if (found.at === undefined) this.#options.decide(peer, 'granted')
    return { peerId: peer, name, role }
  }

  /** Turns away the machine that shows this code, or all of them. Throws as `approve` does. */
  async deny(text: string, { signal }: AbortOptions = {}): Promise<Admitted> {
    this.#signer.assertAdmin('turns machines away')
    const code = codeIn(text)
    const found = await this.#find(code, signal)
    const [first] = found
    if (first === undefined) throw new UnknownCodeError(this.#ended.of(code))
    for (const { peer, at } of found) {
      if (at === undefined) this.#options.decide(peer, 'denied')
      else await this.#options.client().deny(at, code, signal)
      this.#ended.note(code, { peer, name: first.name, how: 'denied' })
    }
    return { peerId: first.peer, name: first.name, role: first.role }
  }

  /**
   * Gives a member a higher role, and the keys that come with it. If it has the role, changes nothing and returns
   * `already`. Throws an `UnknownMemberError`, a `LowerRoleError`, a
   * `NotAllowedError` or a `ClockOffError`.
   */
  async changeRole(peer: PeerId, role: Role): Promise<Admitted> {
    const { roster } = this.#options
    this.#signer.assertAdmin('changes roles')
    const member = roster.member(peer)
    const grant = roster.chainOf(peer)?.at(-1)
    if (member === undefined || grant === undefined) throw new UnknownMemberError('no such member is known')
    const admitted = { peerId: peer, name: member.name, role }
    if (role === member.role) return { ...admitted, already: true }
    if (RANK_OF[role] < RANK_OF[member.role]) throw new LowerRoleError()
    this.#signer.assertHasRoom()
    const { admit: _admit, ...fields } = grant.fields
    await this.#signer.grant({ ...fields, role }, this.#signer.nextHlc(fields.subject))
    return admitted
  }

  /** Says that a member is out, so that the others take over its part. `declareOut` says what it throws. */
  declareOut(peer: PeerId): Promise<DeclaredOut> {
    const { self, roster, statuses, admitted } = this.#options
    const isAdmitted = (other: PeerId): boolean => admitted().includes(other)
    return declareOut(peer, { self: self.peerId, roster, statuses, signer: this.#signer, isAdmitted })
  }

  /** Returns the settings of the network. */
  settings(): SettingItem[] {
    return settingItems(this.#options)
  }

  /** Changes a setting of the network. `setSetting` says what it throws. */
  setSetting(key: string, value: SettingValue): Promise<SettingItem> {
    const { settings, roster } = this.#options
    return setSetting(key, value, { settings, roster, signer: this.#signer })
  }

  /** Makes an invite. Throws an `InvalidInputError`, a `NotAllowedError` or a `ClockOffError`. */
  invite(options: InviteOptions = {}): Promise<MadeInvite> {
    return this.#invites.make(options)
  }

  /** Returns the invites that this member knows of, the newest first. */
  invites(): InviteItem[] {
    return this.#invites.list()
  }

  /**
   * Ends an invite. The caller names it by its id, by the first characters of the id, or by its token. Devices that it
   * let in stay.
   */
  revokeInvite(invite: string): Promise<{ id: string }> {
    return this.#invites.revoke(invite)
  }

  get refusal(): WireStatus | undefined {
    return this.#signer.refusal
  }

  isAdmin(peer: PeerId): boolean {
    return this.#options.roster.member(peer)?.role === 'admin'
  }

  supportOf(peer: PeerId): readonly Uint8Array[] | undefined {
    return this.#signer.supportOf(peer)
  }

  evidenceAgainst(peer: PeerId): readonly Uint8Array[] {
    return evidenceAgainst(peer, this.#options.roster)
  }

  enter(entering: Entering): Promise<EntryOutcome> {
    return this.#invites.enter(entering)
  }

  async handover(peer: PeerId, epoch: Uint8Array): Promise<Uint8Array> {
    const member = this.#options.roster.member(peer)
    if (member === undefined) throw new RefusedError('not-admitted')
    return this.#signer.handover(member, epoch)
  }

  /** Must be called when the code of a machine that waits here is no longer valid. */
  onCodeEnded({ code, peer, name }: Attempt, how: CodeEnd): void {
    this.#ended.note(code, { peer, name, how })
  }

  /** Returns the member that was let in with a code before. Throws an `UnknownCodeError` if there is none. */
  #admittedBy(code: string): Admitted {
    const ended = this.#ended.of(code)
    const member = ended === undefined ? undefined : this.#options.roster.member(ended.peer)
    if (member === undefined) throw new UnknownCodeError(ended)
    return { peerId: member.peer, name: member.name, role: member.role, already: true }
  }

  /** Returns the machines that show a code, each once. */
  async #find(code: string, signal: AbortSignal | undefined): Promise<AttemptItem[]> {
    const found = (await this.attempts({ signal })).filter(attempt => attempt.code === code)
    return found.filter(({ peer }, i) => found.findIndex(other => other.peer === peer) === i)
  }

  #itemOf({ peer, name, role, code, x25519, sinceMs }: Attempt): AttemptItem {
    const connection = this.#options.host.connections().find(connection => connection.peer === peer)
    const common = { peer, name, role, code, x25519, sinceMs, untilMs: sinceMs + ATTEMPT_MS }
    return { ...common, isHere: connection !== undefined, at: undefined, address: connection?.address }
  }

  async #attemptsAt(admin: PeerId, outer: AbortSignal | undefined): Promise<AttemptItem[]> {
    const { client, clock, logger } = this.#options
    try {
      const attempts = await withDeadline(clock, ASK_ADMIN_MS, outer, signal => client().waiting(admin, signal))
      return attempts.map(attempt => {
        return { ...attempt, untilMs: attempt.sinceMs + ATTEMPT_MS, at: admin, address: undefined }
      })
    } catch (error) {
      outer?.throwIfAborted()
      logger('could not ask %s which machines wait there: %s', admin, reasonOf(error))
      return []
    }
  }
}

function codeIn(text: string): string {
  const code = readCode(text)
  if (code === undefined)
    throw new InvalidInputError('this is not a code: a machine that waits shows 6 letters and digits')
  return code
}
