import { LRUCache } from 'lru-cache'
import type { Transfer } from '../contract/transfer.ts'
import { TRANSFER_TTL_MS, TRANSFERS_MAX } from './constants.ts'
import { errorOf } from './errors.ts'

/**
 * The ends of recent downloads. HTTP cannot say why a body broke off, nor who delivered it: whoever wants to know asks
 * for the transfer afterwards. Old ones are forgotten.
 */
export class Transfers {
  readonly #recent = new LRUCache<string, Transfer>({ max: TRANSFERS_MAX, ttl: TRANSFER_TTL_MS })
  #last = 0

  /** Notes a transfer that begins. */
  begin(): { id: string; end: (from: Transfer['from'], error?: unknown) => void } {
    const id = String(++this.#last)
    this.#recent.set(id, { done: false, from: [] })
    const end = (from: Transfer['from'], error?: unknown): void => {
      const transfer: Transfer = { done: true, from }
      if (error !== undefined) transfer.error = errorOf(error)
      this.#recent.set(id, transfer)
    }
    return { id, end }
  }

  get(id: string): Transfer | undefined {
    return this.#recent.get(id)
  }
}
