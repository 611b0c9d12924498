import type { MemberState } from '../format/kinds.ts'
import { encodeHlc, type Hlc } from '../format/stamp.ts'
import type { Log } from '../log/log.ts'
import type { Sync } from '../log/sync.ts'
import type { Clock } from '../util/clock.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../util/logger.ts'
import { Worker } from '../util/worker.ts'
import type { Host } from '../wire/host.ts'
import { shareableAddresses } from './address-book.ts'
import { STATUS_RENEWALS } from './constants.ts'
import type { LocalMember } from './local-member.ts'
import type { Outs } from './outs.ts'
import type { Settings } from './settings.ts'
import type { Statuses } from './statuses.ts'

export interface OwnStatusOptions {
  host: Host
  log: Log
  self: LocalMember
  statuses: Statuses
  settings: Pick<Settings, 'outAfterMs' | 'onChange'>
  outs: Pick<Outs, 'onChange'>
  clock: Clock
  logger: ComponentLogger
  /** How long this node may be behind, in ms, by its own flag; undefined if there is no such flag. */
  outAfterMs: number | undefined
  /** The bytes that this member offers, and whether it is full. */
  capacity: () => { weight: number; isFull: boolean }
}

/**
 * The status of this member. It is signed again when it changes, and often enough that the other members never regard
 * this one as out.
 */
export class OwnStatus {
  readonly worker: Worker
  readonly #options: OwnStatusOptions
  readonly #log: Logger
  #sync: Pick<Sync, 'announce'> | undefined
  #lastRenewal: Promise<void> = Promise.resolve()
  #isStopped = false

  constructor(options: OwnStatusOptions) {
    this.#options = options
    const { host, clock, logger, settings, outs, self, statuses } = options
    this.#log = logger.forComponent('dfs:members:status')
    this.worker = new Worker({
      name: 'status renewal',
      clock,
      log: this.#log,
      everyMs: () => this.outAfterMs / STATUS_RENEWALS,
      work: () => this.renew()
    })
    host.onAddresses(() => {
      if (this.#sync !== undefined && this.#haveAddressesChanged) void this.#tryToRenew()
    })
    // The pause until the next renewal may be too long under the new settings.
    settings.onChange(() => {
      if (this.#sync !== undefined) this.worker.wake()
    })
    // An admin said that this member is out. It runs, so it says that it is back.
    outs.onChange(() => {
      if (this.#sync !== undefined && statuses.isSaidOut(self.peerId)) this.worker.wake()
    })
  }

  /** How long this member may be behind, in ms: the network's setting, which its own flag may only raise. */
  get outAfterMs(): number {
    const { settings, outAfterMs = 0 } = this.#options
    return Math.max(settings.outAfterMs, outAfterMs)
  }

  /** Signs the first status after this start, and renews the status from then on. */
  async start(sync: Pick<Sync, 'announce'>): Promise<void> {
    this.#sync = sync
    await this.#tryToRenew()
    this.worker.start()
  }

  /** Resolves when the current renewal has ended. No other renewal follows. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await this.worker.stop()
    await this.#lastRenewal.catch(() => {
      // The caller of that renewal gets the error.
    })
  }

  /**
   * Signs a new status and sends it to all members. Renewals run one at a time, so the status that was signed last is
   * the newest one.
   */
  renew(): Promise<void> {
    const before = this.#lastRenewal.catch(() => {
      // The caller of that renewal gets the error.
    })
    this.#lastRenewal = before.then(() => this.#sign())
    return this.#lastRenewal
  }

  /** Tells the others that our state has changed, if it has. */
  async renewIfChanged(): Promise<void> {
    const { statuses, self } = this.#options
    if (statuses.of(self.peerId)?.fields.state !== this.#state) await this.renew()
  }

  /** Renews the status. If the write to disk fails, the next renewal tries again. */
  async #tryToRenew(): Promise<void> {
    try {
      await this.renew()
    } catch (error) {
      this.#log('the status could not be renewed: %s', reasonOf(error))
    }
  }

  get #state(): MemberState {
    return this.#options.capacity().isFull ? 'full' : 'in'
  }

  get #haveAddressesChanged(): boolean {
    const { host, statuses, self } = this.#options
    const stated = statuses.of(self.peerId)?.fields.addresses ?? []
    const now = shareableAddresses(host.addresses())
    return now.length !== stated.length || now.some((address, i) => address !== stated[i])
  }

  async #sign(): Promise<void> {
    if (this.#isStopped) return
    const { self, host, log, capacity } = this.#options
    const head = (await log.newest.of(self.publicKey)) ?? 0n
    const zone = self.grant.fields.zone
    const state = this.#state
    const status = self.sign(
      'status',
      {
        instance: self.instance,
        addresses: shareableAddresses(host.addresses()),
        weight: capacity().weight,
        ...(zone === undefined ? {} : { zone }),
        state,
        outAfter: this.outAfterMs,
        head: encodeHlc(head)
      },
      self.nextHlc(...this.#pastHlcs)
    )
    await log.append([status], self.signer)
    this.#log('signed a new status: %s, %d bytes offered', state, status.fields.weight)
    this.#sync?.announce([status])
  }

  /**
   * The stamps that a new status must come after: our last status, the last `out` about us, which it then ends, and the
   * median of all statuses, so that members whose clocks differ by minutes agree on who is late. If our last status is too
   * far ahead, we signed it while our clock was ahead. The others do not count such a status yet, so the next one may
   * have an earlier stamp.
   */
  get #pastHlcs(): Hlc[] {
    const { statuses, self } = this.#options
    const { medianHlc } = statuses
    return [...statuses.stampsAbout(self.peerId), ...(medianHlc === undefined ? [] : [medianHlc])]
  }
}
