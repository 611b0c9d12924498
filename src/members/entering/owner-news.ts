import { dialFailure } from '../../wire/dial-failure.ts'
import { RefusedError } from '../../wire/errors.ts'
import { SILENCE_MS } from './constants.ts'
import { type NewcomerEvent, type Step, turnedAwayBy } from './newcomer-machine.ts'
import type { Here, NewcomerOptions, Target } from './newcomer-options.ts'

export type OwnerNewsOptions = Pick<
  NewcomerOptions,
  'host' | 'clock' | 'targets' | 'onTurnedAway' | 'onUnreachable' | 'onSilence'
>

/**
 * Reports to the owner of a newcomer while it goes on trying: who does not let it in, where nobody can be reached and
 * why, and that nobody has answered for a while. Each answer is reported once, because a newcomer asks again and again.
 */
export class OwnerNews {
  readonly #options: OwnerNewsOptions
  readonly #told = new Set<string>()
  readonly #cancelSilence: () => void

  constructor(options: OwnerNewsOptions) {
    this.#options = options
    this.#cancelSilence = options.clock.after(SILENCE_MS, options.onSilence)
  }

  /** Call this when somebody answers, so that no silence is reported. */
  answered(): void {
    this.#cancelSilence()
  }

  /** Reports an answer, if it does not let this machine in. */
  answer(
    { step, here, isForeign }: { step: Step; here: Here | undefined; isForeign: boolean },
    event: NewcomerEvent
  ): void {
    const reason = isForeign ? 'foreign' : turnedAwayBy(step, event)
    const peer = here?.peer
    if (reason === undefined || peer === undefined) return
    const address = this.#options.host.connections().find(connection => connection.peer === peer)?.address ?? ''
    const places = event.event === 'refused' ? event.places : undefined
    if (this.#isNew(`${reason} ${peer} ${places?.waiting}`))
      this.#options.onTurnedAway({ peer, address, reason, places })
  }

  /** Reports why nobody could be reached at a target, if the owner or the invite named it. */
  failure(target: Target | undefined, error: unknown): void {
    const [address] = target?.addresses ?? []
    if (target === undefined || address === undefined || !this.#options.targets.includes(target)) return
    if (error instanceof RefusedError) return
    const reason = dialFailure(error)
    if (this.#isNew(`${reason} ${address}`)) this.#options.onUnreachable({ address, reason })
  }

  #isNew(key: string): boolean {
    if (this.#told.has(key)) return false
    this.#told.add(key)
    return true
  }
}
