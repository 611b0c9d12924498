import type { BlockCid } from '../../format/cid.ts'
import { CHUNK_BYTES } from '../../format/constants.ts'
import { type PeerId, publicKeyOf } from '../../format/peer-id.ts'
import { Batcher } from '../../util/batcher.ts'
import { concatBytes, toHex } from '../../util/bytes.ts'
import type { Clock } from '../../util/clock.ts'
import { raceSignal } from '../../util/deadline.ts'
import { DeadlineError, type DfsError } from '../../util/errors.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../../util/logger.ts'
import { Callers, parseReply, type Reply } from '../../wire/calls.ts'
import { DisconnectedError, ProtocolError } from '../../wire/errors.ts'
import type { Host } from '../../wire/host.ts'
import { Bitmap } from '../bitmap.ts'
import {
  BEHIND_BYTES,
  KEEP_BYTES_MAX,
  KEEP_CIDS_MAX,
  KEEP_LARGE_BYTES_MAX,
  KEEP_SILENCE_MS,
  KEEP_TIMEOUT_MS,
  KEEPS_IN_FLIGHT,
  LARGE_KEEPS_IN_FLIGHT,
  PUT_CLAIM_MS,
  PUT_NUMBER_BYTES,
  STORE_PROTOCOL
} from '../constants.ts'
import { askPages, assertCovered } from './ask-pages.ts'
import { IdleTimer } from './idle-timer.ts'
import {
  type HoldAnswer,
  type HoldPageAnswer,
  type HoldRoot,
  holdReply,
  KEEP_STATES,
  type KeepRequest,
  type KeepState,
  pageReply,
  statesReply
} from './store-messages.ts'

export interface StoreClientOptions {
  host: Host
  clock: Clock
  logger: ComponentLogger
  onFault: (peer: PeerId) => void
  /** Called with each answer of a peer: a sign of life. */
  onAnswer?: ((peer: PeerId) => void) | undefined
}

/**
 * The requests under way to one member. When the client gives up on the member, the lane ends, and later requests get a
 * new one.
 */
interface Lane {
  small: Batcher<KeepRequest, KeepState>
  large: Batcher<KeepRequest, KeepState>
  /** The bytes of blocks in requests that have not been answered. */
  inlineBytes: number
  idleTimer: IdleTimer
  ended: AbortController
}

/**
 * The client of `/dfs/store/1.0.0`, whose verbs are idempotent and ask a member to keep blocks for some time. If a
 * member neither answers nor pulls for some time, the client gives up on it and fails all requests to it.
 */
export class StoreClient {
  readonly #callers: Callers
  readonly #options: StoreClientOptions
  readonly #log: Logger
  readonly #lanes = new Map<PeerId, Lane>()

