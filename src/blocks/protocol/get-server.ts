import { z } from 'zod'
import { type BlockCid, CID } from '../../format/cid.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { Clock } from '../../util/clock.ts'
import { type Request, type Response, serveCalls } from '../../wire/calls.ts'
import { RefusedError } from '../../wire/errors.ts'
import type { Host } from '../../wire/host.ts'
import { GET_PROTOCOL, GET_RESPONSE_BYTES_MAX } from '../constants.ts'
import { acceptCid } from './accept-cid.ts'

const requestSchema = z.strictObject({ cid: z.custom<CID>(value => value instanceof CID) })

/** A block to be sent. */
export interface ReadBlock {
  bytes: Uint8Array
  /** Called once when the bytes have been sent, or never will be. */
  release: () => void
}

export interface GetServerOptions {
  host: Host
  clock: Clock
  isAdmitted: (peer: PeerId) => boolean
  nodeCodecs: readonly number[]
  /** Returns the verified bytes of a block that is here, or undefined. */
  read: (cid: BlockCid, signal: AbortSignal, peer: PeerId) => Promise<ReadBlock | undefined>
  onFault: (peer: PeerId) => void
}

/** The server of `/dfs/get/1.0.0`. SPEC.md describes the exchange. */
export class GetServer {
  readonly #options: GetServerOptions

  constructor(options: GetServerOptions) {
    this.#options = options
    const { host, clock, isAdmitted, onFault } = options
    serveCalls(host, {
      protocol: GET_PROTOCOL,
      requestBytesMax: 0,
      responseBytesMax: GET_RESPONSE_BYTES_MAX,
      clock,
      mayAsk: isAdmitted,
      answer: request => this.#answer(request),
      onFault
    })
  }

  async #answer({ peer, fields, signal }: Request): Promise<Response> {
    const request = requestSchema.safeParse(fields)
    if (!request.success) throw new RefusedError('invalid')
    const { nodeCodecs, read } = this.#options
    const block = await read(acceptCid(request.data.cid, nodeCodecs), signal, peer)
    if (block === undefined) return { status: 'not-found' }
    return { status: 'ok', body: [block.bytes], onDone: block.release }
  }
}
