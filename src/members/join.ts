import type { PeerId } from '../format/peer-id.ts'
import type { Verdict } from '../log/projection.ts'
import { equalBytes } from '../util/bytes.ts'
import type { Chance } from '../util/chance.ts'
import type { Clock } from '../util/clock.ts'
import { withDeadline } from '../util/deadline.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../util/logger.ts'
import { serveCalls } from '../wire/calls.ts'
import { RefusedError } from '../wire/errors.ts'
import type { Host } from '../wire/host.ts'
import { JOIN_BYTES_MAX, JOIN_PROTOCOL, JOIN_TIMEOUT_MS } from './constants.ts'
import { ClockOffError, WrongNetworkError } from './errors.ts'
import type { GrantChain } from './grant-chain.ts'
import { JoinClient } from './join-client.ts'
import { JoinServer } from './join-server.ts'
import type { CodeEnd } from './joining/ended-codes.ts'
import type { Entrance } from './joining/entry-server.ts'
import { JoiningPeers } from './joining/joining-peers.ts'
import type { Admission, Attempt } from './joining/peer-machine.ts'
import { showProof } from './joining/show-proof.ts'
import type { LocalMember } from './local-member.ts'
import type { Proven } from './proof.ts'
import { ProofChecker } from './proof-checker.ts'
import { rejectionReason } from './rejection-reason.ts'

export interface JoinOptions {
  host: Host
  self: LocalMember
  clock: Clock
  chance: Chance
  logger: ComponentLogger
  /** See `JoinServer`. By default every peer is a stranger. */
  isKnown?: (peer: PeerId) => boolean
  /** See `JoiningPeers` and `ProofFacts`. Without it, no grant counts as renewed. */
  chainOf?: (peer: PeerId) => GrantChain | undefined
  /** See `ProofChecker`. Without it, every verified chain is accepted. */
  learn?: (statements: readonly Uint8Array[], peer: PeerId) => Promise<Verdict[]>
  /** See `ProofChecker`. Without it, everyone with a valid proof is a member. */
  isMember?: (peer: PeerId) => boolean
  /** Called when both sides have proven themselves. */
  onAdmitted: (admission: Admission) => void
  onDeparted: (peer: PeerId) => void
  /** Called when our attempt to join a peer has failed. */
  onRejected: (peer: PeerId, error: unknown) => void
  onFault: (peer: PeerId) => void
  /** See `JoinServer`. */
  onClockOff?: (peer: PeerId, aheadMs: number) => void
  /** Lets in machines that are not members yet. Without it, no machine is let in. */
  entrance?: Entrance
  /** Called when a machine begins to wait for a person. */
  onAsked?: (attempt: Attempt) => void
  /** Called when the code of a machine that waited is no longer valid. */
  onCodeEnded?: (attempt: Attempt, how: CodeEnd) => void
  /** Called when two processes run with the identity of a peer, which may be our own. */
  onDuplicate?: (peer: PeerId) => void
}

/**
 * `/dfs/join/1.0.0`: each side proves that it holds a grant for the peer id that the connection has proven. The dialler
 * shows its proof first, so that a stranger that dials a member learns only the id of its network. Once the listener
 * has found it valid, it accepts other requests of the dialler. Once the dialler has found the listener's proof valid,
 * it accepts those of the listener. An admission belongs to a peer id and one start of its process, and lasts as long
 * as there is any connection between the two. SPEC.md describes the exchange.
 *
 * `JoiningPeers` holds how far each peer has come, `JoinServer` answers, `JoinClient` asks, and `ProofChecker` decides
 * about proofs. This class makes one attempt for each peer that we dialled.
 */
export class Join {
  readonly #options: JoinOptions
  readonly #log: Logger
  readonly #peers: JoiningPeers
  readonly #client: JoinClient
  readonly #checker: ProofChecker

