import { FUTURE_MS_MAX } from '../format/constants.ts'
import type { PeerId } from '../format/peer-id.ts'
import type { Clock } from '../util/clock.ts'
import type { Logger } from '../util/logger.ts'
import { roughDuration } from '../util/rough-duration.ts'
import { Worker } from '../util/worker.ts'
import { CLOCK_CHECK_MS, CLOCK_JUMP_MS, CLOCK_RECHECK_MS, CLOCK_REFUSAL_MS, CLOCK_WITNESSES_MIN } from './constants.ts'
import { ClockOffError } from './errors.ts'
import type { Admission } from './joining/peer-machine.ts'

export interface ClockCheckOptions {
  clock: Clock
  log: Logger
  admissions: () => readonly Admission[]
  /** Asks every admitted member for the time. */
  measure: (signal: AbortSignal) => Promise<void>
  /** Called when the clock of an admitted member is found to differ, and not again while it does. */
  onDiffers: (difference: ClockDifference) => void
}

/** A peer whose clock differs from ours by more than `FUTURE_MS_MAX`. */
export interface ClockDifference {
  peer: PeerId
  /** How far its clock is ahead of ours; negative if it is behind. */
  aheadMs: number
}

/**
 * Compares our clock with the clocks of the admitted members: at regular intervals, when a member refuses a stamp of
 * ours, and as soon as our clock was set.
 */
export class ClockCheck {
  readonly worker: Worker
  readonly #options: ClockCheckOptions
  /** When we last asked because of a refused stamp; monotonic time. */
  #askedAtMs = Number.NEGATIVE_INFINITY
  /** How far the wall clock was ahead of the monotonic clock when we last looked. */
  #offsetMs: number
  /** The admitted members whose clocks are known to differ. */
  #differing = new Set<PeerId>()
  /** Peers with which the clocks have prevented an admission, and when that was; monotonic time. */
  readonly #refusals = new Map<PeerId, ClockDifference & { atMs: number }>()

  constructor(options: ClockCheckOptions) {
    this.#options = options
    const { clock, log } = options
    this.#offsetMs = clock.now() - clock.monotonic()
    this.worker = new Worker({
      name: 'clock check',
      clock,
      log,
      // While clocks differ, their owners are about to set them.
      everyMs: () => (this.differences.length > 0 ? CLOCK_RECHECK_MS : CLOCK_CHECK_MS),
      work: async signal => {
        await options.measure(signal)
        this.#report()
      }
    })
  }

  /** The admitted members whose clocks differ from ours. */
  get differences(): ClockDifference[] {
    const admissions = this.#options.admissions()
    return admissions.filter(isDifferent).map(({ peer, aheadMs }) => ({ peer, aheadMs }))
  }

  /** The peers with which the clocks have prevented an admission lately. */
  get refusals(): ClockDifference[] {
    const sinceMs = this.#options.clock.monotonic() - CLOCK_REFUSAL_MS
    for (const [peer, { atMs }] of this.#refusals) if (atMs < sinceMs) this.#refusals.delete(peer)
    return [...this.#refusals.values()].map(({ peer, aheadMs }) => ({ peer, aheadMs }))
  }

  /** True if the clocks of more than half of the admitted members, and of at least two, differ from ours by minutes. */
  get isOff(): boolean {
    const off = this.differences.length
    return off >= CLOCK_WITNESSES_MIN && off > this.#options.admissions().length / 2
  }

  /** The error that says that our clock is off; undefined if it is not. */
  get error(): ClockOffError | undefined {
    if (!this.isOff) return undefined
    const ahead = this.differences.map(({ aheadMs }) => aheadMs).sort((a, b) => a - b)
    const median = ahead[Math.floor(ahead.length / 2)] as number
    const by = `${roughDuration(Math.abs(median))} ${median < 0 ? 'ahead of' : 'behind'}`
    return new ClockOffError(
      `this machine's clock is ${by} the clocks of most members: set it; a few seconds later this works`
    )
  }

  /** Call this when a member has been admitted. */
  admitted(peer: PeerId): void {
    this.#refusals.delete(peer)
    this.#report()
  }

  /** Call this when the clocks have prevented the admission of a peer, which is ahead of us by `aheadMs`. */
  refused(peer: PeerId, aheadMs: number): void {
    this.#refusals.set(peer, { peer, aheadMs, atMs: this.#options.clock.monotonic() })
  }

  /**
   * Asks the others for the time if our clock was set since the last call. Then we no longer know how far their clocks
   * differ from ours, and an owner who has just set the clock should not have to wait. Returns true if it was set.
   */
  noticeJump(): boolean {
    const { clock, log } = this.#options
    const offsetMs = clock.now() - clock.monotonic()
    const jumpMs = Math.round(offsetMs - this.#offsetMs)
    this.#offsetMs = offsetMs
    // The monotonic clock stands still while some machines sleep, which looks the same.
    if (Math.abs(jumpMs) < CLOCK_JUMP_MS) return false
    log('our clock has jumped by %d ms: asking all for the time', jumpMs)
    this.#refusals.clear()
    this.worker.wake()
    return true
  }

  /** Asks the others for the time now, unless we did so a short while ago. Call this when one refused a stamp of ours. */
  askSoon(): void {
    const { clock, log } = this.#options
    const nowMs = clock.monotonic()
    if (nowMs - this.#askedAtMs < CLOCK_RECHECK_MS) return
    log('a member refused a stamp of ours: asking all for the time')
    this.#askedAtMs = nowMs
    this.worker.wake()
  }

  #report(): void {
    const before = this.#differing
    const { differences } = this
    this.#differing = new Set(differences.map(({ peer }) => peer))
    for (const difference of differences) if (!before.has(difference.peer)) this.#options.onDiffers(difference)
  }
}

function isDifferent({ aheadMs }: Admission): boolean {
  return Math.abs(aheadMs) > FUTURE_MS_MAX
}
