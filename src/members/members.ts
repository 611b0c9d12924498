import type { Store } from '../disk/store.ts'
import { FUTURE_MS_MAX } from '../format/constants.ts'
import { type PeerId, publicKeyOf } from '../format/peer-id.ts'
import { decodeHlc } from '../format/stamp.ts'
import type { AnyStatement } from '../format/statement.ts'
import type { AcceptedStatement, Log } from '../log/log.ts'
import type { Sync } from '../log/sync.ts'
import { compareBytes } from '../util/bytes.ts'
import type { Chance } from '../util/chance.ts'
import type { Clock } from '../util/clock.ts'
import { isAbort } from '../util/errors.ts'
import { DISCOVERED_MAX } from '../wire/constants.ts'
import { RefusedError } from '../wire/errors.ts'
import type { ConnectionInfo, Host } from '../wire/host.ts'
import { type AddPeerOptions, Redialler } from '../wire/redial.ts'
import { AddressBook, onOurSubnets } from './address-book.ts'
import {
  CLOCK_CHECK_MS,
  CLOCK_RECHECK_MS,
  CLOCK_WITNESSES_MIN,
  COMPARE_RETRY_MS,
  COMPARE_RETRY_MS_MAX,
  DIAL_YIELD_MS,
  FOREIGN_MS,
  STATUS_RENEWALS
} from './constants.ts'
import { ClockOffError, NotAllowedError, WrongNetworkError } from './errors.ts'
import { ExpiringSet } from './expiring-set.ts'
import { type Admission, Join } from './join.ts'
import type { LocalMember } from './local-member.ts'
import { OwnStatus } from './own-status.ts'
import type { Member, Roster } from './roster.ts'
import type { Statuses } from './statuses.ts'
import type { View } from './view.ts'

export interface MembersOptions {
  host: Host
  store: Store
  log: Log
  self: LocalMember
  roster: Roster
  statuses: Statuses
  clock: Clock
  chance: Chance
  /** Addresses to stay connected to, as multiaddr text. */
  bootstrap: readonly string[]
  outAfterMs: number
  /** What this member offers, and whether it is full. */
  capacity: () => { weight: number; isFull: boolean }
  onFault: (peer: PeerId) => void
}

/** What went wrong on the way to some address or peer, for whoever watches. */
export type MembershipEvent =
  | { event: 'admitted'; peer: PeerId }
  | { event: 'departed'; peer: PeerId }
  | { event: 'foreign'; peer: PeerId }
  | { event: 'rejected'; peer: PeerId }
  /** Everything that this member had and we lacked is here. */
  | { event: 'compared'; peer: PeerId }

/** Who is in: grants proven, logs compared, statuses renewed, everyone dialled until connected. */
export class Members {
  readonly #options: MembersOptions
  readonly #join: Join
  readonly #redialler: Redialler
  readonly #addresses: AddressBook
  readonly #foreign: ExpiringSet<PeerId>
  readonly #compared = new Set<PeerId>()
  readonly #stopped = new AbortController()
  readonly #listeners: Array<(event: MembershipEvent) => void> = []
  readonly #status: OwnStatus
  #sync: Sync | undefined
  #clocksMeasuredMs = Number.NEGATIVE_INFINITY
  #isRefusedForClock = false

