import { z } from 'zod'
import { type BlockCid, CID, decodeCid } from '../format/cid.ts'
import { ForeignCidError } from '../format/errors.ts'
import type { PeerId } from '../format/peer-id.ts'
import { Batcher } from '../util/batcher.ts'
import { toHex } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import { raceSignal } from '../util/deadline.ts'
import { DeadlineError, type DfsError } from '../util/errors.ts'
import { Callers, type Reply, type Request, type Response, serveCalls } from '../wire/calls.ts'
import { DisconnectedError, ProtocolError, RefusedError } from '../wire/errors.ts'
import type { Host } from '../wire/host.ts'
import { Bitmap } from './bitmap.ts'
import {
  CLAIM_MS_MAX,
  HOLD_RECORDS_MAX,
  INLINE_BLOCK_BYTES_MAX,
  KEEP_BYTES_MAX,
  KEEP_CIDS_MAX,
  KEEP_LARGE_MAX,
  KEEP_SILENCE_MS,
  KEEP_TIMEOUT_MS,
  KEEPS_IN_FLIGHT,
  PUT_CLAIM_MS,
  PUT_NUMBER_BYTES,
  STORE_PROTOCOL
} from './constants.ts'
import { NONCE_BYTES } from './proof.ts'
import { Silence } from './silence.ts'

/** What a keeper answers about one block. */
export const KEEP_STATES = ['kept', 'lacking', 'full', 'refused'] as const
export type KeepState = (typeof KEEP_STATES)[number]

const bytesOf = (length: number) =>
  z.custom<Uint8Array>(value => value instanceof Uint8Array && value.byteLength === length)
const cidSchema = z.custom<CID>(value => value instanceof CID)
const until = z.number().int().positive().max(CLAIM_MS_MAX)

/** `keep` in its three forms; SPEC.md says what each asks and promises. */
const requestSchema = z.union([
  // These blocks, for this put: claimed, pulled from the asker or carried inline.
  z.strictObject({
    put: bytesOf(PUT_NUMBER_BYTES),
    cids: z.array(cidSchema).min(1).max(KEEP_CIDS_MAX),
    lengths: z.array(
      z
        .number()
        .int()
        .nonnegative()
        .max(INLINE_BLOCK_BYTES_MAX - 1)
    ),
    until,
    fetch: z.boolean()
  }),
  // Of this file's chunks those in the bitmap, for this put: counted on, and confirmed.
  z.strictObject({ put: bytesOf(PUT_NUMBER_BYTES), root: cidSchema, until, fetch: z.boolean() }),
  // Of this file's chunks those in the bitmap, as a member with this view: a question, a debt, or with a nonce a hold.
  z.strictObject({
    view: bytesOf(32),
    root: cidSchema,
    fetch: z.boolean(),
    nonce: bytesOf(NONCE_BYTES).optional(),
    records: z.array(bytesOf(32)).max(HOLD_RECORDS_MAX).optional()
  })
])

export interface KeepBlocks {
  put: Uint8Array
  blocks: Array<{ cid: BlockCid; inline: Uint8Array | null }>
  untilMs: number
  fetch: boolean
}

export interface KeepRoot {
  put: Uint8Array
  root: BlockCid
  leaves: Bitmap
  untilMs: number
  fetch: boolean
}

export interface HoldRoot {
  view: Uint8Array
  root: BlockCid
  leaves: Bitmap
  fetch: boolean
  nonce: Uint8Array | undefined
  records: Uint8Array[]
}

/** What a keeper does when it is asked. */
export interface Keeping {
  keepBlocks(request: KeepBlocks, peer: PeerId, signal: AbortSignal): Promise<KeepState[]>
  /** The chunks of the bitmap that are not durable here. */
  keepRoot(request: KeepRoot, peer: PeerId, signal: AbortSignal): Promise<Bitmap>
  /** The same, and proofs (32 bytes each, in order) of the others when there was a nonce. */
  holdRoot(request: HoldRoot, peer: PeerId, signal: AbortSignal): Promise<{ lacking: Bitmap; proofs: Uint8Array }>
}

export interface KeepProtocolOptions {
  host: Host
  clock: Clock
  isAdmitted: (peer: PeerId) => boolean
  nodeCodecs: readonly number[]
  keeping: Keeping
  onFault: (peer: PeerId) => void
}

interface Wish {
  put: Uint8Array
  cid: BlockCid
  /** Sent along if small; else the keeper pulls. */
  bytes: Uint8Array | null
  sizeBytes: number
}

