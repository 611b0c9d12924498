import type { BlockCid } from '../../format/cid.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { Clock } from '../../util/clock.ts'
import { Callers } from '../../wire/calls.ts'
import { LEAST_BYTES_PER_S } from '../../wire/constants.ts'
import type { Host } from '../../wire/host.ts'
import { GET_PROTOCOL, GET_RESPONSE_BYTES_MAX } from '../constants.ts'

export interface GetCallOptions {
  signal?: AbortSignal | undefined
  /** The most bytes that the block may have. */
  bytesMax: number
  /** Called with the length of the block before memory is taken for it. If it returns false, the call fails. */
  admit?: ((bytes: number) => boolean) | undefined
}

export interface GetClientOptions {
  host: Host
  clock: Clock
  onFault: (peer: PeerId) => void
}

/** The client of `/dfs/get/1.0.0`. Each request asks one member for one block, which arrives whole or not at all. */
export class GetClient {
  readonly #callers: Callers

  constructor({ host, clock, onFault }: GetClientOptions) {
    this.#callers = new Callers(host, clock, {
      protocol: GET_PROTOCOL,
      requestBytesMax: 0,
      responseBytesMax: GET_RESPONSE_BYTES_MAX,
      leastBytesPerS: LEAST_BYTES_PER_S,
      onFault
    })
  }

  /** Opens the stream to a member, so that the first read does not wait for it. */
  prepare(peer: PeerId): void {
    this.#callers.prepare(peer)
  }

  /** Asks one member for a block. The caller must verify the bytes. */
  async get(peer: PeerId, cid: BlockCid, { signal, bytesMax, admit }: GetCallOptions): Promise<Uint8Array> {
    const { body } = await this.#callers.call(peer, { cid }, { signal, expectBytes: bytesMax, admit })
    return body
  }
}
