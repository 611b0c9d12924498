import type { IndexDb } from '../disk/index-db.ts'
import type { PeerId } from '../format/peer-id.ts'
import type { SomeStatement } from '../format/statement.ts'
import { Batcher } from '../util/batcher.ts'
import { NO_BYTES, shortHex } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import { withDeadline } from '../util/deadline.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../util/logger.ts'
import { serveCalls } from '../wire/calls.ts'
import { DisconnectedError } from '../wire/errors.ts'
import type { Host } from '../wire/host.ts'
import { Comparison } from './comparison.ts'
import {
  CATCHING_UP_MS,
  HOLDERS_TIMEOUT_MS,
  NEWS_MAX,
  PUSH_STATEMENTS_MAX,
  PUSHES_IN_FLIGHT,
  SYNC_BYTES_MAX
} from './constants.ts'
import { Cursors } from './cursors.ts'
import { FetchTurns } from './fetch-turns.ts'
import { REST } from './keys.ts'
import { Outbox } from './outbox.ts'
import { isForClock, isRetryable, type LoggedStatement, type Verdict } from './projection.ts'
import { Standings } from './standing.ts'
import { type Push, SYNC, SyncClient } from './sync-client.ts'
import { answerSync, type SyncServerOptions } from './sync-server.ts'

export interface SyncOptions extends SyncServerOptions {
  host: Host
  index: IndexDb
  clock: Clock
  logger: ComponentLogger
  /** Whether this peer is an admitted member. */
  isAdmitted: (peer: PeerId) => boolean
  admitted: () => readonly PeerId[]
  /** Called when a peer breaks the protocol. */
  onFault: (peer: PeerId) => void
  /** Called when the totals of a member show that one of us lacks something. All ids are then listed again. */
  onDoubt: (peer: PeerId) => void
  /** Returns ids of statements that this member has lost by damage, at most this many. */
  lost: (limit: number) => Promise<Uint8Array[]>
  /** Called when a member refuses one of our statements because its stamp is too far ahead. */
  onClockOff: () => void
}

/**
 * `/dfs/sync/1.0.0`: pushes statements until they are acknowledged, passes news on, and, when this member meets
 * another, fetches all statements that this member lacks. SPEC.md describes the exchange.
 *
 * It holds one queue of pushes and one outbox for each admitted member, and drops both when the member disconnects.
 */
export class Sync {
  readonly #options: SyncOptions
  readonly #client: SyncClient
  readonly #log: Logger
  readonly #pushes = new Map<PeerId, Batcher<Push, Verdict>>()
  readonly #outboxes = new Map<PeerId, Outbox>()
  /**
   * The state that comparisons with each member keep in memory. There is one for each member that was ever admitted.
   */
  readonly #standings = new Map<PeerId, Standings>()
  readonly #cursors: Cursors
  readonly #turns: FetchTurns
  /** The members with which the first comparison of a connection is under way, and since when by the monotonic clock. */
  readonly #firstComparisons = new Map<PeerId, number>()
  #isStopped = false

