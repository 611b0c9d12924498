import { FormatError } from '../format/errors.ts'
import type { PeerId } from '../format/peer-id.ts'
import type { Chance } from '../util/chance.ts'
import type { Clock } from '../util/clock.ts'
import { type Logger, reasonOf } from '../util/logger.ts'
import type { Request, Response } from '../wire/calls.ts'
import { RefusedError, type WireStatus } from '../wire/errors.ts'
import type { Host } from '../wire/host.ts'
import { originOf } from './address-book.ts'
import type { Admissions } from './admissions.ts'
import { NONCE_BYTES } from './constants.ts'
import { ClockOffError, GrantError, WrongNetworkError } from './errors.ts'
import { requestSchema } from './join-messages.ts'
import { JoinSlots } from './join-slots.ts'
import type { LocalMember } from './local-member.ts'
import { chainOf, grantProofOf, type Proof, type Proven } from './proof.ts'
import type { ProofChecker } from './proof-checker.ts'

export interface JoinServerOptions {
  host: Host
  self: LocalMember
  clock: Clock
  chance: Chance
  log: Logger
  admissions: Admissions
  checker: ProofChecker
  /** Returns true if a peer is already a member. Members always get a slot, so that strangers cannot keep them out. */
  isKnown: (peer: PeerId) => boolean
}

/** The answering end of `/dfs/join/1.0.0`. Anyone may ask it. */
export class JoinServer {
  readonly #options: JoinServerOptions
  readonly #slots: JoinSlots

  constructor(options: JoinServerOptions) {
    this.#options = options
    this.#slots = new JoinSlots(options.clock)
  }

  /** Throws a `RefusedError` with the status that SPEC.md names. */
  async answer({ peer, fields, body }: Request): Promise<Response> {
    const request = requestSchema.safeParse(fields)
    if (!request.success) throw new RefusedError('invalid')
    switch (request.data.do) {
      case 'hello':
        return this.#hello(peer)
      case 'prove':
        return this.#prove(peer, request.data, body)
      case 'admitted':
        return this.#admitted(peer)
      case 'alive':
        return this.#alive(peer)
      default:
        throw new RefusedError('unsupported')
    }
  }

  /** Frees the slot of a peer whose last connection has ended. */
  disconnected(peer: PeerId): void {
    this.#slots.free(peer)
  }

  /** Tells a stranger the network's id and a nonce, but nothing else. */
  #hello(peer: PeerId): Response {
    const { self, chance, log } = this.#options
    if (!this.#slots.reserve(peer, this.#originOf(peer))) {
      log('answering %s: turned it away, since too many strangers are joining', peer)
      throw new RefusedError('busy')
    }
    log('answering %s: it says hello', peer)
    return { status: 'ok', fields: { network: self.network, nonce: chance.bytes(NONCE_BYTES) } }
  }

  async #prove(peer: PeerId, proof: Proof, body: Uint8Array): Promise<Response> {
    const { self, clock, host, admissions, log } = this.#options
    if (!this.#slots.has(peer)) throw new RefusedError('invalid')
    if (!this.#slots.countProof(peer)) throw new RefusedError('busy')
    const { instance, chain, now } = await this.#check(peer, proof, body)
    if (!host.isConnected(peer)) throw new RefusedError('busy')
    admissions.addProven({ peer, instance, chain, aheadMs: Math.round(now - clock.now()) })
    log('answering %s: its grant is valid, showing ours', peer)
    return { status: 'ok', fields: grantProofOf(self, clock), body: chainOf(self) }
  }

  async #check(peer: PeerId, proof: Proof, body: Uint8Array): Promise<Proven> {
    try {
      return await this.#options.checker.check(peer, proof, body)
    } catch (error) {
      this.#options.log('answering %s: turned it away: %s', peer, reasonOf(error))
      const status = refusalOf(error)
      throw status === undefined ? error : new RefusedError(status)
    }
  }

  #admitted(peer: PeerId): Response {
    if (!this.#options.admissions.confirm(peer)) throw new RefusedError('not-admitted')
    this.#slots.free(peer)
    return { status: 'ok' }
  }

  /** Tells a member the random number that our process drew at its start, and our time. Strangers are refused. */
  #alive(peer: PeerId): Response {
    const { admissions, self, clock } = this.#options
    if (!admissions.mayAsk(peer)) throw new RefusedError('not-admitted')
    return { status: 'ok', fields: { instance: self.instance, now: Math.round(clock.now()) } }
  }

  /** Returns the address under which a stranger is counted, or undefined for a member. */
  #originOf(peer: PeerId): string | undefined {
    const { host, isKnown } = this.#options
    if (isKnown(peer)) return undefined
    return originOf(host.connections().find(connection => connection.peer === peer)?.address ?? '')
  }
}

/** Returns the status that tells a peer why its proof does not admit it, or undefined if the error is our own. */
function refusalOf(error: unknown): WireStatus | undefined {
  if (error instanceof WrongNetworkError) return 'wrong-network'
  if (error instanceof ClockOffError) return 'clock-off'
  return error instanceof GrantError || error instanceof FormatError ? 'forbidden' : undefined
}
