import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { NodeEvent } from '../index.ts'
import { CliError } from './exit.ts'

/** How long the first start waits for somebody of its network before it goes on alone. */
const FIRST_ANSWER_MS = 5_000

export function foreignError(): CliError {
  return new CliError(
    'wrong-network',
    'the node that answered belongs to another network: check the network key and the --bootstrap address'
  )
}

/**
 * Whether the network key at a first start is the right one. Until a member has answered, or some time has passed, the
 * daemon serves nobody: so if the only one to answer is of another network, nothing is lost by taking all of it back.
 */
export class FirstAnswer {
  readonly #answered = Promise.withResolvers<void>()
  #isForeign = false
  #isMember = false

  /** To be told of everything from the start on. */
  hear({ event }: NodeEvent): void {
    if (event === 'foreign') this.#isForeign = true
    if (event !== 'admitted') return
    this.#isMember = true
    this.#answered.resolve()
  }

  /** Resolves when the daemon may go on. Throws a `CliError` if the only answer came from another network. */
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

/** What is in the data directory; nothing if there is none. */
export async function namesIn(folder: string): Promise<Set<string>> {
  return new Set(await readdir(folder).catch(() => []))
}

/** Removes all that a start has put into its data directory, so that the next one is a first start again. */
export async function takeBack(folder: string, before: ReadonlySet<string>): Promise<void> {
  for (const name of await namesIn(folder))
    if (!before.has(name)) await rm(join(folder, name), { recursive: true, force: true })
}
