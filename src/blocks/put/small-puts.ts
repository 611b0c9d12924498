import { equalBytes } from '../../util/bytes.ts'
import type { Chance } from '../../util/chance.ts'
import type { Clock } from '../../util/clock.ts'
import { PUT_NUMBER_BYTES, SMALL_PUTS_SHARE_MS } from '../constants.ts'

/** Gives small puts that are opened at about the same time one number, so that one call can keep the blocks of many. */
export class SmallPutNumbers {
  readonly #clock: Clock
  readonly #chance: Chance
  #last: { number: Uint8Array; sinceAtMs: number } | undefined

  constructor(clock: Clock, chance: Chance) {
    this.#clock = clock
    this.#chance = chance
  }

  /** Returns true if the next small put may get this number. */
  isGivenOut(number: Uint8Array): boolean {
    return this.#last !== undefined && !this.#isOld(this.#last) && equalBytes(this.#last.number, number)
  }

  next(): Uint8Array {
    if (this.#last === undefined || this.#isOld(this.#last))
      this.#last = { number: this.#chance.bytes(PUT_NUMBER_BYTES), sinceAtMs: this.#clock.monotonic() }
    return this.#last.number
  }

  #isOld({ sinceAtMs }: { sinceAtMs: number }): boolean {
    return this.#clock.monotonic() - sinceAtMs > SMALL_PUTS_SHARE_MS
  }
}
