import { type PeerId, peerIdOf } from '../../format/peer-id.ts'
import type { Clock } from '../../util/clock.ts'
import { type Request, type Response, serveCalls } from '../../wire/calls.ts'
import { RefusedError } from '../../wire/errors.ts'
import type { Host } from '../../wire/host.ts'
import { Bitmap } from '../bitmap.ts'
import { KEEP_BYTES_MAX, PAGE_CHUNKS, STORE_PROTOCOL } from '../constants.ts'
import { acceptCid } from './accept-cid.ts'
import {
  type HoldPage,
  type HoldPageAnswer,
  KEEP_STATES,
  type KeepBlocks,
  type KeepRoot,
  type KeepState,
  type PageAnswer,
  requestSchema,
  splitInline
} from './store-messages.ts'

/** Carries out what a request asks, with one method for each form of `keep`. */
export interface Keeping {
  keepBlocks(request: KeepBlocks, peer: PeerId, signal: AbortSignal): Promise<KeepState[]>
  /** Returns the chunks of the page that are not durable here. */
  keepRoot(request: KeepRoot, peer: PeerId, signal: AbortSignal): Promise<PageAnswer>
  holdRoot(request: HoldPage, peer: PeerId, signal: AbortSignal): Promise<HoldPageAnswer>
  /** Notes that a put of a peer has ended without a record. */
  giveUp(put: Uint8Array, peer: PeerId): void
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
    if ('ended' in request) {
      keeping.giveUp(request.put, peer)
      return { status: 'ok', fields: {} }
    }
    const from = request.from === undefined ? undefined : peerIdOf(request.from)
    if ('cids' in request) {
      const { put, cids, lengths, sizes = [], records = [], fetch } = request
      if (lengths.length !== cids.length) throw new RefusedError('invalid')
      const parts = splitInline(body, [...lengths, ...records])
      const blocks = cids.map((cid, i) => {
        const size = sizes[i] ?? 0
        return {
          cid: acceptCid(cid, nodeCodecs),
          inline: parts[i] ?? null,
          sizeBytes: size === 0 ? undefined : size,
          record: copyOf(parts[cids.length + i])
        }
      })
      const asked = { put, blocks, fetch, from, body, claimMs: request.until }
      const states = await keeping.keepBlocks(asked, peer, signal)
      return { status: 'ok', fields: { states: Uint8Array.from(states, state => KEEP_STATES.indexOf(state)) } }
    }
    const root = acceptCid(request.root, nodeCodecs)
    const { first, fetch } = request
    const page = { root, first, chunks: pageOf(first, body), fetch, from }
    if ('put' in request) {
      const { put } = request
      const { lacking, covered } = await keeping.keepRoot({ ...page, put, claimMs: request.until }, peer, signal)
      return { status: 'ok', fields: { covered }, body: [lacking.bytes] }
    }
    const { view, nonce, records = [] } = request
    const { lacking, covered, proofs } = await keeping.holdRoot({ ...page, view, nonce, records }, peer, signal)
    return { status: 'ok', fields: { covered, lacking: lacking.bytes.byteLength }, body: [lacking.bytes, proofs] }
  }
}

/** A record outlives its request. A view of the request would keep all of its blocks in memory. */
function copyOf(record: Uint8Array | null | undefined): Uint8Array | null {
  return record == null ? null : new Uint8Array(record)
}

/** Returns the bitmap of a request. A request that reaches beyond the end of a page is refused as `over-limit`. */
function pageOf(first: number, body: Uint8Array): Bitmap {
  const chunks = new Bitmap(body)
  if (body.byteLength * 8 - 7 > PAGE_CHUNKS - (first % PAGE_CHUNKS)) throw new RefusedError('over-limit')
  return chunks
}