  constructor(options: JoinOptions) {
    this.#options = options
    const { host, self, clock, chance, logger, onFault, entrance } = options
    const { isKnown = () => false, learn = async () => [], chainOf = () => undefined } = options
    const { onAsked = () => {}, onDuplicate = () => {}, onClockOff = () => {}, isMember = () => true } = options
    const log = logger.forComponent('dfs:members:join')
    this.#log = log
    this.#peers = this.#makePeers()
    this.#client = new JoinClient({ host, self, clock, onFault })
    this.#checker = new ProofChecker({
      self,
      clock,
      log,
      chainOf,
      learn,
      isMember,
      client: this.#client,
      admissionOf: peer => this.#peers.admissionOf(peer),
      drop: peer => this.#drop(peer),
      onDuplicate
    })
    const [peers, checker] = [this.#peers, this.#checker]
    const onTwice = (): void => onDuplicate(self.peerId)
    const server = new JoinServer({
      ...{ host, self, clock, chance, log, peers, checker, isKnown, entrance, onTwice, onClockOff },
      onAsked: attempt => {
        host.welcome?.(attempt.peer, 'waiting')
        onAsked(attempt)
      }
    })
    serveCalls(host, {
      protocol: JOIN_PROTOCOL,
      requestBytesMax: JOIN_BYTES_MAX,
      responseBytesMax: JOIN_BYTES_MAX,
      clock,
      mayAsk: () => true,
      answer: request => server.answer(request),
      onFault
    })
    this.#listen()
  }

  /** Returns true if a peer may ask us for more than to join. */
  isAdmitted(peer: PeerId): boolean {
    return this.#peers.mayAsk(peer)
  }

  /** Members that we may ask. */
  get admitted(): readonly PeerId[] {
    return this.#peers.admitted
  }

  get admissions(): readonly Admission[] {
    return this.#peers.admissions
  }

  /** Returns true if this is the current admission of its peer. */
  isCurrent(admission: Admission): boolean {
    return this.#peers.admissionOf(admission.peer) === admission
  }

  /**
   * Asks every admitted member for its time again. Hangs up on a member that has forgotten us, so that we join it
   * again.
   */
  async measureClocks(signal?: AbortSignal): Promise<void> {
    await Promise.all(this.admissions.map(admission => this.#measureClock(admission, signal)))
  }

  /** Ends the admissions of members whose grants have expired. Call it regularly. */
  endExpired(): void {
    this.#peers.endExpired()
  }

  /**
   * Answers the machines that have become members, and ends the admissions of peers that are no longer members. Call it
   * when the roster has changed.
   */
  recheck(): void {
    const { isMember = () => true, isKnown = () => false } = this.#options
    for (const { peer } of this.attempts) if (isKnown(peer)) this.decide(peer, 'granted')
    // A peer that has shown its grant may ask us already, although it has not accepted ours.
    for (const { peer } of this.#peers.held.filter(({ peer }) => !isMember(peer))) {
      this.#log('the grant of %s is void', peer)
      this.expel(peer)
    }
  }

  /** The machines that wait for a person here. */
  get attempts(): Attempt[] {
    return this.#peers.attempts
  }

  /** Tells a machine that waits here what a person has decided. */
  decide(peer: PeerId, decision: 'granted' | 'denied'): void {
    this.#peers.handle(peer, { event: 'decided', decision })
  }

  /** The asking end of the protocol. */
  get client(): JoinClient {
    return this.#client
  }

  /**
   * Ends a member's admission. Its connection can then only be used to join again, and is closed after a while unless
   * that succeeds.
   */
  expel(peer: PeerId): void {
    this.#peers.handle(peer, { event: 'expelled' })
  }

  #makePeers(): JoiningPeers {
    const { host, clock, onAdmitted, onDeparted, onCodeEnded = () => {}, chainOf = () => undefined } = this.#options
    return new JoiningPeers({
      clock,
      chainOf,
      onCodeEnded,
      onAdmitted: admission => {
        const { peer, aheadMs } = admission
        const direction = aheadMs < 0 ? 'behind' : 'ahead of'
        this.#log('%s is admitted, its clock is %d ms %s ours', peer, Math.abs(aheadMs), direction)
        host.welcome?.(peer, 'member')
        onAdmitted(admission)
      },
      onDeparted: peer => {
        if (host.isConnected(peer)) this.#log('the admission of %s has ended', peer)
        else this.#log('%s has disconnected; it must show its grant again', peer)
        onDeparted(peer)
      },
      onExpired: peer => this.#log('the grant of %s has expired', peer),
      hangUp: peer => {
        this.#log('hanging up on %s, which was not admitted in time', peer)
        void this.#hangUp(peer)
      }
    })
  }

  #listen(): void {
    const { host } = this.#options
    host.onPeer((event, peer) => this.#peers.handle(peer, { event }))
    // The dialler shows its grant first. If both sides dialled, both try, and it is enough that one of them succeeds.
    host.onDialled(peer => {
      const isBusy = this.#peers.of(peer).isDialling || this.#peers.admissionOf(peer) !== undefined
      if (!isBusy && this.#isDialler(peer)) void this.#join(peer)
    })
  }

  #isDialler(peer: PeerId): boolean {
    return this.#options.host.connections().some(connection => connection.peer === peer && connection.isOutbound)
  }

  async #drop(peer: PeerId): Promise<void> {
    this.expel(peer)
    await this.#hangUp(peer)
  }

  async #hangUp(peer: PeerId): Promise<void> {
    try {
      await this.#options.host.hangUp(peer)
    } catch (error) {
      this.#log('could not hang up on %s: %s', peer, reasonOf(error))
    }
  }

  async #measureClock(admission: Admission, signal: AbortSignal | undefined): Promise<void> {
    const { peer } = admission
    try {
      const { instance, aheadMs } = await this.#client.alive(peer, { signal })
      admission.aheadMs = aheadMs
      if (equalBytes(instance, admission.instance)) return
    } catch (error) {
      this.#log('could not ask %s for the time: %s', peer, reasonOf(error))
      if (!(error instanceof RefusedError) || error.status !== 'not-admitted') return
    }
    if (!this.isCurrent(admission)) return
    this.#log('%s has forgotten us, or has restarted: joining it again', peer)
    await this.#drop(peer)
  }

  async #join(peer: PeerId): Promise<void> {
    const { clock, onRejected } = this.#options
    this.#peers.handle(peer, { event: 'dialling' })
    try {
      await withDeadline(clock, JOIN_TIMEOUT_MS, undefined, signal => this.#exchange(peer, signal))
    } catch (error) {
      this.#log('dialling %s: it did not admit us, or we did not admit it: %s', peer, reasonOf(error))
      if (this.#peers.admissionOf(peer) === undefined) onRejected(peer, error)
    } finally {
      this.#peers.handle(peer, { event: 'dialled' })
    }
  }

  async #proveBoth(peer: PeerId, signal: AbortSignal): Promise<Proven & { aheadMs: number }> {
    const client = this.#client
    let aheadMs: number | undefined
    try {
      const shown = await showProof(peer, { ...this.#options, client, log: this.#log }, signal)
      aheadMs = shown.aheadMs
      return { ...(await this.#checker.check(peer, shown.proof, shown.body)), aheadMs }
    } catch (cause) {
      if (rejectionReason(cause) !== 'clock-off') throw cause
      aheadMs ??= await client.aheadMs(peer, signal)
      throw new ClockOffError('our clock and that of the peer differ too much', { aheadMs, cause })
    }
  }

  async #exchange(peer: PeerId, signal: AbortSignal): Promise<void> {
    const network = await this.#client.hello(peer, signal)
    if (!equalBytes(network, this.#options.self.network)) throw new WrongNetworkError(network)
    this.#log('dialling %s: it is of our network, showing our grant', peer)
    const { instance, chain, aheadMs } = await this.#proveBoth(peer, signal)
    signal.throwIfAborted()
    // From here on we send the peer our news. It compares its log with ours when it learns that it is admitted. If we
    // began later, it would miss the news between that comparison and our first message.
    const admission = this.#peers.enter({ peer, instance, chain, aheadMs })
    try {
      await this.#client.admitted(peer, signal)
    } catch (error) {
      this.#peers.handle(peer, { event: 'withdrawn', admission })
      throw error
    }
    this.#peers.handle(peer, { event: 'announced', admission })
  }
}
