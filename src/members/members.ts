import type { PeerId } from '../format/peer-id.ts'
import type { Sync } from '../log/sync.ts'
import type { Logger } from '../util/logger.ts'
import type { Worker } from '../util/worker.ts'
import type { ConnectionInfo } from '../wire/host.ts'
import type { Unreachable } from '../wire/redial.ts'
import { AddressBook } from './address-book.ts'
import { Admitting } from './admitting.ts'
import { isWriter, type Member } from './authority.ts'
import { ClockCheck } from './clock-check.ts'
import { type Compared, Comparisons } from './comparisons.ts'
import type { ClockOffError, NotAllowedError } from './errors.ts'
import { Join } from './join.ts'
import { entryAddresses } from './joining/entry-addresses.ts'
import type { Admission } from './joining/peer-machine.ts'
import { loadMembership } from './load.ts'
import type { LocalMember } from './local-member.ts'
import { MemberDialler } from './member-dialler.ts'
import type { MembershipEvent, MembersOptions } from './members-options.ts'
import { OwnStanding } from './own-standing.ts'
import { OwnStatus } from './own-status.ts'
import { Rejections } from './rejections.ts'
import { timePassing } from './time-passing.ts'
import type { View } from './view.ts'
import { WithheldNews } from './withheld-news.ts'

export type { MembershipEvent, MembersOptions } from './members-options.ts'

/**
 * Decides who is in. This class owns the parts of membership and starts and stops them: `Join` proves grants,
 * `MemberDialler` dials every member until it is connected, `Admitting` lets new members in, `Comparisons` fetches what
 * a newly admitted member has and we lack, `OwnStatus` publishes this member's state, `OwnStanding` knows whether it is
 * still a member, `ClockCheck` compares clocks, `WithheldNews` notices news that does not arrive, and `Rejections` deals
 * with peers that refuse us or that we refuse. Other rooms ask this class who is admitted, who is a member, and what this
 * member may do.
 */
export class Members {
  /** The background work of this room. */
  readonly workers: readonly Worker[]
  /** The verbs that let machines in and give members other roles. */
  readonly admitting: Admitting
  /** What has become of our own membership. */
  readonly standing: OwnStanding
  /** How the clocks of others differ from ours. */
  readonly clocks: ClockCheck
  readonly #options: MembersOptions
  readonly #log: Logger
  readonly #join: Join
  readonly #dialler: MemberDialler
  readonly #comparisons: Comparisons
  readonly #status: OwnStatus
  readonly #news: WithheldNews
  readonly #timePassing: Worker
  readonly #rejections: Rejections
  readonly #listeners: Array<(event: MembershipEvent) => void> = []
  #sync: Sync | undefined

