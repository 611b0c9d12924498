import type { PeerId } from '../../format/peer-id.ts'
import type { Clock } from '../../util/clock.ts'
import { type Request, type Response, serveCalls } from '../../wire/calls.ts'
import { RefusedError } from '../../wire/errors.ts'
import type { Host } from '../../wire/host.ts'
import { Bitmap } from '../bitmap.ts'
import { KEEP_BYTES_MAX, STORE_PROTOCOL } from '../constants.ts'
import { acceptCid } from './accept-cid.ts'
import {
  type HoldAnswer,
  type HoldRoot,
  KEEP_STATES,
  type KeepBlocks,
  type KeepRoot,
  type KeepState,
  requestSchema,
  splitInline
} from './store-messages.ts'

/** Carries out what a request asks, with one method for each form of `keep`. */
export interface Keeping {
  keepBlocks(request: KeepBlocks, peer: PeerId, signal: AbortSignal): Promise<KeepState[]>
  /** Returns the chunks of the bitmap that are not durable here. */
  keepRoot(request: KeepRoot, peer: PeerId, signal: AbortSignal): Promise<Bitmap>
  holdRoot(request: HoldRoot, peer: PeerId, signal: AbortSignal): Promise<HoldAnswer>
}

export interface StoreServerOptions {
  host: Host
  clock: Clock
  isAdmitted: (peer: PeerId) => boolean
  nodeCodecs: readonly number[]
  keeping: Keeping
  onFault: (peer: PeerId) => void
}

/** The answering end of `/dfs/store/1.0.0`: checks each request and hands it to the keeper. */
export class StoreServer {
  readonly #options: StoreServerOptions

  constructor(options: StoreServerOptions) {
    this.#options = options
    const { host, clock, isAdmitted, onFault } = options
    serveCalls(host, {
      protocol: STORE_PROTOCOL,
      requestBytesMax: KEEP_BYTES_MAX,
      responseBytesMax: KEEP_BYTES_MAX,
      clock,
      mayAsk: isAdmitted,
      answer: request => this.#answer(request),
      onFault
    })
  }

  async #answer({ peer, fields, body, signal }: Request): Promise<Response> {
    const parsed = requestSchema.safeParse(fields)
    if (!parsed.success) throw new RefusedError('invalid')
    const request = parsed.data
    const { keeping, nodeCodecs } = this.#options
    if ('cids' in request) {
      const { put, cids, lengths, fetch } = request
      if (lengths.length !== cids.length) throw new RefusedError('invalid')
      const inline = splitInline(body, lengths)
      const blocks = cids.map((cid, i) => ({ cid: acceptCid(cid, nodeCodecs), inline: inline[i] ?? null }))
      const states = await keeping.keepBlocks({ put, blocks, fetch, claimMs: request.until }, peer, signal)
      return { status: 'ok', fields: { states: Uint8Array.from(states, state => KEEP_STATES.indexOf(state)) } }
    }
    const root = acceptCid(request.root, nodeCodecs)
    const chunks = new Bitmap(body)
    if ('put' in request) {
      const { put, fetch } = request
      const lacking = await keeping.keepRoot({ put, root, chunks, fetch, claimMs: request.until }, peer, signal)
      return { status: 'ok', body: [lacking.bytes] }
    }
    const { view, fetch, nonce, records = [] } = request
    const { lacking, proofs } = await keeping.holdRoot({ view, root, chunks, fetch, nonce, records }, peer, signal)
    return { status: 'ok', fields: { lacking: lacking.bytes.byteLength }, body: [lacking.bytes, proofs] }
  }
}
