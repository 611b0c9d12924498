import { idOf, type Statement } from '../format/statement.ts'
import { fromHex, toHex } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import { BEHIND_RETRY_MS, BEHIND_RETRY_MS_MAX, EXPECTED_MS, IDS_MAX, NEWS_MAX, PASS_ON_MS } from './constants.ts'
import type { Log, StatementClass } from './log.ts'

export interface OutboxOptions {
  clock: Clock
  log: Pick<Log, 'list' | 'get'>
  /** Whether the peer is still one that may be told. */
  isWanted: () => boolean
  /** Of these ids those that the peer lacks. */
  offer: (ids: readonly Uint8Array[], signal: AbortSignal) => Promise<Uint8Array[]>
  /** Hands over a statement. If it is not taken and may yet be, `fallBehind` is called. */
  push: (statement: Statement) => Promise<unknown>
}

/**
 * What one member has still to be told. News goes by id first, since most members have it from its author, and goes at
 * once, however the member is doing. What does not fit here, or did not arrive, is not lost: the peer is behind then, and
 * is offered all that stands here, at longer and longer intervals.
 */
export class Outbox {
  readonly #options: OutboxOptions
  readonly #stopped = new AbortController()
  #news = new Map<string, Statement>()
  /** Our own, on their way by others' hands, and since when: the oldest first. */
  readonly #expected = new Map<string, { statement: Statement; sinceMs: number }>()
  #isWatching = false
  #isPassingOn = false
  #isBehind = false
  #isCatchingUp = false

  constructor(options: OutboxOptions) {
    this.#options = options
  }

  add(statements: readonly Statement[]): void {
    for (const statement of statements) {
      if (this.#news.size < NEWS_MAX) this.#news.set(idOf(statement), statement)
      else this.fallBehind()
    }
    if (!this.#isPassingOn) void this.#passOn()
  }

  /**
   * Statements of our own, which whoever made them pushes to this member. Should they not, since they gave up in between,
   * it is offered them all the same: what stands here is never known here alone.
   */
  expect(statements: readonly Statement[]): void {
    const sinceMs = this.#options.clock.monotonic()
    for (const statement of statements) {
      if (this.#expected.size < NEWS_MAX) this.#expected.set(idOf(statement), { statement, sinceMs })
      else this.fallBehind()
    }
    if (!this.#isWatching) void this.#watch()
  }

  /** A statement was pushed to this member. */
  pushed(statement: Statement): void {
    this.#expected.delete(idOf(statement))
  }

  /** Something did not arrive. */
  fallBehind(): void {
    this.#isBehind = true
    if (!this.#isCatchingUp) void this.#catchUp()
  }

  stop(): void {
    this.#stopped.abort()
    this.#news.clear()
    this.#expected.clear()
  }

  async #watch(): Promise<void> {
    const { clock } = this.#options
    this.#isWatching = true
    for (;;) {
      const [oldest] = this.#expected.values()
      if (oldest === undefined || !(await this.#isWantedIn(oldest.sinceMs + EXPECTED_MS - clock.monotonic()))) break
      const late: Statement[] = []
      for (const [id, { statement, sinceMs }] of this.#expected) {
        if (sinceMs + EXPECTED_MS > clock.monotonic()) break
        this.#expected.delete(id)
        late.push(statement)
      }
      if (late.length > 0) this.add(late)
    }
    this.#expected.clear()
    this.#isWatching = false
  }

  async #passOn(): Promise<void> {
    this.#isPassingOn = true
    while (this.#news.size > 0 && (await this.#isWantedIn(PASS_ON_MS))) {
      const news = this.#news
      this.#news = new Map()
      await this.#tell([...news.keys()].map(fromHex), news).catch(() => this.fallBehind())
    }
    this.#news.clear()
    this.#isPassingOn = false
  }

  async #catchUp(): Promise<void> {
    this.#isCatchingUp = true
    for (let waitMs = BEHIND_RETRY_MS; this.#isBehind; waitMs = Math.min(2 * waitMs, BEHIND_RETRY_MS_MAX)) {
      const isWanted = await this.#isWantedIn(waitMs)
      this.#isBehind = false
      if (!isWanted) break
      await this.#tellAll().catch(() => {
        this.#isBehind = true
      })
    }
    this.#isCatchingUp = false
  }

  /** Waits. Whoever is no member any more compares when it is one again. */
  async #isWantedIn(ms: number): Promise<boolean> {
    const { signal } = this.#stopped
    if (!signal.aborted) await this.#options.clock.sleep(ms, signal).catch(() => {})
    return !signal.aborted && this.#options.isWanted()
  }

  async #tellAll(): Promise<void> {
    for (const kind of [0, 1] satisfies StatementClass[]) {
      let after: Uint8Array | undefined
      do {
        const ids = await this.#options.log.list(kind, after, IDS_MAX)
        await this.#tell(ids, new Map())
        after = ids.at(-1)
      } while (after !== undefined && this.#options.isWanted())
    }
  }

  async #tell(ids: readonly Uint8Array[], known: ReadonlyMap<string, Statement>): Promise<void> {
    const { offer, push, log } = this.#options
    const { signal } = this.#stopped
    for (let start = 0; start < ids.length; start += IDS_MAX) {
      const lacking = await offer(ids.slice(start, start + IDS_MAX), signal)
      await Promise.all(
        lacking.map(async id => {
          const statement = known.get(toHex(id)) ?? (await log.get(id))?.statement
          if (statement !== undefined) await push(statement).catch(() => {})
        })
      )
    }
  }
}
