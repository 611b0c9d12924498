import { toHex } from '../util/bytes.ts'
import { DOUBT_AFTER_MS, HELD_MAX, LIST_AGAIN_MS } from './constants.ts'
import type { StatementClass } from './keys.ts'
import { differenceOf, type Position, type Totals } from './positions.ts'

/**
 * This member's knowledge about one class of another member's statements, from one comparison to the next. It is only
 * in memory. The cursors on the disk are enough to begin again without it.
 */
export class Standing {
  /**
   * The position up to which this member has taken the other's statements, apart from those in `held`. Undefined until
   * the first comparison on this connection has ended.
   */
  position: Position | undefined
  /** Statements that our log refused with a verdict that may change, by their ids in hex. */
  readonly #held = new Map<string, Uint8Array>()
  /** The difference of the totals when the two members last had nothing more to tell each other. */
  #difference: { by: string; sinceMs: number; hasAsked: boolean } | undefined
  #listedAgainAtMs = Number.NEGATIVE_INFINITY
  /** True if a difference is still there after all ids were listed again. */
  isInDoubt = false

  get held(): Uint8Array[] {
    return [...this.#held.values()]
  }

  /** True if everything before `position` is durable here or was refused for good. */
  get isWhole(): boolean {
    return this.#held.size === 0
  }

  /** Returns false if there are too many such statements already. */
  hold(id: Uint8Array): boolean {
    if (this.#held.size >= HELD_MAX) return false
    // A copy, because the id is part of a whole page.
    this.#held.set(toHex(id), Uint8Array.from(id))
    return true
  }

  release(id: Uint8Array): void {
    this.#held.delete(toHex(id))
  }

  isHeld(id: Uint8Array): boolean {
    return this.#held.size > 0 && this.#held.has(toHex(id))
  }

  /**
   * Returns the standing for the next connection, which keeps only what outlives this one. A comparison that still runs
   * goes on with the old standing.
   */
  renewed(): Standing {
    const standing = new Standing()
    standing.#listedAgainAtMs = this.#listedAgainAtMs
    standing.isInDoubt = this.isInDoubt
    return standing
  }

  /**
   * Compares the totals at the end of a comparison, in which this member took everything that the other told it. The
   * totals of a busy network change all the time, but their difference stays the same while a statement is missing.
   */
  judge(own: Totals, other: Totals, nowMs: number): Judgement {
    const by = differenceOf(own, other)
    if (by === undefined) {
      this.#difference = undefined
      this.isInDoubt = false
      return 'equal'
    }
    const before = this.#difference
    if (before?.by !== by) {
      this.#difference = { by, sinceMs: nowMs, hasAsked: false }
      return 'moving'
    }
    if (!before.hasAsked) {
      before.hasAsked = true
      return 'ask'
    }
    if (nowMs - before.sinceMs < DOUBT_AFTER_MS || nowMs - this.#listedAgainAtMs < LIST_AGAIN_MS) return 'moving'
    this.#listedAgainAtMs = nowMs
    this.isInDoubt = true
    return 'doubt'
  }
}

/**
 * The result of comparing two totals. They are `moving` while they may differ only because the two members are still
 * exchanging statements. If the difference stays, the other member may not have received everything from us, and we
 * `ask` it once to compare. If the difference is still there after that, it is a `doubt`, and all ids should be listed
 * again.
 */
export type Judgement = 'equal' | 'moving' | 'ask' | 'doubt'

/** The standing of one other member in both classes. */
export class Standings {
  /** Indexed by class. */
  readonly #classes: readonly [Standing, Standing]

  constructor(classes: readonly [Standing, Standing] = [new Standing(), new Standing()]) {
    this.#classes = classes
  }

  of(statementClass: StatementClass): Standing {
    return this.#classes[statementClass]
  }

  get isWhole(): boolean {
    return this.#classes.every(({ isWhole }) => isWhole)
  }

  get isInDoubt(): boolean {
    return this.#classes.some(({ isInDoubt }) => isInDoubt)
  }

  renewed(): Standings {
    const [membership, rest] = this.#classes
    return new Standings([membership.renewed(), rest.renewed()])
  }
}
