import type { IndexOp } from '../disk/index-db.ts'
import { FUTURE_MS_MAX } from '../format/constants.ts'
import type { Kind } from '../format/kinds.ts'
import { type PeerId, peerIdOf } from '../format/peer-id.ts'
import { type Hlc, hlcMs } from '../format/stamp.ts'
import { idOf, type Statement } from '../format/statement.ts'
import { keyOf } from '../log/keys.ts'
import type { AcceptedStatement, Projection } from '../log/log.ts'
import { compareBytes } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import { OUT_AFTER_MS_MAX, WEIGHT_MAX } from './constants.ts'
import type { Roster } from './roster.ts'
import { isSameView, judgeOut, makeView, type Status, type View } from './view.ts'

export interface StatusesOptions {
  roster: Roster
  clock: Clock
  /** How long a node must have seen somebody out before it acts on it. */
  outAfterMs: number
  /** Room of superseded statuses comes back. */
  markDead: (items: readonly AcceptedStatement[]) => IndexOp[]
}

/**
 * The last status of each member, and the view they fold to. One status a member stands; older ones are forgotten as
 * soon as a newer one comes.
 */
export class Statuses implements Projection {
  readonly kinds: ReadonlySet<Kind> = new Set<Kind>(['status'])
  readonly #options: StatusesOptions
  readonly #last = new Map<PeerId, AcceptedStatement<'status'>>()
  readonly #outSince = new Map<PeerId, number>()
  readonly #listeners: Array<(view: View) => void> = []
  #view: View = makeView([], new Set())

  constructor(options: StatusesOptions) {
    this.#options = options
    options.roster.onChange(() => this.refresh())
  }

  /** What ranks are computed from, now. */
  get view(): View {
    return this.#view
  }

  onView(listener: (view: View) => void): void {
    this.#listeners.push(listener)
  }

  of(peer: PeerId): Statement<'status'> | undefined {
    return this.#last.get(peer)?.statement
  }

  /** The stamp in the middle of the field: what the others are judged by. */
  get middle(): Hlc | undefined {
    return judgeOut(this.#statuses()).middle
  }

  isSuperseded(statement: Statement, author: Uint8Array): boolean {
    const last = this.#last.get(peerIdOf(author))
    return last !== undefined && this.#isNewer(last.statement, statement)
  }

  isReplaced(statement: Statement, author: Uint8Array): boolean {
    const last = this.#last.get(peerIdOf(author))
    return last !== undefined && idOf(last.statement) !== idOf(statement)
  }

  async project(items: readonly AcceptedStatement[]): Promise<IndexOp[]> {
    return this.load(items)
  }

  async isIndexed(): Promise<boolean> {
    return true
  }

  /**
   * Takes in statuses that stand, in any order. Gives what the index should forget: after a power cut it may hold an
   * older one beside the newer.
   */
  load(items: readonly AcceptedStatement[]): IndexOp[] {
    const gone: AcceptedStatement[] = []
    for (const item of items as Array<AcceptedStatement<'status'>>) {
      const peer = peerIdOf(item.author)
      const last = this.#last.get(peer)
      if (last !== undefined && this.#isNewer(last.statement, item.statement)) {
        gone.push(item)
        continue
      }
      if (last !== undefined && idOf(last.statement) !== idOf(item.statement)) gone.push(last)
      this.#last.set(peer, item)
    }
    this.refresh()
    const forgotten = gone.map(({ statement }): IndexOp => ({ type: 'del', key: keyOf(statement) }))
    return [...forgotten, ...this.#options.markDead(gone)]
  }

  /** Folds again: after a change, and from time to time, since being out takes effect only after a while. */
  refresh(): void {
    const statuses = this.#statuses()
    const now = this.#options.clock.monotonic()
    const judged = judgeOut(statuses).out
    for (const peer of this.#outSince.keys()) if (!judged.has(peer)) this.#outSince.delete(peer)
    for (const peer of judged) if (!this.#outSince.has(peer)) this.#outSince.set(peer, now)
    const acted = [...this.#outSince]
      .filter(([, since]) => now - since >= this.#options.outAfterMs)
      .map(([peer]) => peer)
    const view = makeView(statuses, new Set(acted))
    if (isSameView(view, this.#view)) return
    this.#view = view
    for (const listener of this.#listeners) listener(view)
  }

  /**
   * One that is too far ahead to be kept gives way to any that is not: it was taken, or signed, when our own clock was
   * ahead, and would stand in its author's way until its time has come.
   */
  #isNewer(a: Statement, b: Statement): boolean {
    const limitMs = this.#options.clock.now() + FUTURE_MS_MAX
    const [isFarA, isFarB] = [hlcMs(a.hlc) > limitMs, hlcMs(b.hlc) > limitMs]
    return isFarA === isFarB ? isLater(a, b) : isFarB
  }

  #statuses(): Status[] {
    const statuses: Status[] = []
    for (const [peer, { statement }] of this.#last) {
      const member = this.#options.roster.member(peer)
      if (member === undefined) continue
      const { weight, zone, state, outAfter } = statement.fields
      statuses.push({
        peer,
        key: member.key,
        hlc: statement.hlc,
        role: member.role,
        weight: Math.min(weight, member.capacityMax ?? WEIGHT_MAX),
        // A zone counts only as granted: whoever names one of its own would choose which blocks it is owed.
        zone: member.zone !== undefined && member.zone === zone ? zone : null,
        state,
        outAfterMs: Math.min(Math.max(outAfter, this.#options.outAfterMs), OUT_AFTER_MS_MAX)
      })
    }
    return statuses
  }
}

// Of two under one stamp the smaller id counts.
function isLater(a: Statement, b: Statement): boolean {
  return a.hlc !== b.hlc ? a.hlc > b.hlc : compareBytes(a.id, b.id) < 0
}
