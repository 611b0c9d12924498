import { FormatError } from '../format/errors.ts'
import type { PeerId } from '../format/peer-id.ts'
import type { Chance } from '../util/chance.ts'
import { reasonOf } from '../util/logger.ts'
import type { Request, Response } from '../wire/calls.ts'
import { RefusedError, type WireStatus } from '../wire/errors.ts'
import { originOf } from '../wire/origin.ts'
import { NONCE_BYTES } from './constants.ts'
import { ClockOffError, DuplicateError, GrantError, WrongNetworkError } from './errors.ts'
import { type RequestOf, requestSchema } from './join-messages.ts'
import { EntryServer, type EntryServerOptions } from './joining/entry-server.ts'
import { chainOf, grantProofOf, type Proof, type Proven } from './proof.ts'
import type { ProofChecker } from './proof-checker.ts'

export interface JoinServerOptions extends EntryServerOptions {
  chance: Chance
  checker: ProofChecker
  /** Returns true if a peer is already a member. Members always get a slot, so that strangers cannot keep them out. */
  isKnown: (peer: PeerId) => boolean
  /** Called when the clocks prevent the admission of a peer. `aheadMs`: how far its clock is ahead of ours. */
  onClockOff: (peer: PeerId, aheadMs: number) => void
  /** Called when a peer says that a second process runs with our identity. */
  onTwice: () => void
}

/** The answering end of `/dfs/join/1.0.0`. Anyone may ask it. */
export class JoinServer {
  readonly #options: JoinServerOptions
  readonly #entry: EntryServer

  constructor(options: JoinServerOptions) {
    this.#options = options
    this.#entry = new EntryServer(options)
  }

  /** Throws a `RefusedError` with the status that SPEC.md names. */
  async answer({ peer, fields, body, signal }: Request): Promise<Response> {
    const request = requestSchema.safeParse(fields)
    if (!request.success) throw new RefusedError('invalid')
    const { data } = request
    switch (data.do) {
      case 'hello':
        return this.#hello(peer, data)
      case 'prove':
        return this.#prove(peer, data, body)
      case 'admitted':
        return this.#admitted(peer)
      case 'alive':
        return this.#alive(peer, data)
      case 'ask':
        return this.#entry.ask(peer, data)
      case 'wait':
        return this.#entry.wait(peer, signal)
      case 'withdraw':
        return this.#entry.withdraw(peer)
      case 'enter':
        return this.#entry.enter(peer, data, body)
      case 'key':
        return this.#entry.key(peer, data)
      case 'waiting':
        return this.#entry.waiting(peer)
      case 'deny':
        return this.#entry.deny(peer, data)
    }
  }

  /** Tells a stranger the network's id, a nonce, and our time if it asks for it, but nothing else. */
  #hello(peer: PeerId, { commit, time }: RequestOf<'hello'>): Response {
    const { self, chance, clock, log, peers } = this.#options
    const nonce = chance.bytes(NONCE_BYTES)
    const origin = this.#originOf(peer)
    const places = commit === undefined || origin === undefined ? undefined : peers.placesFor(peer, origin)
    if (places !== undefined) {
      log('answering %s: turned it away, since too many machines wait', peer)
      return { status: 'busy', fields: { ...places } }
    }
    try {
      peers.handle(peer, { event: 'hello', origin, commit, nonce })
    } catch (error) {
      log('answering %s: turned it away, since too many strangers are joining', peer)
      throw error
    }
    log('answering %s: it says hello', peer)
    return {
      status: 'ok',
      fields: { network: self.network, nonce, ...(time === true ? { now: Math.round(clock.now()) } : {}) }
    }
  }

  async #prove(peer: PeerId, proof: Proof, body: Uint8Array): Promise<Response> {
    const { self, clock, host, peers, log } = this.#options
    peers.handle(peer, { event: 'proving' })
    const { instance, chain, now } = await this.#check(peer, proof, body)
    if (!host.isConnected(peer)) throw new RefusedError('busy')
    const admission = { peer, instance, chain, aheadMs: Math.round(now - clock.now()) }
    peers.handle(peer, { event: 'proved', admission })
    log('answering %s: its grant is valid, showing ours', peer)
    return { status: 'ok', fields: grantProofOf(self, clock), body: chainOf(self) }
  }

  async #check(peer: PeerId, proof: Proof, body: Uint8Array): Promise<Proven> {
    const { checker, clock, log, onClockOff } = this.#options
    try {
      return await checker.check(peer, proof, body)
    } catch (error) {
      log('answering %s: turned it away: %s', peer, reasonOf(error))
      if (error instanceof ClockOffError) onClockOff(peer, Math.round(proof.now - clock.now()))
      const status = refusalOf(error)
      throw status === undefined ? error : new RefusedError(status)
    }
  }

  #admitted(peer: PeerId): Response {
    this.#options.peers.handle(peer, { event: 'confirmed' })
    return { status: 'ok' }
  }

  /** Tells a member the random number that our process drew at its start, and our time. Strangers are refused. */
  #alive(peer: PeerId, { twice }: RequestOf<'alive'>): Response {
    const { peers, self, clock, onTwice } = this.#options
    if (!peers.mayAsk(peer)) throw new RefusedError('not-admitted')
    if (twice === true) onTwice()
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
  if (error instanceof DuplicateError) return 'duplicate'
  return error instanceof GrantError || error instanceof FormatError ? 'forbidden' : undefined
}
