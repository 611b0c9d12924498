import type { PeerId } from '../../format/peer-id.ts'

/** How the wait of a machine that showed a code ended. */
export type CodeEnd = 'granted' | 'denied' | 'expired' | 'withdrawn'

export interface EndedCode {
  peer: PeerId
  name: string
  how: CodeEnd
}

/** The number of codes that are remembered: all that strangers may draw in a few hours. The oldest are forgotten. */
const CODES_KEPT_MAX = 256

/** The codes that are no longer valid, so that a person who types one late learns what became of it. */
export class EndedCodes {
  readonly #ended = new Map<string, EndedCode>()

  note(code: string, ended: EndedCode): void {
    // A grant is the last word: the machine may ask again, but it is in.
    if (this.#ended.get(code)?.how === 'granted') return
    this.#ended.delete(code)
    this.#ended.set(code, ended)
    const [oldest] = this.#ended.keys()
    if (this.#ended.size > CODES_KEPT_MAX && oldest !== undefined) this.#ended.delete(oldest)
  }

  of(code: string): EndedCode | undefined {
    return this.#ended.get(code)
  }
}
