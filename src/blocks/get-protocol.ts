import { z } from 'zod'
import { type BlockCid, CID, decodeCid } from '../format/cid.ts'
import { ForeignCidError } from '../format/errors.ts'
import type { PeerId } from '../format/peer-id.ts'
import type { Clock } from '../util/clock.ts'
import { Callers, serveCalls } from '../wire/calls.ts'
import { RefusedError } from '../wire/errors.ts'
import type { Host } from '../wire/host.ts'
import { GET_PROTOCOL, GET_RESPONSE_BYTES_MAX } from './constants.ts'

const requestSchema = z.strictObject({ cid: z.custom<CID>(value => value instanceof CID) })

const PROTOCOL = { protocol: GET_PROTOCOL, requestBytesMax: 0, responseBytesMax: GET_RESPONSE_BYTES_MAX }

export interface GetProtocolOptions {
  host: Host
  clock: Clock
  isAdmitted: (peer: PeerId) => boolean
  nodeCodecs: readonly number[]
  /** The verified bytes of a block of ours, or undefined. */
  read: (cid: BlockCid, signal: AbortSignal, peer: PeerId) => Promise<Uint8Array | undefined>
  onFault: (peer: PeerId) => void
}

/** `/dfs/get/1.0.0`: one block a request, whole or not at all, from any member to any other. SPEC.md has the exchange. */
export class GetProtocol {
  readonly #callers: Callers

  constructor({ host, clock, isAdmitted, nodeCodecs, read, onFault }: GetProtocolOptions) {
    this.#callers = new Callers(host, clock, { ...PROTOCOL, onFault })
    serveCalls(host, {
      ...PROTOCOL,
      clock,
      mayAsk: isAdmitted,
      onFault,
      answer: async ({ peer, fields, signal }) => {
        const cid = parseRequest(fields, nodeCodecs)
        const bytes = await read(cid, signal, peer)
        return bytes === undefined ? { status: 'not-found' } : { status: 'ok', body: [bytes] }
      }
    })
  }

  /** Asks one member for a block. The bytes are as they came: the caller verifies them. */
  async get(peer: PeerId, cid: BlockCid, signal?: AbortSignal): Promise<Uint8Array> {
    const { body } = await this.#callers.call(peer, { cid }, { signal, expectBytes: GET_RESPONSE_BYTES_MAX })
    return body
  }
}

function parseRequest(fields: Record<string, unknown>, nodeCodecs: readonly number[]): BlockCid {
  const request = requestSchema.safeParse(fields)
  if (!request.success) throw new RefusedError('invalid')
  try {
    return decodeCid(request.data.cid.bytes, nodeCodecs)
  } catch (error) {
    if (error instanceof ForeignCidError) throw new RefusedError('invalid')
    throw error
  }
}
