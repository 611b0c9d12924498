import type { KeyObject } from 'node:crypto'
import type { Secrets } from '../disk/keystore.ts'
import { FUTURE_MS_MAX } from '../format/constants.ts'
import type { Fields, Kind, Role } from '../format/kinds.ts'
import { privateKey, rawPublicKey } from '../format/network-key.ts'
import { type PeerId, peerIdOf } from '../format/peer-id.ts'
import { type Hlc, hlcAfter, hlcMs } from '../format/stamp.ts'
import { decodeStatement, type SignOptions, type Statement, signStatement } from '../format/statement.ts'
import type { Chance } from '../util/chance.ts'
import type { Clock } from '../util/clock.ts'
import { INSTANCE_BYTES } from './constants.ts'
import { ClockOffError, GrantError } from './errors.ts'

/** This member: its keys, its grant, and the clock that its statements are stamped by. */
export class LocalMember {
  readonly publicKey: Uint8Array
  readonly peerId: PeerId
  readonly network: Uint8Array
  /** Random at each start: tells a restarted member from a copy of it. */
  readonly instance: Uint8Array
  readonly key: KeyObject
  /** Its grant last, those it rests on before it. */
  readonly chain: Array<Statement<'grant'>>
  /** What came with the chain, the root's statement among it. */
  readonly statements: Statement[]
  readonly #clock: Clock
  #last: Hlc = 0n
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

  get role(): Role {
    return this.grant.fields.role
  }

  get name(): string {
    return this.grant.fields.name
  }

  /** The newest stamp of our own. */
  get last(): Hlc {
    return this.#last
  }

  /** Takes up where the status before this start left off. */
  resume(status: Hlc, head: Hlc): void {
    if (status > this.#lastStatus) this.#lastStatus = status
    if (head > this.#last) this.#last = head
  }

  /**
   * A stamp after everything of our own and after all of `past`. A `ClockOffError` if the others would not keep it yet:
   * some of that was signed when this machine's clock, or another's, was ahead.
   */
  nextHlc(...past: readonly Hlc[]): Hlc {
    const hlc = hlcAfter(this.#clock.now(), ...this.#before, this.#last, ...past)
    if (this.#isTooFar(hlc)) throw tooEarly(hlc)
    this.#last = hlc
    return hlc
  }

  /** The error that the next stamp would meet, whatever it is for. */
  get clockFault(): ClockOffError | undefined {
    const hlc = hlcAfter(this.#clock.now(), ...this.#before, this.#last)
    return this.#isTooFar(hlc) ? tooEarly(hlc) : undefined
  }

  /**
   * A stamp for a status: ahead of the middle of the field too. Counted apart from the rest, or one member's fast clock
   * would move everyone's entries into the future.
   */
  nextStatusHlc(...field: readonly Hlc[]): Hlc {
    // One so far ahead that nobody keeps it is from when our clock was: the next need not come after it.
    const last = this.#isTooFar(this.#lastStatus) ? 0n : this.#lastStatus
    this.#lastStatus = hlcAfter(this.#clock.now(), ...this.#before, last, ...field)
    return this.#lastStatus
  }

  /** How we sign at a stamp. */
  signing(hlc: Hlc): SignOptions & { author: Uint8Array } {
    return { network: this.network, key: this.key, author: this.publicKey, grant: this.grant.id, hlc }
  }

  sign<K extends Kind>(kind: K, fields: Fields<K>, hlc: Hlc): Statement<K> {
    return signStatement(kind, fields, this.signing(hlc))
  }

  // What is stamped before our grant does not count, should the clock have been set back since it was signed.
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
    `what was written when a clock was ahead bears a later time than now: set this machine's clock if it is wrong, else it can be written again from ${from}Z`
  )
}
