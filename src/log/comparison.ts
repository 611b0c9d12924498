import { SUPPORT_STATEMENTS_MAX } from '../format/constants.ts'
import type { PeerId } from '../format/peer-id.ts'
import { STATEMENT_ID_BYTES } from '../format/statement.ts'
import type { Clock } from '../util/clock.ts'
import { OverLimitError } from '../util/errors.ts'
import type { Logger } from '../util/logger.ts'
import { LISTS_MAX, LOST_MAX, PUSH_STATEMENTS_MAX } from './constants.ts'
import type { Cursors } from './cursors.ts'
import type { FetchTurns } from './fetch-turns.ts'
import { MEMBERSHIP, REST, type StatementClass } from './keys.ts'
import type { Log } from './log.ts'
import type { Position, Positions, Totals } from './positions.ts'
import { isRetryable, type Verdict } from './projection.ts'
import { type Judgement, Standing, type Standings } from './standing.ts'
import type { IdPage, SyncClient } from './sync-client.ts'

export interface ComparisonOptions {
  peer: PeerId
  client: Pick<SyncClient, 'list' | 'news' | 'fetch' | 'changed' | 'blame'>
  statements: Pick<Log, 'has' | 'receive' | 'earlyCount'>
  positions: Pick<Positions, 'totals'>
  cursors: Pick<Cursors, 'get' | 'set'>
  /** Shared by all comparisons of this member. */
  turns: FetchTurns
  /** The state that earlier comparisons with this peer have left. */
  standings: Standings
  /** Returns ids of statements that this member has lost by damage, at most this many. */
  lost: (limit: number) => Promise<Uint8Array[]>
  clock: Clock
  log: Logger
  onFault: (peer: PeerId) => void
  /** Called when the totals say that one of the two members lacks something, and all ids are listed again. */
  onDoubt: (peer: PeerId) => void
  signal: AbortSignal | undefined
}

/** The counts of one walk through a member's statements. */
interface Walk {
  class: StatementClass
  standing: Standing
  listed: number
  lacking: number
  fetched: number
  /** The number of statements that the peer listed but no longer has. */
  gone: number
  /** For each verdict, the number of fetched statements to which our log gave it. */
  verdicts: Map<Verdict, number>
}

/**
 * Fetches every statement that one member has and this one lacks: first those about membership, then the rest. It asks
 * for what the other member accepted since the last comparison. Only if there was none, or if the other member does not
 * know the cursor any more, does it ask for all ids. Use one instance per comparison.
 */
export class Comparison {
  readonly #options: ComparisonOptions

  constructor(options: ComparisonOptions) {
    this.#options = options
  }

  /**
   * Returns false if the log refused some statements that it may accept later. With `isAll`, all ids are listed, even if
   * there is a cursor.
   */
  async run({ isAll = false } = {}): Promise<boolean> {
    const { peer, log, standings } = this.#options
    // The caller already logs that a comparison begins, so this is only traced.
    log.trace('comparing with %s', peer)
    // Membership is a gate: if this throws, nothing else is compared.
    await this.#compareClass(MEMBERSHIP, isAll)
    await this.#compareClass(REST, isAll)
    const { isWhole } = standings
    log.trace('compared with %s: %s', peer, isWhole ? 'whole' : 'some statements may be accepted later')
    return isWhole
  }

