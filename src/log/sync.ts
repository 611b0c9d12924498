import { hash } from 'node:crypto'
import { CHAIN_MAX } from '../format/constants.ts'
import type { PeerId } from '../format/peer-id.ts'
import type { Statement } from '../format/statement.ts'
import { Batcher } from '../util/batcher.ts'
import { equalBytes } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import { withDeadline } from '../util/deadline.ts'
import { Callers, type CallOptions, parseReply, type Reply, serveCalls } from '../wire/calls.ts'
import { DisconnectedError, ProtocolError } from '../wire/errors.ts'
import type { Host } from '../wire/host.ts'
import {
  HOLDERS_TIMEOUT_MS,
  LISTS_MAX,
  NEWS_MAX,
  PUSH_STATEMENTS_MAX,
  PUSHES_IN_FLIGHT,
  SYNC_BYTES_MAX,
  SYNC_PROTOCOL,
  SYNC_TIMEOUT_MS
} from './constants.ts'
import { isCurable, type StatementClass, type Verdict } from './log.ts'
import { Outbox } from './outbox.ts'
import { fetchReply, GONE, listReply, pushReply, splitBody, splitIds } from './sync-frames.ts'
import { answerSync, type SyncServerOptions } from './sync-server.ts'

export interface SyncOptions extends SyncServerOptions {
  host: Host
  clock: Clock
  /** Whether this peer is an admitted member. */
  isAdmitted: (peer: PeerId) => boolean
  admitted: () => PeerId[]
  onFault: (peer: PeerId) => void
  /** A member finds a stamp that we handed it too far ahead. */
  onClockOff: () => void
}

/** What one walk through a member's statements of a class led to. */
interface Pulled {
  /** That are no longer refused. */
  stood: number
  /** Refused for reasons that may pass. */
  refused: ReadonlySet<Verdict>
}

interface Push {
  statement: Statement
  /** The put whose blocks the record rests on. */
  put: Uint8Array | null
}

/**
 * `/dfs/sync/1.0.0`: statements pushed and acknowledged, news passed on, and all that one side lacks fetched when two
 * members meet. SPEC.md has the exchange.
 */
export class Sync {
  readonly #options: SyncOptions
  readonly #callers: Callers
  readonly #pushes = new Map<PeerId, Batcher<Push, Verdict>>()
  readonly #outboxes = new Map<PeerId, Outbox>()
  #isStopped = false

  constructor(options: SyncOptions) {
    this.#options = options
    const { host, clock, log, isAdmitted, onFault } = options
    const protocol = {
      protocol: SYNC_PROTOCOL,
      requestBytesMax: SYNC_BYTES_MAX,
      responseBytesMax: SYNC_BYTES_MAX,
      onFault
    }
    this.#callers = new Callers(host, clock, protocol)
    serveCalls(host, { ...protocol, clock, mayAsk: isAdmitted, answer: request => answerSync(options, request) })
    // News from one member goes once to the others that lack it; what is our own goes to all, whatever becomes of its maker.
    log.onAccepted((items, from) => {
      const statements = items.map(({ statement }) => statement)
      for (const peer of this.#options.admitted()) {
        if (from === null) this.#outbox(peer)?.expect(statements)
        else if (peer !== from) this.#outbox(peer)?.add(statements)
      }
    })
    host.onPeer((event, peer) => {
      if (event === 'disconnected') this.#forget(peer)
    })
  }

