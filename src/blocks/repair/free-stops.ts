import { z } from 'zod'
import { type IndexDb, type IndexOp, indexKey } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import { decodeOwn, encodeCanonical } from '../../format/canonical.ts'
import { type PeerId, peerIdOf, publicKeyOf } from '../../format/peer-id.ts'
import type { Clock } from '../../util/clock.ts'
import { STOP_MS_MAX, STOP_SPANS_MAX, STOP_WINDOW_MS } from './constants.ts'
import type { Lacking } from './unfinished-row.ts'

export interface FreeStopsOptions {
  index: Pick<IndexDb, 'range' | 'batch'>
  clock: Pick<Clock, 'now'>
}

/** The incomplete records of one author: their number, and whether they stop this member from freeing blocks. */
export interface IncompleteRecords {
  author: PeerId
  records: number
  isStopping: boolean
}

/** A time during which an author's records stopped freeing. `untilMs` is undefined while they still do. */
interface Span {
  fromMs: number
  untilMs: number | undefined
}

interface Author {
  /** The number of its records whose blocks are not all known. */
  records: number
  /** How many of these lack a manifest node that could not be obtained. The others are still being walked. */
  incomplete: number
  /** When the latest of these records became incomplete. The older ones stop freeing for less long. */
  latestMs: number
  spans: Span[]
}

const NOTHING = { records: 0, incomplete: 0, latestMs: 0 }
const rowSchema = z.array(z.tuple([z.number(), z.number()]))
/** Stands for the end of a span that has not ended. */
const OPEN = 0

/**
 * Decides for how long records whose manifests are not walked to their ends, or whose nodes cannot be obtained, stop
 * this member from freeing blocks. It is not known which blocks such a record needs, so at first nothing may be freed.
 * But its author may have died with the only copy, or may do this on purpose. So one record stops freeing for
 * `STOP_MS_MAX`, and all records of one author together for no more than that in any `STOP_WINDOW_MS`. These times are
 * in the index, so that a restart does not set them back to zero.
 */
export class FreeStops {
  readonly #options: FreeStopsOptions
  #authors = new Map<PeerId, Author>()

  constructor(options: FreeStopsOptions) {
    this.#options = options
  }

  /** Reads for how long each author has already stopped freeing. */
  async load(): Promise<void> {
    const table = indexKey(TABLES.stops)
    for await (const { key, value } of this.#options.index.range(table)) {
      const spans = rowSchema.parse(decodeOwn(value)).map(([fromMs, untilMs]) => ({
        fromMs,
        untilMs: untilMs === OPEN ? undefined : untilMs
      }))
      this.#authors.set(peerIdOf(key.subarray(table.byteLength)), { ...NOTHING, spans })
    }
  }

  /** True while some record stops this member from freeing. */
  get isStopping(): boolean {
    const nowMs = this.#options.clock.now()
    for (const author of this.#authors.values()) if (isStopping(author, nowMs)) return true
    return false
  }

  /** The authors that have incomplete records here. */
  get incomplete(): IncompleteRecords[] {
    const nowMs = this.#options.clock.now()
    return [...this.#authors]
      .filter(([, { incomplete }]) => incomplete > 0)
      .map(([author, facts]) => ({ author, records: facts.incomplete, isStopping: isStopping(facts, nowMs) }))
  }

  /** Notes since when it is not known which blocks a record of an author needs. It stops freeing at once. */
  add(author: PeerId, { sinceMs, nodes }: Pick<Lacking, 'sinceMs' | 'nodes'>): void {
    const facts = this.#of(author)
    facts.records++
    if (nodes > 0) facts.incomplete++
    facts.latestMs = Math.max(facts.latestMs, sinceMs)
  }

  /** Undoes `add` for a record. */
  remove(author: PeerId, { nodes }: Pick<Lacking, 'nodes'>): void {
    const facts = this.#of(author)
    facts.records = Math.max(0, facts.records - 1)
    if (nodes > 0) facts.incomplete = Math.max(0, facts.incomplete - 1)
    if (facts.records === 0) facts.latestMs = 0
  }

  /** Writes down the times that have begun or ended since the last call. */
  async save(): Promise<void> {
    const nowMs = Math.floor(this.#options.clock.now())
    const ops: IndexOp[] = []
    for (const [author, facts] of this.#authors) {
      const key = indexKey(TABLES.stops, publicKeyOf(author))
      const last = facts.spans.at(-1)
      const isOpen = last !== undefined && last.untilMs === undefined
      // If the clock was set back while a span lasted, the span begins again. Otherwise it would last until the clock has
      // caught up.
      const isAhead = isOpen && last.fromMs > nowMs
      if (isAhead) last.fromMs = nowMs
      const mustStop = isStopping(facts, nowMs)
      if (mustStop !== isOpen || isAhead) {
        if (!isOpen) facts.spans.push({ fromMs: nowMs, untilMs: undefined })
        else if (!mustStop) last.untilMs = endOf(last, nowMs)
        facts.spans = bounded(facts.spans, nowMs)
        ops.push({ type: 'put', key, value: encodeSpans(facts.spans) })
      } else if (facts.records === 0 && bounded(facts.spans, nowMs).length === 0) {
        this.#authors.delete(author)
        ops.push({ type: 'del', key })
      }
    }
    await this.#options.index.batch(ops)
  }

  #of(author: PeerId): Author {
    const facts = this.#authors.get(author) ?? { ...NOTHING, spans: [] }
    this.#authors.set(author, facts)
    return facts
  }
}

function isStopping({ records, latestMs, spans }: Author, nowMs: number): boolean {
  return records > 0 && nowMs < latestMs + STOP_MS_MAX && stoppedMs(spans, nowMs) < STOP_MS_MAX
}

/** Returns for how long these spans have stopped freeing within the last `STOP_WINDOW_MS`. */
function stoppedMs(spans: readonly Span[], nowMs: number): number {
  const windowMs = nowMs - STOP_WINDOW_MS
  return spans.reduce((sum, span) => {
    const untilMs = Math.min(endOf(span, nowMs), nowMs)
    return sum + Math.max(0, untilMs - Math.max(span.fromMs, windowMs))
  }, 0)
}

// A span never lasts longer than an author may stop freeing, even if this member was switched off when it should have
// ended.
function endOf({ fromMs, untilMs }: Span, nowMs: number): number {
  return untilMs ?? Math.min(Math.max(fromMs, nowMs), fromMs + STOP_MS_MAX)
}

/**
 * Leaves out the spans that ended long ago, and those that lie ahead because the clock was set back since. If there are
 * too many, merges the two oldest, with the time between them.
 */
function bounded(spans: readonly Span[], nowMs: number): Span[] {
  const kept = spans.filter(span => span.fromMs <= nowMs && endOf(span, nowMs) > nowMs - STOP_WINDOW_MS)
  while (kept.length > STOP_SPANS_MAX) {
    const [first, second] = kept.splice(0, 2) as [Span, Span]
    kept.unshift({ fromMs: first.fromMs, untilMs: second.untilMs })
  }
  return kept
}

function encodeSpans(spans: readonly Span[]): Uint8Array {
  return encodeCanonical(spans.map(({ fromMs, untilMs }) => [Math.floor(fromMs), untilMs ?? OPEN]))
}
