import { FUTURE_MS_MAX } from '../format/constants.ts'
import type { MemberState } from '../format/kinds.ts'
import { encodeHlc, hlcMs } from '../format/stamp.ts'
import type { Log } from '../log/log.ts'
import type { Sync } from '../log/sync.ts'
import type { Clock } from '../util/clock.ts'
import type { Host } from '../wire/host.ts'
import { shareableAddresses } from './address-book.ts'
import type { LocalMember } from './local-member.ts'
import type { Statuses } from './statuses.ts'

export interface OwnStatusOptions {
  host: Host
  log: Log
  self: LocalMember
  statuses: Statuses
  clock: Clock
  outAfterMs: number
  /** What this member offers, and whether it is full. */
  capacity: () => { weight: number; isFull: boolean }
}

/** What this member says of itself: signed anew when it changes, and before the others would count it out. */
export class OwnStatus {
  readonly #options: OwnStatusOptions
  #sync: Pick<Sync, 'announce'> | undefined
  #last: Promise<void> = Promise.resolve()
  #isStopped = false

  constructor(options: OwnStatusOptions) {
    this.#options = options
    options.host.onAddresses(() => {
      if (this.#sync !== undefined && this.#hasMoved) this.renew().catch(() => {})
    })
  }

  /** From now on others are told. */
  start(sync: Pick<Sync, 'announce'>): void {
    this.#sync = sync
  }

  /** Resolves when what was being signed is. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#last.catch(() => {})
  }

  /** Signs a new status and hands it to everyone. One at a time, so that the last signed is the last to stand. */
  renew(): Promise<void> {
    this.#last = this.#last.catch(() => {}).then(() => this.#sign())
    return this.#last
  }

  /** Tells the others that our state has changed, if it has. */
  async renewIfChanged(): Promise<void> {
    const { statuses, self } = this.#options
    if (statuses.of(self.peerId)?.fields.state !== this.#state) await this.renew()
  }

  get #state(): MemberState {
    return this.#options.capacity().isFull ? 'full' : 'in'
  }

  get #hasMoved(): boolean {
    const { host, statuses, self } = this.#options
    const stated = statuses.of(self.peerId)?.fields.addresses ?? []
    const now = shareableAddresses(host.addresses())
    return now.length !== stated.length || now.some((address, i) => address !== stated[i])
  }

  async #sign(): Promise<void> {
    if (this.#isStopped) return
    const { self, statuses, host, log, clock, capacity, outAfterMs } = this.#options
    const head = self.last
    // Ahead of the middle of the field as well as of our clock, so that members whose clocks differ by minutes agree on
    // who is behind; but not so far that it would be refused.
    const { middle } = statuses
    const past = middle !== undefined && hlcMs(middle) - FUTURE_MS_MAX < clock.now() ? [middle] : []
    const zone = self.grant.fields.zone
    const status = self.sign(
      'status',
      {
        instance: self.instance,
        addresses: shareableAddresses(host.addresses()),
        weight: capacity().weight,
        ...(zone === undefined ? {} : { zone }),
        state: this.#state,
        outAfter: outAfterMs,
        head: encodeHlc(head)
      },
      self.nextStatusHlc(...past)
    )
    await log.append([status], self.publicKey)
    this.#sync?.announce([status])
  }
}
