import { LRUCache } from 'lru-cache'
import { TRANSFER_TTL_MS, TRANSFERS_MAX } from './constants.ts'

/** How a download ended, or where it stands. */
export interface Transfer {
  done: boolean
  from: Array<{ peerId: string; bytes: number }>
  error?: { code: string; message: string }
}

/**
 * The ends of recent downloads. HTTP cannot say why a body broke off, nor who delivered it: whoever wants to know asks
 * for the transfer afterwards.
 */
export class Transfers {
  readonly #recent = new LRUCache<string, () => Transfer>({ max: TRANSFERS_MAX, ttl: TRANSFER_TTL_MS })
  #last = 0

  /** Notes a transfer; `look` is called when somebody asks. Gives its id. */
  add(look: () => Transfer): string {
    const id = String(++this.#last)
    this.#recent.set(id, look)
    return id
  }

  get(id: string): Transfer | undefined {
    return this.#recent.get(id)?.()
  }
}
