import { z } from 'zod'
import { type BlockCid, blockKey, CID, checkCid } from '../format/cid.ts'
import { ForeignCidError } from '../format/errors.ts'
import type { PeerId } from '../format/peer-id.ts'
import { Batcher } from '../util/batcher.ts'
import { equalBytes } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import { Callers, type Request, type Response, serveCalls } from '../wire/calls.ts'
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
  KEEP_TIMEOUT_MS,
  KEEPS_IN_FLIGHT,
  PUT_CLAIM_MS,
  STORE_PROTOCOL
} from './constants.ts'

/** What a keeper answers about one block. */
export const KEEP_STATES = ['kept', 'lacking', 'full', 'refused'] as const
export type KeepState = (typeof KEEP_STATES)[number]

const bytesOf = (length: number) =>
  z.custom<Uint8Array>(value => value instanceof Uint8Array && value.byteLength === length)
const cidSchema = z.custom<CID>(value => CID.asCID(value) !== null)
const until = z.number().int().positive().max(CLAIM_MS_MAX)

/** `keep` in its three forms; SPEC.md says what each asks and promises. */
const requestSchema = z.union([
  // These blocks, for this put: claimed, pulled from the asker or carried inline.
  z.strictObject({
    put: bytesOf(16),
    cids: z.array(cidSchema).min(1).max(KEEP_CIDS_MAX),
    lengths: z.array(z.number().int().nonnegative().max(INLINE_BLOCK_BYTES_MAX)),
    until,
    fetch: z.boolean()
  }),
  // Of this file's chunks those in the bitmap, for this put: counted on, and confirmed.
  z.strictObject({ put: bytesOf(16), root: cidSchema, until, fetch: z.boolean() }),
  // Of this file's chunks those in the bitmap, as a member with this view: a question, or with a nonce a hold.
  z.strictObject({
    view: bytesOf(32),
    root: cidSchema,
    fetch: z.boolean(),
    nonce: bytesOf(32).optional(),
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

/** `/dfs/store/1.0.0`: one idempotent verb that asks a member to hold blocks until a time. */
export class KeepProtocol {
  readonly #callers: Callers
  readonly #options: KeepProtocolOptions
  readonly #small = new Map<PeerId, Batcher<Wish, KeepState>>()
  readonly #large = new Map<PeerId, Batcher<Wish, KeepState>>()

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
    serveCalls(host, { ...protocol, mayAsk: isAdmitted, answer: request => this.#answer(request) })
    host.onPeer((event, peer) => {
      if (event === 'disconnected') this.#forget(peer)
    })
  }

  /** Asks a member to keep one block for a put. Wishes that come together travel together. */
  keepBlock(peer: PeerId, wish: Wish): Promise<KeepState> {
    const isSmall = wish.bytes !== null
    const batchers = isSmall ? this.#small : this.#large
    let batcher = batchers.get(peer)
    if (batcher === undefined) {
      batcher = new Batcher<Wish, KeepState>(wishes => this.#keepBlocks(peer, wishes), {
        itemsMax: isSmall ? KEEP_CIDS_MAX : KEEP_LARGE_MAX,
        bytesMax: isSmall ? KEEP_BYTES_MAX : Number.POSITIVE_INFINITY,
        sizeOf: ({ bytes }) => bytes?.byteLength ?? 0,
        parallel: KEEPS_IN_FLIGHT
      })
      batchers.set(peer, batcher)
    }
    return batcher.add(wish)
  }

  /** Tells a member which chunks of a file are counted on it; gives those that it lacks. */
  async keepRoot(peer: PeerId, put: Uint8Array, root: BlockCid, leaves: Bitmap, signal?: AbortSignal): Promise<Bitmap> {
    const fields = { put, root, until: PUT_CLAIM_MS, fetch: true }
    const { body } = await this.#callers.call(peer, fields, {
      body: [leaves.bytes],
      signal,
      timeoutMs: KEEP_TIMEOUT_MS
    })
    return new Bitmap(body)
  }

  /** Asks which chunks of a file a member lacks; with a nonce, for a promise not to free the others for an hour. */
  async holdRoot(
    peer: PeerId,
    { view, root, leaves, fetch, nonce, records }: HoldRoot,
    signal?: AbortSignal
  ): Promise<{ lacking: Bitmap; proofs: Uint8Array }> {
    const fields = { view, root, fetch, ...(nonce === undefined ? {} : { nonce, records }) }
    const { fields: reply, body } = await this.#callers.call(peer, fields, {
      body: [leaves.bytes],
      signal,
      timeoutMs: KEEP_TIMEOUT_MS
    })
    const { lacking } = parse(holdReply, reply)
    if (lacking > body.byteLength) throw new ProtocolError('answer to a hold with a length over its body')
    return { lacking: new Bitmap(body.subarray(0, lacking)), proofs: body.subarray(lacking) }
  }

  // One call a put: a batch may hold wishes of several.
  async #keepBlocks(peer: PeerId, wishes: Wish[]): Promise<KeepState[]> {
    const states = new Map<string, KeepState>()
    const keyOf = ({ put, cid }: Wish): string => `${Buffer.from(put).toString('hex')} ${blockKey(cid)}`
    const groups: Wish[][] = []
    for (const wish of wishes) {
      const group = groups.find(([first]) => first !== undefined && equalBytes(first.put, wish.put))
      if (group === undefined) groups.push([wish])
      else group.push(wish)
    }
    await Promise.all(
      groups.map(async group => {
        const answers = await this.#keepGroup(peer, group)
        for (const [i, wish] of group.entries()) states.set(keyOf(wish), answers[i] as KeepState)
      })
    )
    return wishes.map(wish => states.get(keyOf(wish)) as KeepState)
  }

  async #keepGroup(peer: PeerId, wishes: Wish[]): Promise<KeepState[]> {
    const [first] = wishes as [Wish]
    const { fields } = await this.#callers.call(
      peer,
      {
        put: first.put,
        cids: wishes.map(({ cid }) => cid),
        lengths: wishes.map(({ bytes }) => bytes?.byteLength ?? 0),
        until: PUT_CLAIM_MS,
        fetch: true
      },
      {
        body: wishes.flatMap(({ bytes }) => (bytes === null ? [] : [bytes])),
        timeoutMs: KEEP_TIMEOUT_MS,
        expectBytes: wishes.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
      }
    )
    const { states } = parse(statesReply, fields)
    if (states.byteLength !== wishes.length) throw new ProtocolError('answer to a keep with a state missing')
    return [...states].map(state => {
      const name = KEEP_STATES[state]
      if (name === undefined) throw new ProtocolError('answer to a keep with an unknown state')
      return name
    })
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
      return checkCid(cid, this.#options.nodeCodecs)
    } catch (error) {
      if (error instanceof ForeignCidError) throw new RefusedError('invalid')
      throw error
    }
  }

  #forget(peer: PeerId): void {
    for (const batchers of [this.#small, this.#large]) {
      const batcher = batchers.get(peer)
      batchers.delete(peer)
      void batcher?.close(new DisconnectedError('the peer went away'))
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