  constructor(options: MembersOptions) {
    this.#options = options
    const { self, log, roster, statuses, store, clock, chance, logger } = options
    this.#log = logger.forComponent('dfs:members')
    this.#dialler = new MemberDialler({ ...options, addresses: new AddressBook(store.index, logger) })
    this.standing = new OwnStanding({ ...options, log: this.#log, emit: event => this.#emit(event) })
    this.admitting = this.#makeAdmitting()
    const isMember = (peer: PeerId): boolean => roster.member(peer) !== undefined
    this.#join = new Join({
      ...options,
      entrance: this.admitting,
      ...{ isKnown: isMember, isMember },
      chainOf: peer => roster.chainOf(peer),
      learn: (statements, peer) => log.receive(statements, peer),
      onAdmitted: admission => this.#onAdmitted(admission),
      onDeparted: peer => this.#onDeparted(peer),
      onRejected: (peer, error) => this.#rejections.onFailure(peer, error),
      onAsked: ({ peer, code, name, role }) => this.#emit({ event: 'asking', peer, code, name, role }),
      onCodeEnded: (attempt, how) => this.admitting.onCodeEnded(attempt, how),
      onDuplicate: peer => this.standing.onDuplicate(peer),
      onClockOff: (peer, aheadMs) => this.#rejections.onClockOff(peer, aheadMs)
    })
    this.#comparisons = new Comparisons({
      clock,
      log: this.#log,
      chance: options.chance,
      admissions: () => this.#join.admissions,
      compare: (peer, signal) => this.#compare(peer, signal),
      isCurrent: admission => this.#join.isCurrent(admission),
      onCompared: (peer, compared) => this.#onCompared(peer, compared)
    })
    this.#news = new WithheldNews({
      roster,
      statuses,
      newest: log.newest,
      clock,
      chance,
      log: this.#log,
      self: self.peerId,
      admitted: () => this.admitted,
      compareAll: async (peer, signal) => this.#sync?.compareAll(peer, signal)
    })
    this.clocks = new ClockCheck({
      clock,
      log: this.#log,
      admissions: () => this.#join.admissions,
      measure: signal => this.#join.measureClocks(signal),
      onDiffers: difference => this.#emit({ event: 'clock', ...difference })
    })
    this.#rejections = new Rejections({
      ...{ host: options.host, self: self.peerId, log: this.#log, isMember },
      ...{ dialler: this.#dialler, clocks: this.clocks, standing: this.standing },
      emit: event => this.#emit(event)
    })
    this.#status = new OwnStatus(options)
    const [join, clocks, status] = [this.#join, this.clocks, this.#status.worker]
    this.#timePassing = timePassing({ ...options, join, clocks, status, log: this.#log })
    const workers = [this.clocks.worker, this.#news.worker, this.#comparisons.worker, this.#timePassing]
    this.workers = [this.#status.worker, ...workers]
    roster.onChange(() => {
      this.standing.follow()
      this.#join.recheck()
    })
    log.onAccepted(items => {
      if (items.some(({ statement }) => statement.kind === 'status')) this.#dialler.dialMembers()
    })
  }

  get self(): LocalMember {
    return this.#options.self
  }

  get view(): View {
    return this.#options.statuses.view
  }

  /** The other members that have proven themselves and that we may ask. */
  get admitted(): readonly PeerId[] {
    return this.#join.admitted
  }

  /** Returns true if a peer may ask us. */
  isAdmitted(peer: PeerId): boolean {
    return this.#join.isAdmitted(peer)
  }

  /** Admitted members whose log has been compared with ours since they were admitted. */
  get compared(): ReadonlySet<PeerId> {
    return this.#comparisons.compared
  }

  /** Returns the member with this peer id, connected or not, or undefined for a stranger. */
  member(peer: PeerId): Member | undefined {
    return this.#options.roster.member(peer)
  }

  /** Every member of the roster, connected or not, including this one. */
  get all(): Member[] {
    return this.#options.roster.members
  }

  connections(): ConnectionInfo[] {
    return this.#options.host.connections()
  }

  /** Adds a listener. The listener is called at each event from now on. It must not throw. */
  on(listener: (event: MembershipEvent) => void): void {
    this.#listeners.push(listener)
  }

  /** Returns true if the grant of a peer allows it to write, and so to store blocks on other members. */
  mayWrite(peer: PeerId): boolean {
    const role = this.member(peer)?.role
    return role !== undefined && isWriter(role)
  }

  /**
   * Throws if this member may not write, if its clock does not agree with the others' clocks, or if its grant has ended
   * or is stamped too far ahead.
   */
  assertMayWrite(): void {
    this.standing.assertRole()
    if (this.writeError !== undefined) throw this.writeError
  }

  /** The reason why the others would refuse anything that this member signs now; undefined if they would accept it. */
  get writeError(): ClockOffError | NotAllowedError | undefined {
    return this.clocks.error ?? this.self.stampError
  }

  /** Members whose news is missing here, although our whole log has been compared with others'. */
  get missingNewsOf(): Member[] {
    return this.#news.missing.map(peer => this.member(peer)).filter(member => member !== undefined)
  }

  /** Members that stay away and that only an admin can declare out. */
  get undecided(): Member[] {
    const here = new Set([this.self.peerId, ...this.admitted])
    const away = this.#options.statuses.undecided.filter(peer => !here.has(peer))
    return away.map(peer => this.member(peer)).filter(member => member !== undefined)
  }

  /** The addresses of `bootstrap` at which no dial has reached anyone since the start, and why. */
  get unreachable(): Unreachable[] {
    return this.#dialler.unreachable
  }

  /** The network's `outAfter`, and that of this node's own flag, in ms. */
  get outAfterMs(): { network: number; flag: number | undefined } {
    return { network: this.#options.settings.outAfterMs, flag: this.#options.outAfterMs }
  }

  /** Loads what the log held at the last stop. Call it before the host starts. */
  async load(): Promise<void> {
    await loadMembership(this.#options)
    this.#log('members loaded: %d', this.#options.roster.members.length)
  }

  /** Starts dialling members and renewing the status. Call it after the host has started. */
  async start(sync: Sync): Promise<void> {
    this.#sync = sync
    await this.#dialler.start()
    await this.#status.start(sync)
    for (const worker of this.workers) worker.start()
  }

  async stop(): Promise<void> {
    this.#dialler.stop()
    const workers = [this.clocks.worker, this.#news.worker, this.#timePassing]
    await Promise.all([this.#comparisons.stop(), this.#status.stop(), ...workers.map(worker => worker.stop())])
  }

  /** Compares our log with a member's log soon, because the member has said that something did not get through. */
  compareSoon(peer: PeerId): void {
    this.#comparisons.soon(peer)
  }

  /** Tells the others that our state has changed, if it has. */
  async announceIfChanged(): Promise<void> {
    await this.#status.renewIfChanged()
  }

  /** Resolves once a member has answered, however busy its disk is. Rejects if it fails to. */
  async askIfThere(peer: PeerId, signal: AbortSignal): Promise<void> {
    await this.#join.client.alive(peer, { signal })
  }

  /** Asks a member for a handover of an epoch's key to us. Returns the bytes of a statement, which nobody has checked. */
  askForKey(peer: PeerId, epoch: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    return this.#join.client.key(peer, epoch, signal)
  }

  #makeAdmitting(): Admitting {
    const options = this.#options
    return new Admitting({
      ...options,
      logger: this.#log,
      handovers: options.handovers,
      writeError: () => this.writeError,
      announce: statements => this.#sync?.announce(statements),
      admitted: () => this.#join.admitted,
      waiting: () => this.#join.attempts,
      decide: (peer, decision) => this.#join.decide(peer, decision),
      client: () => this.#join.client,
      addresses: () => entryAddresses(options)
    })
  }

  #onAdmitted(admission: Admission): void {
    const { peer } = admission
    this.#dialler.settle(peer)
    this.#emit({ event: 'admitted', peer })
    this.clocks.admitted(peer)
    void this.#comparisons.run(admission)
  }

  async #compare(peer: PeerId, signal: AbortSignal): Promise<boolean> {
    if (!this.compared.has(peer)) await this.#dialler.rememberAddress(peer)
    return (await this.#sync?.compare(peer, signal)) ?? true
  }

  #onCompared(peer: PeerId, compared: Compared): void {
    this.#news.compared()
    this.#emit({ event: 'compared', peer, ...compared })
  }

  #onDeparted(peer: PeerId): void {
    this.#comparisons.forget(peer)
    this.#emit({ event: 'departed', peer })
  }

  #emit(event: MembershipEvent): void {
    this.#log.trace('%s %s', event.event, event.peer)
    for (const listener of this.#listeners) listener(event)
  }
}