  constructor(options: MembersOptions) {
    this.#options = options
    const { host, clock, chance, self, store, onFault } = options
    this.#addresses = new AddressBook(store.index)
    this.#redialler = new Redialler({ host, clock, chance, logger: host.logger })
    this.#foreign = new ExpiringSet({ clock, ms: FOREIGN_MS, max: DISCOVERED_MAX })
    this.#join = new Join({
      host,
      self,
      clock,
      chance,
      isKnown: peer => options.roster.member(peer) !== undefined,
      onFault,
      learn: async (chain, peer) => {
        const grants = chain.map(grant => grant.bytes)
        const verdicts = await options.log.receive(grants, peer)
        return verdicts.find(verdict => verdict !== 'ok') ?? 'ok'
      },
      onAdmitted: admission => void this.#meet(admission),
      onDeparted: peer => {
        this.#compared.delete(peer)
        this.#emit({ event: 'departed', peer })
      },
      onRejected: (peer, error) => this.#onRejected(peer, error)
    })
    host.onDiscovered((peer, addresses) => this.#onDiscovered(peer, addresses))
    this.#status = new OwnStatus(options)
    options.log.onAccepted(items => {
      if (items.some(({ statement }) => statement.kind === 'status')) this.#dialMembers()
    })
  }

  get self(): LocalMember {
    return this.#options.self
  }

  get view(): View {
    return this.#options.statuses.view
  }

  /** Members that have proven themselves and may be asked, this one not among them. */
  get admitted(): PeerId[] {
    return this.#join.admitted
  }

  /** Whether a peer may ask us. */
  isAdmitted(peer: PeerId): boolean {
    return this.#join.isAdmitted(peer)
  }

  /** Admitted members whose log has been compared with ours since they were. */
  get compared(): ReadonlySet<PeerId> {
    return this.#compared
  }

  member(peer: PeerId): Member | undefined {
    return this.#options.roster.member(peer)
  }

  get all(): Member[] {
    return this.#options.roster.members
  }

  connections(): ConnectionInfo[] {
    return this.#options.host.connections()
  }

  on(listener: (event: MembershipEvent) => void): void {
    this.#listeners.push(listener)
  }

  /** Throws unless this member may write, and its clock agrees with the others'. */
  assertMayWrite(): void {
    const { role } = this.self
    if (role !== 'admin' && role !== 'writer') throw new NotAllowedError(`this member is a ${role}: it may not write`)
    if (this.clockFault !== undefined) throw this.clockFault
  }

  /** Why nothing that this member writes now would be kept by the others, if that is so. */
  get clockFault(): ClockOffError | undefined {
    if (!this.isClockOff) return this.self.clockFault
    return new ClockOffError(
      "this machine's clock is more than 5 minutes off from most members': set it, then try again"
    )
  }

  /** The last member that was asked to admit this one refused, because of the clocks. */
  get isRefusedForClock(): boolean {
    return this.#isRefusedForClock
  }

  /** More than half of the members we are connected to, and at least two, disagree with our clock by minutes. */
  get isClockOff(): boolean {
    const admissions = this.#join.admissions
    const off = admissions.filter(({ aheadMs }) => Math.abs(aheadMs) > FUTURE_MS_MAX).length
    return off >= CLOCK_WITNESSES_MIN && off > admissions.length / 2
  }

  /** Loads what stood at the last stop. Before the host starts. */
  async load(): Promise<void> {
    const { log, roster, statuses, self, store } = this.#options
    const standing: AcceptedStatement[] = []
    for await (const item of log.all(0)) standing.push(item)
    roster.load(standing.map(({ statement }) => statement))
    await store.index.batch(statuses.load(standing.filter(({ statement }) => statement.kind === 'status')))
    for (const statement of self.statements) {
      const [isKnown] = await log.has([statement.id])
      const judged = roster.authorize(statement as AnyStatement)
      if (isKnown !== true && 'author' in judged) await log.append([statement], judged.author)
    }
    const own = statuses.of(self.peerId)
    if (own !== undefined) self.resume(own.hlc, decodeHlc(own.fields.head))
  }

  /** Starts to dial and to renew the status. After the host has started. */
  async start(sync: Sync): Promise<void> {
    this.#sync = sync
    this.#status.start(sync)
    for (const { peer, addresses } of await this.#addresses.all()) this.#dial(peer, addresses)
    for (const address of this.#options.bootstrap) this.#redialler.addAddress(address)
    this.#dialMembers()
    this.#redialler.start()
    // If the disk refuses now, the next renewal says it.
    await this.#status.renew().catch(() => {})
    void this.#every(this.#options.outAfterMs / STATUS_RENEWALS, () => this.#status.renew())
    void this.#every(CLOCK_CHECK_MS, () => this.#join.measureClocks())
    void this.#every(Math.min(this.#options.outAfterMs / STATUS_RENEWALS, 5_000), async () =>
      this.#options.statuses.refresh()
    )
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    this.#redialler.stop()
    this.#foreign.clear()
    await this.#status.stop()
  }

  /** Tells the others that our state has changed, if it has. */
  async announceIfChanged(): Promise<void> {
    await this.#status.renewIfChanged()
  }

  /** Asks the others for the time at once: one of them refused a stamp of ours. Not again soon, should it go on so. */
  async measureClocks(): Promise<void> {
    const nowMs = this.#options.clock.monotonic()
    if (nowMs - this.#clocksMeasuredMs < CLOCK_RECHECK_MS) return
    this.#clocksMeasuredMs = nowMs
    await this.#join.measureClocks()
  }

  // Takes in its grants, then whatever it has and we lack, as often as it takes.
  async #meet(admission: Admission): Promise<void> {
    const { peer } = admission
    const { clock } = this.#options
    const { signal } = this.#stopped
    this.#redialler.settle(peer)
    this.#isRefusedForClock = false
    this.#emit({ event: 'admitted', peer })
    let waitMs = COMPARE_RETRY_MS
    while (this.#join.admissions.includes(admission) && !signal.aborted) {
      try {
        await this.#rememberAddress(peer)
        const isWhole = await this.#sync?.compare(peer, signal)
        if (!this.#join.admissions.includes(admission)) return
        if (isWhole !== false) {
          this.#compared.add(peer)
          this.#emit({ event: 'compared', peer })
          return
        }
      } catch (error) {
        if (isAbort(error)) return
      }
      await clock.sleep(waitMs, signal).catch(() => {})
      waitMs = Math.min(2 * waitMs, COMPARE_RETRY_MS_MAX)
    }
  }

  async #rememberAddress(peer: PeerId): Promise<void> {
    const connections = this.#options.host.connections()
    const outbound = connections.find(connection => connection.peer === peer && connection.isOutbound)
    if (outbound !== undefined) await this.#addresses.remember(peer, outbound.address)
  }

  #onRejected(peer: PeerId, error: unknown): void {
    void this.#options.host.hangUp(peer).catch(() => {})
    if (!(error instanceof WrongNetworkError)) {
      const status = error instanceof RefusedError ? error.status : undefined
      this.#isRefusedForClock = status === 'clock-off' || error instanceof ClockOffError
      // Too many are at that door: it is dialled again, and nobody has said no.
      if (status !== 'busy') this.#emit({ event: 'rejected', peer })
      return
    }
    this.#foreign.add(peer)
    this.#redialler.dropPeer(peer)
    this.#emit({ event: 'foreign', peer })
  }

  // Anyone on the local network may announce anything: a few dials, to addresses that are there, are what it gets.
  #onDiscovered(peer: PeerId, addresses: string[]): void {
    if (this.#foreign.has(peer) || !isMemberKey(peer)) return
    this.#dial(peer, onOurSubnets(addresses), { isHint: true, isTransient: this.member(peer) === undefined })
  }

  #dialMembers(): void {
    for (const { peer } of this.#options.roster.members) {
      this.#dial(peer, this.#options.statuses.of(peer)?.fields.addresses ?? [])
    }
  }

  #dial(peer: PeerId, addresses: readonly string[], options: Omit<AddPeerOptions, 'delayMs'> = {}): void {
    if (addresses.length === 0 || peer === this.self.peerId) return
    // Both sides know of each other at about the same time: one of them dials at once.
    const yields = compareBytes(publicKeyOf(peer), this.self.publicKey) < 0
    this.#redialler.addPeer(peer, addresses, { ...options, delayMs: yields ? DIAL_YIELD_MS : 0 })
  }

  async #every(ms: number, work: () => Promise<void>): Promise<void> {
    const { clock } = this.#options
    try {
      for (;;) {
        await clock.sleep(ms, this.#stopped.signal)
        await work().catch(() => {})
      }
    } catch {
      // Stopped.
    }
  }

  #emit(event: MembershipEvent): void {
    for (const listener of this.#listeners) listener(event)
  }
}

function isMemberKey(peer: PeerId): boolean {
  try {
    publicKeyOf(peer)
    return true
  } catch {
    return false
  }
}
