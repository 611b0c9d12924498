import { CHAIN_MAX } from '../format/constants.ts'
import type { PeerId } from '../format/peer-id.ts'
import type { Logger } from '../util/logger.ts'
import { LISTS_MAX, PUSH_STATEMENTS_MAX } from './constants.ts'
import { MEMBERSHIP, REST, type StatementClass } from './keys.ts'
import type { Log } from './log.ts'
import { isRetryable, type Verdict } from './projection.ts'
import type { SyncClient } from './sync-client.ts'

export interface ComparisonOptions {
  peer: PeerId
  client: SyncClient
  statements: Pick<Log, 'has' | 'receive'>
  log: Logger
  onFault: (peer: PeerId) => void
  signal: AbortSignal | undefined
}

/** What one walk through a member's statements of one class has counted. */
interface Walk {
  listed: number
  lacking: number
  fetched: number
  /** For each verdict, the number of fetched statements to which our log gave it. */
  verdicts: Map<Verdict, number>
}

/** Fetches every statement that one member has and this one lacks. Use one instance per comparison. */
export class Comparison {
  readonly #options: ComparisonOptions

  constructor(options: ComparisonOptions) {
    this.#options = options
  }

  /** Returns false if the log refused some statements that it may accept later. */
  async run(): Promise<boolean> {
    const { peer, log } = this.#options
    // The caller already logs that a comparison begins, so this is only traced.
    log.trace('comparing with %s', peer)
    // A member lists its statements in the order of their ids, so many statements arrive before the grant that they
    // name. By the next walk, that grant is here. A grant may itself name another grant that comes later, but the
    // length of a chain of grants is limited.
    let membership = await this.#walk(MEMBERSHIP)
    for (let again = 0; again < CHAIN_MAX; again++) {
      if (!membership.verdicts.has('ok') || !membership.verdicts.has('unknown-grant')) break
      membership = await this.#walk(MEMBERSHIP)
    }
    const rest = await this.#walk(REST)
    const isWhole = [...membership.verdicts.keys(), ...rest.verdicts.keys()].every(verdict => !isRetryable(verdict))
    log.trace('compared with %s: %s', peer, isWhole ? 'whole' : 'some statements may be accepted later')
    return isWhole
  }

  async #walk(statementClass: StatementClass): Promise<Walk> {
    const { peer, client, statements, signal } = this.#options
    const walk: Walk = { listed: 0, lacking: 0, fetched: 0, verdicts: new Map() }
    let after: Uint8Array | null = null
    for (let lists = 0; lists < LISTS_MAX; lists++) {
      const page: { ids: Uint8Array[]; isEnd: boolean } = await client.list(peer, statementClass, after, signal)
      const has = await statements.has(page.ids)
      const lacking = page.ids.filter((_, i) => has[i] === false)
      walk.listed += page.ids.length
      walk.lacking += lacking.length
      await this.#fetch(lacking, walk)
      after = page.ids.at(-1) ?? null
      if (page.isEnd || after === null) {
        this.#report(statementClass, walk)
        return walk
      }
    }
    return client.blame(peer, 'the list of a class has no end')
  }

  /** Fetches statements and hands them to the log. */
  async #fetch(ids: readonly Uint8Array[], walk: Walk): Promise<void> {
    const { peer, client, statements, onFault, signal } = this.#options
    const fetchedBefore = walk.fetched
    let rest = ids
    while (rest.length > 0) {
      const answers = await client.fetch(peer, rest.slice(0, PUSH_STATEMENTS_MAX), signal)
      const fetched = answers.filter(bytes => bytes !== null)
      const verdicts = await statements.receive(fetched, peer)
      // The log of an honest member would have refused an invalid statement.
      if (verdicts.includes('invalid')) onFault(peer)
      walk.fetched += fetched.length
      for (const verdict of verdicts) walk.verdicts.set(verdict, (walk.verdicts.get(verdict) ?? 0) + 1)
      rest = rest.slice(answers.length)
    }
    // A status or two may have been superseded since they were listed, but not all of many.
    if (walk.fetched === fetchedBefore && ids.length > PUSH_STATEMENTS_MAX)
      client.blame(peer, 'a list names statements that the member does not have')
  }

  #report(statementClass: StatementClass, { listed, lacking, fetched, verdicts }: Walk): void {
    const { peer, log } = this.#options
    if (!log.enabled) return
    const counts = [...verdicts].map(([verdict, count]) => `${count} ${verdict}`).join(', ')
    log(
      '%s statements of %s: %d listed, %d lacking here, %d fetched (%s)',
      statementClass === MEMBERSHIP ? 'membership' : 'other',
      peer,
      listed,
      lacking,
      fetched,
      counts || 'nothing new'
    )
  }
}
