import type { Chance } from './chance.ts'

export interface BackoffOptions {
  /** The first pause. */
  minMs: number
  /** The upper limit of a pause. Jitter may still lengthen such a pause by half. */
  maxMs: number
  /** Multiplies each pause by 0.5 to 1.5 at random, so that peers that failed together do not retry together. */
  jitter?: Pick<Chance, 'fraction'> | undefined
}

/** Computes the pauses between failed attempts. Each is twice as long as the one before, up to a limit. */
export class Backoff {
  readonly #options: BackoffOptions
  #pauseMs: number

  constructor(options: BackoffOptions) {
    this.#options = options
    this.#pauseMs = options.minMs
  }

  /** Returns the pause before the next attempt, and doubles the pause after that. */
  nextMs(): number {
    const { maxMs, jitter } = this.#options
    const pauseMs = this.#pauseMs
    this.#pauseMs = Math.min(2 * pauseMs, maxMs)
    return jitter === undefined ? pauseMs : pauseMs * (0.5 + jitter.fraction())
  }

  /** Call this when an attempt has succeeded. The next pause is then `minMs` again. */
  reset(): void {
    this.#pauseMs = this.#options.minMs
  }
}
