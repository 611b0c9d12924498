import type { PeerId } from '../format/peer-id.ts'
import { isForClock, type Verdict } from '../log/projection.ts'
import { equalBytes } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import { withDeadline } from '../util/deadline.ts'
import { type Logger, reasonOf } from '../util/logger.ts'
import { ALIVE_TIMEOUT_MS } from './constants.ts'
import { ClockOffError, DuplicateError, GrantError } from './errors.ts'
import type { GrantChain } from './grant-chain.ts'
import type { JoinClient } from './join-client.ts'
import type { Admission } from './joining/peer-machine.ts'
import type { LocalMember } from './local-member.ts'
import { checkProof, type Proof, type Proven } from './proof.ts'

export interface ProofCheckerOptions {
  self: LocalMember
  clock: Clock
  log: Logger
  client: Pick<JoinClient, 'alive'>
  /** The admission of a peer; undefined if it is not admitted. */
  admissionOf: (peer: PeerId) => Admission | undefined
  /** See `ProofFacts`. */
  chainOf: (peer: PeerId) => GrantChain | undefined
  /**
   * Appends what a peer has shown, which was verified, to the log, and returns the verdicts. We wait for them before we
   * tell the other side that it is admitted, because the statements that it sends next depend on its grant.
   */
  learn: (statements: readonly Uint8Array[], peer: PeerId) => Promise<Verdict[]>
  /** Returns true if our log, which has what the peer has shown, counts it as a member. */
  isMember: (peer: PeerId) => boolean
  /** Ends the admission of a process that no longer answers, and its connections. */
  drop: (peer: PeerId) => Promise<void>
  /** Called when two processes run with the identity of a peer. */
  onDuplicate: (peer: PeerId) => void
}

/** Decides whether a proof that a peer shows admits it. */
export class ProofChecker {
  readonly #options: ProofCheckerOptions

  constructor(options: ProofCheckerOptions) {
    this.#options = options
  }

  /**
   * Checks that a proof is valid, that no other process runs with this peer id, and that the log accepts the grants.
   * Throws a `WrongNetworkError`, a `GrantError`, a `DuplicateError`, a `ClockOffError`, a `FormatError` if the bytes are
   * not statements, and what the log throws.
   */
  async check(peer: PeerId, proof: Proof, body: Uint8Array): Promise<Proven> {
    const { self, clock, chainOf, learn, isMember } = this.#options
    const proven = await checkProof(proof, body, { peer, self, clock, chainOf })
    if (await this.#isCopy(peer, proven.instance)) throw new DuplicateError()
    const verdicts = await learn(
      proven.support.map(({ bytes }) => bytes),
      peer
    )
    if (verdicts.some(isForClock))
      throw new ClockOffError('its grant is stamped in the future: its clock or ours is off')
    if (verdicts.some(verdict => verdict !== 'ok')) throw new GrantError('our log refuses the grant')
    // The proof shows only that the grant was signed. Our log may know that it is void.
    if (!isMember(peer)) throw new GrantError('the grant is void')
    return proven
  }

  /**
   * Returns true if another process is running with this peer id, which means that a data directory was copied. We ask
   * the process that was admitted first whether it still answers, because a machine that lost power and came back is
   * not a copy.
   */
  async #isCopy(peer: PeerId, instance: Uint8Array): Promise<boolean> {
    const before = this.#options.admissionOf(peer)
    if (before === undefined || equalBytes(before.instance, instance)) return false
    const { clock, client, log, drop } = this.#options
    try {
      const alive = await withDeadline(clock, ALIVE_TIMEOUT_MS, undefined, signal => client.alive(peer, { signal }))
      if (!equalBytes(alive.instance, before.instance)) return false
      log('%s runs twice: the process that was admitted first still answers', peer)
      this.#tell(peer)
      return true
    } catch (error) {
      // Requests on a connection to a dead process would be lost. The new process dials again.
      log('the earlier process of %s does not answer, dropping it: %s', peer, reasonOf(error))
      await drop(peer)
      return false
    }
  }
  /** Tells the process that was admitted first, and this program, that there is a second one. */
  #tell(peer: PeerId): void {
    const { client, log, onDuplicate } = this.#options
    client.alive(peer, { twice: true }).catch(error => log('could not tell %s of its copy: %s', peer, reasonOf(error)))
    onDuplicate(peer)
  }
}
