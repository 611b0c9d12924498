import { toHex } from '../../util/bytes.ts'
import type { PutId } from '../hold/claims.ts'

/** Counts the puts of this member that are under way. Small puts share an id. */
export class PutsUnderWay {
  /** By claim id (hex). */
  readonly #counts = new Map<string, number>()

  /** Notes a put that begins. Returns the function that notes its end, to be called once. */
  begin(put: PutId): () => void {
    const key = toHex(put)
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1)
    return () => {
      const left = (this.#counts.get(key) ?? 1) - 1
      if (left > 0) this.#counts.set(key, left)
      else this.#counts.delete(key)
    }
  }

  get hasAny(): boolean {
    return this.#counts.size > 0
  }

  has(put: PutId): boolean {
    return this.#counts.has(toHex(put))
  }
}
