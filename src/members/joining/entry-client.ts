import type { z } from 'zod'
import type { PeerId } from '../../format/peer-id.ts'
import type { Clock } from '../../util/clock.ts'
import { Callers, parseReply } from '../../wire/calls.ts'
import type { RefusedError } from '../../wire/errors.ts'
import type { Host } from '../../wire/host.ts'
import { JOIN_BYTES_MAX, JOIN_PROTOCOL } from '../constants.ts'
import {
  type AskedRole,
  askReply,
  type ENTER_OUTCOMES,
  enterReply,
  helloReply,
  placesFields,
  waitReply
} from '../join-messages.ts'
import { WAIT_TIMEOUT_MS } from './constants.ts'
import { packStatements, unpackReply } from './statement-list.ts'

/** What a machine shows of itself when it asks to be let in. */
export interface AskRequest {
  /** The nonce that its `hello` committed to. */
  nonce: Uint8Array
  name: string
  role: AskedRole
  /** The key to which the network's keys are sealed for it. */
  x25519: Uint8Array
}

/** `granted` comes with the statements that the machine's grant rests on, its grant last. */
export type WaitReply =
  | { state: 'waiting' | 'denied' | 'over' }
  | { state: 'granted'; statements: readonly Uint8Array[] }

export interface EnterRequest {
  name: string
  x25519: Uint8Array
  /** The signature of the invite's key, and of this machine's, over `admitBytes`. */
  inviteSig: Uint8Array
  subjectSig: Uint8Array
}

/**
 * `granted` comes with the statements that the machine's grant rests on, its grant last. Any other outcome comes with
 * those of the member that answers. They show that the answer is that of a member.
 */
export interface EnterReply {
  outcome: (typeof ENTER_OUTCOMES)[number]
  statements: readonly Uint8Array[]
}

/** The answer of a member that has no place for another machine to wait. */
export type Places = z.output<typeof placesFields>

/** Returns what a member says about its places; undefined if it refused for another reason. */
export function placesIn({ status, fields }: RefusedError): Places | undefined {
  return status === 'busy' ? placesFields.safeParse(fields).data : undefined
}

/**
 * The asking end of `/dfs/join/1.0.0` for a machine that is no member yet: it needs no grant. Every method throws what
 * `Callers.call` throws; SPEC.md lists the statuses. The caller must check the statements that it gets.
 */
export class EntryClient {
  readonly #callers: Callers
  readonly #clock: Clock

  constructor(host: Host, clock: Clock, onFault: (peer: PeerId) => void = () => {}) {
    this.#clock = clock
    this.#callers = new Callers(host, clock, {
      protocol: JOIN_PROTOCOL,
      requestBytesMax: JOIN_BYTES_MAX,
      responseBytesMax: JOIN_BYTES_MAX,
      onFault
    })
  }

  /**
   * Asks a peer for the id of its network and a nonce. A machine that will `ask` commits to a nonce of its own before
   * it learns the peer's.
   */
  async hello(
    peer: PeerId,
    commit?: Uint8Array,
    signal?: AbortSignal
  ): Promise<{ network: Uint8Array; nonce: Uint8Array }> {
    const { fields } = await this.#callers.call(
      peer,
      { do: 'hello', ...(commit === undefined ? {} : { commit }) },
      { signal }
    )
    return this.#callers.read(peer, () => parseReply(helloReply, fields))
  }

  /**
   * Asks an admin for a person's decision to let this machine in. Both sides then show the same code, unless the answer
   * is `granted`: then the machine has been let in already, and `wait` brings its grant.
   */
  async ask(peer: PeerId, request: AskRequest, signal?: AbortSignal): Promise<'asked' | 'granted'> {
    const { fields } = await this.#callers.call(peer, { do: 'ask', ...request, now: this.#nowMs }, { signal })
    return this.#callers.read(peer, () => parseReply(askReply, fields)).state ?? 'asked'
  }

  /** Waits until a person has decided, but no longer than `WAIT_MS`. */
  async wait(peer: PeerId, signal?: AbortSignal): Promise<WaitReply> {
    const { fields, body } = await this.#callers.call(peer, { do: 'wait' }, { signal, timeoutMs: WAIT_TIMEOUT_MS })
    return this.#callers.read(peer, () => {
      const { state, lengths } = parseReply(waitReply, fields)
      return state === 'granted' ? { state, statements: unpackReply(body, lengths) } : { state }
    })
  }

  /** Tells a peer that this machine no longer waits. */
  async withdraw(peer: PeerId, signal?: AbortSignal): Promise<void> {
    await this.#callers.call(peer, { do: 'withdraw' }, { signal })
  }

  /** Enters with an invite. `statements` are those that the invite rests on, the invite last. */
  async enter(
    peer: PeerId,
    request: EnterRequest,
    statements: readonly Uint8Array[],
    signal?: AbortSignal
  ): Promise<EnterReply> {
    const { lengths, body } = packStatements(statements)
    const fields = { do: 'enter', ...request, lengths, now: this.#nowMs }
    const reply = await this.#callers.call(peer, fields, { body, signal, timeoutMs: WAIT_TIMEOUT_MS })
    return this.#callers.read(peer, () => {
      const { outcome, lengths } = parseReply(enterReply, reply.fields)
      return { outcome, statements: unpackReply(reply.body, lengths) }
    })
  }

  get #nowMs(): number {
    return Math.round(this.#clock.now())
  }
}
