import type { Chance } from './chance.ts'

export interface BackoffOptions {
  /** The first pause. */
  minMs: number
  /** Pauses grow up to this. Jitter may still lengthen such a pause by half. */
  maxMs: number
  /** Multiplies each pause by 0.5 to 1.5 at random, so that peers that failed together do not retry together. */
  jitter?: Pick<Chance, 'fraction'> | undefined
}

/** Pauses between attempts that fail: each is twice as long as the last, up to a limit. */
export class Backoff {
  readonly #options: BackoffOptions
  #pauseMs: number

  constructor(options: BackoffOptions) {
    this.#options = options
    this.#pauseMs = options.minMs
  }

  /** Returns the pause before the next attempt. The one after that is twice as long. */
  nextMs(): number {
    const { maxMs, jitter } = this.#options
    const pauseMs = this.#pauseMs
    this.#pauseMs = Math.min(2 * pauseMs, maxMs)
    return jitter === undefined ? pauseMs : pauseMs * (0.5 + jitter.fraction())
  }

  /** Call this when an attempt has succeeded: the next pause is `minMs` again. */
  reset(): void {
    this.#pauseMs = this.#options.minMs
  }
}