  constructor(options: StoreClientOptions) {
    this.#options = options
    const { host, clock, logger, onFault } = options
    this.#log = logger.forComponent('dfs:blocks:store')
    this.#callers = new Callers(host, clock, {
      protocol: STORE_PROTOCOL,
      requestBytesMax: KEEP_BYTES_MAX,
      responseBytesMax: KEEP_BYTES_MAX,
      onFault
    })
    host.onPeer((event, peer) => {
      if (event === 'disconnected') this.#end(peer, new DisconnectedError('the peer disconnected'))
    })
  }

  /** Opens the stream to a member, so that the first put does not wait for it. */
  prepare(peer: PeerId): void {
    this.#callers.prepare(peer)
  }

  /** Asks a member to keep one block for a put. Requests that are made at about the same time travel together. */
  async keepBlock(peer: PeerId, request: KeepRequest): Promise<KeepState> {
    const lane = this.#lane(peer)
    if (request.bytes === null) return lane.large.add(request)
    const { byteLength } = request.bytes
    lane.inlineBytes += byteLength
    try {
      return await lane.small.add(request)
    } finally {
      lane.inlineBytes -= byteLength
    }
  }

  /**
   * Returns true if the small blocks that wait for a member take much memory. A put that needs no more copies does not
   * wait for them, so nothing else bounds them.
   */
  isBehind(peer: PeerId): boolean {
    return (this.#lanes.get(peer)?.inlineBytes ?? 0) > BEHIND_BYTES
  }

  /** Asks a member which of these blocks it keeps. It claims nothing. At most `KEEP_CIDS_MAX` blocks. */
  async hasBlocks(peer: PeerId, cids: readonly BlockCid[]): Promise<boolean[]> {
    const put = new Uint8Array(PUT_NUMBER_BYTES)
    const fields = { put, cids, lengths: cids.map(() => 0), until: PUT_CLAIM_MS, fetch: false }
    return (await this.#askStates(peer, fields, [])).map(state => state === 'kept')
  }

  /**
   * Tells a member which chunks of a file the put counts on it for, page by page. Returns the chunks that the member
   * lacks. A page without any chunk is sent too, since the member may remember chunks of it from an earlier request.
   */
  async keepRoot(peer: PeerId, put: Uint8Array, root: BlockCid, chunks: Bitmap): Promise<Bitmap> {
    const { lacking } = await askPages(chunks, { emptyToo: true }, async page => {
      const fields = { put, root, first: page.first, until: PUT_CLAIM_MS, fetch: true }
      const { fields: reply, body } = await this.#call(peer, fields, [page.chunks.bytes])
      return this.#callers.read(peer, () => {
        const { covered } = parseReply(pageReply, reply)
        assertCovered(page, covered)
        return { lacking: new Bitmap(body), covered }
      })
    })
    return lacking
  }

  /** Tells a member that a put has ended without a record. */
  async giveUp(peer: PeerId, put: Uint8Array): Promise<void> {
    await this.#call(peer, { put, ended: true }, [])
  }

  /**
   * Asks which chunks of a file a member lacks, page by page. With a nonce, it also asks for a hold on the other chunks,
   * and for their proofs, in the order of the file.
   */
  async holdRoot(peer: PeerId, hold: HoldRoot): Promise<HoldAnswer> {
    const { view, root, fetch, nonce, records } = hold
    const { lacking, answers } = await askPages(hold.chunks, { emptyToo: false }, async page => {
      const fields = { view, root, first: page.first, fetch, ...(nonce === undefined ? {} : { nonce, records }) }
      const { fields: reply, body } = await this.#call(peer, fields, [page.chunks.bytes])
      return this.#callers.read(peer, (): HoldPageAnswer => {
        const { covered, lacking } = parseReply(holdReply, reply)
        assertCovered(page, covered)
        if (lacking > body.byteLength) throw new ProtocolError('answer to a hold with a length over its body')
        return { covered, lacking: new Bitmap(body.subarray(0, lacking)), proofs: body.subarray(lacking) }
      })
    })
    return { lacking, proofs: concatBytes(...answers.map(({ proofs }) => proofs)) }
  }

  /** Notes a sign of life that a member gave on another stream, where it pulled a block. */
  noteActivity(peer: PeerId): void {
    this.#lanes.get(peer)?.idleTimer.noteActivity()
  }

  // A call names only one put and one source, but a batch may hold requests of several puts and sources.
  async #keepBlocks(peer: PeerId, requests: KeepRequest[]): Promise<KeepState[]> {
    const states = new Map<KeepRequest, KeepState>()
    await Promise.all(
      [...Map.groupBy(requests, ({ put, from = '' }) => toHex(put) + from).values()].map(async group => {
        const answers = await this.#keepGroup(peer, group)
        for (const [i, request] of group.entries()) states.set(request, answers[i] as KeepState)
      })
    )
    return requests.map(request => states.get(request) as KeepState)
  }

  async #keepGroup(peer: PeerId, requests: KeepRequest[]): Promise<KeepState[]> {
    const [first] = requests as [KeepRequest]
    const fields = {
      put: first.put,
      cids: requests.map(({ cid }) => cid),
      lengths: requests.map(({ bytes }) => bytes?.byteLength ?? 0),
      sizes: requests.map(({ bytes, sizeBytes = 0 }) => (bytes === null ? sizeBytes : 0)),
      until: PUT_CLAIM_MS,
      fetch: true,
      ...(first.from === undefined ? {} : { from: publicKeyOf(first.from) })
    }
    const inline = requests.flatMap(({ bytes }) => (bytes === null ? [] : [bytes]))
    const records = requests.flatMap(({ record }) => (record === undefined ? [] : [record]))
    if (records.length === 0) return this.#askStates(peer, fields, inline)
    const lengths = requests.map(({ record }) => record?.byteLength ?? 0)
    return this.#askStates(peer, { ...fields, records: lengths }, [...inline, ...records])
  }

  /** Returns the state of each block that a request names. */
  async #askStates(
    peer: PeerId,
    fields: { cids: readonly BlockCid[] } & Record<string, unknown>,
    inline: Uint8Array[]
  ): Promise<KeepState[]> {
    const { fields: reply } = await this.#call(peer, fields, inline)
    return this.#callers.read(peer, () => {
      const { states } = parseReply(statesReply, reply)
      if (states.byteLength !== fields.cids.length) throw new ProtocolError('answer to a keep with a state missing')
      return [...states].map(state => {
        const name = KEEP_STATES[state]
        if (name === undefined) throw new ProtocolError('answer to a keep with an unknown state')
        return name
      })
    })
  }

  async #call(peer: PeerId, fields: Record<string, unknown>, body: Uint8Array[]): Promise<Reply> {
    const lane = this.#lane(peer)
    const end = lane.idleTimer.begin()
    try {
      const call = this.#callers.call(peer, fields, { body, timeoutMs: KEEP_TIMEOUT_MS })
      const reply = await raceSignal(call, lane.ended.signal)
      lane.idleTimer.noteActivity()
      this.#options.onAnswer?.(peer)
      return reply
    } catch (error) {
      // The requests that are queued behind this one would fail too, only later, so end them now.
      if (error instanceof DisconnectedError && this.#lanes.get(peer) === lane) this.#end(peer, error)
      throw error
    } finally {
      end()
    }
  }

  #lane(peer: PeerId): Lane {
    const lane = this.#lanes.get(peer) ?? this.#newLane(peer)
    this.#lanes.set(peer, lane)
    return lane
  }

  #newLane(peer: PeerId): Lane {
    const keep = (requests: KeepRequest[]): Promise<KeepState[]> => this.#keepBlocks(peer, requests)
    return {
      small: new Batcher(keep, {
        itemsMax: KEEP_CIDS_MAX,
        bytesMax: KEEP_BYTES_MAX,
        sizeOf: ({ bytes, record }) => (bytes?.byteLength ?? 0) + (record?.byteLength ?? 0),
        parallel: KEEPS_IN_FLIGHT
      }),
      large: new Batcher(keep, {
        itemsMax: KEEP_CIDS_MAX,
        bytesMax: KEEP_LARGE_BYTES_MAX,
        sizeOf: ({ sizeBytes }) => sizeBytes ?? CHUNK_BYTES,
        parallel: LARGE_KEEPS_IN_FLIGHT
      }),
      inlineBytes: 0,
      idleTimer: new IdleTimer(this.#options.clock, KEEP_SILENCE_MS, () => {
        this.#end(peer, new DeadlineError('the peer neither answers nor pulls'))
        this.#options.onFault(peer)
      }),
      ended: new AbortController()
    }
  }

  #end(peer: PeerId, error: DfsError): void {
    const lane = this.#lanes.get(peer)
    if (lane === undefined) return
    this.#lanes.delete(peer)
    const unanswered = lane.idleTimer.waitingCount + lane.small.pending + lane.large.pending
    if (unanswered > 0)
      this.#log('%s is given up; requests without an answer: %d (%s)', peer, unanswered, reasonOf(error))
    lane.ended.abort(error)
    void lane.small.close(error)
    void lane.large.close(error)
  }
}
