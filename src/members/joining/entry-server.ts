import { approvalCode, commitOf } from '../../format/approval.ts'
import { FUTURE_MS_MAX } from '../../format/constants.ts'
import { type PeerId, publicKeyOf } from '../../format/peer-id.ts'
import { equalBytes } from '../../util/bytes.ts'
import type { Clock } from '../../util/clock.ts'
import type { Logger } from '../../util/logger.ts'
import type { Response } from '../../wire/calls.ts'
import { RefusedError, type WireStatus } from '../../wire/errors.ts'
import type { Host } from '../../wire/host.ts'
import { originOf } from '../../wire/origin.ts'
import type { RequestOf, WaitingAttempt } from '../join-messages.ts'
import type { LocalMember } from '../local-member.ts'
import { chainOf } from '../proof.ts'
import { WAIT_MS } from './constants.ts'
import type { EnterReply } from './entry-client.ts'
import type { JoiningPeers } from './joining-peers.ts'
import { type Attempt, isWaiting } from './peer-machine.ts'
import { packStatements, unpackStatements } from './statement-list.ts'

/** What a machine that enters with an invite shows. */
export interface Entering {
  peer: PeerId
  name: string
  x25519: Uint8Array
  inviteSig: Uint8Array
  subjectSig: Uint8Array
  /** What the invite rests on, the invite last. Nothing of it has been checked. */
  statements: readonly Uint8Array[]
}

/** What an invite leads to. The statements are those that the machine's grant rests on, its grant last. */
export type EntryOutcome =
  | { outcome: Exclude<EnterReply['outcome'], 'granted'>; statements?: undefined }
  | { outcome: 'granted'; statements: readonly Uint8Array[] }

/** What this file needs from the rest of the room in order to let machines in. `Admitting` implements it. */
export interface Entrance {
  /** Why this member approves nobody now; undefined if it may. */
  readonly refusal: WireStatus | undefined
  /** Returns true if this device is an admin of the network now. */
  isAdmin(peer: PeerId): boolean
  /** Returns what the grant of a member rests on, its grant last; undefined if the device is no member. */
  supportOf(peer: PeerId): readonly Uint8Array[] | undefined
  /** Returns what shows a device that its grant is void; empty if there is nothing to show. */
  evidenceAgainst(peer: PeerId): readonly Uint8Array[]
  /** Lets in a machine that has an invite. Throws a `RefusedError`. */
  enter(entering: Entering): Promise<EntryOutcome>
  /** Returns a handover of an epoch's key to a member. Throws a `RefusedError`. */
  handover(peer: PeerId, epoch: Uint8Array): Promise<Uint8Array>
}

export interface EntryServerOptions {
  host: Host
  self: LocalMember
  clock: Clock
  log: Logger
  peers: JoiningPeers
  entrance: Entrance | undefined
  /** Called when a machine begins to wait for a person. */
  onAsked: (attempt: Attempt) => void
}

/**
 * Answers the requests of `/dfs/join/1.0.0` that bring new members in: `ask`, `wait`, `withdraw` and `enter` of
 * machines that are not members, `waiting` and `deny` of other admins, and `key` of members. Throws a `RefusedError`
 * with the status that SPEC.md names.
 */
export class EntryServer {
  readonly #options: EntryServerOptions

  constructor(options: EntryServerOptions) {
    this.#options = options
  }

