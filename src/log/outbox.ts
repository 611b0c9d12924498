import type { PeerId } from '../format/peer-id.ts'
import { idOf, type SomeStatement } from '../format/statement.ts'
import { Backoff } from '../util/backoff.ts'
import { fromHex, toHex } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../util/logger.ts'
import { BEHIND_RETRY_MS, BEHIND_RETRY_MS_MAX, EXPECTED_MS, IDS_MAX, NEWS_MAX, PASS_ON_MS } from './constants.ts'

export interface OutboxOptions {
  peer: PeerId
  clock: Clock
  logger: ComponentLogger
  /** Whether the peer is still an admitted member. */
  isAdmitted: () => boolean
  /** Returns those of the ids that the peer lacks. */
  offer: (ids: readonly Uint8Array[], signal: AbortSignal) => Promise<Uint8Array[]>
  /** Tells the peer to compare, because something did not get through to it. */
  changed: (signal: AbortSignal) => Promise<void>
  /** Pushes a statement. If the peer does not accept it but may later, the implementation calls `fallBehind`. */
  push: (statement: SomeStatement) => Promise<unknown>
}

/**
 * Offers statements to one member. News is offered by id, because most members already have it from its author, and it
 * is offered promptly even if the member is behind. Statements that do not fit here, or that did not arrive, are not
 * lost: the member then counts as behind, and it is told to compare. It asks for everything that it has not taken yet,
 * so nobody need remember what did not arrive.
 */
export class Outbox {
  readonly #options: OutboxOptions
  readonly #log: Logger
  readonly #stopped = new AbortController()
  #news = new Map<string, SomeStatement>()
  /** Our own statements whose verb should push them, oldest first, with the monotonic time of acceptance. */
  readonly #expected = new Map<string, { statement: SomeStatement; acceptedAtMs: number }>()
  #isWatching = false
  #isPassingOn = false
  #isBehind = false
  #isCatchingUp = false

  constructor(options: OutboxOptions) {
    this.#options = options
    this.#log = options.logger.forComponent('dfs:log:outbox')
  }

  /** Adds news, which is offered together with all other news that arrives within `PASS_ON_MS`. */
  add(statements: readonly SomeStatement[]): void {
    for (const statement of statements) {
      if (this.#news.size < NEWS_MAX) this.#news.set(idOf(statement), statement)
      else this.fallBehind()
    }
    if (!this.#isPassingOn) void this.#passOn()
  }

  /**
   * Adds statements that this member signed. The verb that made them is expected to push them to the other member. If
   * the verb does not, because it failed or was aborted first, they are offered after `EXPECTED_MS`. This way, every
   * accepted statement eventually reaches another member.
   */
  expect(statements: readonly SomeStatement[]): void {
    const acceptedAtMs = this.#options.clock.monotonic()
    for (const statement of statements) {
      if (this.#expected.size < NEWS_MAX) this.#expected.set(idOf(statement), { statement, acceptedAtMs })
      else this.fallBehind()
    }
    if (!this.#isWatching) void this.#watch()
  }

  /** Notes that a statement was pushed to the other member. */
  pushed(statement: SomeStatement): void {
    this.#expected.delete(idOf(statement))
  }

  /** Notes that some statement did not arrive. After a while, the other member is told to compare. */
  fallBehind(): void {
    this.#isBehind = true
    if (!this.#isCatchingUp) void this.#catchUp()
  }

  stop(): void {
    this.#stopped.abort()
    this.#news.clear()
    this.#expected.clear()
  }

  /** Turns expected statements into news if nobody has pushed them in time. */
  async #watch(): Promise<void> {
    const { clock, peer } = this.#options
    this.#isWatching = true
    for (;;) {
      const [oldest] = this.#expected.values()
      if (oldest === undefined) break
      if (!(await this.#pause(oldest.acceptedAtMs + EXPECTED_MS - clock.monotonic()))) break
      const late = this.#takeLate(clock.monotonic())
      if (late.length === 0) continue
      this.#log('offers %s our own statements that nobody pushed to it: %d', peer, late.length)
      this.add(late)
    }
    this.#expected.clear()
    this.#isWatching = false
  }

  #takeLate(nowMs: number): SomeStatement[] {
    const late: SomeStatement[] = []
    for (const [id, { statement, acceptedAtMs }] of this.#expected) {
      if (acceptedAtMs + EXPECTED_MS > nowMs) break
      this.#expected.delete(id)
      late.push(statement)
    }
    return late
  }

  async #passOn(): Promise<void> {
    this.#isPassingOn = true
    while (this.#news.size > 0 && (await this.#pause(PASS_ON_MS))) {
      const news = this.#news
      this.#news = new Map()
      try {
        await this.#offer(news)
      } catch (error) {
        this.#log('could not offer statements to %s: %d (%s)', this.#options.peer, news.size, reasonOf(error))
        this.fallBehind()
      }
    }
    this.#news.clear()
    this.#isPassingOn = false
  }

  async #catchUp(): Promise<void> {
    const { peer } = this.#options
    this.#isCatchingUp = true
    const backoff = new Backoff({ minMs: BEHIND_RETRY_MS, maxMs: BEHIND_RETRY_MS_MAX })
    while (this.#isBehind) {
      const pauseMs = backoff.nextMs()
      this.#log('%s is behind: telling it to compare in %d ms', peer, pauseMs)
      const goesOn = await this.#pause(pauseMs)
      this.#isBehind = false
      if (!goesOn) break
      try {
        await this.#options.changed(this.#stopped.signal)
      } catch (error) {
        this.#log('could not tell %s to compare: %s', peer, reasonOf(error))
        this.#isBehind = true
      }
    }
    this.#isCatchingUp = false
  }

  /**
   * Waits. Returns false if this outbox was stopped, or if the peer is no longer an admitted member. In that case
   * nothing is lost: if the peer becomes one again, the members compare their logs.
   */
  async #pause(ms: number): Promise<boolean> {
    const { signal } = this.#stopped
    // A sleep fails only when `stop` aborts it, which the next line checks.
    if (!signal.aborted) await this.#options.clock.sleep(ms, signal).catch(() => {})
    return !signal.aborted && this.#options.isAdmitted()
  }

  /** Offers news by id, and pushes the statements that the peer lacks. */
  async #offer(news: ReadonlyMap<string, SomeStatement>): Promise<void> {
    const { peer, offer, push } = this.#options
    const ids = [...news.keys()].map(fromHex)
    for (let start = 0; start < ids.length; start += IDS_MAX) {
      const offered = ids.slice(start, start + IDS_MAX)
      const lacking = await offer(offered, this.#stopped.signal)
      const log = lacking.length > 0 ? this.#log : this.#log.trace
      log('offered statements to %s: %d, of which it lacks %d', peer, offered.length, lacking.length)
      // `Sync` logs a push that fails, and calls `fallBehind`.
      await Promise.all(lacking.map(id => push(news.get(toHex(id)) as SomeStatement).catch(() => {})))
    }
  }
}
