import { admitBytes } from '../../format/admit.ts'
import { ADDRESSES_MAX, SUPPORT_STATEMENTS_MAX, USES_MAX } from '../../format/constants.ts'
import { FormatError } from '../../format/errors.ts'
import { decodeInviteToken, encodeInviteToken, inviteOf } from '../../format/invite-token.ts'
import { privateKey, rawPublicKey } from '../../format/network-key.ts'
import { publicKeyOf } from '../../format/peer-id.ts'
import { decodeHlc, encodeHlc, hlcAt, hlcMs } from '../../format/stamp.ts'
import { decodeStatement, idOf, type Statement, verifySignature } from '../../format/statement.ts'
import type { Log } from '../../log/log.ts'
import { isForClock, type Verdict } from '../../log/projection.ts'
import { fromHex } from '../../util/bytes.ts'
import type { Chance } from '../../util/chance.ts'
import type { Clock } from '../../util/clock.ts'
import { InvalidInputError } from '../../util/errors.ts'
import { Limiter } from '../../util/limiter.ts'
import { RefusedError } from '../../wire/errors.ts'
import type { Authority, InviteFacts } from '../authority.ts'
import { NotAllowedError, UnknownMemberError } from '../errors.ts'
import type { LocalMember } from '../local-member.ts'
import type { InviteItem, InviteOptions, MadeInvite } from '../types.ts'
import { INVITE_MS_DEFAULT, INVITE_MS_MAX, INVITE_MS_MIN } from './constants.ts'
import type { Entering, EntryOutcome } from './entry-server.ts'
import type { GrantSigner } from './grant-signer.ts'

export interface InvitesOptions {
  self: LocalMember
  log: Pick<Log, 'receive'>
  roster: Authority
  signer: GrantSigner
  clock: Clock
  chance: Chance
  /** Addresses at which members answer, our own first, as multiaddr text. */
  addresses: () => string[]
}

/** The shortest start of an id by which an invite may be named. */
const ID_START_MIN = 6

/**
 * Makes, lists and revokes invites, and lets in machines that have one. An invite is a key pair: its public half is in
 * a statement that an admin signs, and its private half is in the token. With the private half the newcomer signs its
 * own public keys, so nobody else can use what it shows.
 */
export class Invites {
  readonly #options: InvitesOptions
  /** One machine enters at a time, so that we never let in more than an invite allows. */
  readonly #entering = new Limiter(1)

  constructor(options: InvitesOptions) {
    this.#options = options
  }

  /** Throws an `InvalidInputError`, and what `GrantSigner` throws. */
  async make({ role = 'writer', expiresMs = INVITE_MS_DEFAULT, uses = 1 }: InviteOptions): Promise<MadeInvite> {
    const { self, signer, roster, clock, chance, addresses } = this.#options
    signer.assertAdmin('makes invites')
    if (!(expiresMs >= INVITE_MS_MIN && expiresMs <= INVITE_MS_MAX))
      throw new InvalidInputError('an invite is valid for 1 minute to 365 days')
    if (uses !== 'unlimited' && !(Number.isInteger(uses) && uses >= 1 && uses <= USES_MAX))
      throw new InvalidInputError(`an invite is for 1 to ${USES_MAX} machines, or unlimited`)
    const support = roster.supportOf(self.grant.id)
    if (support.length >= SUPPORT_STATEMENTS_MAX)
      throw new NotAllowedError('the grant of this machine rests on too many others: make the invite on another admin')
    const seed = chance.bytes(32)
    const notAfter = hlcAt(clock.now() + expiresMs)
    const invite = signer.sign('invite', {
      key: rawPublicKey(privateKey('ed25519', seed)),
      role,
      notAfter: encodeHlc(notAfter),
      uses: uses === 'unlimited' ? null : uses
    })
    const token = encodeInviteToken({
      network: self.network,
      seed,
      statements: [...support.map(({ bytes }) => bytes), invite.bytes],
      addresses: addresses().slice(0, ADDRESSES_MAX)
    })
    // The invite is added to the log only after its token was made, so that the log never holds one that nobody can
    // use.
    await signer.keep([invite])
    return { id: idOf(invite), token, role, expires: new Date(hlcMs(notAfter)), uses: invite.fields.uses }
  }

