import type { Kind } from '../format/kinds.ts'
import { type PeerId, peerIdOf } from '../format/peer-id.ts'
import { type Hlc, hlcAt, hlcMs, isFarAhead } from '../format/stamp.ts'
import { idOf, type Statement } from '../format/statement.ts'
import type { AcceptedStatement, Change, Projection } from '../log/projection.ts'
import { compareBytes } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import type { ComponentLogger, Logger } from '../util/logger.ts'
import { WEIGHT_MAX } from './constants.ts'
import type { Outs } from './outs.ts'
import type { Roster } from './roster.ts'
import type { Settings } from './settings.ts'
import { changedPeers, findOut, isSameView, makeView, type Status, type View } from './view.ts'

export interface StatusesOptions {
  roster: Roster
  clock: Clock
  logger: ComponentLogger
  /**
   * The network's `outAfterMs` is how long a member must have appeared as `out` before this node acts on that. No
   * member is out sooner than that, whatever its own status says.
   */
  settings: Pick<Settings, 'outAfterMs' | 'onChange'>
  /** What admins have said. This node acts on that at once. */
  outs: Pick<Outs, 'hlcOf' | 'onChange'>
}

/**
 * The last status of each member, and the view that is computed from them. Only the newest status of a member is used.
 * An older one is forgotten as soon as a newer one is accepted.
 */
export class Statuses implements Projection {
  readonly kinds: ReadonlySet<Kind> = new Set<Kind>(['status'])
  readonly #options: StatusesOptions
  readonly #log: Logger
  readonly #last = new Map<PeerId, AcceptedStatement<'status'>>()
  /** The time since which a member has appeared as `out` without interruption; monotonic time. */
  readonly #outSinceAtMs = new Map<PeerId, number>()
  readonly #listeners: Array<(view: View) => void> = []
  #view: View = makeView([], new Set())

  constructor(options: StatusesOptions) {
    this.#options = options
    this.#log = options.logger.forComponent('dfs:members:status')
    options.roster.onChange(() => this.refresh())
    options.settings.onChange(() => this.refresh())
    options.outs.onChange(() => this.refresh())
  }

  /** The current view, from which ranks are computed. */
  get view(): View {
    return this.#view
  }

  onView(listener: (view: View) => void): void {
    this.#listeners.push(listener)
  }

  of(peer: PeerId): Statement<'status'> | undefined {
    return this.#last.get(peer)?.statement
  }

