import type { PeerId } from '../format/peer-id.ts'
import type { Clock } from '../util/clock.ts'
import { Callers, parseReply } from '../wire/calls.ts'
import type { Host } from '../wire/host.ts'
import { JOIN_BYTES_MAX, JOIN_PROTOCOL } from './constants.ts'
import { aliveReply, helloReply, type WaitingAttempt, waitingReply, waitReply } from './join-messages.ts'
import { unpackReply } from './joining/statement-list.ts'
import type { LocalMember } from './local-member.ts'
import { chainOf, grantProofOf, type Proof, proofSchema } from './proof.ts'

export interface JoinClientOptions {
  host: Host
  self: LocalMember
  clock: Clock
  onFault: (peer: PeerId) => void
}

/** The asking end of `/dfs/join/1.0.0`. Every method throws what `Callers.call` throws. */
export class JoinClient {
  readonly #callers: Callers
  readonly #options: JoinClientOptions

  constructor(options: JoinClientOptions) {
    this.#options = options
    const { host, clock, onFault } = options
    this.#callers = new Callers(host, clock, {
      protocol: JOIN_PROTOCOL,
      requestBytesMax: JOIN_BYTES_MAX,
      responseBytesMax: JOIN_BYTES_MAX,
      onFault
    })
  }

  /** Sends `hello` to a peer. Returns the id of its network. */
  async hello(peer: PeerId, signal: AbortSignal): Promise<Uint8Array> {
    const { fields } = await this.#callers.call(peer, { do: 'hello' }, { signal })
    return this.#callers.read(peer, () => parseReply(helloReply, fields)).network
  }

  /** Asks a peer that has not admitted us how far its clock is ahead of ours. Undefined if it does not tell. */
  async aheadMs(peer: PeerId, signal: AbortSignal): Promise<number | undefined> {
    const sentAtMs = this.#options.clock.now()
    const { fields } = await this.#callers.call(peer, { do: 'hello', time: true }, { signal })
    const { now } = this.#callers.read(peer, () => parseReply(helloReply, fields))
    return now === undefined ? undefined : this.#aheadMs(now, sentAtMs)
  }

  /** Shows our grants to a peer. Returns the proof that the peer shows in return. The caller must check this proof. */
  async prove(peer: PeerId, signal: AbortSignal): Promise<{ proof: Proof; body: Uint8Array; aheadMs: number }> {
    const { self, clock } = this.#options
    const sentAtMs = clock.now()
    const { fields, body } = await this.#callers.call(
      peer,
      { do: 'prove', ...grantProofOf(self, clock) },
      { body: chainOf(self), signal }
    )
    const proof = this.#callers.read(peer, () => parseReply(proofSchema, fields))
    return { proof, body, aheadMs: this.#aheadMs(proof.now, sentAtMs) }
  }

  /**
   * Asks a peer that refused our proof why our grant is void. Returns the statements that show it, which the caller must
   * check; empty if the peer knows of none.
   */
  async evidence(peer: PeerId, signal: AbortSignal): Promise<Uint8Array[]> {
    const { fields, body } = await this.#callers.call(peer, { do: 'wait' }, { signal })
    return this.#callers.read(peer, () => {
      const { state, lengths } = parseReply(waitReply, fields)
      return state === 'denied' ? unpackReply(body, lengths) : []
    })
  }

  /** Tells a peer that we accepted its proof. */
  async admitted(peer: PeerId, signal: AbortSignal): Promise<void> {
    await this.#callers.call(peer, { do: 'admitted' }, { signal })
  }

  /**
   * Asks a peer for its `instance`, the random number that its process drew at its start, and for its time. Returns the
   * `instance`, and how far the peer's clock is ahead of ours. `twice` tells it that another process runs with its
   * identity.
   */
  async alive(
    peer: PeerId,
    { signal, twice = false }: { signal?: AbortSignal | undefined; twice?: boolean } = {}
  ): Promise<{ instance: Uint8Array; aheadMs: number }> {
    const sentAtMs = this.#options.clock.now()
    const { fields } = await this.#callers.call(peer, { do: 'alive', ...(twice ? { twice } : {}) }, { signal })
    const { instance, now } = this.#callers.read(peer, () => parseReply(aliveReply, fields))
    return { instance, aheadMs: this.#aheadMs(now, sentAtMs) }
  }

  /** Asks an admin which machines wait there to be let in. */
  async waiting(peer: PeerId, signal?: AbortSignal): Promise<WaitingAttempt[]> {
    const { fields } = await this.#callers.call(peer, { do: 'waiting' }, { signal })
    return this.#callers.read(peer, () => parseReply(waitingReply, fields)).attempts
  }

  /** Asks an admin to turn away the machine that waits there with this code. */
  async deny(peer: PeerId, code: string, signal?: AbortSignal): Promise<void> {
    await this.#callers.call(peer, { do: 'deny', code }, { signal })
  }

  /** Asks a member for a handover of an epoch's key to us: the bytes of a statement. The caller must check them. */
  async key(peer: PeerId, epoch: Uint8Array, signal?: AbortSignal): Promise<Uint8Array> {
    const { body } = await this.#callers.call(peer, { do: 'key', epoch }, { signal })
    return body
  }

  // The peer read its clock between our question and its answer. We assume that this was halfway between the two.
  #aheadMs(theirNowMs: number, sentAtMs: number): number {
    return Math.round(theirNowMs - (sentAtMs + this.#options.clock.now()) / 2)
  }
}