const statesReply = z.object({ states: z.custom<Uint8Array>(value => value instanceof Uint8Array) })
const holdReply = z.object({ lacking: z.number().int().nonnegative() })

/** What is under way to one member. */
interface Lane {
  small: Batcher<Wish, KeepState>
  large: Batcher<Wish, KeepState>
  silence: Silence
  ended: AbortController
}

/**
 * `/dfs/store/1.0.0`: one idempotent verb that asks a member to hold blocks until a time. Whoever neither answers nor
 * pulls for a while is given up, with all that it was asked.
 */
export class KeepProtocol {
  readonly #callers: Callers
  readonly #options: KeepProtocolOptions
  readonly #lanes = new Map<PeerId, Lane>()

  constructor(options: KeepProtocolOptions) {
    this.#options = options
    const { host, clock, isAdmitted, onFault } = options
    const protocol = {
      protocol: STORE_PROTOCOL,
      requestBytesMax: KEEP_BYTES_MAX,
      responseBytesMax: KEEP_BYTES_MAX,
      onFault
    }
    this.#callers = new Callers(host, clock, protocol)
    serveCalls(host, { ...protocol, clock, mayAsk: isAdmitted, answer: request => this.#answer(request) })
    host.onPeer((event, peer) => {
      if (event === 'disconnected') this.#end(peer, new DisconnectedError('the peer went away'))
    })
  }

  /** Asks a member to keep one block for a put. Wishes that come together travel together. */
  keepBlock(peer: PeerId, wish: Wish): Promise<KeepState> {
    const { small, large } = this.#lane(peer)
    return (wish.bytes === null ? large : small).add(wish)
  }

  /** Tells a member which chunks of a file are counted on it; gives those that it lacks. */
  async keepRoot(peer: PeerId, put: Uint8Array, root: BlockCid, leaves: Bitmap): Promise<Bitmap> {
    const fields = { put, root, until: PUT_CLAIM_MS, fetch: true }
    const { body } = await this.#call(peer, fields, [leaves.bytes])
    return new Bitmap(body)
  }

  /** Asks which chunks of a file a member lacks; with a nonce, for a promise not to free the others for an hour. */
  async holdRoot(
    peer: PeerId,
    { view, root, leaves, fetch, nonce, records }: HoldRoot
  ): Promise<{ lacking: Bitmap; proofs: Uint8Array }> {
    const fields = { view, root, fetch, ...(nonce === undefined ? {} : { nonce, records }) }
    const { fields: reply, body } = await this.#call(peer, fields, [leaves.bytes])
    return this.#read(peer, () => {
      const { lacking } = parse(holdReply, reply)
      if (lacking > body.byteLength) throw new ProtocolError('answer to a hold with a length over its body')
      return { lacking: new Bitmap(body.subarray(0, lacking)), proofs: body.subarray(lacking) }
    })
  }

  /** A member gave a sign of life elsewhere: it pulled a block. */
  heard(peer: PeerId): void {
    this.#lanes.get(peer)?.silence.heard()
  }

