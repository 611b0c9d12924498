import type { Chance } from './chance.ts'

export interface BackoffOptions {
  /** The first pause. */
  minMs: number
  /** No pause grows beyond this. */
  maxMs: number
  /** Spreads each pause between half and one and a half of itself, so that many who failed together do not retry together. */
  jitter?: Pick<Chance, 'fraction'> | undefined
}

/** Pauses between tries that fail: each is twice the last, up to a limit. */
export class Backoff {
  readonly #options: BackoffOptions
  #pauseMs: number

  constructor(options: BackoffOptions) {
    this.#options = options
    this.#pauseMs = options.minMs
  }

  /** The pause before the next try. The one after that is twice as long. */
  nextMs(): number {
    const { maxMs, jitter } = this.#options
    const pauseMs = this.#pauseMs
    this.#pauseMs = Math.min(2 * pauseMs, maxMs)
    return jitter === undefined ? pauseMs : pauseMs * (0.5 + jitter.fraction())
  }

  /** A try succeeded: the next pause is the first again. */
  reset(): void {
    this.#pauseMs = this.#options.minMs
  }
}