  /** The newest first. */
  list(): InviteItem[] {
    const newestFirst = (a: InviteFacts, b: InviteFacts): number => Number(b.statement.hlc - a.statement.hlc)
    return this.#options.roster.invites.toSorted(newestFirst).map(facts => {
      const { role, uses } = facts.statement.fields
      const expires = new Date(hlcMs(endOf(facts.statement)))
      const { statement, used } = facts
      return {
        id: idOf(statement),
        role,
        expires,
        uses,
        used,
        state: this.#stateOf(facts),
        by: this.#makerOf(statement)
      }
    })
  }

  /** `text` is the id of an invite, a start of it, or its token. Throws an `UnknownMemberError`. */
  async revoke(text: string): Promise<{ id: string }> {
    const { signer, roster } = this.#options
    signer.assertAdmin('revokes invites')
    const { statement, isRevoked } = this.#find(text.trim())
    const id = idOf(statement)
    if (!isRevoked) await signer.keep([signer.sign('revocation', { target: fromHex(id), list: null }, statement.hlc)])
    if (roster.invite(statement.id)?.isRevoked !== true) throw new UnknownMemberError('this invite cannot be revoked')
    return { id }
  }

  /** Lets a machine in. Throws a `RefusedError` if its invite or its signatures are not valid. */
  enter(entering: Entering): Promise<EntryOutcome> {
    return this.#entering.run(() => this.#enter(entering))
  }

  async #enter(entering: Entering): Promise<EntryOutcome> {
    const { roster, signer, self } = this.#options
    const { peer, name, x25519, inviteSig, subjectSig } = entering
    const invite = await this.#learn(entering)
    const key = publicKeyOf(peer)
    const data = admitBytes({ network: self.network, invite: invite.id, key, x25519 })
    const isShown = await verifySignature({ key: invite.fields.key, data, sig: inviteSig })
    if (!isShown || !(await verifySignature({ key, data, sig: subjectSig }))) throw new RefusedError('invalid')
    if (signer.isUnable) throw new RefusedError('busy')
    // Another of its requests may have let it in while this one waited for its turn.
    const known = signer.supportOf(peer)
    if (known !== undefined) return { outcome: 'granted', statements: known }
    // Nothing else runs between here and the signature, so no revocation and no other use can come in between.
    const facts = roster.invite(invite.id)
    if (facts === undefined) throw new RefusedError('invalid')
    const state = this.#stateOf(facts)
    if (state !== 'open') return { outcome: state === 'void' ? 'revoked' : state }
    const hlc = signer.nextHlc(key, invite.hlc)
    if (hlc > endOf(invite)) return { outcome: 'expired' }
    const admit = { invite: invite.id, inviteSig, subjectSig }
    const fields = { subject: key, x25519, role: invite.fields.role, epoch: self.network, name, admit }
    try {
      await signer.grant(fields, hlc)
    } catch (error) {
      if (error instanceof NotAllowedError) return { outcome: 'elsewhere' }
      throw error instanceof FormatError ? new RefusedError('invalid') : error
    }
    const statements = signer.supportOf(peer)
    // Another member let somebody in with this invite, and we learned of that meanwhile.
    return statements === undefined ? { outcome: 'used-up' } : { outcome: 'granted', statements }
  }

  /** Adds to the log what a newcomer shows, and returns its invite. */
  async #learn({ peer, statements }: Entering): Promise<Statement<'invite'>> {
    const { log } = this.#options
    const shown = decodeShown(statements)
    const verdicts = await log.receive(statements, peer)
    const verdict: Verdict | undefined = verdicts.find(verdict => verdict !== 'ok')
    if (verdict !== undefined) throw new RefusedError(isForClock(verdict) ? 'clock-off' : 'invalid')
    return shown
  }

  #stateOf({ statement, used, isRevoked, isEffective }: InviteFacts): InviteItem['state'] {
    const { uses } = statement.fields
    if (!isEffective) return 'void'
    if (isRevoked) return 'revoked'
    if (hlcMs(endOf(statement)) < this.#options.clock.now()) return 'expired'
    return uses !== null && used >= uses ? 'used-up' : 'open'
  }

  #makerOf({ grant }: Statement<'invite'>): string | null {
    const last = grant === null ? undefined : this.#options.roster.supportOf(grant).at(-1)
    return last?.kind === 'grant' ? last.fields.name : null
  }

  #find(text: string): InviteFacts {
    const { roster } = this.#options
    const id = /^[0-9a-f]+$/i.test(text) ? text.toLowerCase() : idOfToken(text)
    const found =
      id.length < ID_START_MIN ? [] : roster.invites.filter(({ statement }) => idOf(statement).startsWith(id))
    const [first, second] = found
    if (first === undefined) throw new UnknownMemberError('no such invite is known here: see dfs invite --list')
    if (second !== undefined) throw new InvalidInputError('two invites begin like this: give more of the id')
    return first
  }
}

function endOf({ fields }: Statement<'invite'>): bigint {
  return decodeHlc(fields.notAfter)
}

/** Throws a `RefusedError` unless these are grants and invites, an invite last. Nothing else may come from a stranger. */
function decodeShown(statements: readonly Uint8Array[]): Statement<'invite'> {
  try {
    const shown = statements.map(bytes => decodeStatement(bytes))
    const last = shown.at(-1)
    const areAllowed = shown.every(({ kind }) => kind === 'grant' || kind === 'invite')
    if (areAllowed && last?.kind === 'invite') return last
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    // Bytes that cannot be decoded get the same answer as statements of another kind.
  }
  throw new RefusedError('invalid')
}

function idOfToken(text: string): string {
  try {
    return idOf(inviteOf(decodeInviteToken(text)))
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause
    throw new InvalidInputError('this is neither the id of an invite nor its token', { cause })
  }
}