  // One call a put: a batch may hold wishes of several.
  async #keepBlocks(peer: PeerId, wishes: Wish[]): Promise<KeepState[]> {
    const states = new Map<Wish, KeepState>()
    await Promise.all(
      [...Map.groupBy(wishes, ({ put }) => toHex(put)).values()].map(async group => {
        const answers = await this.#keepGroup(peer, group)
        for (const [i, wish] of group.entries()) states.set(wish, answers[i] as KeepState)
      })
    )
    return wishes.map(wish => states.get(wish) as KeepState)
  }

  async #keepGroup(peer: PeerId, wishes: Wish[]): Promise<KeepState[]> {
    const [first] = wishes as [Wish]
    const fields = {
      put: first.put,
      cids: wishes.map(({ cid }) => cid),
      lengths: wishes.map(({ bytes }) => bytes?.byteLength ?? 0),
      until: PUT_CLAIM_MS,
      fetch: true
    }
    const inline = wishes.flatMap(({ bytes }) => (bytes === null ? [] : [bytes]))
    const { fields: reply } = await this.#call(peer, fields, inline)
    return this.#read(peer, () => {
      const { states } = parse(statesReply, reply)
      if (states.byteLength !== wishes.length) throw new ProtocolError('answer to a keep with a state missing')
      return [...states].map(state => {
        const name = KEEP_STATES[state]
        if (name === undefined) throw new ProtocolError('answer to a keep with an unknown state')
        return name
      })
    })
  }

  async #call(peer: PeerId, fields: Record<string, unknown>, body: Uint8Array[]): Promise<Reply> {
    const lane = this.#lane(peer)
    const end = lane.silence.begin()
    try {
      const call = this.#callers.call(peer, fields, { body, timeoutMs: KEEP_TIMEOUT_MS })
      const reply = await raceSignal(call, lane.ended.signal)
      lane.silence.heard()
      return reply
    } catch (error) {
      // What waits behind would only find the same out, later.
      if (error instanceof DisconnectedError && this.#lanes.get(peer) === lane) this.#end(peer, error)
      throw error
    } finally {
      end()
    }
  }

  /** Reads an answer; one that makes no sense is the peer's fault, as broken frames are. */
  #read<T>(peer: PeerId, read: () => T): T {
    try {
      return read()
    } catch (error) {
      if (error instanceof ProtocolError) this.#options.onFault(peer)
      throw error
    }
  }

  #lane(peer: PeerId): Lane {
    let lane = this.#lanes.get(peer)
    if (lane === undefined) {
      const keep = (wishes: Wish[]): Promise<KeepState[]> => this.#keepBlocks(peer, wishes)
      lane = {
        small: new Batcher(keep, {
          itemsMax: KEEP_CIDS_MAX,
          bytesMax: KEEP_BYTES_MAX,
          sizeOf: ({ bytes }) => bytes?.byteLength ?? 0,
          parallel: KEEPS_IN_FLIGHT
        }),
        large: new Batcher(keep, { itemsMax: KEEP_LARGE_MAX, parallel: KEEPS_IN_FLIGHT }),
        silence: new Silence(this.#options.clock, KEEP_SILENCE_MS, () => {
          this.#end(peer, new DeadlineError('the peer neither answers nor pulls'))
          this.#options.onFault(peer)
        }),
        ended: new AbortController()
      }
      this.#lanes.set(peer, lane)
    }
    return lane
  }

  #end(peer: PeerId, error: DfsError): void {
    const lane = this.#lanes.get(peer)
    if (lane === undefined) return
    this.#lanes.delete(peer)
    lane.ended.abort(error)
    void lane.small.close(error)
    void lane.large.close(error)
  }

  async #answer({ peer, fields, body, signal }: Request): Promise<Response> {
    const parsed = requestSchema.safeParse(fields)
    if (!parsed.success) throw new RefusedError('invalid')
    const request = parsed.data
    const { keeping } = this.#options
    if ('cids' in request) {
      const { put, cids, lengths, fetch } = request
      if (lengths.length !== cids.length) throw new RefusedError('invalid')
      const inline = splitInline(body, lengths)
      const blocks = cids.map((cid, i) => ({ cid: this.#checked(cid), inline: inline[i] ?? null }))
      const states = await keeping.keepBlocks({ put, blocks, fetch, untilMs: request.until }, peer, signal)
      return { status: 'ok', fields: { states: Uint8Array.from(states, state => KEEP_STATES.indexOf(state)) } }
    }
    const root = this.#checked(request.root)
    const leaves = new Bitmap(body)
    if ('put' in request) {
      const { put, fetch } = request
      const lacking = await keeping.keepRoot({ put, root, leaves, fetch, untilMs: request.until }, peer, signal)
      return { status: 'ok', body: [lacking.bytes] }
    }
    const { view, fetch, nonce, records = [] } = request
    const { lacking, proofs } = await keeping.holdRoot({ view, root, leaves, fetch, nonce, records }, peer, signal)
    return { status: 'ok', fields: { lacking: lacking.bytes.byteLength }, body: [lacking.bytes, proofs] }
  }

  #checked(cid: CID): BlockCid {
    try {
      return decodeCid(cid.bytes, this.#options.nodeCodecs)
    } catch (error) {
      if (error instanceof ForeignCidError) throw new RefusedError('invalid')
      throw error
    }
  }
}

// A length of zero means: not inline. No sealed block is empty.
function splitInline(body: Uint8Array, lengths: readonly number[]): Array<Uint8Array | null> {
  let offset = 0
  const parts = lengths.map(length => {
    const part = length === 0 ? null : body.subarray(offset, offset + length)
    offset += length
    return part
  })
  if (offset !== body.byteLength) throw new ProtocolError('keep has not the bytes that its header states')
  return parts
}

function parse<T>(schema: z.ZodType<T>, fields: unknown): T {
  const parsed = schema.safeParse(fields)
  if (!parsed.success) throw new ProtocolError('answer with other fields than it should have')
  return parsed.data
}