  stop(): void {
    this.#isStopped = true
    for (const peer of [...this.#outboxes.keys(), ...this.#pushes.keys()]) this.#forget(peer)
  }

  /**
   * Hands a statement to one member; resolves with its verdict once it is durable there, or refused. Whoever does not
   * take it, for a reason that may pass, and stays connected is offered it again.
   */
  push(peer: PeerId, statement: Statement, put: Uint8Array | null = null): Promise<Verdict> {
    let batcher = this.#pushes.get(peer)
    if (batcher === undefined) {
      batcher = new Batcher<Push, Verdict>(pushes => this.#push(peer, pushes), {
        itemsMax: PUSH_STATEMENTS_MAX,
        bytesMax: SYNC_BYTES_MAX,
        sizeOf: ({ statement }) => statement.bytes.byteLength,
        parallel: PUSHES_IN_FLIGHT
      })
      this.#pushes.set(peer, batcher)
    }
    const pushed = batcher.add({ statement, put })
    this.#outboxes.get(peer)?.pushed(statement)
    pushed.then(
      verdict => {
        if (isCurable(verdict)) this.#outbox(peer)?.fallBehind()
        if (verdict === 'clock-off') this.#options.onClockOff()
      },
      () => this.#outbox(peer)?.fallBehind()
    )
    return pushed
  }

  /** Tells every admitted member of statements of our own, without waiting for their answers. */
  announce(statements: readonly Statement[], except: ReadonlySet<PeerId> = new Set()): void {
    for (const peer of this.#options.admitted()) {
      if (except.has(peer)) continue
      // A member that does not keep up is not waited for with all of it in memory.
      if ((this.#pushes.get(peer)?.pending ?? 0) > NEWS_MAX) {
        this.#outbox(peer)?.fallBehind()
        continue
      }
      for (const statement of statements) this.push(peer, statement).catch(() => {})
    }
  }

  /** The admitted members that have a statement, asked now; whoever does not answer does not count. */
  async holders(id: Uint8Array): Promise<PeerId[]> {
    const { clock, admitted } = this.#options
    const asked = await Promise.all(
      admitted().map(async peer => {
        const lacking = await withDeadline(clock, HOLDERS_TIMEOUT_MS, undefined, signal =>
          this.#offer(peer, [id], signal)
        ).catch(() => [id])
        return lacking.length > 0 ? [] : [peer]
      })
    )
    return asked.flat()
  }

  /**
   * Fetches every statement that a member has and we lack, those about membership first. False if some of them were
   * refused and may stand another time. Throws what `Callers.call` does; a `ProtocolError`, which is counted as its
   * fault, when the member lists what it does not give, gives what it was not asked for, or never comes to an end.
   */
  async compare(peer: PeerId, signal?: AbortSignal): Promise<boolean> {
    // They come in the order of their ids, so many a statement before the grant that it rests on: another walk finds the
    // grant here. Grants rest on grants likewise, but no deeper than a chain is long.
    let membership = await this.#pull(peer, 0, signal)
    for (let again = 0; again < CHAIN_MAX; again++) {
      if (membership.stood === 0 || !membership.refused.has('unknown-grant')) break
      membership = await this.#pull(peer, 0, signal)
    }
    const rest = await this.#pull(peer, 1, signal)
    return membership.refused.size === 0 && rest.refused.size === 0
  }

  async #pull(peer: PeerId, kind: StatementClass, signal: AbortSignal | undefined): Promise<Pulled> {
    let after: Uint8Array | null = null
    let stood = 0
    const refused = new Set<Verdict>()
    for (let lists = 0; lists < LISTS_MAX; lists++) {
      const page: { ids: Uint8Array[]; isEnd: boolean } = await this.#list(peer, kind, after, signal)
      const has = await this.#options.log.has(page.ids)
      const lacking = page.ids.filter((_, i) => has[i] === false)
      for (const verdict of await this.#fetch(peer, lacking, signal)) {
        if (verdict === 'ok') stood++
        else if (isCurable(verdict)) refused.add(verdict)
      }
      after = page.ids.at(-1) ?? null
      if (page.isEnd || after === null) return { stood, refused }
    }
    throw this.#blame(peer, 'list without an end')
  }

  async #list(
    peer: PeerId,
    kind: StatementClass,
    after: Uint8Array | null,
    signal: AbortSignal | undefined
  ): Promise<{ ids: Uint8Array[]; isEnd: boolean }> {
    return this.#call(peer, { do: 'list', class: kind, after }, { signal }, ({ fields, body }) => {
      const ids = splitIds(body)
      for (const [i, id] of ids.entries()) {
        const before = ids[i - 1] ?? after
        if (before !== null && Buffer.compare(id, before) <= 0) throw new ProtocolError('list that does not advance')
      }
      return { ids, isEnd: parseReply(listReply, fields).isEnd }
    })
  }

  /** Fetches statements and takes them in: gives the verdicts on those that are still there. */
  async #fetch(peer: PeerId, ids: Uint8Array[], signal: AbortSignal | undefined): Promise<Verdict[]> {
    const all: Verdict[] = []
    let rest = ids
    while (rest.length > 0) {
      const asked = rest.slice(0, PUSH_STATEMENTS_MAX)
      const answers = await this.#call(
        peer,
        { do: 'fetch' },
        { body: asked, signal, expectBytes: SYNC_BYTES_MAX },
        ({ fields, body }) => answersTo(asked, splitBody(body, parseReply(fetchReply, fields).lengths))
      )
      const statements = answers.filter(bytes => !equalBytes(bytes, GONE))
      const verdicts = await this.#options.log.receive(statements, peer)
      // Its own log would have refused what is invalid: it keeps no honest one.
      if (verdicts.includes('invalid')) this.#options.onFault(peer)
      all.push(...verdicts)
      rest = rest.slice(answers.length)
    }
    // A status or two may have been superseded since they were listed, but not all of many.
    if (all.length === 0 && ids.length > PUSH_STATEMENTS_MAX) throw this.#blame(peer, 'list of what is not there')
    return all
  }

  async #push(peer: PeerId, pushes: Push[]): Promise<Verdict[]> {
    const lengths = pushes.map(({ statement }) => statement.bytes.byteLength)
    const puts = pushes.map(({ put }) => put)
    const body = pushes.map(({ statement }) => statement.bytes)
    return this.#call(peer, { do: 'push', lengths, puts }, { body }, ({ fields }) => {
      const { verdicts } = parseReply(pushReply, fields)
      if (verdicts.length !== pushes.length) throw new ProtocolError('push with a verdict missing')
      return verdicts
    })
  }

  /** Of these ids those that a member lacks. */
  async #offer(peer: PeerId, ids: readonly Uint8Array[], signal?: AbortSignal): Promise<Uint8Array[]> {
    return this.#call(peer, { do: 'offer' }, { body: ids, signal }, ({ body }) => {
      if (body.byteLength !== ids.length) throw new ProtocolError('answer to an offer of another length')
      return ids.filter((_, i) => body[i] !== 0)
    })
  }

  /** A call, and its answer read; one that makes no sense is the peer's fault. */
  async #call<T>(
    peer: PeerId,
    fields: Record<string, unknown>,
    options: CallOptions,
    read: (reply: Reply) => T
  ): Promise<T> {
    const reply = await this.#callers.call(peer, fields, { timeoutMs: SYNC_TIMEOUT_MS, ...options })
    return this.#callers.read(peer, () => read(reply))
  }

  #blame(peer: PeerId, message: string): ProtocolError {
    this.#options.onFault(peer)
    return new ProtocolError(message)
  }

  #outbox(peer: PeerId): Outbox | undefined {
    if (this.#isStopped || !this.#options.admitted().includes(peer)) return undefined
    let outbox = this.#outboxes.get(peer)
    if (outbox === undefined) {
      const { clock, log, admitted } = this.#options
      outbox = new Outbox({
        clock,
        log,
        isWanted: () => admitted().includes(peer),
        offer: (ids, signal) => this.#offer(peer, ids, signal),
        push: statement => this.push(peer, statement)
      })
      this.#outboxes.set(peer, outbox)
    }
    return outbox
  }

  #forget(peer: PeerId): void {
    this.#outboxes.get(peer)?.stop()
    this.#outboxes.delete(peer)
    const batcher = this.#pushes.get(peer)
    this.#pushes.delete(peer)
    void batcher?.close(new DisconnectedError('the peer went away'))
  }
}

// In the order asked, as many as fit, each the one that was asked for or a sign that it is gone.
function answersTo(asked: readonly Uint8Array[], answers: Uint8Array[]): Uint8Array[] {
  if (answers.length === 0 || answers.length > asked.length)
    throw new ProtocolError('fetch answered with another count')
  for (const [i, bytes] of answers.entries()) {
    if (equalBytes(bytes, GONE) || equalBytes(hash('sha256', bytes, 'buffer'), asked[i] as Uint8Array)) continue
    throw new ProtocolError('statement that was not asked for')
  }
  return answers
}
