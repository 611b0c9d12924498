import type { KeyObject } from 'node:crypto'
import type { Secrets } from '../disk/keystore.ts'
import { FUTURE_MS_MAX } from '../format/constants.ts'
import type { Fields, Kind, Role } from '../format/kinds.ts'
import { privateKey, rawPublicKey } from '../format/network-key.ts'
import { type PeerId, peerIdOf } from '../format/peer-id.ts'
import { type Hlc, hlcAfter, hlcMs, isFarAhead } from '../format/stamp.ts'
import { decodeStatement, type SignOptions, type Statement, signStatement } from '../format/statement.ts'
import type { Signer } from '../log/projection.ts'
import type { Chance } from '../util/chance.ts'
import type { Clock } from '../util/clock.ts'
import type { Authority } from './authority.ts'
import { INSTANCE_BYTES } from './constants.ts'
import { ClockOffError, GrantError, NotAllowedError } from './errors.ts'
import { chainIn, endOf, type GrantChain, type Support } from './grant-chain.ts'
import type { Standing } from './membership-fold.ts'

const MINUTE_MS = 60_000
const GRANT_ENDED = 'the grant of this device has ended: ask an admin of the network for a new one'
/** Why this device is no longer a member, and what its owner can do. */
const GRANT_VOID: Record<Exclude<Standing, 'effective'>, string> = {
  'used-up': noMember('another machine used the invite before it'),
  'invite-void': noMember('its invite was revoked before it was used'),
  'issuer-void': noMember('the machine that let it in was not a member itself')
}

/** This member: its keys, its grant, and the stamps of its statements. */
export class LocalMember {
  readonly publicKey: Uint8Array
  readonly peerId: PeerId
  readonly network: Uint8Array
  /** Drawn at each start. It distinguishes a restarted member from a copy of its directory. */
  readonly instance: Uint8Array
  readonly key: KeyObject
  /** All statements that the keystore holds. */
  readonly statements: Statement[]
  readonly #clock: Clock
  #support: Support
  #chain: GrantChain
  /** Why nothing may be signed under the grant; undefined if it takes effect. Its end is checked elsewhere. */
  #refusal: string | undefined

  constructor(secrets: Secrets, clock: Clock, chance: Chance) {
    this.#clock = clock
    this.key = privateKey('ed25519', secrets.device)
    this.publicKey = rawPublicKey(this.key)
    this.peerId = peerIdOf(this.publicKey)
    this.network = secrets.network
    this.instance = chance.bytes(INSTANCE_BYTES)
    this.statements = secrets.grants.map(bytes => decodeStatement(bytes))
    this.#support = this.statements.filter(({ kind }) => kind === 'grant' || kind === 'invite') as Support
    this.#chain = chainIn(this.#support)
    if (this.#chain.length === 0) throw new GrantError('the keystore holds no grant')
  }

  /** The grants above its own grant, and then its own grant. */
  get chain(): GrantChain {
    return this.#chain
  }

  /** All statements that prove its own grant to somebody who knows only the network id. Its own grant comes last. */
  get support(): Support {
    return this.#support
  }

  get grant(): Statement<'grant'> {
    return this.#chain.at(-1) as Statement<'grant'>
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

  /**
   * Signs from now on under the grant of this device that takes effect. An admin may have renewed our grant, or given
   * us another role. If no grant takes effect, the last one is kept, so that it can still be named, and `nextHlc`
   * throws.
   */
  follow(authority: Pick<Authority, 'chainOf' | 'supportOf' | 'standingOf'>): void {
    const grant = authority.chainOf(this.peerId)?.at(-1)
    if (grant === undefined) {
      const standing = authority.standingOf(this.grant.id)
      // A grant that is not in the log yet will be added soon, and a grant that is over is recognized by its end.
      this.#refusal = standing === undefined || standing === 'effective' ? undefined : GRANT_VOID[standing]
      return
    }
    this.#refusal = undefined
    this.#support = authority.supportOf(grant.id)
    this.#chain = chainIn(this.#support)
  }

  /**
   * Returns the stamp of our next statement. It is not earlier than our clock and our grant, and it is later than all
   * of `past`: every head that we hold of the entry, or what we hold of the same kind and subject. It does not depend
   * on anything else, in particular not on our own earlier stamps. Otherwise one edit of a file from a fast machine, or
   * one jump of our clock, would move everything that we sign afterwards into the future.
   *
   * Throws a `ClockOffError` if the others would let a statement with this stamp wait, and a `NotAllowedError` if our
   * grant has ended before it or is void.
   */
  nextHlc(...past: readonly Hlc[]): Hlc {
    if (this.#refusal !== undefined) throw new NotAllowedError(this.#refusal)
    const hlc = hlcAfter(this.#clock.now(), ...this.#before, ...past)
    if (isFarAhead(hlc, this.#clock.now()))
      throw tooEarly(hlc, { isGrant: isFarAhead(this.grant.hlc, this.#clock.now()) })
    if (this.#end !== undefined && hlc > this.#end) throw new NotAllowedError(GRANT_ENDED)
    return hlc
  }

  /** The error that `nextHlc` throws now, whatever it is called with; undefined if there is none. */
  get stampError(): ClockOffError | NotAllowedError | undefined {
    try {
      this.nextHlc()
      return undefined
    } catch (error) {
      if (error instanceof ClockOffError || error instanceof NotAllowedError) return error
      throw error
    }
  }

  /** The options with which we sign a statement at this stamp. */
  signing(hlc: Hlc): SignOptions & { author: Uint8Array } {
    return { network: this.network, key: this.key, author: this.publicKey, grant: this.grant.id, hlc }
  }

  /** Signs a statement of this member. `hlc` must come from `nextHlc`. */
  sign<K extends Kind>(kind: K, fields: Fields<K>, hlc: Hlc): Statement<K> {
    return signStatement(kind, fields, this.signing(hlc))
  }

  // A statement that is stamped before our grant is not valid, so a stamp must come after the grant even if the clock
  // was set back after the grant was signed.
  get #before(): Hlc[] {
    const { hlc } = this.grant
    return hlc === 0n ? [] : [hlc - 1n]
  }

  /** The last stamp that our grant allows; undefined if there is no such limit. */
  get #end(): Hlc | undefined {
    return endOf(this.#chain)
  }
}

function noMember(reason: string): string {
  return `this machine is no longer a member: ${reason}. Ask for a new invite and start with an empty data directory`
}

function tooEarly(hlc: Hlc, { isGrant }: { isGrant: boolean }): ClockOffError {
  // Rounded up to the next minute, so that the time that we name is never too early.
  const fromMs = Math.ceil((hlcMs(hlc) - FUTURE_MS_MAX) / MINUTE_MS) * MINUTE_MS
  const from = `${new Date(fromMs).toISOString().slice(0, 16)}Z`
  if (isGrant)
    return new ClockOffError(
      `this machine became a member at a time that is still to come by its clock: set the clock if it is wrong; if it is right, the machine can write from ${from}, or sooner if it starts with an empty data directory and is let in again`
    )
  return new ClockOffError(
    `the time of an earlier change is still to come, because a clock was ahead when it was signed: set this machine's clock if it is wrong; if it is right, this works again from ${from}`
  )
}
