import { idOf, type Statement } from '../format/statement.ts'
import { fromHex, toHex } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import { BEHIND_RETRY_MS, BEHIND_RETRY_MS_MAX, IDS_MAX, NEWS_MAX, PASS_ON_MS } from './constants.ts'
import type { Log, StatementClass } from './log.ts'

export interface OutboxOptions {
  clock: Clock
  log: Pick<Log, 'list' | 'get'>
  /** Whether the peer is still one that may be told. */
  isWanted: () => boolean
  /** Of these ids those that the peer lacks. */
  offer: (ids: readonly Uint8Array[], signal: AbortSignal) => Promise<Uint8Array[]>
  /** Hands over a statement; true if it should be tried again later. */
  push: (statement: Statement) => Promise<boolean>
}

/**
 * What one member has still to be told. News goes by id first, since most members have it from its author. What does not
 * fit here, or did not arrive, is not lost: the peer is behind then, and is offered all that stands here.
 */
export class Outbox {
  readonly #options: OutboxOptions
  readonly #stopped = new AbortController()
  #news = new Map<string, Statement>()
  #isBehind = false
  #isRunning = false

  constructor(options: OutboxOptions) {
    this.#options = options
  }

  add(statements: readonly Statement[]): void {
    for (const statement of statements) {
      if (this.#news.size < NEWS_MAX) this.#news.set(idOf(statement), statement)
      else this.#isBehind = true
    }
    this.#start(PASS_ON_MS)
  }

  /** Something did not arrive. */
  fallBehind(): void {
    this.#isBehind = true
    this.#start(BEHIND_RETRY_MS)
  }

  stop(): void {
    this.#stopped.abort()
    this.#news.clear()
  }

  #start(delayMs: number): void {
    if (this.#isRunning || this.#stopped.signal.aborted) return
    this.#isRunning = true
    this.#run(delayMs).catch(() => {
      this.#isRunning = false
    })
  }

  async #run(delayMs: number): Promise<void> {
    const { clock, isWanted } = this.#options
    let waitMs = delayMs
    let retryMs = BEHIND_RETRY_MS
    for (;;) {
      await clock.sleep(waitMs, this.#stopped.signal)
      // Whoever is no member now compares when it is one again.
      if (!isWanted()) this.#news.clear()
      if (!isWanted() || (this.#news.size === 0 && !this.#isBehind)) {
        this.#isRunning = false
        return
      }
      await this.#round()
      waitMs = this.#isBehind ? retryMs : PASS_ON_MS
      retryMs = this.#isBehind ? Math.min(2 * retryMs, BEHIND_RETRY_MS_MAX) : BEHIND_RETRY_MS
    }
  }

  async #round(): Promise<void> {
    const news = this.#news
    const isAll = this.#isBehind
    this.#news = new Map()
    this.#isBehind = false
    try {
      if (news.size > 0) await this.#tell([...news.keys()].map(fromHex), news)
      if (isAll) await this.#tellAll()
    } catch {
      this.#isBehind = true
    }
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
      const retries = await Promise.all(
        lacking.map(async id => {
          const statement = known.get(toHex(id)) ?? (await log.get(id))?.statement
          return statement !== undefined && push(statement)
        })
      )
      if (retries.includes(true)) this.#isBehind = true
    }
  }
}
