import type { FastifyInstance } from 'fastify'
import { LRUCache } from 'lru-cache'
import { TRANSFERS_ROUTE } from '../contract/routes.ts'
import type { Transfer } from '../contract/transfer.ts'
import { TRANSFER_TTL_MS, TRANSFERS_MAX } from './constants.ts'
import { errorOf, HttpError } from './errors.ts'
import { targetOf } from './target.ts'

/**
 * Remembers how recent downloads ended. HTTP cannot express why a body broke off or which members delivered it, so a
 * client that wants to know asks for the transfer afterwards. Old transfers are forgotten.
 */
export class Transfers {
  readonly #recent = new LRUCache<string, Transfer>({ max: TRANSFERS_MAX, ttl: TRANSFER_TTL_MS })
  #last = 0

  /** Records that a transfer begins. The caller must call `end` when it is over. */
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

/** `GET /v1/transfers/ID` */
export function serveTransfers(app: FastifyInstance, transfers: Transfers): void {
  app.get(`${TRANSFERS_ROUTE}/:id`, async request => {
    const transfer = transfers.get(targetOf(request).rest)
    if (transfer === undefined) throw new HttpError(404, 'not-found', 'there is no such transfer, or it was forgotten')
    return transfer
  })
}
