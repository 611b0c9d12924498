import type { Clock } from '../../util/clock.ts'
import { CHAIN_LOOK_KEEPS, CHAIN_LOOK_MS, CHAIN_LOOK_MS_MAX, KEEP_LARGE_BYTES_MAX } from '../constants.ts'
import type { Uplink } from '../uplink.ts'

export interface ChainTimerOptions {
  clock: Clock
  uplink: Pick<Uplink, 'bytesPerS'>
  /** Returns true while members are held. */
  hasHeld: () => boolean
  onTime: () => void
}

/** Keeps the time for `chain.ts`: calls back again and again while members are held for a block. */
export class ChainTimer {
  readonly #options: ChainTimerOptions
  #cancel: (() => void) | undefined

  constructor(options: ChainTimerOptions) {
    this.#options = options
  }

  /** Looks whether members are held now. */
  look(): void {
    const { clock, uplink, hasHeld, onTime } = this.#options
    if (!hasHeld()) return
    const keepMs = (CHAIN_LOOK_KEEPS * KEEP_LARGE_BYTES_MAX * 1000) / uplink.bytesPerS
    this.#cancel ??= clock.after(Math.min(CHAIN_LOOK_MS_MAX, Math.max(CHAIN_LOOK_MS, keepMs)), () => {
      this.#cancel = undefined
      onTime()
      this.look()
    })
  }

  end(): void {
    this.#cancel?.()
    this.#cancel = undefined
  }
}
