import type { KeyObject } from 'node:crypto'
import type { Secrets } from '../disk/keystore.ts'
import { FUTURE_MS_MAX } from '../format/constants.ts'
import type { Fields, Kind, Role } from '../format/kinds.ts'
import { privateKey, rawPublicKey } from '../format/network-key.ts'
import { type PeerId, peerIdOf } from '../format/peer-id.ts'
import { type Hlc, hlcAfter, hlcMs } from '../format/stamp.ts'
import { decodeStatement, type SignOptions, type Statement, signStatement } from '../format/statement.ts'
import type { Signer } from '../log/projection.ts'
import type { Chance } from '../util/chance.ts'
import type { Clock } from '../util/clock.ts'
import { INSTANCE_BYTES } from './constants.ts'
import { ClockOffError, GrantError } from './errors.ts'

/** This member: its keys, its grant, and the stamps of its statements. */
export class LocalMember {
  readonly publicKey: Uint8Array
  readonly peerId: PeerId
  readonly network: Uint8Array
  /** Drawn at each start. It distinguishes a restarted member from a copy of its directory. */
  readonly instance: Uint8Array
  readonly key: KeyObject
  /** The grants that its own grant depends on, and then its own grant. */
  readonly chain: Array<Statement<'grant'>>
  /** All statements that the keystore holds: the chain, and the root's statement. */
  readonly statements: Statement[]
  readonly #clock: Clock
  #last: Hlc = 0n
  /** The newest stamp of our statuses. Statuses have a series of stamps of their own. */
  #lastStatus: Hlc = 0n

  constructor(secrets: Secrets, clock: Clock, chance: Chance) {
    this.#clock = clock
    this.key = privateKey('ed25519', secrets.device)
    this.publicKey = rawPublicKey(this.key)
    this.peerId = peerIdOf(this.publicKey)
    this.network = secrets.network
    this.instance = chance.bytes(INSTANCE_BYTES)
    this.statements = secrets.grants.map(bytes => decodeStatement(bytes))
    this.chain = this.statements.filter(statement => statement.kind === 'grant') as Array<Statement<'grant'>>
    if (this.chain.length === 0) throw new GrantError('the keystore holds no grant')
  }

  get grant(): Statement<'grant'> {
    return this.chain.at(-1) as Statement<'grant'>
  }

  /** This member as the signer of its own statements. */
  get signer(): Signer {
    return { author: this.publicKey, role: this.role }
  }

  get role(): Role {
    return this.grant.fields.role
  }

  get name(): string {
    return this.grant.fields.name
  }

  /** The newest stamp of our statements other than statuses. */
  get last(): Hlc {
    return this.#last
  }

  /** Makes the stamps continue from those in the last status that we signed before this start. */
  resume(status: Hlc, head: Hlc): void {
    if (status > this.#lastStatus) this.#lastStatus = status
    if (head > this.#last) this.#last = head
  }

  /**
   * Returns a stamp after all of our own stamps and all of `past`. Throws a `ClockOffError` if the others would refuse
   * this stamp for now. That happens if one of the earlier stamps was made while the clock of this machine or of
   * another was ahead.
   */
  nextHlc(...past: readonly Hlc[]): Hlc {
    const hlc = hlcAfter(this.#clock.now(), ...this.#before, this.#last, ...past)
    if (this.#isTooFar(hlc)) throw tooEarly(hlc)
    this.#last = hlc
    return hlc
  }

  /** The error that `nextHlc` would throw now; undefined if it would not throw. */
  get clockError(): ClockOffError | undefined {
    const hlc = hlcAfter(this.#clock.now(), ...this.#before, this.#last)
    return this.#isTooFar(hlc) ? tooEarly(hlc) : undefined
  }

  /**
   * Returns a stamp for a status, after all of `past`. Statuses have a series of stamps of their own. Otherwise one
   * member's fast clock would move everyone's entries into the future.
   */
  nextStatusHlc(...past: readonly Hlc[]): Hlc {
    // If our last status is stamped too far ahead, our own clock was ahead when we signed it. Nobody keeps such a
    // status, so the next one may have an earlier stamp.
    const last = this.#isTooFar(this.#lastStatus) ? 0n : this.#lastStatus
    this.#lastStatus = hlcAfter(this.#clock.now(), ...this.#before, last, ...past)
    return this.#lastStatus
  }

  /** The options with which we sign a statement at this stamp. */
  signing(hlc: Hlc): SignOptions & { author: Uint8Array } {
    return { network: this.network, key: this.key, author: this.publicKey, grant: this.grant.id, hlc }
  }

  /** Signs a statement of this member. `hlc` must come from `nextHlc`, or `nextStatusHlc` for a status. */
  sign<K extends Kind>(kind: K, fields: Fields<K>, hlc: Hlc): Statement<K> {
    return signStatement(kind, fields, this.signing(hlc))
  }

  // A statement that is stamped before our grant is not valid, so a stamp must come after the grant even if the clock
  // was set back after the grant was signed.
  get #before(): Hlc[] {
    const { hlc } = this.grant
    return hlc === 0n ? [] : [hlc - 1n]
  }

  #isTooFar(hlc: Hlc): boolean {
    return hlcMs(hlc) > this.#clock.now() + FUTURE_MS_MAX
  }
}

function tooEarly(hlc: Hlc): ClockOffError {
  const from = new Date(hlcMs(hlc) - FUTURE_MS_MAX).toISOString().slice(0, 16)
  return new ClockOffError(
    `something was written while a clock was ahead, so its time is later than now: set this machine's clock if it is wrong; if it is right, files can be written again from ${from}Z`
  )
}