  /**
   * Returns true if an admin has said that a member is out, and the member has not signed a status since. Statements
   * that are stamped too far ahead do not count yet.
   */
  isSaidOut(peer: PeerId): boolean {
    const said = this.#options.outs.hlcOf(peer)
    if (said === undefined || this.#isFar({ hlc: said })) return false
    const status = this.of(peer)
    return status === undefined || this.#isFar(status) || said > status.hlc
  }

  /**
   * The stamps of a member's last status and of the last `out` about it, without those that are too far ahead. The next
   * statement of either kind must be stamped later.
   */
  stampsAbout(peer: PeerId): Hlc[] {
    const hlcs = [this.of(peer)?.hlc, this.#options.outs.hlcOf(peer)]
    return hlcs.filter(hlc => hlc !== undefined).filter(hlc => !this.#isFar({ hlc }))
  }

  /**
   * The members that count although their statuses are overdue by our clock, if these are half of the members or more.
   * Then the statuses alone put nobody out, and only an admin can say it.
   */
  get undecided(): PeerId[] {
    const statuses = this.#statuses()
    const { out } = this.#findOut(statuses)
    const nowMs = this.#options.clock.now()
    const isOverdue = ({ hlc, outAfterMs }: Status): boolean => nowMs - hlcMs(hlc) >= outAfterMs
    const counted = statuses.filter(({ peer, weight }) => weight > 0 && !out.has(peer))
    const overdue = counted.filter(isOverdue)
    // Until the others have renewed their statuses, one that has just become overdue does not lag behind the median yet.
    return overdue.length * 2 < counted.length ? [] : overdue.map(({ peer }) => peer)
  }

  /**
   * The median stamp of the statuses, never more than `FUTURE_MS_MAX` ahead of our clock. A member whose status is much
   * older than that is out.
   */
  get medianHlc(): Hlc | undefined {
    return this.#findOut(this.#statuses()).medianHlc
  }

  isSuperseded(statement: Statement, author: Uint8Array): boolean {
    const last = this.#last.get(peerIdOf(author))
    // A status that is stamped too far ahead waits in the log beside the one that counts.
    return last !== undefined && !this.#isFar(statement) && this.#isNewer(last.statement, statement)
  }

  isReplaced(statement: Statement, author: Uint8Array): boolean {
    const last = this.#last.get(peerIdOf(author))
    return last !== undefined && idOf(last.statement) !== idOf(statement)
  }

  /** Statuses have no rows in the index besides those of their statements. */
  async project(): Promise<void> {}

  replacedBy(added: readonly AcceptedStatement[]): AcceptedStatement[] {
    return this.#replaced(added as ReadonlyArray<AcceptedStatement<'status'>>, new Map(this.#last))
  }

  applied({ added }: Change): void {
    this.load(added)
  }

  async isIndexed(): Promise<boolean> {
    return true
  }

  /**
   * Adds accepted statuses, in any order. Returns those that are superseded. After a power cut the index may hold an
   * older status as well as the newer one.
   */
  load(items: readonly AcceptedStatement[]): AcceptedStatement[] {
    const replaced = this.#replaced(items as ReadonlyArray<AcceptedStatement<'status'>>, this.#last)
    this.refresh()
    return replaced
  }

  /** Puts the newest status of each member into `last`. Returns the others. */
  #replaced(
    items: ReadonlyArray<AcceptedStatement<'status'>>,
    last: Map<PeerId, AcceptedStatement<'status'>>
  ): AcceptedStatement[] {
    const replaced: AcceptedStatement[] = []
    for (const item of items) {
      const peer = peerIdOf(item.author)
      const before = last.get(peer)
      if (before !== undefined && this.#isNewer(before.statement, item.statement)) {
        replaced.push(item)
        continue
      }
      if (before !== undefined && idOf(before.statement) !== idOf(item.statement)) replaced.push(before)
      last.set(peer, item)
    }
    return replaced
  }

  /**
   * Recomputes the view. Call it after a change, and regularly, because a member becomes out with the passing of time
   * alone.
   */
  refresh(): void {
    const statuses = this.#statuses()
    const nowMs = this.#options.clock.monotonic()
    const { out, saidOut } = this.#findOut(statuses)
    for (const peer of this.#outSinceAtMs.keys()) if (!out.has(peer)) this.#outSinceAtMs.delete(peer)
    for (const peer of out) if (!this.#outSinceAtMs.has(peer)) this.#outSinceAtMs.set(peer, nowMs)
    const longOut = [...this.#outSinceAtMs]
      .filter(([, sinceAtMs]) => nowMs - sinceAtMs >= this.#options.settings.outAfterMs)
      .map(([peer]) => peer)
    // An admin's word counts at once.
    const actedOn = new Set([...longOut, ...saidOut])
    const view = makeView(statuses, actedOn)
    if (isSameView(view, this.#view)) return
    const changed = changedPeers(this.#view, view)
    this.#view = view
    const who = changed.length === 1 ? changed[0] : `${changed.length} members`
    this.#log('the view has changed for %s; members: %d, out: %d', who, view.members.length, actedOn.size)
    for (const listener of this.#listeners) listener(view)
  }

  /**
   * Returns true if `a` is the newer status. A status that is stamped too far ahead counts as older than any that is
   * not. We accepted or signed it while our own clock was ahead. Otherwise the author's later statuses would be ignored
   * until our clock reaches that stamp.
   */
  #isNewer(a: Statement, b: Statement): boolean {
    const [isFarA, isFarB] = [this.#isFar(a), this.#isFar(b)]
    return isFarA === isFarB ? isLater(a, b) : isFarB
  }

  #isFar({ hlc }: Pick<Statement, 'hlc'>): boolean {
    return isFarAhead(hlc, this.#options.clock.now())
  }

  #findOut(statuses: readonly Status[]): ReturnType<typeof findOut> & { saidOut: ReadonlySet<PeerId> } {
    const saidOut = new Set(statuses.map(({ peer }) => peer).filter(peer => this.isSaidOut(peer)))
    return { ...findOut(statuses, saidOut), saidOut }
  }

  #statuses(): Status[] {
    const statuses: Status[] = []
    const nowMs = this.#options.clock.now()
    for (const [peer, { statement }] of this.#last) {
      const member = this.#options.roster.member(peer)
      if (member === undefined) continue
      const { weight, zone, state, outAfter } = statement.fields
      statuses.push({
        peer,
        key: member.key,
        // A status that is too far ahead was accepted while our own clock was ahead. It must not make the others look late.
        hlc: this.#isFar(statement) ? hlcAt(nowMs) : statement.hlc,
        role: member.role,
        weight: Math.min(weight, member.capacityMax ?? WEIGHT_MAX),
        // Count a zone only if the member's grant contains it. Otherwise a member could choose its blocks by claiming a
        // zone.
        zone: member.zone !== undefined && member.zone === zone ? zone : null,
        state,
        outAfterMs: Math.max(outAfter, this.#options.settings.outAfterMs)
      })
    }
    return statuses
  }
}

// If two statuses have the same stamp, the one with the smaller id wins.
function isLater(a: Statement, b: Statement): boolean {
  return a.hlc !== b.hlc ? a.hlc > b.hlc : compareBytes(a.id, b.id) < 0
}
