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

  next(): Uint8Array {
    const nowAtMs = this.#clock.monotonic()
    if (this.#last === undefined || nowAtMs - this.#last.sinceAtMs > SMALL_PUTS_SHARE_MS)
      this.#last = { number: this.#chance.bytes(PUT_NUMBER_BYTES), sinceAtMs: nowAtMs }
    return this.#last.number
  }
}
