import type { PeerId } from '../format/peer-id.ts'
import { decodeHlc, type Hlc, isFarAhead } from '../format/stamp.ts'
import type { Log } from '../log/log.ts'
import type { Chance } from '../util/chance.ts'
import type { Clock } from '../util/clock.ts'
import { isAbort } from '../util/errors.ts'
import { type Logger, reasonOf } from '../util/logger.ts'
import { Worker } from '../util/worker.ts'
import { NEWS_CHECK_MS, NEWS_COMPARE_MS, NEWS_COMPARE_PEERS, NEWS_GRACE_MS } from './constants.ts'
import type { Roster } from './roster.ts'
import type { Statuses } from './statuses.ts'

export interface WithheldNewsOptions {
  roster: Pick<Roster, 'members'>
  statuses: Pick<Statuses, 'of'>
  newest: Pick<Log['newest'], 'of'>
  clock: Clock
  chance: Chance
  log: Logger
  self: PeerId
  admitted: () => readonly PeerId[]
  /** Compares all ids of the log with those of a member, and fetches what is missing here. */
  compareAll: (peer: PeerId, signal: AbortSignal) => Promise<unknown>
}

/** News that is missing here although its author's status names it. */
interface Missing {
  head: Hlc
  /** When we first saw that it is missing; monotonic time. */
  sinceAtMs: number
}

/**
 * Notices news that does not reach this member. Each status names the newest stamp of its author, so a member that
 * passes on statuses and withholds other statements is noticed.
 *
 * News is missing if its author's status names it, it is still not here after a grace period, and the logs have been
 * compared with some member meanwhile. Then whole logs are compared, with the author if it is here and with others. If
 * that does not help either, `missing` lists the author. A stamp that is too far ahead is not missing: the log lets
 * such statements wait, and counts them once their time has come.
 */
export class WithheldNews {
  readonly worker: Worker
  readonly #options: WithheldNewsOptions
  readonly #missing = new Map<PeerId, Missing>()
  /** When our log was last compared with a member's; monotonic time. */
  #comparedAtMs = Number.NEGATIVE_INFINITY
  /** When whole logs were last compared because of missing news; monotonic time. */
  #comparedAllAtMs = Number.NEGATIVE_INFINITY

  constructor(options: WithheldNewsOptions) {
    this.#options = options
    const { clock, log } = options
    this.worker = new Worker({
      name: 'news check',
      clock,
      log,
      everyMs: NEWS_CHECK_MS,
      work: signal => this.#check(signal)
    })
  }

  /** The authors of news that is missing here although whole logs have been compared. */
  get missing(): PeerId[] {
    return this.#overdue().filter(peer => this.#sinceAtMs(peer) < this.#comparedAllAtMs)
  }

  /** Call this when our log has been compared with a member's. */
  compared(): void {
    this.#comparedAtMs = this.#options.clock.monotonic()
  }

  async #check(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options
    await this.#look()
    const overdue = this.#overdue()
    if (overdue.length === 0 || clock.monotonic() - this.#comparedAllAtMs < NEWS_COMPARE_MS) return
    const peers = this.#peersFor(overdue)
    if (peers.length === 0) return
    log('news that statuses name has not arrived, authors: %d; comparing whole logs', overdue.length)
    for (const peer of peers) await this.#compareAll(peer, signal)
    // An attempt that failed counts too. Otherwise a member that breaks off each comparison would make us list our
    // whole log at each check.
    this.#comparedAllAtMs = clock.monotonic()
    await this.#look()
  }

  /** Notes the news that statuses name and the log lacks. */
  async #look(): Promise<void> {
    const { roster, statuses, newest, clock, self } = this.#options
    const members = roster.members.filter(({ peer }) => peer !== self)
    for (const peer of this.#missing.keys())
      if (!members.some(member => member.peer === peer)) this.#missing.delete(peer)
    for (const { peer, key } of members) {
      const status = statuses.of(peer)
      const here = (await newest.of(key)) ?? 0n
      const head = status === undefined ? 0n : decodeHlc(status.fields.head)
      const before = this.#missing.get(peer)
      // While a member goes on writing, each status names later news. So we measure how long the same news has been
      // missing. If a status names earlier news than before, its member was restored from a backup, and perhaps nobody
      // has the later news any more. Then the time starts again.
      if (before !== undefined && before.head > here && before.head <= head) continue
      this.#missing.delete(peer)
      if (head > here && !isFarAhead(head, clock.now())) this.#missing.set(peer, { head, sinceAtMs: clock.monotonic() })
    }
  }

  /** The authors of news that should have arrived by now. */
  #overdue(): PeerId[] {
    const { clock } = this.#options
    return [...this.#missing.keys()].filter(peer => {
      const sinceAtMs = this.#sinceAtMs(peer)
      return clock.monotonic() - sinceAtMs >= NEWS_GRACE_MS && this.#comparedAtMs > sinceAtMs
    })
  }

  #sinceAtMs(peer: PeerId): number {
    return this.#missing.get(peer)?.sinceAtMs ?? Number.POSITIVE_INFINITY
  }

  /** Chooses the members to compare whole logs with: one of the authors if any is connected, and others at random. */
  #peersFor(authors: readonly PeerId[]): PeerId[] {
    const { admitted, chance } = this.#options
    const shuffled = admitted()
      .map(peer => ({ peer, at: chance.fraction() }))
      .sort((a, b) => a.at - b.at)
      .map(({ peer }) => peer)
    const isAuthor = new Set(authors)
    const [first] = shuffled.filter(peer => isAuthor.has(peer))
    const others = shuffled.filter(peer => peer !== first)
    return [...(first === undefined ? [] : [first]), ...others].slice(0, NEWS_COMPARE_PEERS)
  }

  async #compareAll(peer: PeerId, signal: AbortSignal): Promise<void> {
    try {
      await this.#options.compareAll(peer, signal)
    } catch (error) {
      if (isAbort(error) && signal.aborted) throw error
      this.#options.log('comparing the whole log with %s failed: %s', peer, reasonOf(error))
    }
  }
}
