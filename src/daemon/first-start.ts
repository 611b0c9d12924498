import type { NodeEvent } from '../index.ts'
import { CliError } from '../terminal/errors.ts'

/** How long the first start waits for a member of its network before it continues alone. */
const FIRST_ANSWER_MS = 5_000

export function foreignError(): CliError {
  return new CliError(
    'wrong-network',
    'the node that answered belongs to another network: check the network key and the --bootstrap address'
  )
}

/**
 * Finds out at a first start whether the network key is the right one. The node serves its peers immediately, but the
 * API does not answer until a member has answered or some time has passed, so nobody has stored anything here by then.
 * If the only node that answers belongs to another network, the start can be undone without a loss.
 */
export class FirstAnswer {
  readonly #answered = Promise.withResolvers<void>()
  #isForeign = false
  #isMember = false

  /** Must be called with every event since the start. */
  onEvent({ event }: NodeEvent): void {
    if (event === 'foreign') this.#isForeign = true
    if (event !== 'admitted') return
    this.#isMember = true
    this.#answered.resolve()
  }

  /** Resolves when the daemon may continue. Throws a `CliError` if the only answer came from another network. */
  async wait(stopping: Promise<void>): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>(resolve => {
      timer = setTimeout(resolve, FIRST_ANSWER_MS)
    })
    await Promise.race([this.#answered.promise, late, stopping])
    clearTimeout(timer)
    if (this.#isForeign && !this.#isMember) throw foreignError()
  }
}
