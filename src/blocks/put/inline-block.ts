import type { StoreClient } from '../protocol/store-client.ts'
import type { PutDriverDeps } from './put-ports.ts'

type Client = PutDriverDeps['storeClient']

/**
 * Watches the requests of a put that carry the bytes of its small block, so that their memory can be used again as soon
 * as nobody reads it. A request that fails is never over, because its bytes may still wait in a socket.
 */
export class InlineBlock implements Client {
  readonly #client: Client
  readonly #onFree: () => void
  #requests = 0
  #state: 'in-use' | 'ended' | 'free' = 'in-use'

  /** `onFree` is called at most once. */
  constructor(client: Client, onFree: () => void) {
    this.#client = client
    this.#onFree = onFree
  }

  async keepBlock(...request: Parameters<StoreClient['keepBlock']>): ReturnType<StoreClient['keepBlock']> {
    this.#requests++
    const answer = await this.#client.keepBlock(...request)
    this.#requests--
    this.#look()
    return answer
  }

  keepRoot(...request: Parameters<StoreClient['keepRoot']>): ReturnType<StoreClient['keepRoot']> {
    return this.#client.keepRoot(...request)
  }

  /** The put has ended, so no further request will carry the bytes. */
  end(): void {
    if (this.#state === 'in-use') this.#state = 'ended'
    this.#look()
  }

  #look(): void {
    if (this.#state !== 'ended' || this.#requests > 0) return
    this.#state = 'free'
    this.#onFree()
  }
}