  async #compareClass(statementClass: StatementClass, isAll: boolean): Promise<void> {
    const { standings, statements } = this.#options
    const standing = standings.of(statementClass)
    const walk = newWalk(statementClass, standing)
    await this.#fetchLost(statementClass)
    if (!standing.isWhole) await this.#fetch(standing.held, walk)
    const totals = isAll ? await this.#takeAll(walk) : await this.#takeNew(walk)
    // A statement that waits for its time here may count there already, so the totals say nothing until none waits.
    if (standing.isWhole && statements.earlyCount === 0) await this.#judge(totals, walk)
    this.#report(walk)
  }

  /** Compares the totals of the two members once this one has taken everything, and acts on the result. */
  async #judge(other: Totals, walk: Walk): Promise<void> {
    const { peer, client, clock, log, positions, onDoubt, signal } = this.#options
    const { standing, class: statementClass } = walk
    const judge = async (totals: Totals): Promise<Judgement> =>
      standing.judge(await positions.totals(statementClass), totals, clock.monotonic())
    const judgement = await judge(other)
    if (judgement === 'ask') await client.changed(peer, signal)
    if (judgement !== 'doubt') return
    log('the totals of %s and ours stay different: listing all %s statements', peer, nameOf(statementClass))
    onDoubt(peer)
    // If this removes the difference, there is no doubt any more.
    await judge(await this.#takeAll(walk))
  }

  /** Takes what the peer has accepted since the last comparison, and returns its totals. */
  async #takeNew(walk: Walk): Promise<Totals> {
    const { peer, client, cursors, log } = this.#options
    const { standing } = walk
    const cursor = standing.position ?? (await cursors.get(peer, walk.class))
    if (cursor === undefined) return this.#takeFromStart(walk)
    const totals = await this.#walkNews(cursor, walk)
    if (totals !== undefined) return totals
    if (standing.position !== undefined) {
      // Within one connection, a position cannot become unknown.
      standing.position = undefined
      client.blame(peer, 'a member does not know a position that it has named itself')
    }
    log('%s does not know our cursor: its data may have been restored from a backup', peer)
    return this.#takeFromStart(walk)
  }

  /**
   * Takes everything that the peer has, in the order in which the peer accepted it, and returns its totals. A directory
   * then comes before most of what is in it, so files can be used while others are still on their way. The cursor is
   * noted after each page, so a comparison that breaks off goes on with the page at which it was.
   */
  async #takeFromStart(walk: Walk): Promise<Totals> {
    const { peer, client, signal } = this.#options
    // No id comes after the last one, so this page is empty. It names the lineage of the peer.
    const { position } = await client.list(peer, walk.class, LAST_ID, signal)
    const totals = await this.#walkNews({ ...position, sequence: 0 }, walk)
    return totals ?? client.blame(peer, 'a member does not know a position that it has named itself')
  }

  /** Lists everything that the peer has, takes what is lacking here, and returns the totals of the peer. */
  async #takeAll(walk: Walk): Promise<Totals> {
    const { peer, client } = this.#options
    const position = await this.#walkList(walk)
    await this.#advance(position, walk)
    const totals = await this.#walkNews(position, walk)
    return totals ?? client.blame(peer, 'a member does not know a position that it has named itself')
  }

  /** Returns the position at which the list began. */
  async #walkList(walk: Walk): Promise<Position> {
    const { peer, client, signal } = this.#options
    let first: Position | undefined
    let after: Uint8Array | null = null
    for (let pages = 0; pages < LISTS_MAX; pages++) {
      const page: IdPage = await client.list(peer, walk.class, after, signal)
      first ??= page.position
      await this.#take(page.ids, walk)
      if (page.isEnd) return first
      after = page.ids.at(-1) ?? null
    }
    return client.blame(peer, 'the list of a class has no end')
  }

  /** Returns the totals of the peer at the end, or undefined if the peer does not know the position. */
  async #walkNews(from: Position, walk: Walk): Promise<Totals | undefined> {
    const { peer, client, signal } = this.#options
    let position = from
    for (let pages = 0; pages < LISTS_MAX; pages++) {
      const page = await client.news(peer, walk.class, position, signal)
      if (page === undefined) return undefined
      await this.#take(page.ids, walk)
      position = page.position
      await this.#advance(position, walk)
      if (page.isEnd) return page.totals
    }
    return client.blame(peer, 'the news of a class has no end')
  }

  /** Notes that everything before a position was taken, apart from the statements that are held. */
  async #advance(position: Position, { class: statementClass, standing }: Walk): Promise<void> {
    const { peer, cursors } = this.#options
    standing.position = position
    if (standing.isWhole) await cursors.set(peer, statementClass, position)
  }

  /** Takes one page of ids. */
  async #take(ids: readonly Uint8Array[], walk: Walk): Promise<void> {
    const { standing, verdicts } = walk
    const has = await this.#options.statements.has(ids)
    const lacking = ids.filter((id, i) => has[i] === false && !standing.isHeld(id))
    walk.listed += ids.length
    walk.lacking += lacking.length
    let accepted = verdicts.get('ok')
    await this.#fetch(lacking, walk)
    // In a list, many grants come before the grant or the invite that they name, because they are in the order of their
    // ids. The grant or invite that they name may itself name one that comes later, but the number of statements that a
    // grant rests on is limited.
    for (let again = 0; again < SUPPORT_STATEMENTS_MAX && walk.class === MEMBERSHIP && !standing.isWhole; again++) {
      if (verdicts.get('ok') === accepted) return
      accepted = verdicts.get('ok')
      await this.#fetch(standing.held, walk)
    }
  }

  /** Fetches the statements that this member has lost by damage. The peer need not have them. */
  async #fetchLost(statementClass: StatementClass): Promise<void> {
    const { lost, peer, log } = this.#options
    const ids = await lost(LOST_MAX)
    if (ids.length === 0) return
    log('asking %s for statements that were lost here: %d', peer, ids.length)
    // If the log refuses one of them, it stays lost, so it need not be held. It may also be of the other class.
    for (let start = 0; start < ids.length; start += PUSH_STATEMENTS_MAX)
      await this.#fetch(ids.slice(start, start + PUSH_STATEMENTS_MAX), newWalk(statementClass, new Standing()))
  }

  /** Fetches statements that this member lacks, in turn with the other comparisons, and hands them to the log. */
  async #fetch(ids: readonly Uint8Array[], walk: Walk): Promise<void> {
    const { peer, client, statements, turns, signal } = this.#options
    let rest = ids
    while (rest.length > 0) {
      const next = rest.slice(0, PUSH_STATEMENTS_MAX)
      const answered = await turns.run(
        async () => {
          // Another member may have sent some of them in its turn.
          const has = await statements.has(next)
          const lacking = next.filter((_, i) => has[i] === false)
          for (const [i, id] of next.entries()) if (has[i] === true) walk.standing.release(id)
          if (lacking.length === 0) return { lacking, answers: [] }
          return { lacking, answers: await client.fetch(peer, lacking, signal) }
        },
        async ({ lacking, answers }) => {
          if (answers.length > 0) await this.#receive(lacking.slice(0, answers.length), answers, walk)
          return lacking.slice(answers.length)
        },
        signal
      )
      rest = [...answered, ...rest.slice(next.length)]
    }
    // Some statuses may have been replaced since they were listed, but not most of many statements.
    if (walk.gone > PUSH_STATEMENTS_MAX && walk.gone > walk.fetched)
      client.blame(peer, 'a member lists statements that it does not have')
  }

  async #receive(ids: readonly Uint8Array[], answers: ReadonlyArray<Uint8Array | null>, walk: Walk): Promise<void> {
    const { peer, statements, onFault } = this.#options
    const { standing } = walk
    const fetched = ids.filter((_, i) => answers[i] !== null)
    for (const [i, id] of ids.entries()) if (answers[i] === null) standing.release(id)
    walk.gone += ids.length - fetched.length
    walk.fetched += fetched.length
    const verdicts = await statements.receive(
      answers.filter(bytes => bytes !== null),
      peer
    )
    // The log of an honest member would have refused an invalid statement.
    if (verdicts.includes('invalid')) onFault(peer)
    for (const [i, verdict] of verdicts.entries()) {
      walk.verdicts.set(verdict, (walk.verdicts.get(verdict) ?? 0) + 1)
      const id = fetched[i] as Uint8Array
      if (!isRetryable(verdict)) standing.release(id)
      else if (!standing.hold(id)) throw new OverLimitError('too many statements of one member cannot be accepted yet')
    }
  }

  #report({ class: statementClass, listed, lacking, fetched, verdicts }: Walk): void {
    const { peer, log } = this.#options
    if (!log.enabled) return
    const counts = [...verdicts].map(([verdict, count]) => `${count} ${verdict}`).join(', ')
    const write = listed > 0 ? log : log.trace
    write(
      '%s statements of %s: %d listed, %d lacking here, %d fetched (%s)',
      nameOf(statementClass),
      peer,
      listed,
      lacking,
      fetched,
      counts || 'nothing new'
    )
  }
}

const LAST_ID = new Uint8Array(STATEMENT_ID_BYTES).fill(0xff)

function newWalk(statementClass: StatementClass, standing: Standing): Walk {
  return { class: statementClass, standing, listed: 0, lacking: 0, fetched: 0, gone: 0, verdicts: new Map() }
}

function nameOf(statementClass: StatementClass): string {
  return statementClass === MEMBERSHIP ? 'membership' : 'other'
}
