import { hash } from 'node:crypto'
import type { z } from 'zod'
import type { PeerId } from '../format/peer-id.ts'
import type { SomeStatement } from '../format/statement.ts'
import { equalBytes } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import { Callers, type CallOptions, type ProtocolOptions, parseReply, type Reply } from '../wire/calls.ts'
import { ProtocolError } from '../wire/errors.ts'
import type { Host } from '../wire/host.ts'
import { SYNC_BYTES_MAX, SYNC_PROTOCOL, SYNC_TIMEOUT_MS } from './constants.ts'
import type { StatementClass } from './keys.ts'
import type { Position, Totals } from './positions.ts'
import type { Verdict } from './projection.ts'
import { fetchReply, GONE, listReply, newsReply, pushReply, splitBody, splitIds } from './sync-frames.ts'

/** The name and limits of `/dfs/sync/1.0.0`, which are the same for both ends. */
export const SYNC: ProtocolOptions = {
  protocol: SYNC_PROTOCOL,
  requestBytesMax: SYNC_BYTES_MAX,
  responseBytesMax: SYNC_BYTES_MAX
}

/** A statement to push. */
export interface Push {
  statement: SomeStatement
  /** The number of the put that kept the blocks of the record; null if there is none. */
  put: Uint8Array | null
}

/** One page of ids. */
export interface IdPage {
  ids: Uint8Array[]
  /** The position at which the news after this page begins. */
  position: Position
  isEnd: boolean
  /** The totals of the class when the peer answered. */
  totals: Totals
}

export interface SyncClientOptions {
  host: Host
  clock: Clock
  /** Called when a peer breaks the protocol. */
  onFault: (peer: PeerId) => void
}

/**
 * Makes the requests of `/dfs/sync/1.0.0`, with one method for each. The methods throw what `Callers.call` throws.
 * If the answer makes no sense, they throw a `ProtocolError`, which counts as a fault of the peer.
 */
export class SyncClient {
  readonly #callers: Callers

  constructor({ host, clock, onFault }: SyncClientOptions) {
    this.#callers = new Callers(host, clock, { ...SYNC, onFault })
  }

  /** Returns a verdict for each statement. */
  push(peer: PeerId, pushes: readonly Push[]): Promise<Verdict[]> {
    const lengths = pushes.map(({ statement }) => statement.bytes.byteLength)
    const puts = pushes.map(({ put }) => put)
    const body = pushes.map(({ statement }) => statement.bytes)
    return this.#call(peer, { do: 'push', lengths, puts }, { body }, ({ fields }) => {
      const { verdicts } = parseReply(pushReply, fields)
      if (verdicts.length !== pushes.length)
        throw new ProtocolError('the answer to a push has the wrong number of verdicts')
      return verdicts
    })
  }

  /**
   * Returns one page of all ids of a class that the peer has, in ascending order, starting with the first id after
   * `after`. The news from `position` on has every statement that this page and those after it may miss.
   */
  list(
    peer: PeerId,
    statementClass: StatementClass,
    after: Uint8Array | null,
    signal: AbortSignal | undefined
  ): Promise<IdPage> {
    return this.#call(peer, { do: 'list', class: statementClass, after }, { signal }, ({ fields, body }) => {
      const ids = splitIds(body)
      for (const [i, id] of ids.entries()) {
        const before = ids[i - 1] ?? after
        if (before !== null && Buffer.compare(id, before) <= 0)
          throw new ProtocolError('the ids of a list are not in ascending order')
      }
      return pageOf(ids, parseReply(listReply, fields))
    })
  }

  /**
   * Returns one page of the ids of a class that the peer accepted after a position, in the order in which it accepted
   * them. Returns undefined if the peer does not know the position.
   */
  news(
    peer: PeerId,
    statementClass: StatementClass,
    after: Position,
    signal: AbortSignal | undefined
  ): Promise<IdPage | undefined> {
    const fields = { do: 'news', class: statementClass, lineage: after.lineage, after: after.sequence }
    return this.#call(peer, fields, { signal }, reply => {
      const parsed = parseReply(newsReply, reply.fields)
      if (!parsed.known) return undefined
      const page = pageOf(splitIds(reply.body), parsed)
      // Each statement has a sequence of its own.
      if (page.position.sequence < after.sequence + page.ids.length)
        throw new ProtocolError('the news of a member ends before it begins')
      return page
    })
  }

  /**
   * Returns the statements with these ids, in the same order, and null for each that the peer no longer has. The peer
   * may answer for fewer ids than were asked for, but for at least one. Each statement is checked against its id.
   */
  fetch(peer: PeerId, ids: readonly Uint8Array[], signal: AbortSignal | undefined): Promise<Array<Uint8Array | null>> {
    const options = { body: ids, signal, expectBytes: SYNC_BYTES_MAX }
    return this.#call(peer, { do: 'fetch' }, options, ({ fields, body }) =>
      answersFor(ids, splitBody(body, parseReply(fetchReply, fields).lengths))
    )
  }

  /** Returns those of the ids that the peer lacks. */
  offer(peer: PeerId, ids: readonly Uint8Array[], signal: AbortSignal | undefined): Promise<Uint8Array[]> {
    return this.#call(peer, { do: 'offer' }, { body: ids, signal }, ({ body }) => {
      if (body.byteLength !== ids.length)
        throw new ProtocolError('the answer to an offer covers the wrong number of statements')
      return ids.filter((_, i) => body[i] !== 0)
    })
  }

  /** Tells the peer that something did not get through to it, so that it compares. */
  changed(peer: PeerId, signal: AbortSignal | undefined): Promise<void> {
    return this.#call(peer, { do: 'changed' }, { signal }, () => {})
  }

  /**
   * Throws a `ProtocolError` if several answers of a peer, taken together, make no sense. It counts as a fault of the
   * peer.
   */
  blame(peer: PeerId, message: string): never {
    return this.#callers.read(peer, () => {
      throw new ProtocolError(message)
    })
  }

  async #call<T>(
    peer: PeerId,
    fields: Record<string, unknown>,
    options: CallOptions,
    read: (reply: Reply) => T
  ): Promise<T> {
    const reply = await this.#callers.call(peer, fields, { timeoutMs: SYNC_TIMEOUT_MS, ...options })
    return this.#callers.read(peer, () => read(reply))
  }
}

function pageOf(ids: Uint8Array[], fields: z.infer<typeof listReply>): IdPage {
  const { lineage, next, isEnd, count, sum } = fields
  if (ids.length === 0 && !isEnd) throw new ProtocolError('a page of ids is empty, although more are to follow')
  return { ids, position: { lineage, sequence: next }, isEnd, totals: { count, sum } }
}

function answersFor(ids: readonly Uint8Array[], answers: readonly Uint8Array[]): Array<Uint8Array | null> {
  if (answers.length === 0 || answers.length > ids.length)
    throw new ProtocolError('the answer to a fetch has the wrong number of statements')
  return answers.map((bytes, i) => {
    if (equalBytes(bytes, GONE)) return null
    if (equalBytes(hash('sha256', bytes, 'buffer'), ids[i] as Uint8Array)) return bytes
    throw new ProtocolError('a fetch was answered with a statement that was not asked for')
  })
}