  ask(peer: PeerId, { nonce, name, role, x25519, now }: RequestOf<'ask'>): Response {
    const { self, clock, log, peers } = this.#options
    const refusal = this.#entrance.refusal
    if (refusal !== undefined) throw new RefusedError(refusal)
    this.#assertClocksAgree(now)
    const { greeting } = peers.of(peer)
    peers.handle(peer, { event: 'revealed' })
    if (greeting?.commit === undefined || !equalBytes(commitOf(nonce), greeting.commit))
      throw new RefusedError('invalid')
    // This machine was let in before and does not know it yet. The answer to its `wait` brings its grant.
    if (this.#entrance.supportOf(peer) !== undefined) return { status: 'ok', fields: { state: 'granted' } }
    const key = publicKeyOf(peer)
    const listener = { key: self.publicKey, nonce: greeting.nonce }
    const code = approvalCode({ dialler: { key, nonce }, listener, network: self.network })
    const origin = originOf(this.#addressOf(peer))
    const places = peers.placesFor(peer, origin)
    if (places !== undefined) return { status: 'busy', fields: { ...places } }
    peers.handle(peer, {
      event: 'asked',
      attempt: { peer, key, x25519, name, role, code, origin, sinceMs: clock.now() }
    })
    const { attempt } = peers.of(peer)
    if (!isWaiting(attempt)) return { status: 'ok' }
    log('answering %s: it asks to be let in, code %s', peer, code)
    this.#options.onAsked(attempt)
    return { status: 'ok' }
  }

  async wait(peer: PeerId, signal: AbortSignal): Promise<Response> {
    const { peers } = this.#options
    const hasWaited = this.#waitState(peer) === 'waiting'
    if (hasWaited) await peers.decision(peer, WAIT_MS, signal)
    const state = this.#waitState(peer)
    const statements = state === 'granted' ? this.#entrance.supportOf(peer) : undefined
    if (statements !== undefined) this.#expectBack(peer)
    // A machine that has waited for a person is told how that ended, whatever grants it had before.
    const evidence = state === 'over' && !hasWaited ? this.#evidenceAgainst(peer) : []
    const { lengths, body } = packStatements(statements ?? evidence)
    return { status: 'ok', fields: { state: evidence.length > 0 ? 'denied' : state, lengths }, body }
  }

  /** Ends the wait of a machine. A decision that a person has made stays. */
  withdraw(peer: PeerId): Response {
    this.#options.peers.handle(peer, { event: 'gave-up' })
    this.#options.log('answering %s: it no longer waits', peer)
    return { status: 'ok' }
  }

  async enter(peer: PeerId, request: RequestOf<'enter'>, body: Uint8Array): Promise<Response> {
    const { peers, log } = this.#options
    const known = this.#entrance.supportOf(peer)
    if (known !== undefined) return entered('granted', known)
    peers.handle(peer, { event: 'proving' })
    this.#assertClocksAgree(request.now)
    const statements = unpackStatements(body, request.lengths)
    if (statements === undefined) throw new RefusedError('invalid')
    const { name, x25519, inviteSig, subjectSig } = request
    const reply = await this.#entrance.enter({ peer, name, x25519, inviteSig, subjectSig, statements })
    log('answering %s, which has an invite: %s', peer, reply.outcome)
    if (reply.outcome === 'granted') this.#expectBack(peer)
    return entered(reply.outcome, reply.statements ?? chainOf(this.#options.self))
  }

  async key(peer: PeerId, { epoch }: RequestOf<'key'>): Promise<Response> {
    if (!this.#options.peers.mayAsk(peer)) throw new RefusedError('not-admitted')
    return { status: 'ok', body: [await this.#entrance.handover(peer, epoch)] }
  }

  waiting(peer: PeerId): Response {
    this.#assertAdmin(peer)
    const { peers } = this.#options
    const attempts = peers.attempts.map(({ peer, x25519, name, role, code, sinceMs }): WaitingAttempt => {
      return { peer, x25519, name, role, code, sinceMs: Math.round(sinceMs), isHere: peers.of(peer).isConnected }
    })
    return { status: 'ok', fields: { attempts } }
  }

  deny(peer: PeerId, { code }: RequestOf<'deny'>): Response {
    this.#assertAdmin(peer)
    const { peers, log } = this.#options
    const attempts = peers.attempts.filter(attempt => attempt.code === code)
    if (attempts.length === 0) throw new RefusedError('not-found')
    for (const attempt of attempts) peers.handle(attempt.peer, { event: 'decided', decision: 'denied' })
    log('answering %s: turned away the machine that shows the code %s', peer, code)
    return { status: 'ok' }
  }

  get #entrance(): Entrance {
    const { entrance } = this.#options
    if (entrance === undefined) throw new RefusedError('forbidden')
    return entrance
  }

  /** Collecting the evidence means looking at every member, so each request for it counts as a proof. */
  #evidenceAgainst(peer: PeerId): readonly Uint8Array[] {
    const { greeting } = this.#options.peers.of(peer)
    if (greeting === undefined || greeting.proofsLeft === 0) return []
    this.#options.peers.handle(peer, { event: 'proving' })
    return this.#entrance.evidenceAgainst(peer)
  }

  #waitState(peer: PeerId): 'waiting' | 'granted' | 'denied' | 'over' {
    if (this.#entrance.supportOf(peer) !== undefined) return 'granted'
    const { attempt } = this.#options.peers.of(peer)
    if (attempt === undefined) return 'over'
    return attempt.decision === 'denied' ? 'denied' : 'waiting'
  }

  #assertAdmin(peer: PeerId): void {
    const { self, peers } = this.#options
    const areAdmins = self.role === 'admin' && peers.mayAsk(peer) && this.#entrance.isAdmin(peer)
    if (!areAdmins) throw new RefusedError('forbidden')
  }

  /** A machine that was let in hangs up, and comes back as a member. */
  #expectBack(peer: PeerId): void {
    this.#options.host.welcome?.(peer, 'member')
  }

  #assertClocksAgree(now: number): void {
    if (Math.abs(now - this.#options.clock.now()) > FUTURE_MS_MAX) throw new RefusedError('clock-off')
  }

  #addressOf(peer: PeerId): string {
    return this.#options.host.connections().find(connection => connection.peer === peer)?.address ?? ''
  }
}

function entered(outcome: EnterReply['outcome'], statements: readonly Uint8Array[]): Response {
  const { lengths, body } = packStatements(statements)
  return { status: 'ok', fields: { outcome, lengths }, body }
}