  constructor(options: SyncOptions) {
    this.#options = options
    const { host, index, clock, log, logger, isAdmitted, onFault } = options
    this.#cursors = new Cursors(index)
    this.#turns = new FetchTurns(clock)
    this.#log = logger.forComponent('dfs:log:sync')
    this.#client = new SyncClient({ host, clock, onFault })
    serveCalls(host, { ...SYNC, onFault, clock, mayAsk: isAdmitted, answer: request => answerSync(options, request) })
    log.onAccepted((items, from) => this.#onAccepted(items, from))
    host.onPeer((event, peer) => {
      if (event === 'disconnected') this.#forget(peer)
    })
  }

  stop(): void {
    this.#isStopped = true
    for (const peer of [...this.#outboxes.keys(), ...this.#pushes.keys()]) this.#forget(peer)
  }

  /**
   * Pushes a statement to one member. Resolves with the member's verdict once the statement is durable there, or
   * refused. If the member refuses it for a reason that may pass, or the push fails, the member is told to compare, as
   * long as it stays connected.
   */
  push(peer: PeerId, statement: SomeStatement, put: Uint8Array | null = null): Promise<Verdict> {
    const pushed = this.#pushesTo(peer).add({ statement, put })
    this.#outboxes.get(peer)?.pushed(statement)
    pushed.then(
      verdict => {
        if (isRetryable(verdict)) this.#outbox(peer)?.fallBehind()
        if (isForClock(verdict)) this.#options.onClockOff()
      },
      // The caller gets the error too, and the failed batch has been logged.
      () => this.#outbox(peer)?.fallBehind()
    )
    return pushed
  }

  /** Notes that a member has acknowledged a statement of our own that reached it by another protocol. */
  noteAcknowledged(peer: PeerId, statement: SomeStatement): void {
    this.#outboxes.get(peer)?.pushed(statement)
  }

  /** Pushes statements of our own to every admitted member, without waiting for the answers. */
  announce(statements: readonly SomeStatement[], except: ReadonlySet<PeerId> = new Set()): void {
    const peers = this.#options.admitted().filter(peer => !except.has(peer))
    if (peers.length > 0) this.#log.trace('announcing statements: %d, to members: %d', statements.length, peers.length)
    for (const peer of peers) {
      // Statements are not queued in memory for a member that cannot keep up.
      if ((this.#pushes.get(peer)?.pending ?? 0) > NEWS_MAX) {
        this.#outbox(peer)?.fallBehind()
        continue
      }
      // `push` handles the failure.
      for (const statement of statements) this.push(peer, statement).catch(() => {})
    }
  }

  /**
   * Asks every admitted member whether it has a statement, and returns those that do. A member that does not answer in
   * time counts as not having it.
   */
  async holders(id: Uint8Array): Promise<PeerId[]> {
    const asked = await Promise.all(
      this.#options.admitted().map(async peer => ((await this.hasAll(peer, [id])) ? [peer] : []))
    )
    return asked.flat()
  }

  /**
   * Asks a member whether it has all of some statements, at most `IDS_MAX`. Returns false if the member does not answer
   * in time.
   */
  async hasAll(peer: PeerId, ids: readonly Uint8Array[]): Promise<boolean> {
    try {
      const lacking = await withDeadline(this.#options.clock, HOLDERS_TIMEOUT_MS, undefined, signal =>
        this.#client.offer(peer, ids, signal)
      )
      return lacking.length === 0
    } catch (error) {
      this.#log('%s did not say whether it has %s: %s', peer, shortHex(ids[0] ?? NO_BYTES), reasonOf(error))
      return false
    }
  }

  /**
   * Fetches every statement that a member has accepted since the last comparison and this one lacks, those about
   * membership first. Returns false if the log refused some that it may accept later. Throws what `Callers.call`
   * throws. Throws a `ProtocolError`, which counts as a fault of the member, if the member lists statements that it
   * does not have, answers with other statements, contradicts itself, or lists without end. Throws an `OverLimitError`
   * if it has too many statements that cannot be accepted yet.
   */
  async compare(peer: PeerId, signal?: AbortSignal): Promise<boolean> {
    const comparison = this.#comparison(peer, signal)
    if (this.#standings.get(peer)?.of(REST).position === undefined)
      this.#firstComparisons.set(peer, this.#options.clock.monotonic())
    try {
      return await comparison.run()
    } finally {
      this.#firstComparisons.delete(peer)
    }
  }

  /**
   * The members from which this one has been fetching what it missed for `CATCHING_UP_MS`, since they connected. It has
   * just joined, or was away, so its catalog may be incomplete.
   */
  get catchingUpWith(): PeerId[] {
    const beforeMs = this.#options.clock.monotonic() - CATCHING_UP_MS
    return [...this.#firstComparisons].flatMap(([peer, sinceMs]) => (sinceMs <= beforeMs ? [peer] : []))
  }

  /**
   * Like `compare`, but looks at all statements that the member has, as when two members meet for the first time. This
   * takes 32 bytes for each statement. Call it if there is a sign that something is missing here.
   */
  compareAll(peer: PeerId, signal?: AbortSignal): Promise<boolean> {
    return this.#comparison(peer, signal).run({ isAll: true })
  }

  /**
   * Members whose totals differ from ours although each of us seems to have everything of the other. All ids were
   * listed again, and that did not remove the difference. Either side may be at fault.
   */
  get inDoubt(): PeerId[] {
    return [...this.#standings].flatMap(([peer, standings]) => (standings.isInDoubt ? [peer] : []))
  }

  /**
   * News from one member is passed on once to the others. A statement of our own is expected to be pushed to all of
   * them.
   */
  #onAccepted(items: readonly LoggedStatement[], from: PeerId | null): void {
    const statements = items.map(({ statement }) => statement)
    for (const peer of this.#options.admitted()) {
      if (from === null) this.#outbox(peer)?.expect(statements)
      else if (peer !== from) this.#outbox(peer)?.add(statements)
    }
  }

  #comparison(peer: PeerId, signal: AbortSignal | undefined): Comparison {
    let standings = this.#standings.get(peer)
    if (standings === undefined) {
      standings = new Standings()
      this.#standings.set(peer, standings)
    }
    const { log, clock, onFault, onDoubt, lost } = this.#options
    return new Comparison({
      peer,
      client: this.#client,
      statements: log,
      positions: log.positions,
      cursors: this.#cursors,
      turns: this.#turns,
      standings,
      lost,
      clock,
      log: this.#log,
      onFault,
      onDoubt,
      signal
    })
  }

  #pushesTo(peer: PeerId): Batcher<Push, Verdict> {
    let batcher = this.#pushes.get(peer)
    if (batcher === undefined) {
      batcher = new Batcher<Push, Verdict>(pushes => this.#pushBatch(peer, pushes), {
        itemsMax: PUSH_STATEMENTS_MAX,
        bytesMax: SYNC_BYTES_MAX,
        sizeOf: ({ statement }) => statement.bytes.byteLength,
        parallel: PUSHES_IN_FLIGHT
      })
      this.#pushes.set(peer, batcher)
    }
    return batcher
  }

  async #pushBatch(peer: PeerId, pushes: Push[]): Promise<Verdict[]> {
    try {
      const verdicts = await this.#client.push(peer, pushes)
      this.#reportPush(peer, pushes, verdicts)
      return verdicts
    } catch (error) {
      this.#log('a push to %s failed, statements: %d (%s)', peer, pushes.length, reasonOf(error))
      throw error
    }
  }

  #reportPush(peer: PeerId, pushes: readonly Push[], verdicts: readonly Verdict[]): void {
    if (!this.#log.enabled) return
    for (const [i, { statement, put }] of pushes.entries()) {
      // A put that pushes its own record logs the verdict itself.
      const log = put === null ? this.#log : this.#log.trace
      log('pushed %s %s to %s: %s', statement.kind, shortHex(statement.id), peer, verdicts[i])
    }
  }

  #outbox(peer: PeerId): Outbox | undefined {
    if (this.#isStopped || !this.#options.admitted().includes(peer)) return undefined
    let outbox = this.#outboxes.get(peer)
    if (outbox === undefined) {
      const { clock, logger, admitted } = this.#options
      outbox = new Outbox({
        peer,
        clock,
        logger,
        isAdmitted: () => admitted().includes(peer),
        offer: (ids, signal) => this.#client.offer(peer, ids, signal),
        changed: signal => this.#client.changed(peer, signal),
        push: statement => this.push(peer, statement)
      })
      this.#outboxes.set(peer, outbox)
    }
    return outbox
  }

  #forget(peer: PeerId): void {
    const standings = this.#standings.get(peer)
    if (standings !== undefined) this.#standings.set(peer, standings.renewed())
    this.#outboxes.get(peer)?.stop()
    this.#outboxes.delete(peer)
    const batcher = this.#pushes.get(peer)
    this.#pushes.delete(peer)
    if (batcher === undefined) return
    if (batcher.pending > 0)
      this.#log('%s has disconnected; statements that did not reach it: %d', peer, batcher.pending)
    void batcher.close(new DisconnectedError('the peer disconnected before the statement was pushed'))
  }
}
